"""Fewer, virtual coils: the directions of coil space that hold most of the signal.

Source: Buehrer et al., MRM 57:1131 (2007); Huang et al., Magn. Reson. Imaging 26:133 (2008) (principal components). On
whitened channels the virtual coils are an orthonormal choice of directions, so their noise stays white with unit
variance. Each slice has its own virtual coils, from its own calibration block: slices see different coils, and nothing
after this step joins slices.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Compression:
    """Virtual coils of one slice.

    Attributes
    ----------
    matrix
        complex64 `[virtual coil, channel]` with orthonormal rows.
    energy_kept
        Part of the calibration block's signal energy (the noise's own energy taken off) that they hold, 0 to 1.
    """

    matrix: torch.Tensor
    energy_kept: float


def centre_of_readout(lines: torch.Tensor, samples: float) -> torch.Tensor:
    """`[channel, line, kx]`: of `lines` `[channel, line, kx]` what lies within `samples` of the readout's centre."""
    length = lines.shape[2]
    half = max(1, min(int(samples), length // 2 - 1))
    return lines[:, :, length // 2 - half : length // 2 + half + 1]


def compression(block: torch.Tensor, virtual_coils: int) -> Compression:
    """The first principal components of a whitened `block` `[channel, ky, kx]`; all where there are not more."""
    channels = block.shape[0]
    samples = block.flatten(1)
    covariance = (samples @ samples.conj().T).to(torch.complex128) / samples.shape[1]
    values, vectors = torch.linalg.eigh(covariance)
    # Unit variance per part: noise has power 2 in every direction (less where lines were averaged).
    signal = (values - 2).clamp(min=0)
    chosen = min(virtual_coils, channels)
    total = float(signal.sum())
    kept = float(signal[channels - chosen :].sum()) / total if total > 0 else 1.0
    matrix = vectors[:, channels - chosen :].flip(1).conj().T
    return Compression(matrix.to(block.dtype).contiguous(), kept)
