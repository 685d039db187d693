#!/bin/sh
# SeaweedFS with one S3 identity from the environment.
set -eu
umask 077
cat > /tmp/identities.json <<JSON
{"identities": [{"name": "readerstudy",
  "credentials": [{"accessKey": "${S3_ACCESS_KEY}", "secretKey": "${S3_SECRET_KEY}"}],
  "actions": ["Admin", "Read", "Write", "List"]}]}
JSON
exec weed server -dir=/data -s3 -s3.config=/tmp/identities.json -ip.bind=0.0.0.0
