"""Coil sensitivity maps from a calibration block, and the matched-filter combination.

Maps: low-resolution coil images (windowed centre of k-space) divided by their root sum of squares. Combination: the
matched filter of Roemer et al., MRM 16:192 (1990), on whitened channels, where it is the sum of conj(map) x image.
As the maps have unit norm in every pixel, unit noise in the channels is unit noise in the combined image.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from recon_worker.reconstruction.fourier import crop_centre, to_image, to_kspace

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
    hybrid: torch.Tensor,
    *,
    ky_centre: int,
    half_width_steps: int,
    half_width_samples: float,
    first_line: int = 0,
    rows: int | None = None,
    columns: int | None = None,
) -> torch.Tensor:
    """Relative sensitivities `[channel, row, column]`, unit norm over channels in every pixel.

    Where the low-resolution coil images hold no more than noise (air), maps made of that very noise would add it up in
    phase, and air would come out brighter than its noise. There a quarter of the block takes over, softly.

    Parameters
    ----------
    hybrid
        `[channel, ky, column]` whitened to unit noise per part, readout already transformed. Best with the readout's
        oversampling: a body that is cut off by the image's ends is then low-passed with what lies beyond, not with
        what lies at the other end.
    ky_centre
        Step of the centre of k-space.
    half_width_steps, half_width_samples
        Where the window reaches zero along phase encoding and readout, in k-space samples of `hybrid`.
    first_line, rows
        Where `hybrid` holds only the lines around the centre: the step of its first line, and the number of steps.
    columns
        Number of columns of the maps, cut from the middle; all by default.
    """
    grid = _Grid(first_line, rows or hybrid.shape[1], columns or hybrid.shape[2])
    low, noise = _low_resolution(hybrid, ky_centre, half_width_steps, half_width_samples, grid)
    coarse, _ = _low_resolution(
        hybrid, ky_centre, max(1, half_width_steps // COARSER), max(1.0, half_width_samples / COARSER), grid
    )
    signal = (_power(low) - noise).clamp(min=0)
    trust = signal / (signal + TRUST_IN_NOISE * noise)
    # Channel by channel and in place: each stays in the processor's cache.
    parts, others = torch.view_as_real(low), torch.view_as_real(coarse)
    weights = torch.stack([trust, trust], dim=-1)
    for part, other in zip(parts, others, strict=True):
        torch.lerp(other, part, weights, out=part)
    norm = _power(low).sqrt().clamp(min=torch.finfo(trust.dtype).tiny)
    scale = torch.stack([1 / norm, 1 / norm], dim=-1)
    for part in parts:
        part.mul_(scale)
    return low


def _power(images: torch.Tensor) -> torch.Tensor:
    """`[row, column]` sum of squares over channels."""
    parts = torch.view_as_real(images)
    total = torch.zeros_like(parts[0])
    for part in parts:
        total.addcmul_(part, part)
    return total.sum(dim=-1)


@dataclass(frozen=True)
class _Grid:
    """Step of the first line at hand, and the size of the maps."""

    first_line: int
    rows: int
    columns: int


def _low_resolution(
    hybrid: torch.Tensor, ky_centre: int, steps: int, samples: float, grid: _Grid
) -> tuple[torch.Tensor, float]:
    """Coil images `[channel, row, column]` of the windowed centre of k-space, and the mean power of their noise,
    summed over channels."""
    channels, _, wide = hybrid.shape
    rows, columns = grid.rows, grid.columns
    along_phase = window(rows, ky_centre, steps + 1, device=hybrid.device)
    along_read = window(wide, wide // 2, samples + 1, device=hybrid.device)
    reach = int(min(steps, ky_centre, rows - 1 - ky_centre))
    first, last = ky_centre - reach, ky_centre + reach
    # Only the few lines of the block are low-passed along the readout, and transformed along phase encoding as a
    # matrix product of them alone.
    block = hybrid[:, first - grid.first_line : last + 1 - grid.first_line].contiguous()
    lines = crop_centre(to_image(to_kspace(block, 2) * along_read, 2), 2, columns)
    harmonics = to_image(torch.diag(along_phase).to(hybrid.dtype)[first : last + 1], 1)
    low = torch.matmul(lines.transpose(1, 2).reshape(channels * columns, -1), harmonics)
    noise = 2 * channels * float(along_phase.square().mean() * along_read.square().mean())
    return low.view(channels, columns, rows).transpose(1, 2), noise


def mix_channels(matrix: torch.Tensor, hybrid: torch.Tensor) -> torch.Tensor:
    """`matrix` `[channel, coil]` times `hybrid` `[coil, ky, column]`: `[channel, ky, column]`, in the same order in
    memory, ky innermost."""
    coils, steps, columns = hybrid.shape
    inner = hybrid.transpose(1, 2).reshape(coils, -1)
    return torch.matmul(matrix, inner).view(-1, columns, steps).transpose(1, 2)


def combine(images: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """Matched-filter combination `[row, column]` of whitened `images` `[channel, row, column]`."""
    total = torch.zeros_like(images[0])
    for one, image in zip(maps, images, strict=True):
        total.addcmul_(one.conj(), image)
    return total
