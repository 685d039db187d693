"""Centred, orthonormal Fourier transforms: a unit of noise per sample stays a unit of noise per pixel.

Convention: the image is the inverse transform of k-space, the centre of either lies at index `n // 2`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

CHUNK_BYTES = 3 * 2**19
"""Samples that are transformed at once: small enough to stay in a processor's cache."""


def to_image(kspace: torch.Tensor, axis: int) -> torch.Tensor:
    """Inverse centred orthonormal DFT along `axis`; shapes as given."""
    return _centred(torch.fft.ifft, kspace, axis)


def to_kspace(image: torch.Tensor, axis: int) -> torch.Tensor:
    """Centred orthonormal DFT along `axis`; shapes as given."""
    return _centred(torch.fft.fft, image, axis)


def _centred(transform: Callable[..., torch.Tensor], array: torch.Tensor, axis: int) -> torch.Tensor:
    if array.shape[axis] % 2:
        array = torch.fft.ifftshift(array, dim=axis)
    return centred(transform(array, dim=axis, norm="ortho"), axis)


def image_not_centred(kspace: torch.Tensor, axis: int) -> torch.Tensor:
    """What `centred` makes `to_image` of: rows from their middle on, the first half last, and for an even length with
    every second sign changed. For sums over channels, which need be centred only once."""
    if kspace.shape[axis] % 2:
        kspace = torch.fft.ifftshift(kspace, dim=axis)
    return torch.fft.ifft(kspace, dim=axis, norm="ortho")


def centred(raw: torch.Tensor, axis: int) -> torch.Tensor:
    """`to_image` from `image_not_centred`."""
    length = raw.shape[axis]
    if length % 2:
        return torch.fft.fftshift(raw, dim=axis)
    # A shift of the input by half an even length is a change of sign of every second entry of the output.
    half = length // 2
    signs = _alternating(half, raw.device).view([half if i == axis % raw.ndim else 1 for i in range(raw.ndim)])
    out = torch.empty_like(raw)
    torch.mul(raw.narrow(axis, 0, half), signs, out=out.narrow(axis, half, half))
    torch.mul(raw.narrow(axis, half, half), -signs if half % 2 else signs, out=out.narrow(axis, 0, half))
    return out


def _alternating(length: int, device: torch.device) -> torch.Tensor:
    return (1 - 2 * (torch.arange(length, device=device) % 2)).to(torch.float32)


def image_columns(lines: torch.Tensor, columns: int) -> torch.Tensor:
    """`[coil, ky, column]` from `[coil, ky, kx]`: the middle `columns` after the transform along the readout.

    Coil by coil, or a few at a time, so that they stay in the processor's cache; ky is innermost in memory, for the
    transform that follows along it.
    """
    coils, steps, samples = lines.shape
    out = torch.empty((coils, columns, steps), dtype=lines.dtype, device=lines.device).transpose(1, 2)
    chunk = max(1, CHUNK_BYTES // (steps * samples * lines.element_size()))
    left, right = columns // 2, columns - columns // 2
    for some, place in zip(lines.split(chunk), out.split(chunk), strict=True):
        if samples % 2:
            place.copy_(crop_centre(to_image(some, 2), 2, columns))
            continue
        # As in `to_image`, but only what is kept is shifted.
        raw = torch.fft.ifft(some, dim=2, norm="ortho")
        place[:, :, left:] = raw[:, :, :right]
        place[:, :, :left] = raw[:, :, samples - left :]
        place[:, :, (left + 1) % 2 :: 2].neg_()
    return out


def crop_centre(array: torch.Tensor, axis: int, length: int) -> torch.Tensor:
    """The middle `length` entries along `axis`; index `n // 2` becomes index `length // 2`."""
    start = array.shape[axis] // 2 - length // 2
    return array.narrow(axis, start, length)
