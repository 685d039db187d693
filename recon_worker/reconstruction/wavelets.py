"""Orthonormal wavelets of an image, for the sparsity that compressed sensing relies on.

Source: Daubechies, Comm. Pure Appl. Math. 41:909 (1988) for the filters; Mallat, IEEE Trans. Pattern Anal. Mach.
Intell. 11:674 (1989) for the pyramid. The image is continued periodically, as the discrete Fourier transform does, so
the transform is orthonormal for every even length: white noise stays white, and its transpose is its inverse.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

LEVELS = 4
"""Octaves of the pyramid; the next coarser one holds hardly a coefficient that could be left out."""
SHORTEST = 8
"""Approximation coefficients along an axis at which the pyramid ends."""

_ROOT3 = math.sqrt(3.0)
FILTERS: dict[str, tuple[float, ...]] = {
    "Haar": (1 / math.sqrt(2.0), 1 / math.sqrt(2.0)),
    "Daubechies 4": tuple(value / (4 * math.sqrt(2.0)) for value in (1 + _ROOT3, 3 + _ROOT3, 3 - _ROOT3, 1 - _ROOT3)),
}
"""Low-pass filters by name; the number is the filter's length."""


@dataclass(frozen=True)
class Pyramid:
    """Coefficients of an image.

    Attributes
    ----------
    approximation
        `[..., row, column]` at the coarsest octave.
    details
        From the finest octave to the coarsest: `[..., 3, row, column]`, the three being high-pass along columns, along
        rows, along both.
    """

    approximation: torch.Tensor
    details: tuple[torch.Tensor, ...]


def octaves(rows: int, columns: int, most: int = LEVELS) -> int:
    """How often both lengths can be halved without a remainder, with `SHORTEST` coefficients left."""
    found = 0
    while found < most and not rows % 2 and not columns % 2 and min(rows, columns) >= 2 * SHORTEST:
        rows, columns, found = rows // 2, columns // 2, found + 1
    return found


def padded(length: int, most: int = LEVELS) -> int:
    """The smallest length from `length` on that can be halved `most` times, or as often as `SHORTEST` allows."""
    halvings = 0
    while halvings < most and length >= SHORTEST * 2 ** (halvings + 1):
        halvings += 1
    unit: int = 2**halvings
    return -(-length // unit) * unit


def decompose(image: torch.Tensor, wavelet: str, levels: int) -> Pyramid:
    """Coefficients of `image` `[..., row, column]`, real or complex; both lengths divisible by 2 ** levels."""
    low, high = _filters(wavelet)
    details = []
    for _ in range(levels):
        smooth, rough = _split(image, -1, low, high)
        image, across = _split(smooth, -2, low, high)
        along, both = _split(rough, -2, low, high)
        details.append(torch.stack([along, across, both], dim=-3))
    return Pyramid(image, tuple(details))


def compose(pyramid: Pyramid, wavelet: str) -> torch.Tensor:
    """The image `[..., row, column]` with these coefficients."""
    low, high = _filters(wavelet)
    image = pyramid.approximation
    for detail in reversed(pyramid.details):
        along, across, both = detail.unbind(dim=-3)
        smooth = _merge(image, across, -2, low, high)
        rough = _merge(along, both, -2, low, high)
        image = _merge(smooth, rough, -1, low, high)
    return image


def shrink(pyramid: Pyramid, threshold: float) -> Pyramid:
    """Details made shorter by `threshold`, their phase kept (the proximal map of the sum of magnitudes).

    The approximation is left as it is: it is not sparse, and shortening it would only darken the image.
    """
    return Pyramid(pyramid.approximation, tuple(_shrunk(detail, threshold) for detail in pyramid.details))


def _shrunk(detail: torch.Tensor, threshold: float) -> torch.Tensor:
    magnitude = detail.abs().clamp_(min=torch.finfo(detail.real.dtype).tiny)
    return detail * (1 - threshold / magnitude).clamp_(min=0)


def _filters(wavelet: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    low = FILTERS[wavelet]
    high = tuple((-1) ** tap * value for tap, value in enumerate(reversed(low)))
    return low, high


def _split(
    signal: torch.Tensor, axis: int, low: tuple[float, ...], high: tuple[float, ...]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Low-pass and high-pass half along `axis`: entry n is the sum over taps k of filter[k] x signal[2 n + k]."""
    phases = _every_second(signal, axis, 0), _every_second(signal, axis, 1)
    smooth, rough = torch.zeros_like(phases[0]), torch.zeros_like(phases[0])
    for tap, (passed, stopped) in enumerate(zip(low, high, strict=True)):
        part = phases[tap % 2] if tap < 2 else phases[tap % 2].roll(-(tap // 2), dims=axis)
        smooth.add_(part, alpha=passed)
        rough.add_(part, alpha=stopped)
    return smooth, rough


def _merge(
    smooth: torch.Tensor, rough: torch.Tensor, axis: int, low: tuple[float, ...], high: tuple[float, ...]
) -> torch.Tensor:
    """The transpose of `_split`."""
    phases = [torch.zeros_like(smooth), torch.zeros_like(smooth)]
    for tap, (passed, stopped) in enumerate(zip(low, high, strict=True)):
        part = smooth * passed
        part.add_(rough, alpha=stopped)
        phases[tap % 2].add_(part if tap < 2 else part.roll(tap // 2, dims=axis))
    place = smooth.ndim + axis
    shape = list(smooth.shape)
    shape[place] *= 2
    return torch.stack(phases, dim=place + 1).reshape(shape)


def _every_second(signal: torch.Tensor, axis: int, first: int) -> torch.Tensor:
    return signal[..., first::2] if axis == -1 else signal[..., first::2, :]
