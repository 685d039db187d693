"""A disc that the network sees faintly below the body that is taken for S1: then the count may be one off.

A narrowed L5-S1 may stay under the threshold, and S1 with it: L5 would be called S1, and every level by the name of its
neighbour. The network's probability tells: there is none between S1 and S2 in most patients, and more than a rest of it
where a disc was missed.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from recon_worker.segmentation.cleaning import Instance, Probability

FAINT = 0.2
"""Probability, smoothed by `SMOOTHING_MM`, from which a voxel counts."""
SMOOTHING_MM = 1.0
LEAST_AREA_MM2 = 90.0
"""In one slice. A rest of a disc between S1 and S2 may have as much: what is flagged is only to be looked at."""
FROM_MM, TO_MM = 8.0, 50.0
"""Below the body's middle."""
BEFORE_MM, BEHIND_MM = 25.0, 45.0
"""The sacrum leans back."""


def faint_disc_below(
    body: Instance, named: list[Instance], probability: Probability, affine: npt.NDArray[np.float64]
) -> bool:
    """Whether discs other than the `named` ones have some `probability` `[slice, row, column]` below `body`.

    `affine` leads to LPS millimetres. A disc that was found and not named counts: it may lie off the line of the
    bodies because the last of them is missing.
    """
    probability = np.where(np.any([disc.mask for disc in named], axis=0), np.float32(0), probability)
    slices, rows, columns = (np.arange(size, dtype=np.float64) for size in probability.shape)

    def coordinate(axis: int) -> npt.NDArray[np.float64]:
        return np.asarray(
            affine[axis, 0] * slices[:, None, None]
            + affine[axis, 1] * rows[None, :, None]
            + affine[axis, 2] * columns[None, None]
            + affine[axis, 3]
        )

    middle = affine @ np.array([*body.centroid, 1.0])
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    smooth = ndimage.gaussian_filter(probability, [0.0, SMOOTHING_MM / spacing[1], SMOOTHING_MM / spacing[2]])
    below, behind = middle[2] - coordinate(2), coordinate(1) - middle[1]
    where = (below > FROM_MM) & (below < TO_MM) & (behind > -BEFORE_MM) & (behind < BEHIND_MM)
    areas = (where & (smooth > FAINT)).sum(axis=(1, 2)) * spacing[1] * spacing[2]
    return bool(areas.max() > LEAST_AREA_MM2)
