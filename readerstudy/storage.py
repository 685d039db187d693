"""Files by paths relative to one storage URL (local folder or S3 bucket); the recon worker uses the same URL."""

import os
from typing import Any, BinaryIO, cast

import fsspec
from django.conf import settings


def file_system() -> tuple[Any, str]:
    """The fsspec file system of `STORAGE_URL` and its root path."""
    options: dict[str, Any] = {}
    if _is_object_store():
        options["use_listings_cache"] = False  # the recon worker writes beside us
        if endpoint := os.environ.get("S3_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT_URL"):
            options["client_kwargs"] = {"endpoint_url": endpoint}
    system, root = fsspec.url_to_fs(settings.STORAGE_URL, **options)
    return system, root.rstrip("/")


def open_file(path: str) -> BinaryIO:
    """Open a stored file for reading bytes. Raises FileNotFoundError."""
    system, root = file_system()
    return cast(BinaryIO, system.open(f"{root}/{path}", "rb"))


def read_range(path: str, start: int, length: int) -> bytes:
    """`length` bytes of a stored file from `start`."""
    system, root = file_system()
    content: bytes = system.cat_file(f"{root}/{path}", start=start, end=start + length)
    return content


def put(local_path: str, path: str) -> None:
    """Store a local file under `path`: whole or not at all."""
    system, root = file_system()
    target = f"{root}/{path}"
    if _is_object_store():
        system.put_file(local_path, target)  # an object is seen when it is whole, never before
        return
    system.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
    temporary = f"{target}.part"
    system.put_file(local_path, temporary)
    system.mv(temporary, target)


def copy(source: str, path: str) -> None:
    """Copy a stored file to another path of the same storage."""
    system, root = file_system()
    target = f"{root}/{path}"
    if not _is_object_store():
        system.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
    system.cp_file(f"{root}/{source}", target)


def remove(path: str) -> None:
    """Remove a stored file or folder; nothing happens if it is not there."""
    system, root = file_system()
    if system.exists(f"{root}/{path}"):
        system.rm(f"{root}/{path}", recursive=True)


def _is_object_store() -> bool:
    return settings.STORAGE_URL.startswith("s3://")
