"""Brightness: one gain per acquisition, one surface-coil correction for all arms, one scale to stored pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from recon_worker.data import InputFault, Volume

FloatVolume = npt.NDArray[np.float32]

GAIN_RESOLUTION_MM = 8.0
"""Full width at half maximum of the low-pass before two acquisitions are compared."""
SIGNAL_PART = 0.15
"""Of the low-passed 99th percentile: below this a pixel is no tissue for the gain."""
STORED_PERCENTILE = 99.9
STORED_REFERENCE = 3500
STORED_MAXIMUM = 4095
FIELD_DETAIL_MM = 20.0
"""Length that one further polynomial order of the surface-coil field stands for: the fat in front of a loop feels the
width of its wire. With 60 mm it stayed bright in some axial stacks and took the white from all other slices."""
LARGEST_ORDER = 10
PRICE_OF_ORDER = 1e-5
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

    The logarithm of the tissue's brightness is fitted by a product of Legendre polynomials, over all slices at once,
    with weights that leave out air and pixels far from the fit (robust least squares): coil shading is smooth and
    multiplies, tissue contrast is neither.
    """
    magnitude = low_passed_magnitude(reference, 4.0)
    level = float(np.percentile(magnitude, 99))
    if not level > 0:
        raise InputFault("The reference image holds no signal.", "Check the raw data of this sequence.")
    noise = 0.0 if reference.noise_std is None else reference.noise_std
    tissue = (magnitude > 0.02 * level) & (magnitude > 2.0 * noise)
    if tissue.sum() < 100:
        return np.ones(magnitude.shape, dtype=np.float32)
    bases = [_polynomials(n, spacing) for n, spacing in zip(magnitude.shape, reference.spacing_mm, strict=True)]
    log = np.log(np.maximum(magnitude, 1e-6 * level)).astype(np.float64)
    weights = tissue.astype(np.float64)
    field = np.full(magnitude.shape, float(np.median(log[tissue])))
    for _ in range(12):
        field = _fit(log, weights, bases)
        residual = log - field
        spread = 1.4826 * float(np.median(np.abs(residual[tissue] - np.median(residual[tissue])))) + 1e-3
        # Tukey's biweight: bright fat and fluid, dark bone and vessels do not pull the field.
        weights = tissue * np.clip(1 - (residual / (3.0 * spread)) ** 2, 0, None) ** 2
    middle = float(np.median(field[tissue]))
    bound = np.log(LARGEST_CORRECTION)
    low, high = (float(value) for value in np.percentile(field[tissue], [0.5, 99.5]))
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


def _polynomials(length: int, spacing_mm: float) -> npt.NDArray[np.float64]:
    """Legendre basis `[voxel, order]` along one axis, of an order that its length allows."""
    orders = 0 if length == 1 else min(LARGEST_ORDER, 1 + int(length * spacing_mm / FIELD_DETAIL_MM))
    place = (2 * np.arange(length) + 1) / length - 1
    return np.asarray(np.polynomial.legendre.legvander(place, orders), dtype=np.float64)


def _fit(
    log: npt.NDArray[np.float64], weights: npt.NDArray[np.float64], bases: list[npt.NDArray[np.float64]]
) -> npt.NDArray[np.float64]:
    """Weighted least squares of `log` by the product basis, with a small price on high orders."""
    first, second, third = bases
    orders = (first.shape[1], second.shape[1], third.shape[1])
    size = int(np.prod(orders))
    pairs = [np.einsum("ij,ik->ijk", basis, basis).reshape(len(basis), -1) for basis in bases]
    normal = np.einsum("xyz,xa,yb,zc->abc", weights, *pairs, optimize=True)
    shape = [count for order in orders for count in (order, order)]
    matrix = normal.reshape(shape).transpose(0, 2, 4, 1, 3, 5).reshape(size, size)
    right = np.einsum("xyz,xa,yb,zc->abc", weights * log, first, second, third, optimize=True).ravel()
    squared = sum(np.meshgrid(*[np.arange(order) ** 2.0 for order in orders], indexing="ij"))
    price = PRICE_OF_ORDER * weights.sum() * np.asarray(squared).ravel() ** 2
    coefficients = np.linalg.solve(matrix + np.diag(price + 1e-9 * weights.sum()), right).reshape(orders)
    return np.asarray(np.einsum("abc,xa,yb,zc->xyz", coefficients, first, second, third, optimize=True))
