"""The object's smooth phase: removed before the network, returned after it.

The object is then almost real, and what is left in the imaginary part is mostly noise. The phase is that of the
image low-passed by a Gaussian, as the phase of partial Fourier is; the rotation is undone exactly, so an image from
which nothing is removed comes back unchanged.
"""

from __future__ import annotations

import math

import torch

SMOOTHING_PIXELS = 4.0
"""Standard deviation of the low-pass, pixels: noise falls 14 times, phase that turns within 25 pixels stays."""


def smooth_phase(image: torch.Tensor, smoothing: float = SMOOTHING_PIXELS) -> torch.Tensor:
    """Unit phase factor `[..., row, column]` of complex `image` `[..., row, column]`; 1 where there is nothing."""
    rows, columns = image.shape[-2:]
    low = torch.fft.ifft2(torch.fft.fft2(image) * _response(rows, columns, smoothing, image.device))
    size = low.abs()
    return torch.where(size > 0, low / size.clamp(min=torch.finfo(size.dtype).tiny), torch.ones_like(low))


def _response(rows: int, columns: int, smoothing: float, device: torch.device) -> torch.Tensor:
    along = torch.fft.fftfreq(rows, device=device)[:, None] ** 2 + torch.fft.fftfreq(columns, device=device) ** 2
    return torch.exp(-2 * (math.pi * smoothing) ** 2 * along)
