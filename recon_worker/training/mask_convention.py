"""One convention for where a vertebral body ends: data sets draw their outlines at different places of the dark rim.

The rim of a body (cortical bone, chemical shift) is two or three millimetres of dark between marrow and disc. VB1
outlines the marrow; SPIDER, VB2 and slices20 draw within the rim. Here the difference is measured on the images, and
masks are moved by it; `python -m recon_worker.training mask-convention` prints it for every data set, as drawn and
moved. It is measured across the endplates, where no pedicle and no vessel lies, and taken for front and back as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Labels = npt.NDArray[np.uint8]

FINER = 4
"""Parts of a pixel in which masks are moved and profiles are taken."""
INSIDE_MM = {"VB1": 0.75}
"""By how much a data set's outlines are moved outward, into the middle of where the others draw: measured on training
and validation images."""
MARROW_MM, REACH_MM, STEP_MM = 3.0, 5.0, 0.25
ALONG = 0.85
"""Profiles are taken across the endplates: where the outline's normal runs along the spine by at least this part."""
DARKEST = 0.85
"""Of the marrow: a profile that does not fall below it shows no rim (water-fat images, some endplates)."""


class Drawn(Protocol):
    """What is asked of a labelled slice: `spine_images.LabelledSlice`."""

    @property
    def image(self) -> npt.NDArray[np.float16]: ...
    @property
    def bodies(self) -> Labels: ...
    @property
    def body_weight(self) -> Labels: ...
    @property
    def source(self) -> str: ...
    @property
    def part(self) -> str: ...


def moved_outward(labels: Labels, distance_mm: float) -> Labels:
    """Every structure of `labels` `[row, column]`, 1 mm pixels, grown by `distance_mm`; none takes from another.

    Whole pixels are added: 0.75 mm become one pixel along the grid (so at endplates), and 0.9 mm on the mean of all
    directions; 0.5 mm would move nothing along it.
    """
    result = labels.copy()
    margin = int(np.ceil(distance_mm)) + 1
    for value, window in enumerate(ndimage.find_objects(labels), start=1):
        if window is None:
            continue
        around = tuple(
            slice(max(0, part.start - margin), min(size, part.stop + margin))
            for part, size in zip(window, labels.shape, strict=True)
        )
        grown = _outward_mm(_finer(labels[around] == value)) <= distance_mm
        rows, columns = (size // FINER for size in grown.shape)
        part = grown.reshape(rows, FINER, columns, FINER).mean(axis=(1, 3))
        free = (result[around] == 0) & (part > 0.5)
        result[around][free] = value
    return result


def rim_begins_mm(image: npt.NDArray[np.floating], labels: Labels) -> float | None:
    """How far outside (positive) or inside the outline the marrow's signal has fallen half way to the rim's.

    Parameters
    ----------
    image, labels
        `[row, column]`, 1 mm pixels, head up.

    Returns
    -------
    float or None
        Millimetres along the outward normal across the endplates; None where no rim is seen.
    """
    rows, columns = np.nonzero(labels)
    if not rows.size:
        return None
    margin = int(REACH_MM) + 2
    window = tuple(slice(max(0, int(at.min()) - margin), int(at.max()) + margin + 1) for at in (rows, columns))
    image, labels = image[window], labels[window]
    mask = _finer(labels > 0)
    distance = _outward_mm(mask)
    down, _ = np.gradient(ndimage.gaussian_filter(distance, 0.5 * FINER))
    across = np.abs(down) * FINER > ALONG
    fine = ndimage.zoom(np.asarray(image, dtype=np.float64), FINER, order=1, grid_mode=True, mode="nearest")
    marrow = fine[distance < -MARROW_MM]
    if not marrow.size or np.median(marrow) <= 0:
        return None
    edges = np.arange(-MARROW_MM, REACH_MM, STEP_MM)
    where = np.digitize(distance[across], edges)
    values = fine[across] / float(np.median(marrow))
    profile = np.array([values[where == number].mean() if (where == number).any() else np.nan
                        for number in range(1, len(edges))])  # fmt: skip
    if not np.isfinite(profile).all() or profile.min() > DARKEST:
        return None
    lowest = int(np.argmin(profile))
    half = (1 + profile[lowest]) / 2
    below = np.flatnonzero(profile[: lowest + 1] < half)
    return float(edges[below[0]] + STEP_MM / 2)


def rims_by_source(slices: Iterable[Drawn]) -> dict[str, list[float]]:
    """`rim_begins_mm` of every slice that is not held out and shows a rim, by data set."""
    found: dict[str, list[float]] = {}
    for one in slices:
        if one.part != "test" and one.bodies.any() and one.body_weight.any():
            place = rim_begins_mm(one.image, one.bodies)
            if place is not None:
                found.setdefault(one.source, []).append(place)
    return found


def _outward_mm(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Signed distance from the outline of a fine mask, which runs half way between its pixels and the others."""
    distance = ndimage.distance_transform_edt(~mask) - ndimage.distance_transform_edt(mask)
    return np.asarray((distance - 0.5 * np.sign(distance)) / FINER)


def _finer(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The mask on pixels `FINER` times smaller, its outline smoothed by interpolation."""
    finer = ndimage.zoom(mask.astype(np.float32), FINER, order=1, grid_mode=True, mode="nearest")
    return np.asarray(finer > 0.5)
