"""Names of the levels, counted from the sacrum up; what may be a transitional level is flagged.

The lowest true disc is L5-S1: the network was taught that what lies between S1 and S2 is none. Bodies form a chain
along the spine's own line, so that blobs in the pelvis, which lie off it, are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from recon_worker.morphometry.levels import LOWEST_DISC
from recon_worker.segmentation.cleaning import Instance

Points = npt.NDArray[np.float64]

NEAREST_MM, FARTHEST_MM = 14.0, 85.0
"""Distance of the middles of two bodies that follow each other; the farthest leaves room for one that was not found."""
STEEPEST = 0.5
"""A step along the chain goes down by at least this part of its length."""
SHARPEST_DEGREES = 55.0
"""Two steps of the chain differ in direction by at most this."""
GAP = 1.55
"""A step longer than this, in medians of all steps, leaves out a body."""
OFF_THE_LINE_MM = 22.0
SACRAL_SIZE = 0.6
"""S2 is smaller than this part of S1; S1 is not that much smaller than L5."""
RUDIMENTARY_LENGTH, RUDIMENTARY_AREA = 0.75, 0.6
"""A lowest disc under both parts of the others' median may be S1-S2, or that of a sacralised L5. A collapsed one is as
long as the others."""

TRANSITIONAL = "transitional anatomy is possible: check the level"


@dataclass(frozen=True)
class Named:
    """An instance, its level, and what to check."""

    instance: Instance
    level: int
    flags: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Spine:
    """All that was named, from the head down, and what the coordinator should know."""

    discs: list[Named]
    bodies: list[Named]
    remarks: list[str]


def name_levels(
    bodies: list[Instance],
    discs: list[Instance],
    affine: Points,
    *,
    is_cut: Callable[[Instance], bool] = lambda body: False,
    has_disc_below: Callable[[Instance], bool] = lambda body: False,
) -> Spine:
    """Names for instances of one series; what lies off the spine is left out.

    Parameters
    ----------
    affine
        `[4, 4]` from (slice, row, column) to LPS millimetres.
    is_cut
        Whether a body goes on beyond the picture: the count starts at the sacrum, which must be seen.
    has_disc_below
        Whether a disc is seen faintly below a body: then the lowest one may not be S1.
    """
    places = _places(bodies, affine)
    chain = _chain(places, np.array([body.volume_mm3 for body in bodies]))
    if len(chain) < 2:
        return Spine([], [], [])
    line, numbers = _with_missing(places[chain])
    ordered = [bodies[index] for index in chain]
    between = _gaps(discs, _places(discs, affine), line)
    if not between:
        return Spine([], [], [])
    remarks: list[str] = []
    flags: list[str] = []
    lowest = max(between)
    below = [(number, body) for number, body in zip(numbers, ordered, strict=True) if number > lowest]
    if len(below) >= 2:
        if below[1][1].volume_mm3 >= SACRAL_SIZE * below[0][1].volume_mm3:
            lowest = below[0][0]
            flags.append(f"no disc was found below the lowest full-sized body; {TRANSITIONAL}")
        dropped = [body for number, body in below if number > lowest + 1]
        if dropped and lowest == max(between):
            remarks.append("Sacral segments below S1 were found and left out.")
        ordered_numbers = [(n, b) for n, b in zip(numbers, ordered, strict=True) if n <= lowest + 1]
    else:
        ordered_numbers = list(zip(numbers, ordered, strict=True))
    sacrum = next((body for number, body in ordered_numbers if number == lowest + 1), None)
    if sacrum is None or is_cut(sacrum):
        flags.append("the sacrum is not seen whole, and the levels are counted from it: check the level")
    if sacrum is not None and has_disc_below(sacrum):
        flags.append(
            "something like a disc is seen below the lowest body, and the count may be one off: check the level"
        )
    if _is_rudimentary(between, np.linalg.norm(affine[:3, :3], axis=0)):
        flags.append(f"the lowest disc is much smaller than the others; {TRANSITIONAL}")
    if flags:
        remarks.append("The count of the levels needs a look: " + "; ".join(flags) + ".")
    shift = LOWEST_DISC - lowest
    named_bodies = [Named(body, number + shift, list(flags)) for number, body in ordered_numbers]
    named_discs = [Named(disc, number + shift, list(flags)) for number, disc in sorted(between.items())]
    higher = [one for one in named_bodies + named_discs if one.level < 1]
    if higher:
        remarks.append("Levels above T12 show and are not measured.")
    return Spine(
        [disc for disc in named_discs if 1 <= disc.level <= 6],
        [body for body in named_bodies if 1 <= body.level <= 7],
        remarks,
    )


def _places(found: list[Instance], affine: Points) -> Points:
    """LPS millimetres `[instance, 3]`."""
    if not found:
        return np.zeros((0, 3))
    indices = np.array([[*one.centroid, 1.0] for one in found])
    return np.asarray((indices @ affine.T)[:, :3])


def _chain(places: Points, sizes: npt.NDArray[np.float64]) -> list[int]:
    """Indices of the chain of bodies with the largest total size, from the head down."""
    order = np.argsort(-places[:, 2]) if len(places) else np.array([], dtype=int)
    best: dict[tuple[int, int], tuple[float, list[int]]] = {}
    result: tuple[float, list[int]] = (0.0, [])
    for position, index in enumerate(order):
        here = int(index)
        best[(-1, here)] = (float(sizes[here]), [here])
        for earlier in order[:position]:
            above = int(earlier)
            step = places[here] - places[above]
            length = float(np.linalg.norm(step))
            if not NEAREST_MM <= length <= FARTHEST_MM or -step[2] < STEEPEST * length:
                continue
            reached = [
                held
                for (before, last), held in best.items()
                if last == above and (before < 0 or _bends(places[above] - places[before], step) < SHARPEST_DEGREES)
            ]
            if reached:
                # A body that is passed over costs as much as a small one: blobs do not make short cuts.
                total, path = max(reached, key=lambda held: held[0])
                candidate = (total + float(sizes[here]) * min(1.0, 45.0 / length), [*path, here])
                if candidate[0] > best.get((above, here), (0.0, []))[0]:
                    best[(above, here)] = candidate
    for held in best.values():
        result = max(result, held, key=lambda one: one[0])
    return result[1]


def _bends(first: Points, second: Points) -> float:
    cosine = float(first @ second) / float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def _with_missing(places: Points) -> tuple[Points, list[int]]:
    """The chain's line with places for bodies that were not found, and each found body's number on it."""
    steps = np.linalg.norm(np.diff(places, axis=0), axis=1)
    usual = float(np.median(steps))
    line, numbers = [places[0]], [0]
    for place, step in zip(places[1:], steps, strict=True):
        missing = round(step / usual) - 1 if step > GAP * usual else 0
        start = line[-1]
        for number in range(1, missing + 1):
            line.append(start + (place - start) * number / (missing + 1))
        line.append(place)
        numbers.append(len(line) - 1)
    return np.array(line), numbers


def _gaps(discs: list[Instance], places: Points, line: Points) -> dict[int, Instance]:
    """The largest disc in each gap of the line: number of the body above (-1 above the first one) to disc."""
    ends = [2 * line[0] - line[1], *line, 2 * line[-1] - line[-2]]
    found: dict[int, Instance] = {}
    for disc, place in zip(discs, places, strict=True):
        best: tuple[float, int] | None = None
        for number, (start, end) in enumerate(pairwise(ends), start=-1):
            step = end - start
            part = float((place - start) @ step / (step @ step))
            off = float(np.linalg.norm(place - start - np.clip(part, 0, 1) * step))
            if 0.12 <= part <= 0.88 and off <= OFF_THE_LINE_MM and (best is None or off < best[0]):
                best = (off, number)
        if best is not None and (best[1] not in found or disc.volume_mm3 > found[best[1]].volume_mm3):
            found[best[1]] = disc
    return found


def _is_rudimentary(between: dict[int, Instance], spacing_mm: Points) -> bool:
    if len(between) < 3:
        return False
    lowest = between[max(between)]
    others = [disc for number, disc in between.items() if number != max(between)]
    area = float(np.median([disc.area_mm2 for disc in others]))
    length = float(np.median([_length_mm(disc, spacing_mm) for disc in others]))
    is_short = _length_mm(lowest, spacing_mm) < RUDIMENTARY_LENGTH * length
    return is_short and lowest.area_mm2 < RUDIMENTARY_AREA * area


def _length_mm(disc: Instance, spacing_mm: Points) -> float:
    """Diagonal of the in-plane box around the disc."""
    rows, columns = np.nonzero(disc.mask.any(axis=0))
    return float(np.hypot((np.ptp(rows) + 1) * spacing_mm[1], (np.ptp(columns) + 1) * spacing_mm[2]))
