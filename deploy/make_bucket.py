"""`python -m deploy.make_bucket`: make the bucket of STORAGE_URL if it is not there."""

import os

import fsspec


def main() -> None:
    system, root = fsspec.url_to_fs(
        os.environ["STORAGE_URL"], client_kwargs={"endpoint_url": os.environ.get("AWS_ENDPOINT_URL")}
    )
    bucket = root.split("/", 1)[0]
    if not system.exists(bucket):
        system.mkdir(bucket)


if __name__ == "__main__":
    main()
