"""An image series whose array and geometry cannot be separated."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Volume:
    """Slices of one series with their place in the patient.

    Attributes
    ----------
    array
        `[slice, row, column]`, complex64 before magnitude, float32 or uint16 after.
    affine
        `[4, 4]` float64 from voxel centre index (slice, row, column, 1) to LPS millimetres (DICOM PS3.3
        C.7.6.2.1.1, with the slice index first).
    slice_thickness_mm
        Nominal thickness of a slice; the distance between slices is in the affine.
    noise_std
        `[slice, row, column]` float32 standard deviation of the noise per real or imaginary part, in the scale of
        `array`; None after magnitude.
    """

    array: npt.NDArray[np.generic]
    affine: FloatArray
    slice_thickness_mm: float
    noise_std: npt.NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if self.array.ndim != 3:
            raise ValueError(f"A volume has axes [slice, row, column]; got {self.array.ndim} axes.")
        if self.affine.shape != (4, 4):
            raise ValueError("The affine of a volume is 4 x 4.")
        if self.noise_std is not None and self.noise_std.shape != self.array.shape:
            raise ValueError("The noise map has another shape than the image.")

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance of neighbouring voxel centres along (slice, row, column), mm."""
        steps = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(steps[0]), float(steps[1]), float(steps[2])

    def direction(self, axis: int) -> FloatArray:
        """Unit vector `[x, y, z]` (LPS) of increasing index along `axis` (0 slice, 1 row, 2 column)."""
        step = self.affine[:3, axis]
        return np.asarray(step / np.linalg.norm(step), dtype=np.float64)

    def position_mm(self, index: tuple[float, float, float]) -> FloatArray:
        """LPS position `[x, y, z]` in mm of the voxel centre at (slice, row, column)."""
        return np.asarray(self.affine @ np.array([*index, 1.0]), dtype=np.float64)[:3]

    def with_array(self, array: npt.NDArray[np.generic]) -> Volume:
        """The same place in the patient with other values (and no noise map)."""
        return replace(self, array=array, noise_std=None)

    def flipped(self, axis: int) -> Volume:
        """Index order along `axis` reversed; every voxel stays where it is in the patient."""
        length = self.array.shape[axis]
        affine = self.affine.copy()
        affine[:3, 3] += affine[:3, axis] * (length - 1)
        affine[:3, axis] *= -1
        return replace(
            self,
            array=np.flip(self.array, axis),
            affine=affine,
            noise_std=None if self.noise_std is None else np.flip(self.noise_std, axis),
        )

    def transposed(self, axes: tuple[int, int, int]) -> Volume:
        """Axes reordered as `numpy.transpose` does; every voxel stays where it is in the patient."""
        affine = self.affine.copy()
        affine[:3, :3] = self.affine[:3, list(axes)]
        return replace(
            self,
            array=np.transpose(self.array, axes),
            affine=affine,
            noise_std=None if self.noise_std is None else np.transpose(self.noise_std, axes),
        )
