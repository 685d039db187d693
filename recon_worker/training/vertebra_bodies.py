"""Vertebral bodies from masks of whole vertebrae: what lies in front of the spinal canal.

SPIDER labels vertebrae with their arches; the paper's vertebral body is the body alone. The cut follows the front of
the canal and the posterior wall of the bodies beside it, taken from all slices of a patient.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.morphology import disk, opening

Labels = npt.NDArray[np.uint8]

VERTEBRA, DISC, CANAL = 1, 2, 3
WIDE_CANAL = 0.5
"""A slice shows the canal well where its canal has at least this part of the largest slice's area."""
WALL_MARGIN_PX = 1.5
LEAST_PIECE_PX = 60
CORE_RADIUS_PX = 8
BAND_PX = 2


def bodies_of(slices: list[Labels]) -> list[Labels]:
    """Bodies (1) of the slices `[row, column]` of one patient, labelled `VERTEBRA`, `DISC`, `CANAL`, 1 mm pixels."""
    areas = [int((labels == CANAL).sum()) for labels in slices]
    if max(areas, default=0) < 200:
        return [_bodies_without_canal(labels) for labels in slices]
    wide = [labels for labels, area in zip(slices, areas, strict=True) if area >= WIDE_CANAL * max(areas)]
    front = _line([_canal_front(labels) for labels in wide])
    wall = _line([_posterior_wall(labels, front) for labels in wide], width=2.0)
    cut = np.minimum(front - 1, wall + WALL_MARGIN_PX)
    columns = np.arange(slices[0].shape[1])[None]
    result = []
    for labels in slices:
        body = (labels == VERTEBRA) & (columns <= cut[:, None])
        result.append(_without_crumbs(opening(body, disk(2))))
    return result


def pedicle_band(labels: Labels, bodies: Labels) -> Labels:
    """1 on the pixels of the vertebra just behind the bodies, where body and arch have no border."""
    arch = (labels == VERTEBRA) & (bodies == 0)
    near = ndimage.binary_dilation(bodies > 0, iterations=BAND_PX)
    pieces, count = ndimage.label(arch)
    band: npt.NDArray[np.bool_] = arch & near
    discs = ndimage.binary_dilation(labels == DISC, iterations=2)
    for piece in range(1, count + 1):
        where = pieces == piece
        # A large piece beside a disc is a slipped body, not an arch: its label is unknown.
        if where.sum() > 150 and (where & discs).sum() > 10:
            band |= where
    return band.astype(np.uint8)


def _canal_front(labels: Labels) -> npt.NDArray[np.float64]:
    canal = labels == CANAL
    first = np.argmax(canal, axis=1).astype(np.float64)
    first[~canal.any(axis=1)] = np.nan
    return first


def _posterior_wall(labels: Labels, front: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Last vertebra column in front of the canal, where the body ends before the canal begins."""
    wall = np.full(labels.shape[0], np.nan)
    for row in range(labels.shape[0]):
        end = int(front[row])
        inside = np.flatnonzero(labels[row, :end] == VERTEBRA)
        if inside.size and inside[-1] <= end - 2:
            wall[row] = inside[-1]
    return wall


def _line(found: list[npt.NDArray[np.float64]], width: float = 2.0) -> npt.NDArray[np.float64]:
    """Median over slices, gaps filled, ends extrapolated linearly, smoothed."""
    stack = np.array(found)
    known = np.flatnonzero(np.isfinite(stack).any(axis=0))
    median = np.nanmedian(stack[:, known], axis=0)
    rows = np.arange(stack.shape[1])
    line = np.interp(rows, known, median)
    reach = min(40, len(known))
    for part, side in ((known[:reach], rows < known[0]), (known[-reach:], rows > known[-1])):
        slope, start = np.polyfit(part, line[part], 1)
        line[side] = slope * rows[side] + start
    return np.asarray(ndimage.gaussian_filter1d(line, width, mode="nearest"))


def _bodies_without_canal(labels: Labels) -> Labels:
    """Of a slice without canal: the most anterior large core of each vertebra, up to a line along its back."""
    result = np.zeros(labels.shape, dtype=bool)
    pieces, count = ndimage.label(labels == VERTEBRA)
    for piece in range(1, count + 1):
        whole = pieces == piece
        if _is_behind_another(whole, pieces):
            continue
        cores, cores_count = ndimage.label(opening(whole, disk(CORE_RADIUS_PX)))
        if not cores_count:
            continue
        middles = ndimage.center_of_mass(cores > 0, cores, range(1, cores_count + 1))
        core = cores == 1 + int(np.argmin([column for _, column in middles]))
        rows = np.flatnonzero(core.any(axis=1))
        backs = np.array([np.flatnonzero(core[row])[-1] for row in rows])
        inner = (rows > np.percentile(rows, 20)) & (rows < np.percentile(rows, 80))
        if inner.sum() < 4:
            continue
        slope, start = np.polyfit(rows[inner], backs[inner], 1)
        every = np.arange(labels.shape[0])[:, None]
        columns = np.arange(labels.shape[1])[None]
        result |= whole & (columns <= slope * every + start + 1)
    return _without_crumbs(opening(result, disk(2)))


def _is_behind_another(whole: npt.NDArray[np.bool_], pieces: npt.NDArray[np.integer]) -> bool:
    """Whether a large piece lies in front of this one at the same height: then this is an arch."""
    rows = np.flatnonzero(whole.any(axis=1))
    first = int(np.flatnonzero(whole.any(axis=0))[0])
    before = (pieces > 0) & ~whole
    before[:, first:] = False
    return bool((before[rows[0] : rows[-1] + 1].sum(axis=1) >= CORE_RADIUS_PX).mean() > 0.3)


def _without_crumbs(mask: npt.NDArray[np.bool_]) -> Labels:
    pieces, count = ndimage.label(mask)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    sizes[0] = 0
    return (sizes[pieces] >= LEAST_PIECE_PX).astype(np.uint8)
