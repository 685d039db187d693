"""Where slices lie in the patient: DICOM LPS (x to the left, y to posterior, z to the head), millimetres.

Source: DICOM PS3.3 C.7.6.2 (Image Plane), C.7.6.2.1.1 (the mapping from pixel index to patient position).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

UNIT_TOLERANCE = 1e-3
"""How far a direction may be from unit length, and two directions from perpendicular."""


@dataclass(frozen=True)
class SlicePlane:
    """One acquired slice as the scanner prescribed it.

    Attributes
    ----------
    centre_mm
        Centre of the field of view `[x, y, z]` (LPS, mm).
    read_direction, phase_direction, slice_direction
        Unit vectors `[x, y, z]` (LPS) along increasing readout sample, phase-encode step and slice position.
    """

    centre_mm: tuple[float, float, float]
    read_direction: tuple[float, float, float]
    phase_direction: tuple[float, float, float]
    slice_direction: tuple[float, float, float]

    def is_orthonormal(self) -> bool:
        """Whether the three directions are unit vectors at right angles."""
        directions = np.array([self.read_direction, self.phase_direction, self.slice_direction], dtype=np.float64)
        return bool(np.allclose(directions @ directions.T, np.eye(3), atol=UNIT_TOLERANCE))


def affine_from_planes(
    planes: list[SlicePlane],
    *,
    rows: int,
    columns: int,
    row_spacing_mm: float,
    column_spacing_mm: float,
    slice_thickness_mm: float,
) -> FloatArray:
    """Affine `[4, 4]` from voxel index (slice, row, column) to LPS mm, for image rows along the phase direction
    and image columns along the read direction; `planes` are in stored slice order and evenly spaced.

    The field of view's centre lies at index `n // 2` along rows and columns (the Fourier centre).

    Raises
    ------
    ValueError
        If the planes are not parallel or not evenly spaced along one line.
    """
    if not planes:
        raise ValueError("No slice positions.")
    first = planes[0]
    centres = np.array([plane.centre_mm for plane in planes], dtype=np.float64)
    if len(planes) > 1:
        step = (centres[-1] - centres[0]) / (len(planes) - 1)
        expected = centres[0] + np.arange(len(planes))[:, None] * step
        if not np.allclose(centres, expected, atol=0.01):
            raise ValueError("The slices are not evenly spaced along one line.")
    else:
        step = np.asarray(first.slice_direction) * slice_thickness_mm
    for plane in planes:
        if not np.allclose(plane.slice_direction, first.slice_direction, atol=UNIT_TOLERANCE):
            raise ValueError("The slices are not parallel.")
    along_row_index = np.asarray(first.phase_direction) * row_spacing_mm
    along_column_index = np.asarray(first.read_direction) * column_spacing_mm
    origin = centres[0] - (rows // 2) * along_row_index - (columns // 2) * along_column_index
    affine = np.eye(4)
    affine[:3, 0] = step
    affine[:3, 1] = along_row_index
    affine[:3, 2] = along_column_index
    affine[:3, 3] = origin
    return affine
