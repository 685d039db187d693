"""The lines that coil maps come from: which they are, and their form for the maps."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from recon_worker.data import KSpaceHeader, KSpaceSlice
from recon_worker.reconstruction.averaging import Coverage, reach_without_gap
from recon_worker.reconstruction.coil_compression import Compression, centre_of_readout, compression
from recon_worker.reconstruction.coils import mix_channels


@dataclass(frozen=True)
class Calibration:
    """The lines that coil maps come from.

    Attributes
    ----------
    source
        Which lines, in words.
    hybrid
        `[channel, ky, column]`, whitened; empty where the maps need no more than `block`.
    block
        `[channel, line, kx]`: the lines that the maps use, whitened, with the readout's oversampling.
    reach
        Lines without a gap on both sides of the centre.
    steps
        Those of them that the maps use.
    samples
        Readout samples on both sides of the centre that the maps use, of the oversampled grid.
    """

    source: str
    hybrid: torch.Tensor
    block: torch.Tensor
    reach: int
    steps: int
    samples: float


def calibration_lines(
    header: KSpaceHeader, piece: KSpaceSlice, covered: Coverage, lines: torch.Tensor
) -> tuple[str, torch.Tensor, int]:
    """Where the coil maps come from, in words and as `[coil, ky, kx]`, and its lines on both sides of the centre."""
    own = covered.fully_sampled_reach
    if piece.calibration is None:
        return "image lines", lines, own
    held = np.any(piece.calibration != 0, axis=(0, 2))
    separate = torch.from_numpy(piece.calibration).to(lines.device)
    alone = reach_without_gap(held, header.ky_centre)
    # Siemens marks lines that serve both purposes as image lines: then only both together have no gaps.
    together = reach_without_gap(held | (covered.counts > 0), header.ky_centre)
    if covered.undersampled and together > max(own, alone):
        chosen = torch.from_numpy(covered.counts > 0).to(lines.device)[:, None]
        return "separate and image lines", torch.where(chosen, lines, separate), together
    return ("separate lines", separate, alone) if alone >= max(own, 1) else ("image lines", lines, own)


def compress(
    hybrid: torch.Tensor, calibration: Calibration, virtual_coils: int
) -> tuple[Compression, torch.Tensor, Calibration]:
    """The virtual coils of this slice, and what they measured."""
    found = compression(centre_of_readout(calibration.block, calibration.samples), virtual_coils)
    compressed = mix_channels(found.matrix, hybrid)
    block = torch.tensordot(found.matrix, calibration.block, dims=1)
    apart = compressed
    if calibration.hybrid is not hybrid:
        apart = mix_channels(found.matrix, calibration.hybrid)
    return found, compressed, replace(calibration, hybrid=apart, block=block)
