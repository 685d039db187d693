"""What makes a structure unfit to be measured: the edge of the picture cuts it or its neighbour, a signal void lies in
it, or only a piece of it was found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.morphology import convex_hull_image

from recon_worker.data import Volume
from recon_worker.segmentation.cleaning import Mask, disk
from recon_worker.segmentation.picture import Picture, picture_of, without_intercept

EDGE_MM = 2.0
"""Networks and smoothing draw back from the edge of the picture: what ends this near goes on outside."""
CUT_AT_THE_SIDE = 0.6
"""What has more than this part of its largest area in the first or last slice goes on outside."""
PERHAPS_AT_THE_SIDE = 0.25
"""From this part on it may: the last slice of a whole one can show as much, and so can one with a slice missing."""
VOID_LEVEL = 0.12
"""Signal below this part of the bodies' median at the same height is void, as metal makes it. At the same height: the
signal of a surface coil falls off towards the ends of the picture."""
LOW_PASS_MM = 1.0
"""Standard deviation of the low-pass before signal is compared: a void is full of noise in a noisy series."""
FLOOR_OF_NOISE, HIGHEST_FLOOR = 1.6, 0.25
"""Magnitudes of noise alone have 1.25 of its standard deviation in the mean (Gudbjartsson and Patz, Magn Reson Med
34:910, 1995), and vary; no tissue that shows anything is void, however noisy the series."""
RIM_MM, RIM_LEVEL = 2.0, 0.4
"""What the low-pass took from a void's edge: so near, below this part of the bodies' signal."""
NORMAL_MEDIAN = 0.6745
"""Median of the magnitude of what is distributed normally, in standard deviations."""
THINNEST_VOID_MM = 3.0
"""Radius: cortical bone and ligaments are dark too, and thinner."""
AROUND_MM = 2.0
"""A network draws around a void: it is looked for this far beyond the structure, too."""
BESIDE_MM = 30.0
"""The length of a body: where the picture ends nearer to a disc, the body between may be cut, and networks then see the
disc wrongly, too."""
NEXT_LEVELS = 2
"""Above and below: the bodies that a body is compared with."""
WHOLE_ACROSS, WHOLE_IN_DEPTH = 0.65, 0.7
"""Of the median of the bodies beside it: what reaches less far through the slices, or from front to back, is a piece of
a body."""
OF_A_SLICE = 0.25
"""A body reaches as far as slices in which it has this part of its largest area."""
SMALL = 0.6
"""Of the median volume of the bodies beside it: what is smaller and reaches as far as they do may be crushed, or the
upper or lower part of a body. The smallest of whole bodies is in the segmenters' report."""
VESSEL = 0.5
"""What lies with more than this part in front of the spine is a vessel, whose blood flows away before it is read, and
counts only as far as it reaches into the spine."""
VOID_PART, SOME_VOID = 0.12, 0.05
"""Of a structure's volume: a larger void leaves no measurement, a smaller one is told. What is dark in and around whole
structures, such as ligaments and vessels, is less."""


@dataclass(frozen=True)
class Edges:
    """Where a picture ends.

    Attributes
    ----------
    picture
        Where there is one.
    near
        `[row, column]`: pixels near its edge.
    spine
        The axis along the spine (0 rows, 1 columns), and whether it runs towards the feet.
    body_length
        Along that axis, in pixels.
    """

    picture: Picture
    near: Mask
    spine: tuple[int, bool]
    body_length: int

    @staticmethod
    def of(volume: Volume) -> Edges:
        """Of a series that is not empty."""
        picture = picture_of(volume.array)
        row, column = volume.spacing_mm[1:]
        margin = (max(1, round(EDGE_MM / row)), max(1, round(EDGE_MM / column)))
        box = np.ones((2 * margin[0] + 1, 2 * margin[1] + 1), dtype=bool)
        near = ndimage.binary_dilation(~picture.plane, structure=box)
        near |= ~ndimage.binary_erosion(np.ones_like(near), structure=box)
        # z of LPS grows towards the head.
        along = int(np.argmax(np.abs(volume.affine[2, 1:3])))
        length = round(BESIDE_MM / (row, column)[along])
        return Edges(picture, near, (along, bool(volume.affine[2, 1 + along] < 0)), length)

    def within(self, probability: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """`[slice, row, column]` without what a network sees where there is no picture."""
        inside = np.zeros_like(probability)
        window = slice(*self.picture.slices)
        inside[window] = np.where(self.picture.plane, probability[window], 0)
        return inside

    def cut(self, mask: Mask) -> bool:
        """Whether the structure `[slice, row, column]` goes on beyond the picture or its outer slices."""
        return self.cut_in_plane(mask) or self.side_share(mask) > CUT_AT_THE_SIDE

    def cut_in_plane(self, mask: Mask) -> bool:
        """Whether rows or columns of the picture end in the structure."""
        return bool((mask.any(axis=0) & self.near).any())

    def side_share(self, mask: Mask) -> float:
        """Area in the first or last slice that shows anything, as a part of the structure's largest."""
        areas = mask.sum(axis=(1, 2))
        first, end = self.picture.slices
        return float(max(areas[: first + 1].max(), areas[end - 1 :].max()) / max(areas.max(), 1))

    def cut_beside(self, disc: Mask, *, below: bool) -> bool:
        """Whether the picture ends where the body above or below the disc should lie."""
        axis, footwards = self.spine
        seen, plane = np.asarray(disc.any(axis=0)), self.picture.plane
        if axis == 1:
            seen, plane = seen.T, plane.T
        if not seen.any():
            return False
        places, plane = np.flatnonzero(seen.any(axis=1)), plane[:, seen.any(axis=0)]
        if below == footwards:
            end = plane.shape[0] - int(np.argmax(plane[::-1], axis=0).max())
            return bool(places[-1] >= end - self.body_length)
        return bool(places[0] < int(np.argmax(plane, axis=0).max()) + self.body_length)


def voids_of(volume: Volume, bodies: list[Mask]) -> Mask:
    """Where the picture has no signal beside that of the `bodies`, `[slice, row, column]`."""
    bodies = [mask for mask in bodies if mask.any()]
    if not bodies:
        return np.zeros(volume.array.shape, dtype=bool)
    image, spacing = without_intercept(volume.array), volume.spacing_mm
    usual = _usual_signal(volume.with_array(image), bodies)
    low = ndimage.gaussian_filter(image, [0.0, LOW_PASS_MM / spacing[1], LOW_PASS_MM / spacing[2]])
    inside = np.any(bodies, axis=0)
    noise = float(np.median(np.abs(image - low)[inside] / np.broadcast_to(usual, image.shape)[inside])) / NORMAL_MEDIAN
    level = max(VOID_LEVEL, min(FLOOR_OF_NOISE * noise, HIGHEST_FLOOR))
    opened = ndimage.binary_opening(low < level * usual, structure=disk(THINNEST_VOID_MM, spacing))
    rim = ndimage.binary_dilation(opened, structure=disk(RIM_MM, spacing)) & (low < RIM_LEVEL * usual)
    found = np.asarray(opened | rim, dtype=bool)
    before = _in_front(volume, bodies)
    for section in found:
        pieces, _ = ndimage.label(section)
        sizes = np.bincount(pieces.ravel())
        vessels = np.bincount(pieces[before], minlength=len(sizes)) > VESSEL * sizes
        section[vessels[pieces] & before] = False
    return found


def _in_front(volume: Volume, bodies: list[Mask]) -> Mask:
    """Pixels `[row, column]` in front of the spine, whose front edge runs straight from body to body.

    A body is convex: where a network drew around a void at its front, that lies within.
    """
    axis = int(np.argmax(np.abs(volume.affine[2, 1:3])))
    seen = np.any([convex_hull_image(mask.any(axis=0)) for mask in bodies], axis=0)
    if axis == 1:
        seen = seen.T
    backwards = bool(volume.affine[1, 2 - axis] > 0)
    if not backwards:
        seen = seen[:, ::-1]
    places = np.flatnonzero(seen.any(axis=1))
    edge = np.interp(np.arange(seen.shape[0]), places, np.argmax(seen[places], axis=1))
    before = np.arange(seen.shape[1])[None] < edge[:, None]
    if not backwards:
        before = before[:, ::-1]
    return np.asarray(before.T if axis == 1 else before)


def _usual_signal(volume: Volume, bodies: list[Mask]) -> npt.NDArray[np.float32]:
    """The bodies' signal at each height of the spine, to be multiplied with `[slice, row, column]`.

    Each body counts with its neighbours: one that metal darkens says nothing of what is usual.
    """
    axis = 1 + int(np.argmax(np.abs(volume.affine[2, 1:3])))
    places = np.array([ndimage.center_of_mass(mask)[axis] for mask in bodies])
    order = np.argsort(places)
    signal = np.array([float(np.median(volume.array[bodies[number]])) for number in order])
    padded = np.pad(signal, 1, mode="reflect" if len(signal) > 1 else "edge")
    usual = np.array([np.sort(padded[start : start + 3])[1:].mean() for start in range(len(signal))])
    along = np.interp(np.arange(volume.array.shape[axis]), places[order], usual)
    return along.astype(np.float32).reshape([-1 if number == axis else 1 for number in range(3)])


def void_part(mask: Mask, voids: Mask, spacing_mm: tuple[float, float, float]) -> float:
    """How much void there is in a structure, its surroundings counted in, as a part of its volume.

    A network draws around a void, and of a divided structure only a part may be found: in every slice of the structure
    a void is looked for wherever any of its slices shows it, or between.
    """
    if not mask.any():
        return 0.0
    reach = disk(AROUND_MM, spacing_mm)
    window = _window(mask, [0, reach.shape[1], reach.shape[2]])
    seen_from_the_side = convex_hull_image(mask[window].any(axis=0))
    inside = ndimage.binary_dilation(seen_from_the_side, structure=reach[0])
    return float((inside & voids[window]).sum() / mask.sum())


@dataclass(frozen=True)
class Small:
    """Bodies, by level, that are smaller than those beside them.

    Attributes
    ----------
    pieces
        Of which only a piece was found: they reach less far through the slices, or from front to back.
    crushed
        That reach as far and have much less volume, as a crushed vertebra has, or half a body.
    """

    pieces: frozenset[int]
    crushed: frozenset[int]


def small_bodies(bodies: dict[int, Mask], spacing_mm: tuple[float, float, float], spine_axis: int) -> Small:
    """Compare each body `[slice, row, column]` with the levels beside it; `spine_axis` is 1 (rows) or 2 (columns)."""
    sizes = {level: _sizes(mask, spacing_mm, spine_axis) for level, mask in bodies.items()}
    pieces, crushed = set(), set()
    for level, size in sizes.items():
        beside = [
            other for number, other in sizes.items() if number != level and abs(number - level) <= NEXT_LEVELS
        ]  # fmt: skip
        if not beside:
            continue
        across, depth, volume = np.array(size) / np.median(np.array(beside), axis=0)
        if across < WHOLE_ACROSS or depth < WHOLE_IN_DEPTH:
            pieces.add(level)
        elif volume < SMALL:
            crushed.add(level)
    return Small(frozenset(pieces), frozenset(crushed))


def _sizes(mask: Mask, spacing_mm: tuple[float, float, float], spine_axis: int) -> tuple[float, float, float]:
    """Millimetres through the slices and from front to back, and voxels."""
    areas = mask.sum(axis=(1, 2))
    across = float((areas > OF_A_SLICE * areas.max()).sum()) * spacing_mm[0]
    front_to_back = float(np.count_nonzero(mask.any(axis=(0, spine_axis)))) * spacing_mm[3 - spine_axis]
    return across, front_to_back, float(areas.sum())


def _window(mask: Mask, margin: list[int]) -> tuple[slice, ...]:
    found = ndimage.find_objects(mask.astype(np.uint8))[0]
    return tuple(slice(max(0, part.start - more), part.stop + more) for part, more in zip(found, margin, strict=True))
