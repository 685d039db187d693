"""The header that GE P-files and ScanArchives share, revision 26.002: read by an allow-list, refused in doubt.

No description by the vendor is public. Places of header fields are those of the open readers pfile-tools and Vespa
(University of Wisconsin, Duke University) and were checked on one real acquisition, stored in both formats: sizes agree
to the byte, the slice table and thickness plus gap give the same distance, sections of a 170 mm sphere have the right
sizes in that order.

Views alternate in sign unless the chopper bit of `rhtype` says that the receiver has undone it. Orientation in the
patient could not be checked and is not taken from the file.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from recon_worker.data import InputFault, KSpaceHeader
from recon_worker.rawdata.arrays import NO_NOISE_SCAN, PLACE_UNKNOWN, axial_stack, check_extents

CONVERT = "Convert it to ISMRMRD with GE's own tools (ge_to_ismrmrd with the Orchestra library) and bring the result."
REVISION = 26.002
SLICE_TABLE, IMAGE_HEADER, HEADER_BYTES = 36864, 198180, 213684
"""Where the parts of a header of this revision lie; the header states them again."""
SLICE_ENTRY = np.dtype(
    {"names": ["pass", "slot", "corners"], "formats": ["<i2", "<i2", ("<f4", (3, 3))], "offsets": [0, 2, 4],
     "itemsize": 72}
)  # fmt: skip
SEQUENCES = (b"2dfast",)
"""Names of the pulse sequences whose order of views has been seen to be that of k-space."""
CHOPPED, GRADIENT_RECALLED = 1, 8
"""Bits of `rhtype` that are understood; bit 1 set: no alternation of sign is left in the data."""
LENGTH_TOLERANCE_MM = 0.01


class NotUnderstood(Exception):
    """What of the file cannot be read, as the end of a sentence that begins with what the file is."""

    def as_fault(self, name: str) -> InputFault:
        """The refusal of a GE `name` ("P-file", "ScanArchive")."""
        return InputFault(f"This is a GE {name} {self}.", CONVERT)


@dataclass(frozen=True)
class GeLayout:
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


def read_layout(head: bytes, *, held: int | None) -> GeLayout:
    """What the header says of the acquisition.

    Parameters
    ----------
    held
        Bytes of samples that the file holds, with one baseline view a slice and coil; None where they are counted
        otherwise.

    Raises
    ------
    NotUnderstood
        For every revision, sequence, flag or size that is not understood.
    InputFault
        For a header that is cut off or disagrees with the samples.
    """
    (revision,) = struct.unpack_from("<f", head)
    if abs(revision - REVISION) > 1e-4:
        raise NotUnderstood(f"of header revision {revision:.3f}; only {REVISION} can be read")
    if len(head) < HEADER_BYTES:
        raise InputFault("The GE file ends within its header.", "Copy it from the scanner again.")
    if struct.unpack_from("<i", head, 4)[0] != HEADER_BYTES:
        raise NotUnderstood("whose samples lie at another place than in files of its revision")
    numbers = {name: struct.unpack_from("<h", head, place)[0] for name, place in _SHORTS.items()}
    for name, (expected, what) in _EXPECTED.items():
        if numbers[name] != expected:
            raise NotUnderstood(f"with {what}, which cannot be read")
    if numbers["rhtype"] & ~(CHOPPED | GRADIENT_RECALLED):
        raise NotUnderstood("of a kind of acquisition that cannot be read (partial Fourier, 3D or another trajectory)")
    sequence = head[IMAGE_HEADER + 1632 : IMAGE_HEADER + 1632 + 33].split(b"\0")[0].rsplit(b"/")[-1].lower()
    if sequence not in SEQUENCES:
        raise NotUnderstood("of a pulse sequence whose order of lines is not known here")
    slices, views, samples = numbers["slices"], numbers["views"], numbers["samples"]
    coils, point_bytes = numbers["last_coil"] - numbers["first_coil"] + 1, numbers["point_bytes"]
    if point_bytes not in (2, 4) or numbers["frames"] != samples or numbers["rows"] != views + 1:
        raise NotUnderstood("whose header contradicts itself about the matrix")
    check_extents(slices=slices, averages=1, coils=coils, phase_encodes=views, samples=samples)
    declared = coils * slices * (views + 1) * samples * 2 * point_bytes
    (stated,) = struct.unpack_from("<q", head, 1540)
    held = stated if held is None else held
    if not declared == stated == held:
        raise InputFault(
            f"The matrix of this GE file makes {declared:,} bytes of samples, its header states {stated:,}, the file "
            f"holds {held:,}.",
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
        raise NotUnderstood("whose header contradicts itself about field of view or slice distance, or is not square")
    repetition, _, echo = struct.unpack_from("<3i", head, IMAGE_HEADER + 1056)
    return GeLayout(
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
    unclear = NotUnderstood("whose slice table is not one stack of parallel, evenly spaced slices")
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


def kspace_header(layout: GeLayout, form: str, name: str) -> KSpaceHeader:
    """The acquisition's header in `form` ("ge-pfile" ...); `name` is what the coordinator calls such files."""
    matrix = (layout.samples, layout.views)
    return KSpaceHeader(
        format=form,
        encoded_matrix=matrix,
        image_matrix=matrix,
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
            f"Reading GE {name} is experimental: it was tried on one acquisition only.",
            PLACE_UNKNOWN,
            NO_NOISE_SCAN,
        ),
    )
