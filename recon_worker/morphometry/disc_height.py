"""Height of an intervertebral disc: shortest side of the smallest rectangle around it on its central slice.

Definition of Han et al., Pain Medicine 2023: "computing a 3D centroid for each disc to find the most central slice and
extracting the shortest side length from a minimum bounding rectangle". Here in millimetres with anisotropic pixels and
around the pixels' corners: a rectangle through their centres would be a pixel short.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.spatial import ConvexHull
from skimage.measure import find_contours

Points = npt.NDArray[np.float64]
FINER = 4
"""Sub-pixels a pixel for area and mean height, where the outline is known better than by whole pixels."""
TIE = 1e-6
"""Of the distance of slices: so little does not tell which of two is nearer."""
MIDDLE_PART = 1 / 3
"""The mean height is taken over this middle part of the disc's depth, away from its rounded ends."""


@dataclass(frozen=True)
class DiscMeasure:
    """What is measured on the central slice `slice_index`: the paper's height, and the mean height and the area."""

    height_mm: float
    mean_height_mm: float
    area_mm2: float
    slice_index: int


@dataclass(frozen=True)
class Rectangle:
    """The rectangle of least area around points: lengths of its sides, and unit vectors along them."""

    short_mm: float
    long_mm: float
    short_direction: Points
    long_direction: Points


def measure_disc(
    mask: npt.NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
    probability: npt.NDArray[np.float32] | None = None,
    threshold: float = 0.5,
) -> DiscMeasure:
    """Height, mean height and area of one disc on its central slice. Where its centroid lies in the middle between two,
    on the one with the larger area, then height: whichever way the slices are ordered.

    Parameters
    ----------
    mask
        `[slice, row, column]`, True on the disc's voxels.
    spacing_mm
        Distance of voxel centres (slice, row, column).
    probability
        `[slice, row, column]` of the network: then the outline is the line along which it crosses `threshold`, within
        the mask's pixels and their neighbours. Around the corners of whole pixels a disc comes out 0.8 mm too high at
        0.74 mm pixels, since its height is that of its outermost pixels.

    Raises
    ------
    ValueError
        If the mask is empty.
    """
    if not mask.any():
        raise ValueError("The mask of the disc is empty.")
    step = (float(spacing_mm[1]), float(spacing_mm[2]))
    measured = [
        _measure_section(mask[index], step, None if probability is None else probability[index], threshold, index)
        for index in _central_slices(mask)
    ]
    return max(measured, key=lambda one: (one.area_mm2, one.height_mm, one.mean_height_mm))


def _central_slices(mask: npt.NDArray[np.bool_]) -> list[int]:
    """The slice of the disc that is nearest to its centroid; both where it lies in the middle between two."""
    present = np.flatnonzero(mask.any(axis=(1, 2)))
    away = np.abs(present - float(ndimage.center_of_mass(mask)[0]))
    return [int(index) for index in present[away <= away.min() + TIE]]


def _measure_section(
    section: npt.NDArray[np.bool_],
    step: tuple[float, float],
    probability: npt.NDArray[np.float32] | None,
    threshold: float,
    index: int,
) -> DiscMeasure:
    """Slice `index` of a disc `[row, column]`, with pixels of `step` (row, column) millimetres."""
    outline = pixel_corners(section, step)
    if probability is not None:
        value = _masked_value(section, probability, threshold)
        fine = _fine_section(value, threshold)
        if fine.any():
            outline = _crossing(value, threshold) * np.array(step)
            section, step = fine, (step[0] / FINER, step[1] / FINER)
    rectangle = smallest_rectangle(outline)
    centres = np.argwhere(section) * np.array(step)
    area = len(centres) * step[0] * step[1]
    return DiscMeasure(rectangle.short_mm, _middle_height(centres, rectangle, step), area, index)


def pixel_corners(section: npt.NDArray[np.bool_], step_mm: tuple[float, float]) -> Points:
    """The corners `[point, 2 (row, column)]` in mm of all pixels of `section` `[row, column]`."""
    found = np.argwhere(section).astype(np.float64)
    corners = [found + np.array([row, column]) for row in (-0.5, 0.5) for column in (-0.5, 0.5)]
    return np.concatenate(corners) * np.array(step_mm)


def smallest_rectangle(points: Points) -> Rectangle:
    """The rectangle of least area around `points` `[point, 2]`: one of its sides lies on a side of their hull
    (Freeman and Shapira 1975)."""
    hull = points[ConvexHull(points).vertices]
    edges = np.roll(hull, -1, axis=0) - hull
    along = edges / np.linalg.norm(edges, axis=1, keepdims=True)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    lengths = np.ptp(hull @ along.T, axis=0)
    widths = np.ptp(hull @ across.T, axis=0)
    best = int(np.argmin(lengths * widths))
    sides = sorted([(float(lengths[best]), along[best]), (float(widths[best]), across[best])], key=lambda side: side[0])
    return Rectangle(sides[0][0], sides[1][0], sides[0][1], sides[1][1])


def _masked_value(
    section: npt.NDArray[np.bool_], probability: npt.NDArray[np.float32], threshold: float
) -> npt.NDArray[np.float64]:
    """The probability around the section, zero beyond its neighbours; where cleaning filled a hole, none is left."""
    row, column = ndimage.find_objects(section.astype(np.uint8))[0]
    window = (slice(max(0, row.start - 2), row.stop + 2), slice(max(0, column.start - 2), column.stop + 2))
    near = ndimage.binary_dilation(section[window], structure=np.ones((3, 3)))
    held = np.where(ndimage.binary_erosion(section[window]), np.maximum(probability[window], threshold + 0.1), 0)
    value = np.maximum(np.where(near, probability[window], 0), held)
    return np.pad(value.astype(np.float64), 1)


def _fine_section(value: npt.NDArray[np.float64], threshold: float) -> npt.NDArray[np.bool_]:
    """The largest piece above `threshold`, holes filled, in sub-pixels."""
    # Sub-pixel centres lie at whole-pixel positions (n + 0.5) / FINER - 0.5.
    places = [(np.arange(length * FINER) + 0.5) / FINER - 0.5 for length in value.shape]
    rows, columns = np.meshgrid(*places, indexing="ij")
    fine = ndimage.map_coordinates(value, [rows, columns], order=1, mode="nearest") > threshold
    pieces, count = ndimage.label(fine)
    if not count:
        return fine
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return np.asarray(ndimage.binary_fill_holes(pieces == int(np.argmax(sizes))), dtype=bool)


def _crossing(value: npt.NDArray[np.float64], threshold: float) -> Points:
    """Points `[point, 2]` of the longest line along which `value` crosses `threshold`, in pixels (marching squares)."""
    return np.asarray(max(find_contours(value, threshold), key=len), dtype=np.float64)


def _middle_height(centres: Points, rectangle: Rectangle, step: tuple[float, float]) -> float:
    """Area over depth of the middle part along the long side."""
    along = centres @ rectangle.long_direction
    middle = (along.max() + along.min()) / 2
    reach = MIDDLE_PART * (along.max() - along.min()) / 2
    if reach <= 0:
        return rectangle.short_mm
    inside = int((np.abs(along - middle) <= reach).sum())
    return float(inside * step[0] * step[1] / (2 * reach))
