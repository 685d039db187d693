"""Brightness: one gain per acquisition, one surface-coil correction for all arms, one scale to stored pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from recon_worker.data import InputFault, Volume
from recon_worker.reconstruction.shading import log_shading

FloatVolume = npt.NDArray[np.float32]

GAIN_RESOLUTION_MM = 8.0
"""Full width at half maximum of the low-pass before two acquisitions are compared."""
SIGNAL_PART = 0.15
"""Of the low-passed 99th percentile: below this a pixel is no tissue for the gain."""
STORED_PERCENTILE = 99.9
STORED_REFERENCE = 3500
STORED_MAXIMUM = 4095
SHADING_RESOLUTION_MM = 4.0
"""Low-pass before the shading is looked for."""
LARGEST_CORRECTION = 8.0
"""Most that dark tissue is brightened, relative to the middle of the tissue."""
LARGEST_NOISE = 0.03
"""Where the coils see nothing, the correction ends when the noise's standard deviation is this part of white."""


def _sigma(volume: Volume, width_mm: float) -> tuple[float, float, float]:
    """Gaussian standard deviation in voxels, in the slice plane only."""
    sigma_mm = width_mm / np.sqrt(8 * np.log(2))
    return 0.0, sigma_mm / volume.spacing_mm[1], sigma_mm / volume.spacing_mm[2]


def low_passed_magnitude(volume: Volume, width_mm: float = GAIN_RESOLUTION_MM) -> FloatVolume:
    """Root of the low-passed power `[slice, row, column]`, without the noise's own power where it is known.

    The mean magnitude of a noisy pixel is too large (Rician); its power is too large by exactly twice the noise
    variance per part, which can be taken off (Gudbjartsson and Patz, MRM 34:910, 1995).
    """
    power = np.abs(volume.array).astype(np.float32) ** 2
    if volume.noise_std is not None:
        power = power - 2 * volume.noise_std**2
    smooth = ndimage.gaussian_filter(power, _sigma(volume, width_mm), mode="nearest")
    return np.sqrt(np.maximum(smooth, 0)).astype(np.float32)


def acquisition_gain(reference: Volume, other: Volume) -> float:
    """The factor by which `other` is to be multiplied to be as bright as `reference`.

    Least squares on magnitude images low-passed to about 8 mm in the slice plane, in tissue; both volumes on one grid.

    Raises
    ------
    InputFault
        If one of them holds no signal.
    ValueError
        If the grids differ.
    """
    if reference.array.shape != other.array.shape:
        raise ValueError("Gain is taken on a common grid.")
    first, second = low_passed_magnitude(reference), low_passed_magnitude(other)
    threshold = SIGNAL_PART * float(np.percentile(first, 99))
    tissue = (first > threshold) & (second > 0)
    denominator = float(np.sum(second[tissue].astype(np.float64) ** 2))
    if threshold <= 0 or denominator <= 0:
        raise InputFault("One of the acquisitions holds no signal.", "Check the raw data of this sequence.")
    return float(np.sum(first[tissue].astype(np.float64) * second[tissue]) / denominator)


def stored_scale(reference_magnitude: npt.NDArray[np.floating]) -> float:
    """Factor from magnitude to stored pixels: the 99.9th percentile of the reference arm becomes 3500.

    Raises
    ------
    InputFault
        If the image holds no signal.
    """
    level = float(np.percentile(reference_magnitude, STORED_PERCENTILE))
    if not level > 0:
        raise InputFault("The reference image holds no signal.", "Check the raw data of this sequence.")
    return STORED_REFERENCE / level


def stored_pixels(magnitude: npt.NDArray[np.floating], scale: float) -> npt.NDArray[np.uint16]:
    """uint16 pixels, 12 bits stored: scaled, rounded once, clipped to 0 ... 4095; shape as given."""
    return np.clip(np.rint(magnitude * np.float64(scale)), 0, STORED_MAXIMUM).astype(np.uint16)


def intensity_map(reference: Volume) -> FloatVolume:
    """Surface-coil correction field `[slice, row, column]` to multiply magnitudes with; 1 in the middle of the tissue.

    Raises
    ------
    InputFault
        If the image holds no signal.
    """
    magnitude = low_passed_magnitude(reference, SHADING_RESOLUTION_MM)
    level = float(np.percentile(magnitude, 99))
    if not level > 0:
        raise InputFault("The reference image holds no signal.", "Check the raw data of this sequence.")
    noise = np.zeros(magnitude.shape) if reference.noise_std is None else reference.noise_std
    tissue = (magnitude > 0.02 * level) & (magnitude > 2.0 * noise)
    if tissue.sum() < 100:
        return np.ones(magnitude.shape, dtype=np.float32)
    # So many pixels are averaged by the low-pass.
    averaged = max(1.0, 4 * np.pi * float(np.prod(_sigma(reference, SHADING_RESOLUTION_MM)[1:])))
    relative_noise = noise / np.maximum(magnitude, 1e-6 * level) / np.sqrt(averaged)
    spacing = reference.spacing_mm
    field = log_shading(magnitude, tissue, relative_noise, (spacing[0], spacing[1], spacing[2]))
    middle = float(np.median(field[tissue]))
    bound = np.log(LARGEST_CORRECTION)
    low, high = float(np.percentile(field[tissue], 0.5)), float(field[tissue].max())
    field = np.clip(field, max(low, middle - bound), high)
    return _with_quiet_air(reference, np.exp(middle - field)).astype(np.float32)


def _with_quiet_air(reference: Volume, correction: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The correction, ending softly where it would lift the noise above `LARGEST_NOISE` of white."""
    if reference.noise_std is None or not np.any(reference.noise_std > 0):
        return correction
    magnitude = np.abs(reference.array)
    noise = np.maximum(reference.noise_std, np.finfo(np.float32).tiny).astype(np.float64)
    limited = correction
    for _ in range(4):  # white falls a little as the brightest noise does
        white = float(np.percentile(magnitude * limited, STORED_PERCENTILE))
        limited = (correction**-4 + (LARGEST_NOISE * white / noise) ** -4) ** -0.25
    return limited
