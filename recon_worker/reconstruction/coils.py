"""Coil sensitivity maps from a calibration block, and the matched-filter combination.

Maps: low-resolution coil images (windowed centre of k-space) divided by their root sum of squares. Combination: the
matched filter of Roemer et al., MRM 16:192 (1990), on whitened channels, where it is the sum of conj(map) x image.
As the maps have unit norm in every pixel, unit noise in the channels is unit noise in the combined image.
"""

from __future__ import annotations

import torch

from recon_worker.reconstruction.fourier import to_image, to_kspace

CALIBRATION_STEPS = 32
"""Phase-encode steps of the calibration block, where as many were acquired on both sides of the centre."""

COARSER = 4
"""How much smaller the block is that gives the maps where there is no signal."""
TRUST_IN_NOISE = 10.0
"""Signal power, in units of the noise's, at which the two maps weigh alike."""


def window(
    length: int, centre: int, half_width: float, *, flat: float = 0.0, device: torch.device | str = "cpu"
) -> torch.Tensor:
    """`[length]` float32 Tukey window: one up to `flat` x `half_width` from `centre`, zero from `half_width` on.

    With `flat` 0 it is the Hann window.
    """
    distance = (torch.arange(length, device=device) - centre).abs() / half_width
    slope = ((distance - flat) / (1 - flat)).clamp(0, 1)
    return 0.5 * (1 + torch.cos(torch.pi * slope))


def coil_maps(
    hybrid: torch.Tensor, *, ky_centre: int, half_width_steps: int, half_width_samples: float
) -> torch.Tensor:
    """Relative sensitivities `[channel, row, column]`, unit norm over channels in every pixel.

    Where the low-resolution coil images hold no more than noise (air), maps made of that very noise would add it up in
    phase, and air would come out brighter than its noise. There a quarter of the block takes over, softly.

    Parameters
    ----------
    hybrid
        `[channel, ky, column]` whitened to unit noise per part, readout already transformed to image columns.
    half_width_steps, half_width_samples
        Where the window reaches zero along phase encoding and readout, in k-space samples.
    """
    low, noise = _low_resolution(hybrid, ky_centre, half_width_steps, half_width_samples)
    coarse, _ = _low_resolution(
        hybrid, ky_centre, max(1, half_width_steps // COARSER), max(1.0, half_width_samples / COARSER)
    )
    power = low.abs().square().sum(dim=0, keepdim=True)
    signal = (power - noise).clamp(min=0)
    trust = signal / (signal + TRUST_IN_NOISE * noise)
    low = trust * low + (1 - trust) * coarse
    norm = low.abs().square().sum(dim=0, keepdim=True).sqrt()
    return low / norm.clamp(min=torch.finfo(norm.dtype).tiny)


def _low_resolution(
    hybrid: torch.Tensor, ky_centre: int, steps: int, samples: float
) -> tuple[torch.Tensor, float]:
    """Coil images `[channel, row, column]` of the windowed centre of k-space, and the mean power of their noise,
    summed over channels."""
    columns = hybrid.shape[2]
    along_phase = window(hybrid.shape[1], ky_centre, steps + 1, device=hybrid.device)
    along_read = window(columns, columns // 2, samples + 1, device=hybrid.device)
    reach = int(min(steps, ky_centre, hybrid.shape[1] - 1 - ky_centre))
    block = slice(ky_centre - reach, ky_centre + reach + 1)
    # Only the few lines of the block are low-passed along the readout.
    lines = to_kspace(hybrid[:, block] * along_phase[block, None], 2)
    low = torch.zeros_like(hybrid)
    low[:, block] = to_image(lines * along_read, 2)
    noise = 2 * hybrid.shape[0] * float(along_phase.square().mean() * along_read.square().mean())
    return to_image(low, 1), noise


def combine(images: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """Matched-filter combination `[row, column]` of whitened `images` `[channel, row, column]`."""
    return (maps.conj() * images).sum(dim=0)
