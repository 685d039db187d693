"""Noise map of chains that are not linear, from pseudo-replicas.

Source: Robson et al., MRM 60:895 (2008). The chain is run again on the same object with fresh noise; the spread of the
results is the noise. Few replicas tell the spread of a single pixel badly (eight to a fifth), so the variance is
averaged over neighbours: noise changes slowly from pixel to pixel, but for the edges that a network follows anyway.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from recon_worker.reconstruction.coils import window
from recon_worker.reconstruction.fourier import to_kspace

REPLICAS = 8
SMOOTHING_PIXELS = 2
"""Half width of the Hann window over which noise levels are averaged: about 16 pixels count."""


def parameters() -> dict[str, Any]:
    """Constants of the noise map, for the lineage."""
    return {
        "replicas": REPLICAS,
        "seed_of_replicas": "index of the slice, from 0",
        "variance_smoothed_over_pixels": SMOOTHING_PIXELS,
    }


@dataclass(frozen=True)
class ReplicaNoise:
    """What replicas tell of the noise.

    Attributes
    ----------
    noise_std
        float32 `[row, column]` per real or imaginary part, root mean square over the complex plane.
    noise_along_phase
        The same along the image's phase.
    line_noise
        Two of `[ky]`: variance by phase-encode step, of the complex image and of the part along its phase.
    """

    noise_std: torch.Tensor
    noise_along_phase: torch.Tensor
    line_noise: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


def noise_of_replicas(replicas: torch.Tensor) -> ReplicaNoise:
    """Noise of images `[replica, row, column]`, complex64, rows along phase encoding."""
    count = replicas.shape[0]
    mean = replicas.mean(dim=0)
    phase = mean / mean.abs().clamp(min=torch.finfo(mean.real.dtype).tiny)
    turned = (replicas - mean) * phase.conj()
    unbiased = count / (count - 1)
    along = turned.real.square().mean(dim=0) * unbiased
    across = turned.imag.square().mean(dim=0) * unbiased
    complex_lines = to_kspace(replicas - mean, 1).abs().square().mean(dim=(0, 2)) * (unbiased / 2)
    real_lines = to_kspace(turned.real.to(turned.dtype), 1).abs().square().mean(dim=(0, 2)) * unbiased
    return ReplicaNoise(
        _level((along + across) / 2, 2 * (count - 1)),
        _level(along, count - 1),
        (complex_lines.double().cpu().numpy(), real_lines.double().cpu().numpy()),
    )


def _level(variance: torch.Tensor, freedom: int) -> torch.Tensor:
    """`[row, column]` standard deviation from variances of `freedom` degrees each, averaged over neighbours.

    The logarithms are averaged, by a separable Hann window (at the rim over the neighbours there are), and what the
    logarithm of a chi-squared mean falls short by is added: a plain mean of variances follows the noisiest of the
    neighbours, which along edges have several times the noise of the tissue beside them.
    """
    weights = window(2 * SMOOTHING_PIXELS + 1, SMOOTHING_PIXELS, SMOOTHING_PIXELS + 1, device=variance.device)
    kernel = (weights[:, None] * weights[None, :])[None, None]
    logarithm = variance.clamp(min=torch.finfo(variance.dtype).tiny).log()
    stacked = torch.stack([logarithm, torch.ones_like(logarithm)])[:, None]
    summed = torch.nn.functional.conv2d(stacked, kernel, padding=SMOOTHING_PIXELS)[:, 0]
    half = torch.tensor(freedom / 2, dtype=torch.float64)
    shortfall = float(torch.digamma(half) - half.log())
    return ((summed[0] / summed[1] - shortfall) / 2).exp()
