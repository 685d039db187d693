"""The bytes of uploads that are not whole yet: one file each in the upload folder, named by the upload's id.

What lies on the disk is the truth about how much has arrived; the database row follows it. A lock on the file itself
(flock, freed by the kernel when a process dies) keeps two writers apart: no database lock is held while bytes stream.
"""

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from uuid import UUID

from django.conf import settings

BLOCK_BYTES = 256 * 1024
SYNC_EVERY_BYTES = 64 * 1024**2
MARK_SUFFIX = ".checked"


class Busy(Exception):
    """Another request or task works on this upload at this moment."""


class Gone(Exception):
    """The bytes are not there (removed, expired, or never begun)."""


class ChecksumDiffers(Exception):
    """What arrived is not what was sent; it was taken back."""


class Arriving:
    """The file of one upload, held by one request or task alone (see `locked`)."""

    def __init__(self, path: Path, file: FileIO) -> None:
        self.path = path
        self.file = file
        self.mark = _mark_of(path)

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return os.fstat(self.file.fileno()).st_size

    def append(self, read: Callable[[int], bytes], *, most: int, sha256: bytes | None = None) -> int:
        """Stream what `read` gives to the end of the file, block by block, and sync it to the disk.

        Parameters
        ----------
        read
            Takes a number of bytes and returns at most as many, none at the end. If it raises OSError (the
            connection broke), what arrived is made safe and the error passed on.
        most
            Bytes that may still come; more are not read.
        sha256
            Digest that the whole block must have. If it has not, or its end never comes, the file is as before.

        Returns
        -------
        int
            The file's new size.

        Raises
        ------
        ChecksumDiffers
            The digest is another one.
        OSError
            The connection broke or the disk is full.
        """
        start = self.size
        self.file.seek(start)
        if sha256 is not None:
            _write_mark(self.mark, start)
        digest = hashlib.sha256()
        arrived, synced, whole = 0, 0, False
        try:
            while arrived < most and (block := read(min(BLOCK_BYTES, most - arrived))):
                self._write(block)
                digest.update(block)
                arrived += len(block)
                if arrived - synced >= SYNC_EVERY_BYTES:
                    os.fsync(self.file.fileno())
                    synced = arrived
            whole = sha256 is None or digest.digest() == sha256
        finally:
            if sha256 is not None and not whole:
                self.file.truncate(start)
            os.fsync(self.file.fileno())
            self.mark.unlink(missing_ok=True)
        if not whole:
            raise ChecksumDiffers
        return start + arrived

    def take_back_unverified(self) -> None:
        """Cut off a checksummed block whose end was never seen."""
        if self.mark.exists():
            self.file.truncate(int(self.mark.read_text()))
            os.fsync(self.file.fileno())
            self.mark.unlink()

    def sha256(self) -> str:
        """SHA-256 (hex) of the whole file, read in blocks."""
        self.file.seek(0)
        digest = hashlib.sha256()
        while block := self.file.read(1024**2):
            digest.update(block)
        return digest.hexdigest()

    def _write(self, block: bytes) -> None:
        # Unbuffered on purpose: what a failed write (disk full) leaves behind is on the disk, not in a buffer.
        rest = memoryview(block)
        while rest:
            rest = rest[self.file.write(rest) :]


def path_of(upload_id: UUID) -> Path:
    """Where the bytes of an upload lie."""
    return Path(settings.UPLOAD_FOLDER) / str(upload_id)


def create(upload_id: UUID) -> None:
    """Make an empty file that survives a power cut."""
    path = path_of(upload_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        os.fsync(file.fileno())
    _sync_folder(path.parent)


def remove(upload_id: UUID) -> None:
    """Remove the bytes; nothing happens if there are none. A writer in mid-stream writes into the void."""
    path_of(upload_id).unlink(missing_ok=True)
    _mark_of(path_of(upload_id)).unlink(missing_ok=True)


def free_bytes() -> int:
    """Free space of the disk that holds the upload folder."""
    folder = Path(settings.UPLOAD_FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(folder).free


@contextmanager
def locked(upload_id: UUID) -> Iterator[Arriving]:
    """The file of an upload, for this caller alone, without a block that was cut off by the death of its process.

    Raises
    ------
    Busy
        Somebody else has it.
    Gone
        There is no such file.
    """
    path = path_of(upload_id)
    try:
        file = FileIO(path, "r+b")
    except FileNotFoundError as error:
        raise Gone from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Busy from error
        if not path.exists():
            raise Gone
        arriving = Arriving(path, file)
        arriving.take_back_unverified()
        yield arriving


def is_busy(upload_id: UUID) -> bool:
    """Whether somebody holds the file at this moment."""
    try:
        with locked(upload_id):
            return False
    except Busy:
        return True
    except Gone:
        return False


def size(upload_id: UUID) -> int:
    """How many bytes have arrived and hold; a checksummed block counts when its end is there. Raises Gone."""
    path = path_of(upload_id)
    try:
        arrived = path.stat().st_size
    except FileNotFoundError as error:
        raise Gone from error
    try:
        return min(arrived, int(_mark_of(path).read_text()))
    except FileNotFoundError:
        return arrived


def orphans(known: set[UUID], *, older_than_seconds: float) -> list[Path]:
    """Files of the folder that belong to no known upload and were not touched for a while."""
    folder = Path(settings.UPLOAD_FOLDER)
    if not folder.exists():
        return []
    names = {str(each) for each in known}
    limit = time.time() - older_than_seconds
    return [
        path
        for path in folder.iterdir()
        if path.name.partition(".")[0] not in names and path.is_file() and path.stat().st_mtime < limit
    ]


def _mark_of(path: Path) -> Path:
    return path.with_name(path.name + MARK_SUFFIX)


def _write_mark(mark: Path, start: int) -> None:
    temporary = mark.with_name(mark.name + ".new")
    temporary.write_text(str(start))
    temporary.replace(mark)
    _sync_folder(mark.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
