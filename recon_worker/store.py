"""Files on a local disk or in an S3 bucket behind one interface; the web side uses the same URLs.

`file:///folder` or `s3://bucket/prefix`; all paths are relative to it. An S3 endpoint other than Amazon's comes from
`S3_ENDPOINT_URL` or `AWS_ENDPOINT_URL`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

import fsspec

BLOCK_BYTES = 1 << 20
SCRATCH = ".scratch"
ABANDONED_AFTER_SECONDS = 24 * 3600


class StorageFault(Exception):
    """The storage is at fault (full, read-only, unreachable, a file gone). Names what is wrong and what to do."""

    def __init__(self, what: str, action: str) -> None:
        super().__init__(f"{what} {action}")
        self.what = what
        self.action = action


@dataclass(frozen=True)
class StoredFile:
    """What was written: path relative to the store, SHA-256 and length of the bytes."""

    path: str
    sha256: str
    bytes: int

    def as_json(self) -> dict[str, Any]:
        """The form in which work orders and events name a file."""
        return {"path": self.path, "sha256": self.sha256, "bytes": self.bytes}


def fingerprint(path: Path) -> tuple[str, int]:
    """SHA-256 (hex) and length of a local file, read in blocks."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return digest, file.tell()


class Store:
    """Files below one URL.

    Parameters
    ----------
    url
        `file:///absolute/folder` or `s3://bucket/prefix`.

    Raises
    ------
    StorageFault
        If the URL is of another kind.
    """

    def __init__(self, url: str) -> None:
        scheme = url.partition("://")[0]
        if scheme not in ("file", "s3"):
            raise StorageFault(f"The storage URL begins with {scheme!r}.", "Use file:///folder or s3://bucket/prefix.")
        options: dict[str, Any] = {}
        endpoint = os.environ.get("S3_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT_URL")
        if scheme == "s3":
            options["use_listings_cache"] = False  # the web writes beside us
            if endpoint:
                options["client_kwargs"] = {"endpoint_url": endpoint}
        self.url = url
        self._system, root = fsspec.url_to_fs(url, **options)
        self._root = str(root).rstrip("/")
        self._is_local = scheme == "file"

    def _full(self, path: str) -> str:
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or ".." in parts or "\\" in path or "\x00" in path:
            raise ValueError(f"{path!r} is no path inside the storage.")
        return f"{self._root}/{PurePosixPath(path)}"

    def exists(self, path: str) -> bool:
        """Whether a file or folder is there."""
        with _in_words():
            return bool(self._system.exists(self._full(path)))

    def size(self, path: str) -> int:
        """Length of a file in bytes. Raises StorageFault if it is not there."""
        with _in_words():
            return int(self._system.size(self._full(path)))

    def open_read(self, path: str) -> BinaryIO:
        """Open a file for reading bytes. Raises StorageFault if it is not there."""
        with _in_words():
            return cast(BinaryIO, self._system.open(self._full(path), "rb"))

    def sha256(self, path: str) -> str:
        """SHA-256 (hex) of a file, read in blocks."""
        digest = hashlib.sha256()
        with self.open_read(path) as file, _in_words():
            while block := file.read(BLOCK_BYTES):
                digest.update(block)
        return digest.hexdigest()

    @contextmanager
    def local_copy(self, path: str) -> Iterator[Path]:
        """A local path of the file's bytes for as long as the block lasts. On a local store it is the file itself
        (never write to it); from S3 the file is fetched to a temporary folder."""
        full = self._full(path)
        if self._is_local:
            if not Path(full).is_file():
                raise StorageFault(f"The stored file {path} is gone.", "Upload it again.")
            yield Path(full)
            return
        with self.scratch() as folder:
            copy = folder / PurePosixPath(path).name
            with _in_words():
                self._system.get_file(full, str(copy))
            yield copy

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """An empty folder for unfinished work, removed at the end; on a local store it lies on the same disk, so that
        moving out of it is atomic. Folders that a killed process left are cleared away."""
        base = Path(self._root) / SCRATCH if self._is_local else Path(tempfile.gettempdir()) / "recon_worker"
        with _in_words():
            base.mkdir(parents=True, exist_ok=True)
            _clear_abandoned(base)
            folder = base / f"{socket.gethostname()}_{os.getpid()}_{secrets.token_hex(8)}"
            folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def put(self, local: Path, path: str) -> tuple[StoredFile, bool]:
        """Store a local file: whole or not at all. Returns what is stored, and whether this call wrote it.

        A file with the same bytes that is already there (a repeated job) is left untouched. `local` may be moved.

        Raises
        ------
        StorageFault
            If the disk is full or the storage cannot be written.
        """
        full = self._full(path)
        with _in_words():
            digest, length = fingerprint(local)
            stored = StoredFile(path, digest, length)
            if self._system.exists(full) and self._system.size(full) == length and self.sha256(path) == digest:
                return stored, False
            if self._is_local:
                self._put_local(local, Path(full))
            else:
                self._system.put_file(str(local), full)  # S3 shows an object when it is whole, never before
            return stored, True

    def _put_local(self, local: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.part")
        try:
            try:
                local.replace(temporary)  # same disk: no copy
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                shutil.copyfile(local, temporary)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)

    def remove(self, path: str) -> None:
        """Remove a file or a folder with all that is in it; nothing happens if it is not there."""
        full = self._full(path)
        with _in_words():
            if self._system.exists(full):
                self._system.rm(full, recursive=True)

    def remove_files(self, paths: list[str]) -> None:
        """Remove files, and the folders that are empty then (local stores)."""
        for path in paths:
            self.remove(path)
            if self._is_local:
                for folder in Path(self._full(path)).parents:
                    if folder == Path(self._root):
                        break
                    try:
                        folder.rmdir()
                    except OSError:
                        break


def _clear_abandoned(base: Path) -> None:
    """Remove scratch folders of processes of this machine that are gone, and those older than any job may last."""
    for folder in base.iterdir():
        host, _, rest = folder.name.rpartition("_")[0].rpartition("_")
        try:
            process = int(rest)
            old = time.time() - folder.stat().st_mtime > ABANDONED_AFTER_SECONDS
        except (ValueError, OSError):
            continue
        if old or (host == socket.gethostname() and not Path(f"/proc/{process}").exists() and Path("/proc/1").exists()):
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _in_words() -> Iterator[None]:
    """Say in one sentence what the operating system or the object store answered."""
    try:
        yield
    except OSError as error:
        raise storage_fault(error) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] in ("botocore", "aiobotocore", "aiohttp"):
            raise StorageFault(
                f"The object storage did not answer as it should ({type(error).__name__}).",
                "Check its address and credentials, then start the job again.",
            ) from error
        raise


def storage_fault(error: OSError) -> StorageFault:
    """The sentence for an error of the operating system."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFault("The disk is full.", "Free some space, then start again.")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StorageFault(
            f"{error.filename or 'The storage'} cannot be written or read (permission denied or read-only).",
            "Check its permissions, then start again.",
        )
    if isinstance(error, FileNotFoundError):
        return StorageFault(f"{error.filename or error} is not there.", "Check the path, or upload the file again.")
    return StorageFault(f"The storage failed ({error.strerror or error}).", "Check it, then start again.")
