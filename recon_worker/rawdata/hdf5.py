"""Opening an HDF5 file that somebody uploaded: nothing outside the file is followed, nothing is believed unread."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from recon_worker.data import InputFault

SIGNATURE = b"\x89HDF\r\n\x1a\n"
AGAIN = "Copy it from the scanner again and compare the sizes."
ROWS_PER_BLOCK = 256


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """The open file, read-only; errors of the HDF5 library become faults of the input.

    Raises
    ------
    InputFault
        If the file is truncated or damaged, now or while it is being read.
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
        # h5py reports damaged trees, heaps, chunks and data types with all of these.
        raise InputFault("The HDF5 file is damaged: a part of its data cannot be read.", AGAIN) from error


def own_member(group: h5py.Group, name: str) -> h5py.Group | h5py.Dataset | None:
    """`group[name]` if it is stored in this very file; None if there is no such member.

    Soft and external links, external raw storage and virtual data sets could make the worker read other files of its
    machine; they are refused.
    """
    link = group.get(name, getlink=True)
    if link is None:
        return None
    if not isinstance(link, h5py.HardLink):
        raise InputFault("The HDF5 file points to data outside itself.", "Store the data in the file itself.")
    member = group[name]
    if isinstance(member, h5py.Dataset) and (member.external or member.is_virtual):
        raise InputFault("The HDF5 file points to data outside itself.", "Store the data in the file itself.")
    return member


def read_column(table: h5py.Dataset, name: str) -> npt.NDArray[np.void]:
    """Column `name` of a one-dimensional compound table whose other columns may have variable length.

    Asking HDF5 (2.0, with h5py 3.16) for one column makes it read the variable-length columns as well and never free
    them: the memory of the whole file. So the rows are taken as they lie in the file, unless they are compressed.
    """
    kind = table.id.get_type()
    index = kind.get_member_index(name.encode())
    column = table.dtype[name]
    plain = table.id.get_create_plist().get_nfilters() == 0
    if plain and table.chunks and kind.get_member_type(index).get_size() == column.itemsize:
        row = np.dtype(
            {
                "names": [name],
                "formats": [column],
                "offsets": [kind.get_member_offset(index)],
                "itemsize": kind.get_size(),
            }
        )
        blocks = []
        for start in range(0, table.shape[0], table.chunks[0]):
            _, raw = table.id.read_direct_chunk((start,))
            rows = min(table.chunks[0], table.shape[0] - start)
            blocks.append(np.frombuffer(raw, row, rows)[name].copy())
        return np.concatenate(blocks)
    return np.concatenate(
        [table[start : start + ROWS_PER_BLOCK][name] for start in range(0, table.shape[0], ROWS_PER_BLOCK)]
    )
