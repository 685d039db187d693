"""One slice through the network and back: SNR units, phase removed, padded, turned back.

Everything between is a function of image over noise, so image and noise scaled together scale the result: exactly for
powers of two, within rounding for other factors.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from recon_worker.denoising.colour import WHITE
from recon_worker.denoising.network import NoiseNetwork
from recon_worker.denoising.phase import smooth_phase

BORDER = 8
"""Pixels reflected at each side: the network sees nothing beyond an image's end."""


@dataclass(frozen=True)
class SnrSlice:
    """A slice as the network sees it.

    Attributes
    ----------
    image
        `[2 (along the phase, across), row, column]` float32 in SNR units.
    turn
        `[row, column]` complex64: phase x noise; an image times this is in the scanner's scale again.
    """

    image: torch.Tensor
    turn: torch.Tensor

    def back(self, image: torch.Tensor) -> torch.Tensor:
        """Complex `[row, column]` in the scanner's scale from `[2, row, column]` in SNR units."""
        return torch.complex(image[0], image[1]) * self.turn


def to_snr(image: torch.Tensor, noise_std: torch.Tensor) -> SnrSlice:
    """Complex `image` and its noise map, both `[row, column]`, in SNR units with the smooth phase removed.

    `noise_std` is positive everywhere.
    """
    ratio = image / noise_std
    phase = smooth_phase(ratio)
    turned = ratio * phase.conj()
    return SnrSlice(torch.stack([turned.real, turned.imag]), phase * noise_std)


def predict(
    network: NoiseNetwork,
    image: torch.Tensor,
    *,
    colour: tuple[float, float] = WHITE,
    suppression: float = 0.0,
    flips: bool = False,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise and correction, `[batch, 2, row, column]` each, of `image` (same shape) in SNR units.

    `flips`: the mean over the four mirrored versions, four times the work.
    """
    rows, columns = image.shape[-2:]
    multiple = network.architecture.multiple
    below = -(rows + 2 * BORDER) % multiple
    right = -(columns + 2 * BORDER) % multiple
    padding = (BORDER, BORDER + right, BORDER, BORDER + below)
    mode = "reflect" if min(rows, columns) > BORDER + multiple else "replicate"
    padded = functional.pad(image, padding, mode=mode).contiguous(memory_format=torch.channels_last)
    conditions = torch.tensor([[1.0, *colour, suppression]], device=image.device).expand(len(image), -1)
    noise, correction = torch.zeros_like(padded), torch.zeros_like(padded)
    axes: list[list[int]] = [[], [2], [3], [2, 3]] if flips else [[]]
    for flipped in axes:
        one_noise, one_correction = network(padded.flip(flipped) if flipped else padded, conditions)
        noise += one_noise.flip(flipped) if flipped else one_noise
        correction += one_correction.flip(flipped) if flipped else one_correction
    inner = (..., slice(BORDER, BORDER + rows), slice(BORDER, BORDER + columns))
    return noise[inner] / len(axes), correction[inner] / len(axes)
