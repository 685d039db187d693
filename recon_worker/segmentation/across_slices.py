"""From the pieces of each slice to structures through the slices: from the middle outward, no structure joins another.

What lies beside the spine, such as a muscle that a network takes for a body, may reach from one level to the next in an
outer slice. Were voxels joined in all directions, it would make one structure of two. So a slice that shows most
structures comes first, and each next one is divided among those that it continues. A structure that a network missed in
a single slice is one all the same; what becomes small and large again is something else from there on.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.morphology import convex_hull_image
from skimage.segmentation import watershed

from recon_worker.morphometry.structures import Kind

Labels = npt.NDArray[np.int32]
Depth = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

ONE_STRUCTURE_MM = 20.0
"""Middles nearer than this may belong to one structure that something, such as a screw, divides in a slice: levels
follow each other at 25 mm and more, unless the vertebra between is crushed."""
SIDE_BY_SIDE = 0.1
"""Parts of one disc lie side by side: along the spine they share this part of the shorter one's extent. Two levels
share none. (A screw may part a body in any direction.)"""
CONTINUES = 0.3
"""Part of the smaller of two pieces in neighbouring slices that overlaps where one continues the other."""
ASTRIDE = 0.5
"""A piece that overlaps nothing, as of a thin disc that leans sideways, continues the structure in whose reach this
part of it lies."""
LARGE = 0.5
"""Of the median piece: what counts in choosing the slice to begin with. Of a structure's largest area: both sides of a
slice in which it was missed."""
GROWS = 0.75
"""How far a structure may reach beyond its outline in a slice before, as part of the distance: bodies and discs are
cylinders that lean a little, and what grows faster is something else beside them."""
BEFORE_MM = 4.0
"""About so far back lies the slice whose outline limits the growth: from one thin slice to the next an outline moves by
whole pixels."""
LEAST_PIXELS = 1.5
"""An outline may always move by so many pixels."""
WHOLE, STILL_GROWS, GROWS_FROM_ITS_END = 0.6, 1.1, 3.0
"""A structure that has not yet had this part of the median piece, and has just begun or grown by this factor, is seen
at its rounded end, as where the spine leaves the first slice: from there it may reach so far."""
SHRUNK = {"body": 0.7, "disc": 0.25}
GROWN = {"body": 1.3, "disc": 1.5}
"""A structure that has shrunk to less than this part of its largest area, and then grows by this factor, has ended.
Thin discs are seen more unsteadily from slice to slice than bodies."""


def joined(
    pieces: Labels, depth: Depth, spacing_mm: tuple[float, float, float], kind: Kind = "body", spine_axis: int = 1
) -> Labels:
    """Labels of structures `[slice, row, column]`.

    Parameters
    ----------
    pieces
        Labels of the pieces of each slice, `[slice, row, column]`; the same number in two slices means nothing.
    depth
        Distance to the pieces' edge, by which a piece that two structures continue in is divided.
    spacing_mm
        Distance of voxel centres (slice, row, column).
    spine_axis
        The axis along the spine: 1 rows, 2 columns.
    """
    result = np.zeros(pieces.shape, dtype=np.int32)
    if not pieces.any():
        return result
    middle, usual = _first(pieces)
    result[middle] = _renumbered(pieces[middle], 0)
    used = int(result.max())
    back = max(1, round(BEFORE_MM / spacing_mm[0]))
    for step in (1, -1):
        for index in range(middle + step, len(pieces) if step > 0 else -1, step):
            while pair := _divided(pieces[index], result, index - step, spacing_mm, kind, spine_axis):
                result[result == pair[1]] = pair[0]
            grows = {
                label: _grows(result == label, pieces, index, step, usual) for label in _labels(result[index - step])
            }
            reaches = _reaches(result, index, step, min(back, abs(index - middle)), grows, spacing_mm)
            found, used = _continued(pieces[index], depth[index], result[index - step], reaches, used)
            if abs(index - middle) > 1:
                _bridge(found, result, index, step)
            for label, reach in reaches.items():
                found[(found == label) & ~reach] = 0
            result[index] = found
        _end_where_it_grows_again(result, middle, step, kind)
    return result


def _first(pieces: Labels) -> tuple[int, float]:
    """The slice to begin with: of those that show most structures the middle one; and the median piece, in pixels."""
    sizes = [np.bincount(section.ravel())[1:] for section in pieces]
    usual = float(np.median(np.concatenate([held[held > 0] for held in sizes])))
    counts = np.array([(held > LARGE * usual).sum() for held in sizes])
    most = np.flatnonzero(counts == counts.max())
    return int(most[len(most) // 2]), usual


def _labels(section: npt.NDArray[np.int32]) -> list[int]:
    return [int(label) for label in np.unique(section[section > 0])]


def _grows(structure: Mask, pieces: Labels, index: int, step: int, usual: float) -> float:
    """How far a structure may reach beyond its outline into slice `index`, as a part of the distance."""
    if structure.sum(axis=(1, 2)).max() >= WHOLE * usual:
        return GROWS
    outline, earlier = structure[index - step], index - 2 * step
    area = 0
    if 0 <= earlier < len(pieces):
        # From the first slice on, what lies on its other side belongs to no structure yet.
        area = int(structure[earlier].sum()) or int(np.isin(pieces[earlier], _labels(pieces[earlier][outline])).sum())
    return GROWS_FROM_ITS_END if outline.sum() > STILL_GROWS * area else GROWS


def _continued(
    pieces: Labels, depth: Depth, before: Labels, reaches: dict[int, Mask], used: int
) -> tuple[Labels, int]:
    """Labels of a slice from those of its neighbour, and the largest number given so far."""
    result = np.zeros_like(pieces)
    taken = {label for _, _, found in _continuations(pieces, before) for label in found}
    for window, inside, found in _continuations(pieces, before):
        if not found:
            area = int(inside.sum())
            near = [label for label, reach in reaches.items() if (inside & reach[window]).sum() > ASTRIDE * area]
            found = near if len(near) == 1 and near[0] not in taken else []
        if not found:
            used += 1
            result[window][inside] = used
        elif len(found) == 1:
            result[window][inside] = found[0]
        else:
            markers = np.where(inside & np.isin(before[window], found), before[window], 0)
            divided = watershed(-depth[window], markers, mask=inside)
            result[window][inside] = divided[inside]
    return result, used


def _continuations(
    pieces: Labels, before: Labels
) -> Iterator[tuple[tuple[slice, ...], npt.NDArray[np.bool_], list[int]]]:
    """Each piece of a slice: its window, its mask in that, and the structures of the slice before that it continues."""
    size_before = np.bincount(before.ravel())
    for number, window in enumerate(ndimage.find_objects(pieces), start=1):
        if window is None:
            continue
        inside = pieces[window] == number
        shared = np.bincount(before[window][inside], minlength=len(size_before))
        shared[0] = 0
        area = int(inside.sum())
        yield (
            window,
            inside,
            [
                int(label)
                for label in np.flatnonzero(shared)
                if shared[label] > CONTINUES * min(area, int(size_before[label]))
            ],
        )


def _divided(
    pieces: Labels,
    structures: Labels,
    before: int,
    spacing_mm: tuple[float, float, float],
    kind: Kind,
    spine_axis: int,
) -> tuple[int, int] | None:
    """Two structures that are one: a piece continues both from the slice `before`, and so far they lie at one place;
    discs, side by side."""
    for _, _, found in _continuations(pieces, structures[before]):
        if len(found) < 2:
            continue
        middles = {
            label: np.array(ndimage.center_of_mass(structures == label))[1:] * spacing_mm[1:] for label in found
        }
        for label, other in itertools.combinations(found, 2):
            near = np.linalg.norm(middles[label] - middles[other]) < ONE_STRUCTURE_MM
            if near and (kind == "body" or _side_by_side(structures == label, structures == other, spine_axis)):
                return label, other
    return None


def _side_by_side(one: Mask, other: Mask, spine_axis: int) -> bool:
    """Whether two parts lie at the same height along the spine."""
    across = tuple(axis for axis in range(3) if axis != spine_axis)
    spans = [np.flatnonzero(part.any(axis=across)) for part in (one, other)]
    shared = min(int(span[-1]) for span in spans) + 1 - max(int(span[0]) for span in spans)
    shorter = min(int(span[-1] - span[0]) + 1 for span in spans)
    return shared > SIDE_BY_SIDE * shorter


def _reaches(
    structures: Labels,
    index: int,
    step: int,
    back: int,
    grows: dict[int, float],
    spacing_mm: tuple[float, float, float],
) -> dict[int, Mask]:
    """How far each structure of the slice before may reach in slice `index`, by its outline there and `back` slices
    before, and by how much it `grows`."""
    found = {}
    for label, part in grows.items():
        reach = np.ones(structures.shape[1:], dtype=bool)
        for slices in {1, back}:
            outline = structures[index - slices * step] == label
            if outline.any():
                away = ndimage.distance_transform_edt(~convex_hull_image(outline), sampling=spacing_mm[1:])
                reach &= away <= max(part * slices * spacing_mm[0], LEAST_PIXELS * max(spacing_mm[1:]))
        found[label] = reach
    return found


def _bridge(found: Labels, structures: Labels, index: int, step: int) -> None:
    """Give new pieces of a slice the structure that was missed in the slice before alone, and draw that in between.

    Changes `found` and the slice before in `structures`.
    """
    known = set(np.unique(structures[index - step]))
    missed = [label for label in np.unique(structures[index - 2 * step]) if label and label not in known]
    for label in missed:
        before = structures[index - 2 * step] == label
        largest = LARGE * max(int(section.sum()) for section in structures == label)
        for number in np.unique(found[before & (found > 0)]):
            here = found == number
            if (structures == number).any() or (here & before).sum() <= CONTINUES * min(here.sum(), before.sum()):
                continue
            if min(here.sum(), before.sum()) < largest:
                continue
            found[here] = label
            between = (_signed(before) + _signed(here) > 0) & (structures[index - step] == 0)
            structures[index - step][between] = label


def _signed(mask: Mask) -> Depth:
    """Distance to the outline in pixels, positive inside."""
    return np.asarray(ndimage.distance_transform_edt(mask) - ndimage.distance_transform_edt(~mask), dtype=np.float64)


def _end_where_it_grows_again(structures: Labels, middle: int, step: int, kind: Kind) -> None:
    """Take from each structure what lies beyond a slice in which it had all but ended."""
    outward = structures[middle:] if step > 0 else structures[middle::-1]
    for label in np.unique(outward[outward > 0]):
        areas = (outward == label).sum(axis=(1, 2))
        largest = np.maximum.accumulate(areas)
        again = (areas[:-1] < SHRUNK[kind] * largest[:-1]) & (areas[:-1] > 0) & (areas[1:] > GROWN[kind] * areas[:-1])
        if again.any():
            rest = outward[int(np.argmax(again)) + 1 :]
            rest[rest == label] = 0


def _renumbered(pieces: Labels, used: int) -> Labels:
    numbers = np.unique(pieces[pieces > 0])
    table = np.zeros(int(pieces.max()) + 1, dtype=np.int32)
    table[numbers] = np.arange(used + 1, used + 1 + len(numbers))
    return table[pieces]
