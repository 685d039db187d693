"""Volume of a vertebral body: its voxels times the volume that each stands for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def body_volume_cm3(mask: npt.NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> float:
    """Volume in cm3 of a body's mask `[slice, row, column]`.

    `spacing_mm` is the distance of voxel centres (slice, row, column): between slices it includes the gap, so the
    sum stands for all the space between the first and the last slice's outer faces (Han 2023, "converting to
    patient-based space").
    """
    return float(np.count_nonzero(mask)) * float(np.prod(spacing_mm)) / 1000
