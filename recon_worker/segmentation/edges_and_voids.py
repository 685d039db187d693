"""What makes a structure unfit to be measured: the edge of the picture cuts it or its neighbour, a signal void lies in
it, or only a piece of it was found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.morphology import convex_hull_image

from recon_worker.data import Volume
from recon_worker.morphometry.structures import Kind
from recon_worker.segmentation.cleaning import Mask, disk

EDGE_MM = 2.0
"""Networks and smoothing draw back from the edge of the picture: what ends this near goes on outside."""
CUT_AT_THE_SIDE = 0.6
"""A body whose area in the first or last slice is more than this part of its largest goes on outside."""
PERHAPS_AT_THE_SIDE = 0.25
"""From this part on it may: a whole body's last slice can show as much, and so can one with a slice missing."""
VOID_LEVEL = 0.12
"""Signal below this part of the bodies' median at the same height is void, as metal makes it. At the same height: the
signal of a surface coil falls off towards the ends of the picture."""
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
VOID_PART = 0.12
"""Of a structure's volume: a larger void leaves no measurement."""


@dataclass(frozen=True)
class Edges:
    """Where a picture ends.

    Attributes
    ----------
    slices, rows, columns
        Between which there is a picture: first, one after the last.
    margin
        How many rows and columns from the edge are near it.
    spine
        The axis along the spine (0 rows, 1 columns), and whether it runs towards the feet.
    body_length
        Along that axis, in pixels.
    """

    slices: tuple[int, int]
    rows: tuple[int, int]
    columns: tuple[int, int]
    margin: tuple[int, int]
    spine: tuple[int, bool]
    body_length: int

    @staticmethod
    def of(volume: Volume) -> Edges:
        """A border without any signal, as padding leaves it, is no picture."""
        seen = volume.array != 0
        spans = []
        for axes in ((1, 2), (0, 2), (0, 1)):
            places = np.flatnonzero(seen.any(axis=axes))
            spans.append((int(places[0]), int(places[-1]) + 1))
        row, column = volume.spacing_mm[1:]
        margin = (max(1, round(EDGE_MM / row)), max(1, round(EDGE_MM / column)))
        # z of LPS grows towards the head.
        along = int(np.argmax(np.abs(volume.affine[2, 1:3])))
        length = round(BESIDE_MM / (row, column)[along])
        return Edges(spans[0], spans[1], spans[2], margin, (along, bool(volume.affine[2, 1 + along] < 0)), length)

    def within(self, probability: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """`[slice, row, column]` without what a network sees where there is no picture."""
        window = tuple(slice(*span) for span in (self.slices, self.rows, self.columns))
        inside = np.zeros_like(probability)
        inside[window] = probability[window]
        return inside

    def cut(self, mask: Mask, kind: Kind) -> bool:
        """Whether the structure `[slice, row, column]` goes on beyond the picture, a body also beyond its slices."""
        rows, columns = _extents(mask)
        if not rows.size:
            return False
        for places, span, margin in zip((rows, columns), (self.rows, self.columns), self.margin, strict=True):
            if places[0] < span[0] + margin or places[-1] >= span[1] - margin:
                return True
        return kind == "body" and self.side_share(mask) > CUT_AT_THE_SIDE

    def side_share(self, mask: Mask) -> float:
        """Area in the first or last slice that shows anything, as a part of the structure's largest."""
        areas = mask.sum(axis=(1, 2))
        return float(max(areas[: self.slices[0] + 1].max(), areas[self.slices[1] - 1 :].max()) / max(areas.max(), 1))

    def cut_beside(self, disc: Mask, *, below: bool) -> bool:
        """Whether the picture ends where the body above or below the disc should lie."""
        axis, footwards = self.spine
        places, span = _extents(disc)[axis], (self.rows, self.columns)[axis]
        if not places.size:
            return False
        if below == footwards:
            return bool(places[-1] >= span[1] - self.body_length)
        return bool(places[0] < span[0] + self.body_length)


def _extents(mask: Mask) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows and columns that the mask reaches."""
    return np.flatnonzero(mask.any(axis=(0, 2))), np.flatnonzero(mask.any(axis=(0, 1)))


def voids_of(volume: Volume, bodies: list[Mask]) -> Mask:
    """Where the picture has no signal beside that of the `bodies`, `[slice, row, column]`."""
    bodies = [mask for mask in bodies if mask.any()]
    if not bodies:
        return np.zeros(volume.array.shape, dtype=bool)
    dark = np.asarray(volume.array, dtype=np.float32) < VOID_LEVEL * _usual_signal(volume, bodies)
    return np.asarray(ndimage.binary_opening(dark, structure=disk(THINNEST_VOID_MM, volume.spacing_mm)), dtype=bool)


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


def has_void(mask: Mask, voids: Mask, spacing_mm: tuple[float, float, float]) -> bool:
    """Whether voids take more than `VOID_PART` of the structure, its surroundings counted in.

    A network draws around a void, and of a divided structure only a part may be found: in every slice of the structure
    a void is looked for wherever any of its slices shows it, or between.
    """
    reach = disk(AROUND_MM, spacing_mm)
    window = _window(mask, [0, reach.shape[1], reach.shape[2]])
    seen_from_the_side = convex_hull_image(mask[window].any(axis=0))
    inside = ndimage.binary_dilation(seen_from_the_side, structure=reach[0])
    return bool((inside & voids[window]).sum() > VOID_PART * mask.sum())


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
