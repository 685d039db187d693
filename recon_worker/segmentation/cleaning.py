"""From the networks' probabilities to single discs and bodies: slices to 3D, smoothing, holes, one piece a level.

As in Han et al. 2023: "2D slice masks were reconstructed into 3D volume masks and postprocessed to smooth, fill holes,
and identify largest connected components". The largest component is taken of each structure, never of the whole: two
bodies that touch are parted first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.segmentation import watershed

from recon_worker.morphometry.structures import Kind
from recon_worker.segmentation.across_slices import ONE_STRUCTURE_MM, joined

Mask = npt.NDArray[np.bool_]
Probability = npt.NDArray[np.float32]

SMOOTHING_MM = 0.5
"""Standard deviation of the in-plane smoothing of the probability."""
NECK_MM = {"body": 5.0, "disc": 1.5}
"""Half the width of the widest bridge that joins two structures and is none."""
BODIES_APART_MM = 16.5
"""Middles of two bodies' cores are at least this far apart. Those of two discs are a level apart along the spine: a
narrowed disc is thin in its middle and has a core in front and one behind, and is one."""
LEAST_AREA_MM2 = {"body": 200.0, "disc": 60.0}
"""Of the slice where a structure is largest."""
LEAST_SLICES = 2
THINNEST_MM = 1.0
"""Spurs thinner than twice this are smoothed away, where pixels are not larger."""
MOSTLY_THIN = 0.7
"""Of a disc in a slice: where less than this would be left in one piece, the disc itself is as thin, and stays as
it is."""


@dataclass(frozen=True)
class Instance:
    """One structure before it has a name: mask `[slice, row, column]`, and what may be wrong with it."""

    kind: Kind
    mask: Mask
    centroid: tuple[float, float, float]
    area_mm2: float
    volume_mm3: float


def instances(
    probability: Probability,
    spacing_mm: tuple[float, float, float],
    kind: Kind,
    threshold: float = 0.5,
    *,
    spine_axis: int = 1,
) -> list[Instance]:
    """The single structures of `kind`, in no order.

    Parameters
    ----------
    probability
        `[slice, row, column]` of the network.
    spacing_mm
        Distance of voxel centres (slice, row, column).
    spine_axis
        The axis along the spine: 1 rows, 2 columns.
    """
    width = [0.0, SMOOTHING_MM / spacing_mm[1], SMOOTHING_MM / spacing_mm[2]]
    mask = ndimage.gaussian_filter(probability, width, mode="nearest") > threshold
    mask = _without_spurs(mask, spacing_mm, kind)
    labels = _parted(mask, spacing_mm, kind, spine_axis)
    pixel = spacing_mm[1] * spacing_mm[2]
    found = []
    for number, window in enumerate(ndimage.find_objects(labels), start=1):
        if window is None:
            continue
        piece = _largest(labels[window] == number)
        piece = np.stack([ndimage.binary_fill_holes(section) for section in piece])
        areas = piece.sum(axis=(1, 2)) * pixel
        if areas.max() < LEAST_AREA_MM2[kind] or int((areas > 0).sum()) < LEAST_SLICES:
            continue
        whole = np.zeros(mask.shape, dtype=bool)
        whole[window] = piece
        middle = ndimage.center_of_mass(piece)
        centroid = tuple(float(place + part.start) for place, part in zip(middle, window, strict=True))
        found.append(
            Instance(kind, whole, centroid, float(areas.max()), float(areas.sum() * spacing_mm[0]))  # type: ignore[arg-type]
        )
    return found


def disk(radius_mm: float, spacing_mm: tuple[float, float, float]) -> Mask:
    """In-plane neighbourhood `[1, row, column]` of all voxels whose centres are no farther than `radius_mm`."""
    # Pixels of an oblique series measure 1.0000001 mm where 1 mm is meant.
    radius_mm *= 1.001
    reach = [int(radius_mm / step) for step in spacing_mm[1:]]
    rows, columns = np.ogrid[-reach[0] : reach[0] + 1, -reach[1] : reach[1] + 1]
    return np.asarray((rows * spacing_mm[1]) ** 2 + (columns * spacing_mm[2]) ** 2 <= radius_mm**2)[None]


def _without_spurs(mask: Mask, spacing_mm: tuple[float, float, float], kind: Kind) -> Mask:
    opened = np.asarray(ndimage.binary_opening(mask, structure=disk(THINNEST_MM, spacing_mm)), dtype=bool)
    if kind == "body":
        return opened
    for before, after in zip(mask, opened, strict=True):
        pieces, count = ndimage.label(before)
        left, _ = ndimage.label(after)
        for number in range(1, count + 1):
            inside = pieces == number
            largest = int(np.bincount(left[inside])[1:].max(initial=0))
            if largest < MOSTLY_THIN * inside.sum():
                after |= inside
    return opened


def _parted(
    mask: Mask, spacing_mm: tuple[float, float, float], kind: Kind, spine_axis: int
) -> npt.NDArray[np.int32]:
    """Labels of the structures: pieces of each slice, parted where a bridge is narrow, joined through the slices."""
    depth = np.zeros(mask.shape)
    pieces = np.zeros(mask.shape, dtype=np.int32)
    for index, section in enumerate(mask):
        if section.any():
            depth[index] = ndimage.distance_transform_edt(section, sampling=spacing_mm[1:])
            pieces[index] = _parted_slice(section, depth[index], spacing_mm, kind, spine_axis)
    return joined(pieces, depth, spacing_mm, kind, spine_axis)


def _parted_slice(
    section: Mask, depth: npt.NDArray[np.float64], spacing_mm: tuple[float, float, float], kind: Kind, spine_axis: int
) -> npt.NDArray[np.int32]:
    whole, _ = ndimage.label(section)
    cores, _ = ndimage.label(depth > NECK_MM[kind])
    markers = np.zeros(section.shape, dtype=np.int32)
    used = 0
    for number, window in enumerate(ndimage.find_objects(whole), start=1):
        inside = whole[window] == number
        held = _worthy(np.where(inside, cores[window], 0), spacing_mm, kind, spine_axis)
        for where in [inside & (cores[window] == core) for core in held] or [inside]:
            used += 1
            markers[window][where] = used
    return np.asarray(watershed(-depth, markers, mask=section), dtype=np.int32)


def _worthy(
    cores: npt.NDArray[np.int32], spacing_mm: tuple[float, float, float], kind: Kind, spine_axis: int
) -> list[int]:
    """Cores `[row, column]` that are structures of their own: large enough, and not beside a larger one."""
    numbers, sizes = np.unique(cores[cores > 0], return_counts=True)
    kept: list[tuple[int, npt.NDArray[np.float64]]] = []
    for place in np.argsort(-sizes):
        middle = np.array(ndimage.center_of_mass(cores == numbers[place])) * np.array(spacing_mm[1:])
        steps = [middle - other for _, other in kept]
        if kind == "body":
            apart = all(np.linalg.norm(step) > BODIES_APART_MM for step in steps)
        else:
            apart = all(abs(step[spine_axis - 1]) > ONE_STRUCTURE_MM for step in steps)
        if apart and sizes[place] >= 0.1 * sizes.max():
            kept.append((int(numbers[place]), middle))
    return [number for number, _ in kept]


def _largest(piece: Mask) -> Mask:
    labels, count = ndimage.label(piece)
    if count <= 1:
        return piece
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == int(np.argmax(sizes)), dtype=bool)
