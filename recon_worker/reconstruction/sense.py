"""Unfolding of undersampled Cartesian data with the coil maps (SENSE), solved directly, with its exact noise.

Source: Pruessmann et al., MRM 42:952 (1999), for arbitrary Cartesian masks as in Pruessmann et al., MRM 46:638 (2001),
with a regularisation that follows the brightness, after the prior image of Lin et al., MRM 51:559 (2004). As only phase
encoding is undersampled, every image column is a linear problem of its own, of as many unknowns as there are lines to
fill. Its normal matrix is small enough for a Cholesky factor, which gives the solution without iterations, and the
covariance of its noise beside it.

For one column with whitened data y(c, k), counts w(k) of each line, maps s(c, row) and unknown lines x(k):

    minimise  sum w(k) |(F s(c) F^-1 x)(k) - y(c, k)|^2 + sum r(row) |(F^-1 x)(row)|^2
    x = M^-1 b,   M = G + R,   covariance of x = M^-1 G M^-1 = M^-1 - M^-1 R M^-1

where G is the normal matrix without regularisation, R = F diag(r) F^-1, and noise per part of a sample acquired once is
1. r is noise power over signal power of a pixel, known from the lines without gaps around the centre: where the image
is dark nothing is unfolded to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn.functional import avg_pool2d

from recon_worker.data.chain_choice import PartialFourier
from recon_worker.reconstruction.averaging import Coverage, reach_without_gap
from recon_worker.reconstruction.coils import combine
from recon_worker.reconstruction.fourier import to_image, to_kspace
from recon_worker.reconstruction.partial_fourier import noise_gains, noise_level

LEAST_REGULARISATION = 5e-4
MOST_REGULARISATION = 0.5
"""Limits: numbers of single precision below; above, what pixels are given that are darker than twice their noise."""
EXPECTED = 2.0
"""Times the mean power of the missing lines that a pixel is expected to hold: edges stand in fewer pixels than what
surrounds them. Measured: least error on ellipses and on the spine, between 1 and 4."""
PRIOR_STEPS = 16
"""Lines on both sides of the centre, at most, that tell the signal power of a pixel ..."""
PRIOR_WIDTH = 1.5
"""... and over how many of their resolution's lengths it is averaged."""
BEYOND_THE_EDGE = 8
"""Lines beyond the acquired run that are unknowns as well where partial Fourier ends it: the coils mix lines over a few
steps, so the run's last lines hold something of them. They are dropped afterwards."""
WELL_SEEN = 5.0
"""Pixels this much brighter than their noise count for the median g-factor."""
BATCH_BYTES = 8 * 1024**2
"""Size of one set of normal matrices; about ten such sets are in memory at a time."""


def parameters() -> dict[str, Any]:
    """Constants of the unfolding, for the lineage."""
    return {
        "regularisation_limits": [LEAST_REGULARISATION, MOST_REGULARISATION],
        "expected_power": EXPECTED,
        "steps_of_brightness": PRIOR_STEPS,
        "width_of_brightness": PRIOR_WIDTH,
        "unknown_lines_beyond_the_edge": BEYOND_THE_EDGE,
        "well_seen": WELL_SEEN,
    }


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
        `[line]` for the lines of the run: the part of a line's power that the data determine, over all columns. The
        rest, of the power that the regularisation expects, is still unknown: 1 - M^-1 / R^-1, on the diagonals.
    line_variance
        `[line]` for the lines of the run: noise variance per part of the unfolded line, mean over columns.
    """

    image: torch.Tensor
    noise_std: torch.Tensor
    noise_along_phase: torch.Tensor
    recovered: torch.Tensor
    line_variance: torch.Tensor


def regularisation(
    hybrid: torch.Tensor, maps: torch.Tensor, covered: Coverage, calibration: torch.Tensor | None = None
) -> torch.Tensor:
    """`[row, column]` noise power over the signal power that missing lines bring to a pixel (Wiener), within limits.

    The mean power of the missing lines, interpolated from the acquired ones, is spread over the pixels as the
    brightness of the lines around the centre is.

    Parameters
    ----------
    hybrid, maps, covered
        As in `unfold`.
    calibration
        `[channel, ky, column]` lines without gaps around the centre, zero where missing, if `hybrid` lacks them.
    """
    channels, _, columns = hybrid.shape
    lines = np.flatnonzero(covered.counts)
    power = hybrid[:, lines].abs().square().sum(dim=(0, 2)).cpu().numpy() / columns
    power = power - 2.0 * channels / covered.counts[lines]
    missing = np.setdiff1d(np.arange(covered.run[0], covered.run[1] + 1), lines)
    signal = float(np.interp(missing, lines, power).mean()) if len(missing) else float(power.mean())
    brightness = _brightness(hybrid if calibration is None else calibration, maps, covered.centre)
    mean = brightness.mean().clamp(min=torch.finfo(brightness.dtype).tiny)
    expected = EXPECTED * max(signal, 2.0) * brightness / mean
    return (2.0 / expected.clamp(min=1e-3)).clamp(LEAST_REGULARISATION, MOST_REGULARISATION)


def _brightness(calibration: torch.Tensor, maps: torch.Tensor, centre: int) -> torch.Tensor:
    """`[row, column]` signal power of the lines without gaps around the centre, averaged over their resolution."""
    rows = calibration.shape[1]
    held = (calibration.abs().amax(dim=(0, 2)) > 0).cpu().numpy()
    steps = min(max(reach_without_gap(held, centre), 1), PRIOR_STEPS)
    window = torch.zeros(rows, dtype=calibration.real.dtype, device=calibration.device)
    window[centre - steps : centre + steps + 1] = torch.hann_window(2 * steps + 3, periodic=False)[1:-1].to(window)
    power = combine(to_image(calibration * window[:, None], 1), maps).abs().square()
    half = max(1, round(PRIOR_WIDTH * rows / (2 * steps + 1) / 2))
    return avg_pool2d(power[None, None], 2 * half + 1, 1, half, count_include_pad=False)[0, 0]


def unfold(
    hybrid: torch.Tensor,
    maps: torch.Tensor,
    covered: Coverage,
    strength: torch.Tensor | float,
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
        Regularisation `[row, column]`, or one for all pixels, in units of noise power (see `regularisation`).
    partial_fourier
        What follows where one side of k-space is missing: the noise is that after it.
    """
    rows, columns = hybrid.shape[1:]
    first, last = covered.run
    lowest, highest = _unknowns(covered)
    batch = max(1, BATCH_BYTES // (rows * rows * hybrid.element_size()))
    weights = torch.from_numpy(covered.counts).to(hybrid.device, hybrid.real.dtype)
    ridge = torch.as_tensor(strength, dtype=weights.dtype, device=hybrid.device).expand(rows, columns)
    harmonics = to_image(torch.eye(rows, dtype=hybrid.dtype, device=hybrid.device), 0)
    fourier = harmonics[:, lowest : highest + 1]
    kept = slice(first - lowest, last - lowest + 1)
    run = torch.zeros(highest - lowest + 1, dtype=weights.dtype, device=hybrid.device)
    run[kept] = 1
    gains = torch.zeros((len(line_gains(covered, partial_fourier)), len(run)), dtype=weights.dtype, device=run.device)
    gains[:, kept] = line_gains(covered, partial_fourier).to(hybrid.device)
    # Sum over acquired lines of the products of their harmonics at any two rows.
    point_spread = (harmonics * weights) @ harmonics.conj().T
    image = torch.empty((rows, columns), dtype=hybrid.dtype, device=hybrid.device)
    variances = torch.empty((len(gains), rows, columns), dtype=weights.dtype, device=hybrid.device)
    unknown, line_variance = torch.zeros_like(run), torch.zeros_like(run)
    for begin in range(0, columns, batch):
        some = slice(begin, min(begin + batch, columns))
        map_columns = maps[:, :, some].permute(2, 1, 0)
        normal = (map_columns.conj() @ map_columns.transpose(1, 2)) * point_spread
        normal.diagonal(dim1=1, dim2=2).add_(ridge[:, some].T)
        normal = to_image(to_kspace(normal, 1)[:, lowest : highest + 1], 2)[:, :, lowest : highest + 1].contiguous()
        factor, failed = torch.linalg.cholesky_ex(normal)
        if bool(failed.any()):
            raise ArithmeticError("A normal matrix of the unfolding is not positive definite.")
        inverse = torch.cholesky_inverse(factor)
        del normal, factor
        folded = (maps[:, :, some].conj() * to_image(hybrid[:, :, some] * weights[:, None], 1)).sum(dim=0)
        target = to_kspace(folded, 0)[lowest : highest + 1].T[:, :, None]
        image[:, some] = (fourier * run) @ (inverse @ target)[:, :, 0].T
        # Rows of the image from lines of the data: V M^-1, V the harmonics of the unknown lines.
        spread = fourier @ inverse
        weighted = spread * ridge[:, some].T[:, :, None]
        unknown += inverse.diagonal(dim1=1, dim2=2).real.sum(dim=0)
        covariance = inverse.sub_(spread.mH @ weighted)
        del spread, weighted
        line_variance += covariance.diagonal(dim1=1, dim2=2).real.sum(dim=0)
        for part, gain in enumerate(gains):
            scaled = fourier * gain
            variances[part, :, some] = ((scaled @ covariance) * scaled.conj()).real.sum(dim=2).T
    variances.clamp_(min=0)
    along, across = variances[0], variances[-1]
    line_variance.clamp_(min=0)
    return Unfolded(
        image,
        ((along + across) / 2).sqrt(),
        along.sqrt(),
        1 - unknown[kept] / (1 / ridge).mean(dim=0).sum(),
        line_variance[kept] / columns,
    )


def _unknowns(covered: Coverage) -> tuple[int, int]:
    """First and last line that is solved for: those of the run and, where one side is missing, some beyond it."""
    first, last = covered.run
    if not covered.partial_fourier:
        return first, last
    if last - covered.centre < covered.centre - first:
        return first, min(last + BEYOND_THE_EDGE, len(covered.counts) - 1)
    return max(first - BEYOND_THE_EDGE, 0), last


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


def median_amplification(image: torch.Tensor, noise_std: torch.Tensor, covered: Coverage) -> float:
    """Median g-factor of `image` `[row, column]` over pixels brighter than five times their noise; of all, if none."""
    return float(noise_amplification(noise_std, covered)[well_seen(image, noise_std)].median())


def well_seen(image: torch.Tensor, noise_std: torch.Tensor) -> torch.Tensor:
    """`[row, column]` pixels brighter than five times their noise; all, if none is."""
    seen = image.abs() > WELL_SEEN * noise_std
    return seen if bool(seen.any()) else torch.ones_like(seen)
