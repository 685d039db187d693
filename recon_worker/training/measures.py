"""Measures of a denoised image against truth, all through the denoiser's public door."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity

from recon_worker.data import Volume
from recon_worker.denoising.denoise import Denoised, denoise
from recon_worker.training.replicas import Image, Scene

Mask = npt.NDArray[np.bool_]
FLAT_SHARE = 50
STRUCTURED_SHARE = 75


def volume_of(slices: npt.NDArray[np.complexfloating], noise_std: float) -> Volume:
    """Images `[slice, row, column]` with uniform noise as a volume of unit voxels."""
    array = np.asarray(slices, dtype=np.complex64)
    return Volume(array, np.eye(4), 1.0, np.full(array.shape, noise_std, dtype=np.float32))


def denoised_draws(
    scene: Scene, factors: list[float], draws: int, rng: np.random.Generator, *, sharpening: bool = False
) -> tuple[npt.NDArray[np.complex64], Denoised]:
    """`draws` noisy images of `scene` `[draw, row, column]` and what the denoiser makes of them."""
    noisy = np.stack([scene.draw(rng) for _ in range(draws)])
    result = denoise(volume_of(noisy, scene.noise_std), factors, line_noise=scene.line_noise, sharpening=sharpening)
    return noisy, result


@dataclass(frozen=True)
class Regions:
    """Where to measure `[row, column]`: tissue, its flat half, its steepest quarter."""

    tissue: Mask
    flat: Mask
    structured: Mask


def regions(truth: Image) -> Regions:
    """Regions of a clean image whose 99th percentile is about 1."""
    tissue = gaussian_filter(truth, 1.0) > 0.1
    rows, columns = np.gradient(gaussian_filter(truth, 0.7))
    steep = gaussian_filter(np.hypot(rows, columns), 1.0)
    if not tissue.any():
        tissue = np.ones_like(tissue)
    low, high = np.percentile(steep[tissue], [FLAT_SHARE, STRUCTURED_SHARE])
    return Regions(tissue, tissue & (steep <= low), tissue & (steep >= high))


def noise_left(noisy: npt.NDArray[Any], result: npt.NDArray[Any], scene: Scene, mask: Mask) -> tuple[float, float]:
    """Standard deviation over draws, after over before, in `mask`: of the complex image, and along its phase."""
    before, after = noisy * scene.phase.conj(), result * scene.phase.conj()

    def spread(images: npt.NDArray[np.floating]) -> float:
        return float(images.var(axis=0, ddof=1)[mask].sum())

    along = np.sqrt(spread(after.real) / spread(before.real))
    whole = np.sqrt((spread(after.real) + spread(after.imag)) / (spread(before.real) + spread(before.imag)))
    return float(whole), float(along)


def signal_to_noise(image: Image, truth: Image, mask: Mask) -> float:
    """Peak signal-to-noise ratio in `mask`, dB; the peak is the truth's 99.5th percentile."""
    peak = float(np.percentile(truth, 99.5))
    return float(10 * np.log10(peak**2 / np.mean((image - truth)[mask] ** 2)))


def similarity(image: Image, truth: Image, mask: Mask) -> float:
    """Mean structural similarity in `mask` (Wang 2004: Gaussian windows, 1.5 pixels)."""
    peak = float(np.percentile(truth, 99.5))
    _, full = structural_similarity(
        truth, image, data_range=peak, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    return float(full[mask].mean())


def edge_width(profile: npt.NDArray[np.floating]) -> float:
    """Distance between 10 and 90 % of a rising edge, in samples, by linear interpolation between plateaus.

    The plateaus are the medians of the outer quarters.
    """
    quarter = len(profile) // 4
    low, high = float(np.median(profile[:quarter])), float(np.median(profile[-quarter:]))
    scaled = (profile - low) / (high - low)
    middle = int(np.argmin(np.abs(scaled[quarter:-quarter] - 0.5))) + quarter

    def crossing(level: float, step: int) -> float:
        index = middle
        while 0 < index < len(scaled) - 1 and (scaled[index] - level) * -step > 0:
            index += step
        near, far = scaled[index], scaled[index - step]
        part = (level - near) / (far - near) if far != near else 0.0
        return float(index - step * part)

    return crossing(0.9, 1) - crossing(0.1, -1)


def overshoot(profile: npt.NDArray[np.floating]) -> float:
    """Largest excess over the upper plateau (the median of the last quarter), as part of the step."""
    quarter = len(profile) // 4
    low, high = float(np.median(profile[:quarter])), float(np.median(profile[-quarter:]))
    return float((profile.max() - high) / (high - low))
