"""Unfolding of undersampled Cartesian data with the coil maps (SENSE), solved directly, with its exact noise.

Source: Pruessmann et al., MRM 42:952 (1999), for arbitrary Cartesian masks as in Pruessmann et al., MRM 46:638 (2001),
with the regularisation of Lin et al., MRM 51:559 (2004). As only phase encoding is undersampled, every image column is
a linear problem of its own, of as many unknowns as there are lines to fill. Its normal matrix is small enough for a
Cholesky factor, which gives the solution without iterations, and the covariance of its noise beside it.

For one column with whitened data y(c, k), counts w(k) of each line, maps s(c, row) and unknown lines x(k):

    minimise  sum w(k) |(F s(c) F^-1 x)(k) - y(c, k)|^2 + regularisation * sum |x|^2
    x = M^-1 b,   M = G + regularisation,   covariance of x = M^-1 G M^-1 = M^-1 - regularisation * M^-2

where G is the normal matrix without regularisation, and noise per part of a sample acquired once is 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from recon_worker.data.chain_choice import PartialFourier
from recon_worker.reconstruction.averaging import Coverage
from recon_worker.reconstruction.fourier import to_image, to_kspace
from recon_worker.reconstruction.partial_fourier import noise_gains, noise_level

LEAST_REGULARISATION = 5e-4
MOST_REGULARISATION = 2e-2
"""Limits: numbers of single precision below, a loss of signal of some hundredths above."""
BATCH_BYTES = 8 * 1024**2
"""Size of one set of normal matrices; about ten such sets are in memory at a time."""


@dataclass(frozen=True)
class Unfolded:
    """One slice.

    Attributes
    ----------
    image
        complex64 `[row, column]`, all lines of `Coverage.run` filled in.
    noise_std
        float32 `[row, column]` per real or imaginary part, for unit noise in a sample acquired once. Where partial
        Fourier follows: of the image after it, root mean square of the parts along and across the image's phase.
    noise_along_phase
        The same along the image's phase.
    recovered
        `[line]` for the lines of the run: the part of a line that the data determine, mean over columns; the rest is
        lost to the regularisation.
    line_variance
        `[line]` for the lines of the run: noise variance per part of the unfolded line, mean over columns.
    """

    image: torch.Tensor
    noise_std: torch.Tensor
    noise_along_phase: torch.Tensor
    recovered: torch.Tensor
    line_variance: torch.Tensor


def regularisation(hybrid: torch.Tensor, covered: Coverage) -> float:
    """Noise power over the mean signal power of the missing lines (Wiener), within limits.

    `hybrid` is `[channel, ky, column]`, whitened. The power of a missing line is interpolated from the acquired ones.
    """
    channels, _, columns = hybrid.shape
    lines = np.flatnonzero(covered.counts)
    power = hybrid[:, lines].abs().square().sum(dim=(0, 2)).cpu().numpy() / columns
    power = power - 2.0 * channels / covered.counts[lines]
    missing = np.setdiff1d(np.arange(covered.run[0], covered.run[1] + 1), lines)
    signal = float(np.interp(missing, lines, power).mean()) if len(missing) else float(power.mean())
    return float(np.clip(2.0 / max(signal, 2.0), LEAST_REGULARISATION, MOST_REGULARISATION))


def unfold(
    hybrid: torch.Tensor,
    maps: torch.Tensor,
    covered: Coverage,
    strength: float,
    *,
    partial_fourier: PartialFourier = "POCS",
) -> Unfolded:
    """Image and noise of one undersampled slice.

    Parameters
    ----------
    hybrid
        `[channel, ky, column]` mean of the acquired lines, whitened, readout already transformed; zero where missing.
    maps
        `[channel, row, column]` of unit norm over channels; may be anything finite where there is no signal.
    covered
        Counts of the lines, and the run of lines that is to be filled.
    strength
        Regularisation, in units of noise power (see `regularisation`).
    partial_fourier
        What follows where one side of k-space is missing: the noise is that after it.
    """
    rows, columns = hybrid.shape[1:]
    first, last = covered.run
    batch = max(1, BATCH_BYTES // (rows * rows * hybrid.element_size()))
    weights = torch.from_numpy(covered.counts).to(hybrid.device, hybrid.real.dtype)
    harmonics = to_image(torch.eye(rows, dtype=hybrid.dtype, device=hybrid.device), 0)
    fourier = harmonics[:, first : last + 1]
    gains = line_gains(covered, partial_fourier).to(hybrid.device)
    # Sum over acquired lines of the products of their harmonics at any two rows.
    point_spread = (harmonics * weights) @ harmonics.conj().T
    image = torch.empty((rows, columns), dtype=hybrid.dtype, device=hybrid.device)
    variances = torch.empty((len(gains), rows, columns), dtype=weights.dtype, device=hybrid.device)
    lost = torch.zeros(last - first + 1, dtype=weights.dtype, device=hybrid.device)
    line_variance = torch.zeros_like(lost)
    for begin in range(0, columns, batch):
        some = slice(begin, min(begin + batch, columns))
        map_columns = maps[:, :, some].permute(2, 1, 0)
        normal = (map_columns.conj() @ map_columns.transpose(1, 2)) * point_spread
        normal = to_image(to_kspace(normal, 1)[:, first : last + 1], 2)[:, :, first : last + 1].contiguous()
        normal.diagonal(dim1=1, dim2=2).add_(strength)
        factor, failed = torch.linalg.cholesky_ex(normal)
        if bool(failed.any()):
            raise ArithmeticError("A normal matrix of the unfolding is not positive definite.")
        inverse = torch.cholesky_inverse(factor)
        del normal, factor
        folded = (maps[:, :, some].conj() * to_image(hybrid[:, :, some] * weights[:, None], 1)).sum(dim=0)
        target = to_kspace(folded, 0)[first : last + 1].T[:, :, None]
        image[:, some] = fourier @ (inverse @ target)[:, :, 0].T
        diagonal = inverse.diagonal(dim1=1, dim2=2).real.sum(dim=0)
        lost += strength * diagonal
        line_variance += diagonal - strength * inverse.abs().square().sum(dim=(0, 2))
        for part, gain in enumerate(gains):
            variances[part, :, some] = _variance(inverse, fourier, gain, strength).T
    variances.clamp_(min=0)
    along, across = variances[0], variances[-1]
    line_variance.clamp_(min=0)
    return Unfolded(
        image, ((along + across) / 2).sqrt(), along.sqrt(), 1 - lost / columns, line_variance / columns
    )


def _variance(inverse: torch.Tensor, fourier: torch.Tensor, gain: torch.Tensor, strength: float) -> torch.Tensor:
    """`[column, row]` noise variance of the image whose lines are multiplied by `gain` `[line]`.

    Diagonal of F U (M^-1 - strength M^-2) U F^H, from Z = M^-1 U F^H alone.
    """
    harmonics = gain[:, None] * fourier.conj().T
    spread = inverse @ harmonics
    return (harmonics.conj() * spread).real.sum(dim=1) - strength * spread.abs().square().sum(dim=1)


def line_gains(covered: Coverage, partial_fourier: PartialFourier = "POCS") -> torch.Tensor:
    """`[part, line]` float32: how often the noise of a line of the run is in the image after partial Fourier.

    Two parts, along and across the image's phase, or one where both are alike (`noise_gains`).
    """
    first, last = covered.run
    gains = noise_gains(covered.unfolded(), partial_fourier)[:, first : last + 1]
    return torch.from_numpy(np.ascontiguousarray(gains, dtype=np.float32))


def noise_amplification(noise_std: torch.Tensor, covered: Coverage) -> torch.Tensor:
    """g-factor `[row, column]`: noise over that of the same run fully sampled, times the root of the time saved."""
    per_line = float(covered.counts.sum()) / covered.run_length
    return noise_std * (per_line**0.5 / noise_level(covered.unfolded()))
