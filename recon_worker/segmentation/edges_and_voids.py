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
"""Signal below this part of the bodies' median is void, as metal makes it."""
THINNEST_VOID_MM = 3.0
"""Radius: cortical bone and ligaments are dark too, and thinner."""
AROUND_MM = 2.0
"""A network draws around a void: it is looked for this far beyond the structure, too."""
BESIDE_MM = 30.0
"""The length of a body: where the picture ends nearer to a disc, the body between may be cut, and networks then see the
disc wrongly, too."""
PIECE = 0.4
"""Of the median volume of the series' other bodies: what is smaller is a piece of a body."""
VOID_PART = 0.12
"""Of a structure's volume: a larger void leaves no measurement."""


@dataclass(frozen=True)
class Edges:
    """Where a picture ends.

    Attributes
    ----------
    rows, columns
        Between which there is a picture: first, one after the last.
    margin
        How many rows and columns from the edge are near it.
    spine
        The axis along the spine (0 rows, 1 columns), and whether it runs towards the feet.
    body_length
        Along that axis, in pixels.
    """

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
        for axes in ((0, 2), (0, 1)):
            places = np.flatnonzero(seen.any(axis=axes))
            spans.append((int(places[0]), int(places[-1]) + 1))
        row, column = volume.spacing_mm[1:]
        margin = (max(1, round(EDGE_MM / row)), max(1, round(EDGE_MM / column)))
        # z of LPS grows towards the head.
        along = int(np.argmax(np.abs(volume.affine[2, 1:3])))
        length = round(BESIDE_MM / (row, column)[along])
        return Edges(spans[0], spans[1], margin, (along, bool(volume.affine[2, 1 + along] < 0)), length)

    def cut(self, mask: Mask, kind: Kind) -> bool:
        """Whether the structure `[slice, row, column]` goes on beyond the picture, a body also beyond its slices."""
        rows, columns = _extents(mask)
        if not rows.size:
            return False
        for places, span, margin in zip((rows, columns), (self.rows, self.columns), self.margin, strict=True):
            if places[0] < span[0] + margin or places[-1] >= span[1] - margin:
                return True
        return kind == "body" and self.side_share(mask) > CUT_AT_THE_SIDE

    @staticmethod
    def side_share(mask: Mask) -> float:
        """Area in the first or last slice of the series, as a part of the structure's largest."""
        areas = mask.sum(axis=(1, 2))
        return float(max(areas[0], areas[-1]) / max(int(areas.max()), 1))

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
    values = np.concatenate([volume.array[mask] for mask in bodies]) if bodies else np.zeros(0)
    if not values.size:
        return np.zeros(volume.array.shape, dtype=bool)
    dark = np.asarray(volume.array, dtype=np.float32) < VOID_LEVEL * float(np.median(values))
    return np.asarray(ndimage.binary_opening(dark, structure=disk(THINNEST_VOID_MM, volume.spacing_mm)), dtype=bool)


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


def pieces_of(volumes_mm3: dict[int, float]) -> set[int]:
    """Which bodies, by level, are so small beside the others that only a piece of them was found."""
    pieces = set()
    for level, volume in volumes_mm3.items():
        others = [other for beside, other in volumes_mm3.items() if beside != level]
        if others and volume < PIECE * float(np.median(others)):
            pieces.add(level)
    return pieces


def _window(mask: Mask, margin: list[int]) -> tuple[slice, ...]:
    found = ndimage.find_objects(mask.astype(np.uint8))[0]
    return tuple(slice(max(0, part.start - more), part.stop + more) for part, more in zip(found, margin, strict=True))
