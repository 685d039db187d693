"""Homodyne detection: partial Fourier by weights in k-space and the real part along the image's phase.

Source: Noll, Nishimura, Macovski, IEEE Trans. Med. Imaging 10:154 (1991). The acquired lines without partner count
twice, those on both sides rise from none to twice (a ramp, so that the step causes no ringing), the phase of the
low-resolution image is taken off and the part along it is kept. Linear for a given phase, in one step.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from recon_worker.reconstruction.averaging import Coverage
from recon_worker.reconstruction.fourier import to_image, to_kspace


def homodyne_weights(coverage: Coverage) -> npt.NDArray[np.float64]:
    """`[ky]`: 0 where nothing was acquired, a ramp over the lines on both sides of the centre, 2 beyond.

    Any line and its mirrored one sum to 2. The line at -n/2 is its own mirror image and counts once.
    """
    steps = np.arange(len(coverage.counts))
    upper = coverage.last - coverage.centre > coverage.centre - coverage.first
    towards = (steps - coverage.centre) * (1 if upper else -1)
    weights = 1 + np.clip(towards / (coverage.symmetric + 1), -1, 1)
    weights[2 * coverage.centre - steps >= len(steps)] = 1.0
    weights[(steps < coverage.first) | (steps > coverage.last)] = 0.0
    return weights


def homodyne(image: torch.Tensor, phase: torch.Tensor, coverage: Coverage) -> torch.Tensor:
    """Complex image `[row, column]`: the part along `phase` (unit factors `[row, column]`) of the weighted image.

    `image` is the zero-filled combined image. The result keeps the phase it was detected with.
    """
    weights = torch.from_numpy(homodyne_weights(coverage)).to(image.device, image.real.dtype)
    weighted = to_image(to_kspace(image, 0) * weights[:, None], 0)
    return (weighted * phase.conj()).real * phase
