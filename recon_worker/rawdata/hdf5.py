"""Opening an HDF5 file that somebody uploaded: nothing outside the file is followed, nothing is believed unread."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO, RawIOBase
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np
import numpy.typing as npt

from recon_worker.data import InputFault

SIGNATURE = b"\x89HDF\r\n\x1a\n"
AGAIN = "Copy it from the scanner again and compare the sizes."
ROWS_PER_BLOCK = 256
MAX_CHUNK_BYTES = 256 * 1024**2


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """The open file, read-only; errors of the HDF5 library become faults of the input.

    Raises
    ------
    InputFault
        If the file is truncated or damaged, now or while it is being read.
    MemoryError
        If there is no room for one of its chunks.
    """
    try:
        file = h5py.File(path, "r", locking=False)
    except OSError as error:
        if "truncated" in str(error):
            raise InputFault("The HDF5 file is truncated: it ends before its declared end.", AGAIN) from None
        raise InputFault("The HDF5 file is damaged: its structure cannot be read.", AGAIN) from None
    try:
        with file:
            yield file
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, MemoryError) as error:
        # The size of chunks is checked before they are read: where there is no room for one, the machine is at fault.
        if "memory allocation failed for chunk" in str(error):
            raise MemoryError(str(error)) from error
        # h5py reports damaged trees, heaps, chunks and data types with all of these.
        raise InputFault("The HDF5 file is damaged: a part of its data cannot be read.", AGAIN) from error


def own_member(group: h5py.Group, name: str, *, expanded_here: bool = True) -> h5py.Group | h5py.Dataset | None:
    """`group[name]` if it is stored in this very file; None if there is no such member.

    Soft and external links, external raw storage and virtual data sets could make the worker read other files of its
    machine; they are refused, as are chunks that are too large for memory where HDF5 is to expand them.
    """
    link = group.get(name, getlink=True)
    if link is None:
        return None
    if not isinstance(link, h5py.HardLink):
        raise InputFault("The HDF5 file points to data outside itself.", "Store the data in the file itself.")
    member = group[name]
    if isinstance(member, h5py.Dataset) and (member.external or member.is_virtual):
        raise InputFault("The HDF5 file points to data outside itself.", "Store the data in the file itself.")
    if isinstance(member, h5py.Dataset) and expanded_here:
        _check_chunks(member)
    return member


def _check_chunks(table: h5py.Dataset) -> None:
    """Refuse chunks of more than `MAX_CHUNK_BYTES`: HDF5 expands a chunk as a whole, however little is asked for, and a
    compressed chunk of gigabytes of zeros takes a few megabytes of a file."""
    declared = math.prod(table.chunks or (0,)) * table.dtype.itemsize
    if declared > MAX_CHUNK_BYTES:
        raise InputFault(
            f"The HDF5 file declares pieces of {declared / 1e6:,.0f} MB; at most {MAX_CHUNK_BYTES / 1e6:,.0f} MB are "
            "taken.",
            "Write it again with smaller chunks.",
        )



def _stored_rows(table: h5py.Dataset) -> Iterator[tuple[bytes, int]]:
    """The rows of a one-dimensional table, or a single value, as they lie in the file, in blocks, with the bytes
    of a row; nothing if they are compact or have several dimensions."""
    if table.ndim > 1:
        return
    if table.chunks:
        rows = table.chunks[0]
        for start in range(0, table.shape[0], rows):
            mask, raw = table.id.read_direct_chunk((start,))
            raw = _unpacked(table, mask, raw)
            size = len(raw) // rows
            yield raw[: min(rows, table.shape[0] - start) * size], size
    elif table.id.get_offset() is not None and table.size:
        size = table.id.get_storage_size() // table.size
        with Path(table.file.filename).open("rb") as file:
            file.seek(table.id.get_offset())
            yield file.read(table.size * size), size


def _unpacked(table: h5py.Dataset, mask: int, raw: bytes) -> bytes:
    """A stored chunk without its filters (HDF5 file format, IV.A.2.l): deflate and shuffle, which everybody has."""
    plan = table.id.get_create_plist()
    filters = [plan.get_filter(number) for number in range(plan.get_nfilters())]
    for number, (code, _, values, _) in reversed(list(enumerate(filters))):
        if mask >> number & 1:
            continue
        if code == h5py.h5z.FILTER_DEFLATE:
            try:
                raw = zlib.decompressobj().decompress(raw, MAX_CHUNK_BYTES)
            except zlib.error:
                raise InputFault("The HDF5 file is damaged: a part of its data cannot be read.", AGAIN) from None
        elif code == h5py.h5z.FILTER_SHUFFLE and values and values[0] > 0:
            whole = len(raw) // values[0] * values[0]
            raw = np.frombuffer(raw, np.uint8, whole).reshape(values[0], -1).T.tobytes() + raw[whole:]
        else:
            raise InputFault(
                "The HDF5 file is compressed in a way that cannot be read.", "Write it again without compression."
            )
    return raw


def read_column(table: h5py.Dataset, name: str) -> npt.NDArray[np.void]:
    """Column `name` of a one-dimensional compound table whose other columns may have variable length.

    Asking HDF5 (2.0, with h5py 3.16) for one column makes it read the variable-length columns as well and never free
    them: the memory of the whole file. So the rows are taken as they lie in the file.
    """
    kind = table.id.get_type()
    index = kind.get_member_index(name.encode())
    column = table.dtype[name]
    if kind.get_member_type(index).get_size() == column.itemsize:
        offset = kind.get_member_offset(index)
        blocks = [_column(raw, size, offset, column).copy() for raw, size in _stored_rows(table)]
        if sum(len(block) for block in blocks) == table.shape[0]:
            return np.concatenate(blocks)
    return np.concatenate(
        [table[start : start + ROWS_PER_BLOCK][name] for start in range(0, table.shape[0], ROWS_PER_BLOCK)]
    )


def _column(raw: bytes, row_size: int, offset: int, kind: np.dtype[Any]) -> npt.NDArray[Any]:
    """One column of rows of `row_size` bytes."""
    layout = np.dtype({"names": ["value"], "formats": [kind], "offsets": [offset], "itemsize": row_size})
    return np.asarray(np.frombuffer(raw, layout)["value"])


_REFERENCE = np.dtype([("length", "<u4"), ("address", "<u8"), ("index", "<u4")])
"""Where a value of variable length lies: elements, address of a global heap collection, object in it."""


Places = npt.NDArray[np.int64]
"""`[row, 2]`: where in the file the first byte of a value of variable length lies, and its elements."""


def check_variable_length(table: h5py.Dataset, names: tuple[str, ...] = ()) -> list[Places]:
    """Check the global heap that holds the values of variable length, before HDF5 is asked for them.

    HDF5 2.0 walks for ever through a heap collection whose object sizes are damaged. `names` are the columns of a
    compound table; without names the elements themselves have variable length. Source: HDF5 file format, III.E
    (global heap).

    Returns the places of the values, column by column; an empty list if there are none.

    Raises
    ------
    InputFault
        If a collection or an object lies outside the file or its collection, or is shorter than its value.
    """
    file_sizes = table.file.id.get_create_plist().get_sizes()
    if file_sizes != (8, 8):
        raise InputFault("The HDF5 file is of an unusual kind (addresses of other than 8 bytes).", AGAIN)
    kind = table.id.get_type()
    columns = [(kind.get_member_offset(i), kind.get_member_type(i))
               for i in (kind.get_member_index(name.encode()) for name in names)]  # fmt: skip
    columns = columns or [(0, kind)]
    units = [column.get_super().get_size() if isinstance(column, h5py.h5t.TypeVlenID) else 1 for _, column in columns]
    blocks = [
        np.stack([_column(raw, size, offset, _REFERENCE) for offset, _ in columns]) for raw, size in _stored_rows(table)
    ]
    if not blocks:
        if table.size:
            raise InputFault("The HDF5 file stores its rows in an unusual way.", "Write it again.")
        return []
    references = np.concatenate(blocks, axis=1)
    lengths = references["length"].astype(np.int64)
    wanted = np.stack([references["address"].astype(np.int64), references["index"].astype(np.int64),
                       lengths * np.array(units)[:, None]], axis=2)  # fmt: skip
    starts = np.zeros(lengths.shape, dtype=np.int64)
    starts[lengths > 0] = _check_collections(
        Path(table.file.filename), table.file.userblock_size, wanted[lengths > 0]
    )
    return [np.stack(pair, axis=1) for pair in zip(starts, lengths, strict=True)]


def read_values(file: FileIO, places: Places, kind: str) -> list[npt.NDArray[Any]]:
    """The values at checked `places` of an unbuffered file, elements of `kind`: straight from the file, since HDF5
    reads values of variable length through two copies and a list.

    Raises
    ------
    InputFault
        If the file has become shorter.
    """
    ends = np.cumsum(places[:, 1])
    buffer = np.empty(int(ends[-1]) if len(ends) else 0, dtype=kind)
    values = np.split(buffer, ends[:-1])
    for start, value in zip(places[:, 0].tolist(), values, strict=True):
        read_value(file, start, value)
    return values


def read_value(file: FileIO, start: int, value: npt.NDArray[Any]) -> None:
    """Fill `value`, contiguous, with what lies at the checked place `start` of an unbuffered file.

    Raises
    ------
    InputFault
        If the file has become shorter.
    """
    file.seek(start)
    if file.readinto(value.view(np.uint8).data) != value.nbytes:
        raise InputFault("The HDF5 file is truncated: it ends before its declared end.", AGAIN)


def _check_collections(path: Path, base: int, references: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The first byte in the file of each reference (address, index, bytes)."""
    damaged = InputFault("The HDF5 file is damaged: a part of its data cannot be read.", AGAIN)
    size = path.stat().st_size
    starts = np.zeros(len(references), dtype=np.int64)
    order = np.argsort(references[:, 0], kind="stable")
    addresses, firsts = np.unique(references[order, 0], return_index=True)
    with path.open("rb", buffering=0) as file:
        for address, mine in zip(addresses.tolist(), np.split(order, firsts[1:]), strict=True):
            if not 0 <= address <= size - base - 16:
                raise damaged
            file.seek(base + address)
            head = file.read(16)
            length = int.from_bytes(head[8:16], "little")
            if head[:5] != b"GCOL\x01" or not 16 <= length <= size - base - address:
                raise damaged
            objects = _heap_objects(file, base + address, length)
            if objects is None:
                raise damaged
            for place in mine.tolist():
                _, index, wanted = references[place].tolist()
                start, available = objects.get(index, (0, -1))
                if available < wanted:
                    raise damaged
                starts[place] = start
    return starts


def _heap_objects(file: BinaryIO | RawIOBase, start: int, length: int) -> dict[int, tuple[int, int]] | None:
    """Places in the file and sizes in bytes of the objects of a collection, by index; None if they do not fit into
    it."""
    objects: dict[int, tuple[int, int]] = {}
    position = 16
    while position + 16 <= length:
        file.seek(start + position)
        head = file.read(16) or b""
        index, size = int.from_bytes(head[:2], "little"), int.from_bytes(head[8:16], "little")
        if index == 0:  # free space up to the end, its own head included
            return objects if position + size == length else None
        step = 16 + -(-size // 8) * 8
        if len(head) < 16 or position + step > length or index in objects:
            return None
        objects[index] = (start + position + 16, size)
        position += step
    return objects
