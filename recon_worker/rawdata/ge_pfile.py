"""GE P-files of header revision 26.002, experimental: one 2D Cartesian image a slice, nothing else is guessed.

No description by the vendor is public. Places of header fields are those of the open readers pfile-tools and Vespa
(University of Wisconsin, Duke University) and were checked on one real acquisition: sizes agree to the byte, the slice
table and thickness plus gap give the same distance, sections of a 170 mm sphere have the right sizes in that order.

Samples follow the header: coil, slice in order of acquisition, view, readout; the first view of a slice is an empty
baseline. Views alternate in sign unless the chopper bit of `rhtype` says that the receiver has undone it.
Orientation in the patient could not be checked and is not taken from the file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
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

FORMAT = "ge-pfile"
CONVERT = "Convert it to ISMRMRD with GE's own tools (ge_to_ismrmrd with the Orchestra library) and bring the result."
REVISION = 26.002
SLICE_TABLE, IMAGE_HEADER, DATA = 36864, 198180, 213684
"""Where the parts of a file of this revision lie; the header states them again."""
SLICE_ENTRY = np.dtype(
    {"names": ["pass", "slot", "corners"], "formats": ["<i2", "<i2", ("<f4", (3, 3))], "offsets": [0, 2, 4],
     "itemsize": 72}
)  # fmt: skip
SEQUENCES = (b"2dfast",)
"""Names of the pulse sequences whose order of views has been seen to be that of k-space."""
CHOPPED, GRADIENT_RECALLED = 1, 8
"""Bits of `rhtype` that are understood; bit 1 set: no alternation of sign is left in the data."""
LENGTH_TOLERANCE_MM = 0.01


@dataclass(frozen=True)
class _Layout:
    """What is kept of the header; nothing of patient, exam or site is ever looked at."""

    slices: int
    views: int
    samples: int
    coils: int
    point_bytes: int
    alternating: bool
    order: tuple[int, ...]
    field_of_view_mm: tuple[float, float]
    thickness_mm: float
    distance_mm: float
    timing: dict[str, float]


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
        head = file.read(DATA)
    layout = _layout(head, size)
    header = KSpaceHeader(
        format=FORMAT,
        encoded_matrix=(layout.samples, layout.views),
        image_matrix=(layout.samples, layout.views),
        encoded_field_of_view_mm=layout.field_of_view_mm,
        image_field_of_view_mm=layout.field_of_view_mm,
        slice_thickness_mm=layout.thickness_mm,
        ky_centre=layout.views // 2,
        kx_centre=layout.samples // 2,
        n_slices=layout.slices,
        n_coils=layout.coils,
        n_averages=1,
        planes=axial_stack(layout.slices, layout.distance_mm),
        timing=layout.timing,
        remarks=(
            "Reading GE P-files is experimental: it was tried on one acquisition only.",
            PLACE_UNKNOWN,
            NO_NOISE_SCAN,
        ),
    )
    acquired = np.ones((layout.slices, 1, layout.views), dtype=bool)
    return kspace_of_array(header, acquired, lambda: _read_slices(path, layout))


def _refusal(what: str) -> InputFault:
    return InputFault(f"This is a GE P-file {what}.", CONVERT)


def _layout(head: bytes, size: int) -> _Layout:
    (revision,) = struct.unpack_from("<f", head)
    if abs(revision - REVISION) > 1e-4:
        raise _refusal(f"of header revision {revision:.3f}; only {REVISION} can be read")
    if len(head) < DATA:
        raise InputFault("The GE P-file ends within its header.", "Copy it from the scanner again.")
    if struct.unpack_from("<i", head, 4)[0] != DATA:
        raise _refusal("whose samples lie at another place than in files of its revision")
    numbers = {name: struct.unpack_from("<h", head, place)[0] for name, place in _SHORTS.items()}
    for name, (expected, what) in _EXPECTED.items():
        if numbers[name] != expected:
            raise _refusal(f"with {what}, which cannot be read")
    if numbers["rhtype"] & ~(CHOPPED | GRADIENT_RECALLED):
        raise _refusal("of a kind of acquisition that cannot be read (partial Fourier, 3D or another trajectory)")
    sequence = head[IMAGE_HEADER + 1632 : IMAGE_HEADER + 1632 + 33].split(b"\0")[0].rsplit(b"/")[-1].lower()
    if sequence not in SEQUENCES:
        raise _refusal("of a pulse sequence whose order of lines is not known here")
    slices, views, samples = numbers["slices"], numbers["views"], numbers["samples"]
    coils, point_bytes = numbers["last_coil"] - numbers["first_coil"] + 1, numbers["point_bytes"]
    if point_bytes not in (2, 4) or numbers["frames"] != samples or numbers["rows"] != views + 1:
        raise _refusal("whose header contradicts itself about the matrix")
    check_extents(slices=slices, averages=1, coils=coils, phase_encodes=views, samples=samples)
    declared = coils * slices * (views + 1) * samples * 2 * point_bytes
    (stated,) = struct.unpack_from("<q", head, 1540)
    if not declared == stated == size - DATA:
        raise InputFault(
            f"The matrix of this GE P-file makes {declared:,} bytes of samples, its header states {stated:,}, the file "
            f"holds {size - DATA:,}.",
            "It is incomplete or of a kind that cannot be read; copy it from the scanner again or convert it to "
            "ISMRMRD with GE's own tools.",
        )
    order, edges_mm, step_mm = _slice_table(head, slices)
    read_mm, phase_mm, thickness_mm, gap_mm = (
        struct.unpack_from("<f", head, IMAGE_HEADER + place)[0] for place in (304, 308, 316, 320)
    )
    phase_mm = phase_mm or read_mm
    lengths = np.array([read_mm, phase_mm, thickness_mm, gap_mm, *edges_mm, step_mm], dtype=np.float64)
    if (
        not np.isfinite(lengths).all()
        or not (0 < thickness_mm < 1000 and 0 < read_mm < 5000 and 0 < phase_mm < 5000)
        or not np.allclose(edges_mm, (read_mm, phase_mm), atol=LENGTH_TOLERANCE_MM)
        or read_mm != phase_mm
        or (slices > 1 and abs(step_mm - thickness_mm - gap_mm) > LENGTH_TOLERANCE_MM)
    ):
        raise _refusal("whose header contradicts itself about field of view or slice distance, or is not square")
    repetition, _, echo = struct.unpack_from("<3i", head, IMAGE_HEADER + 1056)
    return _Layout(
        slices=slices,
        views=views,
        samples=samples,
        coils=coils,
        point_bytes=point_bytes,
        alternating=not numbers["rhtype"] & CHOPPED,
        order=order,
        field_of_view_mm=(read_mm, phase_mm),
        thickness_mm=thickness_mm,
        distance_mm=step_mm if slices > 1 else thickness_mm,
        timing={
            "repetition_time_ms": repetition / 1000,
            "echo_time_ms": echo / 1000,
            "flip_angle_deg": float(struct.unpack_from("<h", head, IMAGE_HEADER + 1412)[0]),
        },
    )


_SHORTS = {
    "control": 124, "rhtype": 132, "format": 134, "passes": 140, "groups": 142, "slices": 144, "echoes": 146,
    "averages": 148, "views": 150, "overscan": 154, "frames": 156, "point_bytes": 158, "samples": 178, "rows": 180,
    "first_coil": 264, "last_coil": 266,
}  # fmt: skip
"""Places of the int16 fields that are read."""

_EXPECTED = {
    "control": (0, "echoes turned round"),
    "format": (0, "an unusual format of samples"),
    "passes": (1, "several passes"),
    "groups": (1, "several slices excited at once"),
    "echoes": (1, "several echoes"),
    "averages": (1, "several averages"),
    "overscan": (0, "partial Fourier"),
    "first_coil": (0, "a first receiver other than 0"),
}
"""What these fields must be, and what another value means."""


def _slice_table(head: bytes, slices: int) -> tuple[tuple[int, ...], tuple[float, float], float]:
    """Places in the file of the slices in spatial order, the two edge lengths and the distance of slices, mm."""
    unclear = _refusal("whose slice table is not one stack of parallel, evenly spaced slices")
    if slices > (IMAGE_HEADER - SLICE_TABLE) // SLICE_ENTRY.itemsize:
        raise unclear
    table = np.frombuffer(head, SLICE_ENTRY, slices, SLICE_TABLE)
    corners = table["corners"].astype(np.float64)
    order = tuple(int(slot) - 1 for slot in table["slot"])
    if sorted(order) != list(range(slices)) or len(set(table["pass"].tolist())) > 1 or not np.isfinite(corners).all():
        raise unclear
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    edges_mm = (float(np.linalg.norm(first[0])), float(np.linalg.norm(second[0])))
    normal = np.cross(first[0], second[0])
    if min(edges_mm) <= 0 or not np.allclose(corners - corners[:, :1], (corners - corners[:, :1])[0], atol=0.01):
        raise unclear
    if abs(float(first[0] @ second[0])) > 1e-3 * edges_mm[0] * edges_mm[1]:
        raise unclear
    if slices == 1:
        return order, edges_mm, 0.0
    steps = np.diff(corners[:, 0], axis=0)
    step_mm = float(np.linalg.norm(steps[0]))
    along = abs(float(steps[0] @ normal)) / float(np.linalg.norm(normal))
    if step_mm <= 0 or abs(along - step_mm) > LENGTH_TOLERANCE_MM or not np.allclose(steps, steps[0], atol=0.01):
        raise unclear
    return order, edges_mm, step_mm


def _read_slices(path: Path, layout: _Layout) -> Iterator[Samples]:
    kind = np.dtype("<i2" if layout.point_bytes == 2 else "<i4")
    shape = (layout.views + 1, layout.samples, 2)
    count = int(np.prod(shape))
    for slot in layout.order:
        data = np.empty((1, layout.coils, layout.views, layout.samples), dtype=np.complex64)
        for coil in range(layout.coils):
            place = DATA + (coil * layout.slices + slot) * count * kind.itemsize
            values = np.fromfile(path, kind, count, offset=place)
            if len(values) != count:
                raise InputFault("The GE P-file has become shorter while it was read.", "Copy it again.")
            views = values.reshape(shape)
            if np.any(views[0]):
                raise _refusal("whose baseline views are not empty, so their place among the lines is unclear")
            data[0, coil] = _complex(views[1:])
        if layout.alternating:
            data[:, :, 1::2] *= -1
        yield data


def _complex(pairs: npt.NDArray[np.signedinteger]) -> Samples:
    return np.ascontiguousarray(pairs, dtype=np.float32).view(np.complex64)[..., 0]
