"""GE P-files of header revision 26.002, experimental: one 2D Cartesian image a slice, nothing else is guessed.

Samples follow the header (`ge_header`): coil, slice in order of acquisition, view, readout; the first view of a slice
is an empty baseline.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from recon_worker.data import InputFault, KSpace
from recon_worker.rawdata.arrays import Samples, kspace_of_array
from recon_worker.rawdata.ge_header import HEADER_BYTES, GeLayout, NotUnderstood, kspace_header, read_layout

FORMAT = "ge-pfile"
NAME = "P-file"


def is_ge_pfile(start: bytes, size: int) -> bool:
    """Whether a file begins as P-files do: revision (float32), from revision 26 the place of the samples (int32)."""
    if len(start) < 8 or size < 100_000:
        return False
    revision, offset = struct.unpack("<fi", start[:8])
    return 7.0 <= revision < 60.0 and abs(revision * 1000 - round(revision * 1000)) < 0.01 and (
        revision < 26 or 0 < offset < size
    )


def open_ge_pfile(path: Path) -> KSpace:
    """Read the header of a P-file; samples are read slice by slice afterwards.

    Raises
    ------
    InputFault
        For every revision, sequence, flag or size that is not understood.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(HEADER_BYTES)
    try:
        layout = read_layout(head, held=size - HEADER_BYTES)
    except NotUnderstood as reason:
        raise reason.as_fault(NAME) from None
    acquired = np.ones((layout.slices, 1, layout.views), dtype=bool)
    return kspace_of_array(kspace_header(layout, FORMAT, "P-files"), acquired, lambda: _read_slices(path, layout))


def _read_slices(path: Path, layout: GeLayout) -> Iterator[Samples]:
    kind = np.dtype("<i2" if layout.point_bytes == 2 else "<i4")
    shape = (layout.views + 1, layout.samples, 2)
    count = int(np.prod(shape))
    for slot in layout.order:
        data = np.empty((1, layout.coils, layout.views, layout.samples), dtype=np.complex64)
        for coil in range(layout.coils):
            place = HEADER_BYTES + (coil * layout.slices + slot) * count * kind.itemsize
            values = np.fromfile(path, kind, count, offset=place)
            if len(values) != count:
                raise InputFault("The GE P-file has become shorter while it was read.", "Copy it again.")
            views = values.reshape(shape)
            if np.any(views[0]):
                raise NotUnderstood(
                    "whose baseline views are not empty, so their place among the lines is unclear"
                ).as_fault(NAME)
            data[0, coil] = complex_samples(views[1:])
        if layout.alternating:
            data[:, :, 1::2] *= -1
        yield data


def complex_samples(pairs: npt.NDArray[np.signedinteger]) -> Samples:
    """`[..., (real, imaginary)]` integers as complex64 `[...]`."""
    return np.ascontiguousarray(pairs, dtype=np.float32).view(np.complex64)[..., 0]
