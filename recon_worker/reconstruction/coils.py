"""Coil sensitivity maps from a calibration block, and the matched-filter combination.

Maps: low-resolution coil images (windowed centre of k-space) divided by their root sum of squares. Combination: the
matched filter of Roemer et al., MRM 16:192 (1990), on whitened channels, where it is the sum of conj(map) x image.
As the maps have unit norm in every pixel, unit noise in the channels is unit noise in the combined image.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from recon_worker.reconstruction.fourier import centred, crop_centre, image_not_centred, to_image, to_kspace

CALIBRATION_STEPS = 32
"""Phase-encode steps of the calibration block, where as many were acquired on both sides of the centre."""

COARSER = 4
"""How much smaller the block is that gives the maps where there is no signal."""
TRUST_IN_NOISE = 10.0
"""Signal power, in units of the noise's, at which the two maps weigh alike."""

BLOCK_BYTES = 3 * 2**18
"""Coil images that are weighted and combined at once."""


def parameters() -> dict[str, Any]:
    """Constants of the maps, for the lineage."""
    return {
        "window": "Hann",
        "most_calibration_steps": CALIBRATION_STEPS + 1,
        "coarser_in_air": COARSER,
        "trust_in_noise": TRUST_IN_NOISE,
    }


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

    The whole of `calibration_maps`, which says what the parameters are, from `hybrid` `[channel, ky, column]`: readout
    already transformed, best with its oversampling. A body that is cut off by the image's ends is then low-passed with
    what lies beyond, not with what lies at the other end.
    """
    first = max(ky_centre - half_width_steps, first_line)
    block = hybrid[:, first - first_line : ky_centre + half_width_steps + 1 - first_line].contiguous()
    return calibration_maps(
        to_kspace(block, 2),
        ky_centre=ky_centre,
        half_width_steps=half_width_steps,
        half_width_samples=half_width_samples,
        first_line=first,
        rows=rows or hybrid.shape[1],
        columns=columns or hybrid.shape[2],
    ).whole()


def calibration_maps(
    block: torch.Tensor,
    *,
    ky_centre: int,
    half_width_steps: int,
    half_width_samples: float,
    first_line: int,
    rows: int,
    columns: int,
) -> CalibrationMaps:
    """Coil maps of the windowed centre of k-space, to be had some columns at a time.

    Where the low-resolution coil images hold no more than noise (air), maps made of that very noise would add it up in
    phase, and air would come out brighter than its noise. There a quarter of the block takes over, softly.

    Parameters
    ----------
    block
        `[channel, ky, kx]` whitened to unit noise per part: k-space around its centre.
    ky_centre
        Step of the centre of k-space.
    half_width_steps, half_width_samples
        Where the window reaches zero along phase encoding and readout, in k-space samples of `block`.
    first_line, rows
        Step of the first line of `block`, and number of steps of the full grid.
    columns
        Number of columns of the maps, cut from the middle of as many as `block` has samples.
    """
    grid = _Grid(first_line, rows, columns)
    return CalibrationMaps(
        _low_resolution(block, ky_centre, half_width_steps, half_width_samples, grid),
        _low_resolution(
            block, ky_centre, max(1, half_width_steps // COARSER), max(1.0, half_width_samples / COARSER), grid
        ),
    )


@dataclass(frozen=True)
class CalibrationMaps:
    """Maps that are computed where they are needed: all of them are as large as the coil images."""

    low: _LowResolution
    coarse: _LowResolution

    def of_columns(self, first: int, last: int) -> torch.Tensor:
        """`[channel, column, row]` of the columns from `first` up to `last`, which is left out."""
        maps, coarse = self.low.images(first, last), self.coarse.images(first, last)
        signal = (_power(maps) - self.low.noise).clamp(min=0)
        trust = signal / (signal + TRUST_IN_NOISE * self.low.noise)
        parts, others = torch.view_as_real(maps), torch.view_as_real(coarse)
        torch.lerp(others, parts, torch.stack([trust, trust], dim=-1), out=parts)
        norm = _power(maps).sqrt().clamp(min=torch.finfo(trust.dtype).tiny)
        parts.mul_(torch.stack([1 / norm, 1 / norm], dim=-1))
        return maps

    def from_middle_row(self) -> CalibrationMaps:
        """The same with rows in the order of `image_not_centred`."""
        return CalibrationMaps(
            *(replace(each, harmonics=torch.fft.ifftshift(each.harmonics, dim=1)) for each in (self.low, self.coarse))
        )

    def whole(self) -> torch.Tensor:
        """`[channel, row, column]`, rows innermost in memory."""
        channels, columns, _ = self.low.lines.shape
        rows = self.low.harmonics.shape[1]
        maps = self.low.lines.new_empty((channels, columns, rows))
        for first, last in column_blocks(maps):
            maps[:, first:last] = self.of_columns(first, last)
        return maps.transpose(1, 2)


def column_blocks(images: torch.Tensor) -> Iterator[tuple[int, int]]:
    """First and last + 1 of the columns of `images` `[channel, column, row]` that are computed at once: few enough to
    stay in a processor's cache; all of them on another device."""
    channels, columns, rows = images.shape
    size = channels * rows * images.element_size()
    step = columns if images.device.type != "cpu" else max(1, BLOCK_BYTES // size)
    for first in range(0, columns, step):
        yield first, min(first + step, columns)


def _power(images: torch.Tensor) -> torch.Tensor:
    """`[column, row]` sum of squares over channels."""
    parts = torch.view_as_real(images)
    total = parts[0].square()
    for part in parts[1:]:
        total.addcmul_(part, part)
    return total.sum(dim=-1)


@dataclass(frozen=True)
class _Grid:
    """Step of the first line at hand, and the size of the maps."""

    first_line: int
    rows: int
    columns: int


@dataclass(frozen=True)
class _LowResolution:
    """Coil images of the windowed centre of k-space: `lines` `[channel, column, line]`, low-passed along the readout,
    times `harmonics` `[line, row]`; `noise` is the mean power of their noise, summed over channels."""

    lines: torch.Tensor
    harmonics: torch.Tensor
    noise: float

    def images(self, first: int, last: int) -> torch.Tensor:
        """`[channel, column, row]`."""
        some = self.lines[:, first:last]
        return torch.matmul(some.reshape(-1, some.shape[2]), self.harmonics).view(*some.shape[:2], -1)


def _low_resolution(
    block: torch.Tensor, ky_centre: int, steps: int, samples: float, grid: _Grid
) -> _LowResolution:
    channels, _, wide = block.shape
    rows, columns = grid.rows, grid.columns
    along_phase = window(rows, ky_centre, steps + 1, device=block.device)
    along_read = window(wide, wide // 2, samples + 1, device=block.device)
    reach = int(min(steps, ky_centre, rows - 1 - ky_centre))
    first, last = ky_centre - reach, ky_centre + reach
    # Only the few lines of the block are low-passed along the readout, and transformed along phase encoding as a
    # matrix product of them alone.
    some = block[:, first - grid.first_line : last + 1 - grid.first_line]
    lines = crop_centre(to_image(some * along_read, 2), 2, columns)
    harmonics = to_image(torch.diag(along_phase).to(block.dtype)[first : last + 1], 1)
    noise = 2 * channels * float(along_phase.square().mean() * along_read.square().mean())
    return _LowResolution(lines.transpose(1, 2).contiguous(), harmonics, noise)


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


def combine_columns(hybrid: torch.Tensor, whitening: torch.Tensor, maps: CalibrationMaps) -> torch.Tensor:
    """What `combine` makes of all of it, a few columns at a time: `[row, column]` from `hybrid` `[coil, ky, column]` as
    measured, ky innermost in memory, whitened by `whitening` `[channel, coil]`."""
    inner = hybrid.transpose(1, 2)
    coils, columns, steps = inner.shape
    image = torch.empty((columns, steps), dtype=hybrid.dtype, device=hybrid.device)
    from_middle = maps.from_middle_row()
    for first, last in column_blocks(inner):
        white = torch.matmul(whitening, inner[:, first:last].reshape(coils, -1)).view(-1, last - first, steps)
        image[first:last] = combine(image_not_centred(white, 2), from_middle.of_columns(first, last))
    return centred(image, 1).T
