"""From the pieces of each slice to structures through the slices: from the middle outward, no structure joins another.

What lies beside the spine, such as a muscle that a network takes for a body, may reach from one level to the next in an
outer slice. Were voxels joined in all directions, it would make one structure of two. So a slice that shows most
structures comes first, and each next one is divided among those that it continues.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.morphology import convex_hull_image
from skimage.segmentation import watershed

Labels = npt.NDArray[np.int32]
Depth = npt.NDArray[np.float64]

ONE_STRUCTURE_MM = 20.0
"""Middles nearer than this belong to one structure that something, such as a screw, divides in a slice: levels follow
each other at 25 mm and more."""
CONTINUES = 0.3
"""Part of the smaller of two pieces in neighbouring slices that overlaps where one continues the other."""
LARGE = 0.5
"""Of the median piece: what counts in choosing the slice to begin with."""
GROWS = 0.75
"""How far a structure may reach beyond its outline in the slice before, as part of the distance of slices: bodies and
discs are cylinders that lean a little, and what grows faster is something else beside them."""


def joined(pieces: Labels, depth: Depth, spacing_mm: tuple[float, float, float]) -> Labels:
    """Labels of structures `[slice, row, column]`.

    Parameters
    ----------
    pieces
        Labels of the pieces of each slice, `[slice, row, column]`; the same number in two slices means nothing.
    depth
        Distance to the pieces' edge, by which a piece that two structures continue in is divided.
    spacing_mm
        Distance of voxel centres (slice, row, column).
    """
    result = np.zeros(pieces.shape, dtype=np.int32)
    if not pieces.any():
        return result
    middle = _first(pieces)
    result[middle] = _renumbered(pieces[middle], 0)
    used = int(result.max())
    for step in (1, -1):
        index = middle + step
        while 0 <= index < len(pieces):
            while pair := _divided(pieces[index], result, index - step, spacing_mm):
                result[result == pair[1]] = pair[0]
            before = result[index - step]
            found, used = _continued(pieces[index], depth[index], before, used)
            result[index] = np.where(_too_far(found, before, spacing_mm), 0, found)
            index += step
    return result


def _first(pieces: Labels) -> int:
    """The slice to begin with: of those that show most structures the middle one."""
    sizes = [np.bincount(section.ravel())[1:] for section in pieces]
    usual = float(np.median(np.concatenate([held[held > 0] for held in sizes])))
    counts = np.array([(held > LARGE * usual).sum() for held in sizes])
    most = np.flatnonzero(counts == counts.max())
    return int(most[len(most) // 2])


def _continued(pieces: Labels, depth: Depth, before: Labels, used: int) -> tuple[Labels, int]:
    """Labels of a slice from those of its neighbour, and the largest number given so far."""
    result = np.zeros_like(pieces)
    for window, inside, found in _continuations(pieces, before):
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
    pieces: Labels, structures: Labels, before: int, spacing_mm: tuple[float, float, float]
) -> tuple[int, int] | None:
    """Two structures that are one: a piece continues both from the slice `before`, and so far they lie at one place."""
    for _, _, found in _continuations(pieces, structures[before]):
        if len(found) < 2:
            continue
        middles = {
            label: np.array(ndimage.center_of_mass(structures == label))[1:] * spacing_mm[1:] for label in found
        }
        for label, other in itertools.combinations(found, 2):
            if np.linalg.norm(middles[label] - middles[other]) < ONE_STRUCTURE_MM:
                return label, other
    return None


def _too_far(found: Labels, before: Labels, spacing_mm: tuple[float, float, float]) -> npt.NDArray[np.bool_]:
    """Where a structure that goes on lies farther from its outline in the slice before than it may."""
    far = np.zeros(found.shape, dtype=bool)
    for number, window in enumerate(ndimage.find_objects(before), start=1):
        if window is None or not (here := found == number).any():
            continue
        away = ndimage.distance_transform_edt(~convex_hull_image(before == number), sampling=spacing_mm[1:])
        far |= here & (away > GROWS * spacing_mm[0])
    return far


def _renumbered(pieces: Labels, used: int) -> Labels:
    numbers = np.unique(pieces[pieces > 0])
    table = np.zeros(int(pieces.max()) + 1, dtype=np.int32)
    table[numbers] = np.arange(used + 1, used + 1 + len(numbers))
    return table[pieces]
