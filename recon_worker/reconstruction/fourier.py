"""Centred, orthonormal Fourier transforms: a unit of noise per sample stays a unit of noise per pixel.

Convention: the image is the inverse transform of k-space, the centre of either lies at index `n // 2`.
"""

from __future__ import annotations

import torch


def to_image(kspace: torch.Tensor, axis: int) -> torch.Tensor:
    """Inverse centred orthonormal DFT along `axis`; shapes as given."""
    shifted = torch.fft.ifftshift(kspace, dim=axis)
    return torch.fft.fftshift(torch.fft.ifft(shifted, dim=axis, norm="ortho"), dim=axis)


def to_kspace(image: torch.Tensor, axis: int) -> torch.Tensor:
    """Centred orthonormal DFT along `axis`; shapes as given."""
    shifted = torch.fft.ifftshift(image, dim=axis)
    return torch.fft.fftshift(torch.fft.fft(shifted, dim=axis, norm="ortho"), dim=axis)


def crop_centre(array: torch.Tensor, axis: int, length: int) -> torch.Tensor:
    """The middle `length` entries along `axis`; index `n // 2` becomes index `length // 2`."""
    start = array.shape[axis] // 2 - length // 2
    return array.narrow(axis, start, length)
