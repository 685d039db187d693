"""The chain of bodies along the spine, and the discs in its gaps: what was divided, what is missing.

Blobs in the pelvis lie off the spine's line and are left out. Two pieces of one body are one body, two pieces of one
disc are one disc, and two discs in one gap show that a body between them was not found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import combinations, pairwise

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from recon_worker.segmentation.cleaning import Instance

Points = npt.NDArray[np.float64]
IsCut = Callable[[Instance], bool]

NEAREST_MM, FARTHEST_MM = 14.0, 85.0
"""Distance of the middles of two bodies that follow each other; the farthest leaves room for one that was not found."""
STEEPEST = 0.5
"""A step along the chain goes down by at least this part of its length."""
SHARPEST_DEGREES = 55.0
"""Two steps of the chain differ in direction by at most this."""
GAP = 1.55
"""A step longer than this, in medians of all steps, leaves out a body."""
HALF_A_STEP = 0.6
"""Bodies nearer than this, in medians of all steps, without a disc between, are pieces of one."""
ALONG = 0.7
"""Pieces of one body lie above each other: their distance runs along the chain by at least this part."""
OFF_THE_LINE_MM = 22.0
TWO_DISCS, TWO_DISCS_MM = 0.3, 20.0
"""Discs that lie in one gap, this part of it and this far apart, have a body between them."""
ONE_DISC = 0.25
"""Discs of one gap less than this part of it apart are pieces of one."""
TWO_BODIES_VOLUME, TWO_BODIES_LENGTH = 1.6, 1.5
"""A body larger or longer than this, in medians of the others, may be two."""
AXIS_MM = 5.0
"""A body's length is taken within this distance of its axis."""

JOINED_BODY = "it was found in pieces, and what lies between them is not counted: the volume is the least that it has"
JOINED_DISC = "it was found in pieces: height and area may be those of the largest one"
LEFT_OUT = "another piece was found in the same gap and left out"
A_DISC_LEFT_OUT = "another disc may lie in the same gap, and a body between them be missed: check the level"
AS_LARGE = 0.6
"""Of a disc: what lies beside it in a gap and has this part of its area may be one, too."""


@dataclass(frozen=True)
class Placed:
    """An instance, and its place: of a body the number on the chain, of a disc the number of the body above.

    `flags` say what was done to it.
    """

    instance: Instance
    number: int
    flags: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Chain:
    """What lies along the spine, from the head down; `line` `[place, 3]` in LPS millimetres has a place for every body,
    also for those that were not found."""

    bodies: list[Placed]
    discs: list[Placed]
    line: Points


def chain_of(bodies: list[Instance], discs: list[Instance], affine: Points, is_cut: IsCut) -> Chain | None:
    """The chain, or nothing: fewer than two bodies in a line, or no disc between them.

    Parameters
    ----------
    affine
        `[4, 4]` from (slice, row, column) to LPS millimetres.
    is_cut
        Whether rows or columns of the picture end in a body.
    """
    whole = _with_pieces_joined([Placed(body, -1) for body in bodies], discs, affine, is_cut)
    places, of_discs = places_of([one.instance for one in whole], affine), places_of(discs, affine)
    order = _order(places, [one.instance.volume_mm3 for one in whole])
    if len(order) < 2:
        return None
    line, numbers = _with_missing(places[order])
    line, numbers = _with_missing_between_discs(line, numbers, of_discs)
    held = _in_gaps(of_discs, line)
    if not held:
        return None
    found = [_one_disc(number, inside, discs, affine) for number, inside in sorted(held.items())]
    return Chain([replace(whole[index], number=at) for index, at in zip(order, numbers, strict=True)], found, line)


def places_of(found: list[Instance], affine: Points) -> Points:
    """LPS millimetres `[instance, 3]`."""
    if not found:
        return np.zeros((0, 3))
    indices = np.array([[*one.centroid, 1.0] for one in found])
    return np.asarray((indices @ affine.T)[:, :3])


def two_in_one(bodies: list[Placed], line: Points, affine: Points, is_cut: IsCut) -> set[int]:
    """Numbers of those of `bodies` that are so large or long beside the others that they may be two."""
    volumes = np.array([one.instance.volume_mm3 for one in bodies])
    lengths = np.array([_length_mm(one, line, affine) for one in bodies])
    whole = np.array([not is_cut(one.instance) for one in bodies])
    found = set()
    for index, body in enumerate(bodies):
        others = whole & (np.arange(len(bodies)) != index)
        if others.sum() >= 2 and (
            volumes[index] > TWO_BODIES_VOLUME * np.median(volumes[others])
            or lengths[index] > TWO_BODIES_LENGTH * np.median(lengths[others])
        ):
            found.add(body.number)
    return found


def leans_back_degrees(above: Instance, below: Instance, affine: Points) -> float:
    """How far the step from one body to the next leaves the vertical towards the back, in the sagittal plane."""
    upper, lower = places_of([above, below], affine)
    return float(np.degrees(np.arctan2(lower[1] - upper[1], upper[2] - lower[2])))


def _order(places: Points, sizes: list[float]) -> list[int]:
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


def _with_pieces_joined(bodies: list[Placed], discs: list[Instance], affine: Points, is_cut: IsCut) -> list[Placed]:
    """The bodies with the pieces of each divided one joined: a dark band from front to back divides a body."""
    while (pair := _pieces(bodies, places_of(discs, affine), affine, is_cut)) is not None:
        first, second = (bodies[index] for index in pair)
        rest = [body for index, body in enumerate(bodies) if index not in pair]
        bodies = [*rest, Placed(_united([first.instance, second.instance], affine), -1, [JOINED_BODY])]
    return bodies


def _pieces(bodies: list[Placed], discs: Points, affine: Points, is_cut: IsCut) -> tuple[int, int] | None:
    """The nearest two that are pieces of one body; only above the lowest disc, since sacral segments lie near each
    other and have none between them."""
    places = places_of([body.instance for body in bodies], affine)
    volumes = np.array([body.instance.volume_mm3 for body in bodies])
    order = _order(places, list(volumes))
    if len(order) < 3:
        return None
    line = places[order]
    held = _in_gaps(discs, line)
    if not held:
        return None
    lowest = min(float(discs[index, 2]) for inside in held.values() for index, _ in inside)
    usual = float(np.median(np.linalg.norm(np.diff(line, axis=0), axis=1)))
    found: tuple[float, tuple[int, int]] | None = None
    for first, second in combinations(range(len(bodies)), 2):
        if first not in order and second not in order:
            continue
        step = places[second] - places[first]
        length = float(np.linalg.norm(step))
        at = order.index(first if first in order else second)
        others = [volumes[index] for index in order if index not in (first, second)]
        if (
            0 < length < HALF_A_STEP * usual
            and abs(float(step @ _direction(line, at))) > ALONG * length
            and min(places[first][2], places[second][2]) > lowest
            and volumes[first] + volumes[second] <= TWO_BODIES_VOLUME * np.median(others)
            and not _in_gaps(discs, places[[first, second]], beyond=False, margin=0.0)
            and not any(is_cut(bodies[index].instance) for index in (first, second))
            and (found is None or length < found[0])
        ):
            found = (length, (first, second))
    return None if found is None else found[1]


def _direction(line: Points, at: int) -> Points:
    """Unit vector along the chain at one of its places."""
    step = line[min(at + 1, len(line) - 1)] - line[max(at - 1, 0)]
    return np.asarray(step / np.linalg.norm(step))


def _length_mm(body: Placed, line: Points, affine: Points) -> float:
    """How long a body is along the chain, near its own axis: what lies beside it is as deep as the body and would count
    where the chain is not upright on its endplates."""
    voxels = np.argwhere(body.instance.mask) @ affine[:3, :3].T
    voxels = voxels - np.array(body.instance.centroid) @ affine[:3, :3].T
    along = voxels @ _direction(line, body.number)
    near = np.linalg.norm(voxels, axis=1) ** 2 - along**2 < AXIS_MM**2
    return float(np.ptp(along[near])) if near.any() else 0.0


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


def _with_missing_between_discs(line: Points, numbers: list[int], discs: Points) -> tuple[Points, list[int]]:
    """The line and numbers with a place for the body between any two discs that lie apart in one gap."""
    for _ in range(len(discs)):
        between = _between_discs(line, discs)
        if between is None:
            break
        above, place = between
        line = np.insert(line, above + 1, place, axis=0)
        numbers = [number + (number > above) for number in numbers]
    return line, numbers


def _between_discs(line: Points, discs: Points) -> tuple[int, Points] | None:
    for number, inside in sorted(_in_gaps(discs, line, beyond=False).items()):
        length = float(np.linalg.norm(line[number + 1] - line[number]))
        ordered = sorted(inside, key=lambda one: one[1])
        for (upper, start), (lower, end) in pairwise(ordered):
            if end - start > TWO_DISCS and (end - start) * length > TWO_DISCS_MM:
                return number, np.asarray((discs[upper] + discs[lower]) / 2)
    return None


def _in_gaps(
    discs: Points, line: Points, *, beyond: bool = True, margin: float = 0.12
) -> dict[int, list[tuple[int, float]]]:
    """Discs in each gap of the line: number of the body above to indices, each with its part of the way down.

    Parameters
    ----------
    beyond
        Whether there is a gap above the first body, of number -1, and one below the last.
    margin
        The part of a gap at each end in which no disc lies.
    """
    ends, first = [*line], 0
    if beyond:
        ends, first = [2 * line[0] - line[1], *line, 2 * line[-1] - line[-2]], -1
    found: dict[int, list[tuple[int, float]]] = {}
    for index, place in enumerate(discs):
        best: tuple[float, int, float] | None = None
        for number, (start, end) in enumerate(pairwise(ends), start=first):
            step = end - start
            part = float((place - start) @ step / (step @ step))
            off = float(np.linalg.norm(place - start - np.clip(part, 0, 1) * step))
            if margin <= part <= 1 - margin and off <= OFF_THE_LINE_MM and (best is None or off < best[0]):
                best = (off, number, part)
        if best is not None:
            found.setdefault(best[1], []).append((index, best[2]))
    return found


def _one_disc(number: int, inside: list[tuple[int, float]], discs: list[Instance], affine: Points) -> Placed:
    """The disc of a gap: the largest, with the other pieces of it."""
    _, at = max(inside, key=lambda one: discs[one[0]].volume_mm3)
    pieces = [index for index, part in inside if abs(part - at) < ONE_DISC]
    flags = [JOINED_DISC] if len(pieces) > 1 else []
    others = [discs[index] for index, _ in inside if index not in pieces]
    largest = max(discs[index].area_mm2 for index in pieces)
    if any(other.area_mm2 >= AS_LARGE * largest for other in others):
        flags.append(A_DISC_LEFT_OUT)
    elif others:
        flags.append(LEFT_OUT)
    return Placed(_united([discs[index] for index in pieces], affine), number, flags)


def _united(pieces: list[Instance], affine: Points) -> Instance:
    """One instance of all pieces, measured anew."""
    if len(pieces) == 1:
        return pieces[0]
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    mask = np.any([piece.mask for piece in pieces], axis=0)
    areas = mask.sum(axis=(1, 2)) * spacing[1] * spacing[2]
    middle = ndimage.center_of_mass(mask)
    centroid = (float(middle[0]), float(middle[1]), float(middle[2]))
    return Instance(pieces[0].kind, mask, centroid, float(areas.max()), float(areas.sum() * spacing[0]))
