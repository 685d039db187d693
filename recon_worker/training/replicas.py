"""One clean slice scanned again and again with fresh noise: what every noise measure is taken from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch

from recon_worker.denoising.colour import LineNoise
from recon_worker.reconstruction.fourier import to_image, to_kspace
from recon_worker.reconstruction.partial_fourier import fill_partial_fourier, noise_along_phase, noise_level
from recon_worker.training.degradation import one_sided

Complex = npt.NDArray[np.complex64]
Image = npt.NDArray[np.float32]


def smooth_random_phase(shape: tuple[int, int], rng: np.random.Generator) -> Complex:
    """Unit phase factor `[row, column]`: a random plane and a saddle of a few radians."""
    y, x = np.meshgrid(np.linspace(-0.5, 0.5, shape[0]), np.linspace(-0.5, 0.5, shape[1]), indexing="ij")
    angle = rng.uniform(0, 2 * np.pi) + 2 * (rng.normal() * x + rng.normal() * y) + 1.5 * rng.normal() * x * y
    return np.asarray(np.exp(1j * angle), dtype=np.complex64)


@dataclass(frozen=True)
class Scene:
    """A real clean slice `[row, column]` with its phase, to be scanned with noise `sigma` per real or imaginary part.

    `part` of the phase-encode lines (rows) is acquired; less than 1 is partial Fourier, filled in as the chain does.
    `averages` divides the noise's variance.
    """

    truth: Image
    phase: Complex
    sigma: float
    part: float = 1.0
    averages: int = 1

    @property
    def line_noise(self) -> LineNoise:
        """The noise's colour."""
        if self.part >= 1:
            return LineNoise()
        covered = one_sided(self.truth.shape[0], self.part)
        return LineNoise(1 - self.part, noise_along_phase(covered) / noise_level(covered))

    @property
    def noise_std(self) -> float:
        """Per real or imaginary part of a pixel, root mean square of both."""
        level = 1.0 if self.part >= 1 else noise_level(one_sided(self.truth.shape[0], self.part))
        return float(self.sigma / np.sqrt(self.averages) * level)

    def draw(self, rng: np.random.Generator) -> Complex:
        """One noisy complex image."""
        noise = rng.standard_normal((*self.truth.shape, 2), dtype=np.float32)
        scale = np.float32(self.sigma / np.sqrt(self.averages))
        return self._reconstructed(self.truth * self.phase + scale * noise.view(np.complex64)[..., 0])

    @cached_property
    def noiseless(self) -> Complex:
        """What the chain makes of it without noise."""
        return self._reconstructed(self.truth * self.phase)

    def _reconstructed(self, image: npt.NDArray[np.complexfloating]) -> Complex:
        if self.part >= 1:
            return np.asarray(image, dtype=np.complex64)
        covered = one_sided(self.truth.shape[0], self.part)
        lines = to_kspace(torch.from_numpy(np.asarray(image, dtype=np.complex64)), 0)
        lines[: covered.first] = 0
        return np.asarray(fill_partial_fourier(to_image(lines, 0), covered).numpy())
