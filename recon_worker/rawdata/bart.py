"""BART's pair of files: `.hdr` (text, sixteen extents) and `.cfl` (complex64, first axis fastest).

Source: BART manual, "data format", and src/misc/mri.h (order of dimensions). BART's transform is centred, the image is
the inverse one. The pair holds no lengths and no places.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from recon_worker.data import InputFault, KSpace, KSpaceHeader
from recon_worker.rawdata.arrays import (
    NO_NOISE_SCAN,
    PLACE_UNKNOWN,
    Samples,
    axial_stack,
    check_extents,
    kspace_of_array,
)

FORMAT = "bart"
FIRST_LINE = b"# Dimensions"
MAX_HEADER_BYTES = 64 * 1024
PIXEL_MM = 1.0
DIMENSIONS = (
    "READ", "PHS1", "PHS2", "COIL", "MAPS", "TE", "COEFF", "COEFF2",
    "ITER", "CSHIFT", "TIME", "TIME2", "LEVEL", "SLICE", "AVG", "BATCH",
)  # fmt: skip
TAKEN = ("READ", "PHS1", "COIL", "SLICE", "AVG")
BOTH = "Keep both files, of one name with the endings .hdr and .cfl, in one folder and name either on the command line."


def is_bart(path: Path, start: bytes) -> bool:
    """Whether the file is one of a pair: a header by its first line, samples by the header that lies beside them."""
    if start.startswith(FIRST_LINE):
        return True
    beside = path.with_suffix(".hdr")
    if path.suffix != ".cfl" or not beside.is_file():
        return False
    with beside.open("rb") as file:
        return file.read(len(FIRST_LINE)) == FIRST_LINE


def open_bart(path: Path) -> KSpace:
    """Read the extents of a pair, given by either path, and find its acquired lines.

    Raises
    ------
    InputFault
        If one of the two files is missing, sizes do not agree to the byte, or there are other dimensions than readout,
        phase encoding, coil, slice and average.
    """
    header, samples = path.with_suffix(".hdr"), path.with_suffix(".cfl")
    if path.suffix not in (".hdr", ".cfl") or not header.is_file() or not samples.is_file():
        raise InputFault("This is one file of a BART pair, and the other is not beside it.", BOTH)
    extents = _extents(header)
    shape = (extents["AVG"], extents["SLICE"], extents["COIL"], extents["PHS1"], extents["READ"])
    averages, slices, coils, ny, nx = shape
    check_extents(slices=slices, averages=averages, coils=coils, phase_encodes=ny, samples=nx)
    declared, held = 8 * averages * slices * coils * ny * nx, samples.stat().st_size
    if declared != held:
        raise InputFault(
            f"The BART header declares {declared:,} bytes of samples, but the .cfl file has {held:,}.",
            "The two files do not belong together or one is incomplete; copy both again.",
        )
    return kspace_of_array(_header(shape), _acquired(samples, shape), lambda: _read_slices(samples, shape))


def _extents(path: Path) -> dict[str, int]:
    damaged = InputFault("The BART header does not state the extents of its dimensions.", "Write the pair again.")
    with path.open("rb") as file:
        lines = file.read(MAX_HEADER_BYTES).decode("ascii", "replace").splitlines()
    if len(lines) < 2 or not lines[0].startswith("# Dimensions"):
        raise damaged
    words = lines[1].split()
    if not 1 <= len(words) <= len(DIMENSIONS) or not all(re.fullmatch(r"[0-9]{1,9}", word) for word in words):
        raise damaged
    extents = dict.fromkeys(DIMENSIONS, 1) | dict(zip(DIMENSIONS, map(int, words), strict=False))
    others = [f"{name} ({extent})" for name, extent in extents.items() if name not in TAKEN and extent != 1]
    if others:
        raise InputFault(
            f"The BART file has extents that cannot be read: {', '.join(others)}.",
            f"Only {', '.join(TAKEN)} may be larger than 1; take out one image series with bart slice.",
        )
    return extents


def _read_block(path: Path, shape: tuple[int, ...], average: int, number: int) -> Samples:
    """`[coil, ky, kx]`."""
    coils, ny, nx = shape[2:]
    count = coils * ny * nx
    values = np.fromfile(path, "<c8", count, offset=8 * count * (average * shape[1] + number))
    if len(values) != count:
        raise InputFault("The .cfl file has become shorter while it was read.", "Copy both files again.")
    return values.reshape(coils, ny, nx)


def _acquired(path: Path, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """`[slice, average, ky]`: lines that hold anything but zeros."""
    acquired = np.zeros((shape[1], shape[0], shape[3]), dtype=bool)
    for number, average in np.ndindex(shape[1], shape[0]):
        acquired[number, average] = np.any(_read_block(path, shape, average, number) != 0, axis=(0, 2))
    return acquired


def _read_slices(path: Path, shape: tuple[int, ...]) -> Iterator[Samples]:
    for number in range(shape[1]):
        yield np.stack([_read_block(path, shape, average, number) for average in range(shape[0])])


def _header(shape: tuple[int, ...]) -> KSpaceHeader:
    averages, slices, coils, ny, nx = shape
    field_of_view_mm = (nx * PIXEL_MM, ny * PIXEL_MM)
    return KSpaceHeader(
        format=FORMAT,
        encoded_matrix=(nx, ny),
        image_matrix=(nx, ny),
        encoded_field_of_view_mm=field_of_view_mm,
        image_field_of_view_mm=field_of_view_mm,
        slice_thickness_mm=PIXEL_MM,
        ky_centre=ny // 2,
        kx_centre=nx // 2,
        n_slices=slices,
        n_coils=coils,
        n_averages=averages,
        planes=axial_stack(slices, PIXEL_MM),
        remarks=(
            PLACE_UNKNOWN,
            "The file states no lengths: pixels, thickness and distance of slices are taken as 1 mm, and the readout "
            "as not oversampled; do not measure in these images.",
            NO_NOISE_SCAN,
        ),
    )
