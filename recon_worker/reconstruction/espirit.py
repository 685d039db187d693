"""Coil sensitivity maps by ESPIRiT: what the calibration block's own structure says about the coils.

Source: Uecker et al., MRM 71:990 (2014). All patches of the calibration block lie in a subspace, as the coils are
smooth. The projection on it, seen in the image domain, is a small matrix between coils in every pixel; its eigenvector
with eigenvalue one is the sensitivity there, without the object's own edges in it. Where there is no signal the
eigenvalue falls below one.

Three things make it cheap. The subspace is computed on virtual coils (`coil_compression`), which hold all of the
signal but noise. Sensitivities are as smooth as the kernel is small, so the eigenvectors are computed on every fourth
pixel and interpolated. And the maps of the calibration block, which they start from, leave few iterations to do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch

from recon_worker.reconstruction.coil_compression import compression

KERNEL = 6
"""Extent of a patch, in lines and readout samples."""
SUBSPACE_THRESHOLD = 0.02
"""Singular values below this part of the largest belong to noise."""
MOST_VIRTUAL_COILS = 16
MOST_STEPS = 12
"""Lines and samples on both sides of the centre: more of them add little but time."""
GRID_STEP = 4
"""Distance of the pixels with an eigenvector of their own, in rows and columns."""
ITERATIONS = 12
SUPPORT = (0.80, 0.95)
"""Eigenvalues at which the map of the calibration block alone counts, and the eigenvector alone."""


def parameters() -> dict[str, Any]:
    """Constants of the maps, for the lineage."""
    return {
        "kernel": KERNEL,
        "subspace_threshold": SUBSPACE_THRESHOLD,
        "most_virtual_coils": MOST_VIRTUAL_COILS,
        "most_steps": MOST_STEPS,
        "grid_step": GRID_STEP,
        "iterations": ITERATIONS,
        "support_from_eigenvalue": list(SUPPORT),
    }


@dataclass(frozen=True)
class EspiritMaps:
    """Maps of one slice.

    Attributes
    ----------
    maps
        complex64 `[channel, row, column]` of unit norm over channels; the phase is that of the maps it started from.
    support
        float32 `[row, column]`: part of the eigenvector in the map, 0 (no signal) to 1.
    subspace
        Dimension of the subspace, of `virtual_coils` x `KERNEL` x `KERNEL`.
    virtual_coils
        Number that the subspace was computed with.
    """

    maps: torch.Tensor
    support: torch.Tensor
    subspace: int
    virtual_coils: int

    @property
    def part_supported(self) -> float:
        """Mean of `support`."""
        return float(self.support.mean())

    def without_pixels(self) -> EspiritMaps:
        """What is told of the maps; of the support its mean."""
        return replace(self, maps=torch.empty(0), support=torch.tensor(self.part_supported))


def espirit_maps(block: torch.Tensor, start: torch.Tensor) -> EspiritMaps:
    """Maps from a calibration block.

    Parameters
    ----------
    block
        `[channel, ky, kx]` whitened samples around the centre of k-space, at the distances of the image's grid; at
        least `KERNEL` + 1 either way.
    start
        Maps of the calibration block `[channel, row, column]`, unit norm over channels: where the iterations start,
        what counts where there is no signal, and the phase of the result (which is free in every pixel).
    """
    channels, rows, columns = start.shape
    virtual = compression(block, min(MOST_VIRTUAL_COILS, channels)).matrix
    kernels = _kernels(torch.tensordot(virtual, block, dims=1))
    gauge = torch.tensordot(virtual, start, dims=1)
    some_rows, some_columns = _grid(rows, start.device), _grid(columns, start.device)
    operators = _operators(kernels, some_rows - rows // 2, some_columns - columns // 2, rows, columns)
    vectors = gauge[:, some_rows[:, None], some_columns].flatten(1).T[:, :, None].contiguous()
    values = torch.zeros(vectors.shape[0], device=start.device)
    for _ in range(ITERATIONS):
        turned = operators @ vectors
        values = turned.abs().square().sum(dim=(1, 2)).sqrt()
        vectors = turned / values.clamp(min=torch.finfo(values.dtype).tiny)[:, None, None]
    shape = (len(some_rows), len(some_columns))
    coarse = vectors[:, :, 0].T.reshape(-1, *shape)
    found, value = _interpolated(coarse, values.reshape(shape), gauge)
    maps = torch.tensordot(virtual.conj().T.contiguous(), found, dims=1)
    least, most = SUPPORT
    support = ((value - least) / (most - least)).clamp(0, 1)
    maps = _unit(support * _unit(maps) + (1 - support) * start)
    return EspiritMaps(maps, support, kernels.shape[0], virtual.shape[0])


def _unit(maps: torch.Tensor) -> torch.Tensor:
    """`maps` `[channel, row, column]` over their norm."""
    norm = maps.abs().square().sum(dim=0, keepdim=True).sqrt()
    return maps / norm.clamp(min=torch.finfo(norm.dtype).tiny)


def _grid(length: int, device: torch.device) -> torch.Tensor:
    """Every fourth index and the last one."""
    steps = math.ceil((length - 1) / GRID_STEP)
    return (torch.arange(steps + 1, device=device) * GRID_STEP).clamp(max=length - 1)


def _kernels(block: torch.Tensor) -> torch.Tensor:
    """`[kernel, channel, ky, kx]` orthonormal basis of the subspace of patches."""
    channels = block.shape[0]
    patches = block.unfold(1, KERNEL, 1).unfold(2, KERNEL, 1)
    flat = patches.permute(0, 3, 4, 1, 2).reshape(channels * KERNEL * KERNEL, -1)
    gram = flat @ flat.conj().T
    values, vectors = torch.linalg.eigh(gram)
    signal = values > SUBSPACE_THRESHOLD**2 * values[-1]
    return vectors[:, signal].T.reshape(-1, channels, KERNEL, KERNEL)


def _operators(
    kernels: torch.Tensor, y: torch.Tensor, x: torch.Tensor, rows: int, columns: int
) -> torch.Tensor:
    """`[pixel, channel, channel]` projection on the subspace in the image domain, at rows `y` and columns `x` counted
    from the centre."""
    steps = torch.arange(KERNEL, device=kernels.device)
    turns = (2 * math.pi * place[:, None] * steps / length for place, length in ((y, rows), (x, columns)))
    along_rows, along_columns = (torch.polar(torch.ones_like(turn), turn) for turn in turns)
    count, channels = kernels.shape[:2]
    half = torch.einsum("jcyx,bx->cjyb", kernels, along_columns).reshape(channels * count, KERNEL, len(x))
    seen = torch.einsum("ay,kyb->abk", along_rows, half).reshape(len(y) * len(x), channels, count)
    return seen @ seen.conj().transpose(1, 2) / KERNEL**2


def _interpolated(
    vectors: torch.Tensor, values: torch.Tensor, gauge: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Vectors `[channel, row, column]` and eigenvalues `[row, column]` in every pixel.

    An eigenvector's phase is free, so neighbours cannot be interpolated as they are; their projections are, applied to
    the map that lends its phase.
    """
    rows, columns = gauge.shape[1:]
    found = torch.zeros_like(gauge)
    value = torch.zeros((rows, columns), dtype=values.dtype, device=values.device)
    for row, row_weight in _neighbours(rows, gauge.device):
        for column, column_weight in _neighbours(columns, gauge.device):
            weight = row_weight[:, None] * column_weight
            near = vectors[:, row[:, None], column]
            found += near * ((near.conj() * gauge).sum(dim=0) * weight)
            value += values[row[:, None], column] * weight
    return found, value


def _neighbours(length: int, device: torch.device) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Indices on the coarse grid, below and above, and their weights, for every pixel."""
    grid = _grid(length, device)
    below = (torch.arange(length, device=device) // GRID_STEP).clamp(max=max(len(grid) - 2, 0))
    above = (below + 1).clamp(max=len(grid) - 1)
    width = (grid[above] - grid[below]).clamp(min=1)
    part = (torch.arange(length, device=device) - grid[below]) / width
    return [(below, 1 - part), (above, part)]
