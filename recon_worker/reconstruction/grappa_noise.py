"""Noise of an image whose missing lines came from their neighbours in k-space, pixel by pixel, after the combination.

Source: Breuer et al., MRM 62:739 (2009). Along the readout the weights act as a factor for every image column, along
phase encoding as one for every image row, so the combined image is a known sum over the acquired samples. Lines kept
as measured, and the ends of the lattice, are counted one by one: the map is exact for given weights and maps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from recon_worker.data.chain_choice import PartialFourier
from recon_worker.reconstruction.averaging import Coverage
from recon_worker.reconstruction.sense import line_gains

BATCH_BYTES = 2 * 1024**2
"""Size of the maps of as many columns as have their noise computed at a time; a few dozen such sets are in memory."""


@dataclass(frozen=True, eq=False)
class Kernel:
    """Weights of missing lines at one distance from the acquired ones.

    Attributes
    ----------
    sources
        Distances to the acquired lines that take part, in lines.
    weights
        `[column, target channel, source line, source channel]`: the kernel along the readout as a factor of every
        column.
    """

    sources: tuple[int, ...]
    weights: torch.Tensor


@dataclass(frozen=True)
class Term:
    """A missing line at `distance` from an acquired one, which stands at `place` among the sources of its weights."""

    distance: int
    kernel: Kernel
    place: int


def noise_variances(
    maps: torch.Tensor, covered: Coverage, kernels: dict[int, Kernel], partial_fourier: PartialFourier
) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise variance `[row, column]` along and across the image's phase, for unit noise in a sample acquired once.

    The combined image is a sum over acquired lines k and channels c. With the distances d to the missing lines that k
    takes part in, a sample of k and c has the factor, but for a phase of modulus one,

        gain(k) conj(map(c)) + sum over d of gain(k + d) exp(2 pi i row d / rows) q(d, c)
        q(d, c) = sum over channels e of conj(map(e)) weight(d, e, c)

    and the variance is the mean over lines of its squared modulus, summed over channels. `gain` is what partial Fourier
    makes of a line. Most lines have the same neighbours, so there are few different sums.
    """
    parts = [_sums(covered, kernels, gains) for gains in line_gains(covered, partial_fourier)]
    channels, rows, columns = maps.shape
    variances = torch.empty((len(parts), rows, columns), dtype=maps.real.dtype, device=maps.device)
    batch = max(1, BATCH_BYTES // (channels * rows * maps.element_size()))
    for begin in range(0, columns, batch):
        some = slice(begin, min(begin + batch, columns))
        spread = _Spread(maps[:, :, some], some)
        for part, sums in enumerate(parts):
            total = torch.zeros((rows, some.stop - some.start), dtype=maps.real.dtype, device=maps.device)
            for (own, others), amount in sums.items():
                factor = own * spread.conjugate
                for term, gain in others:
                    factor.add_(spread.of(term), alpha=gain)
                total.add_(torch.view_as_real(factor).square().sum(dim=(0, 3)), alpha=amount / rows)
            variances[part, :, some] = total
    return variances[0], variances[-1]


def _sums(
    covered: Coverage, kernels: dict[int, Kernel], gains: torch.Tensor
) -> dict[tuple[float, tuple[tuple[Term, float], ...]], float]:
    """The different sums of the lines of a run, and the noise power of all the lines that have each."""
    first, last = covered.run
    gain = dict(zip(range(first, last + 1), gains.tolist(), strict=True))
    taking_part: dict[int, list[tuple[Term, float]]] = {}
    for line, kernel in kernels.items():
        for place, distance in enumerate(kernel.sources):
            if gain[line]:
                taking_part.setdefault(line + distance, []).append((Term(-distance, kernel, place), gain[line]))
    found: dict[tuple[float, tuple[tuple[Term, float], ...]], float] = {}
    for line in range(first, last + 1):
        if covered.counts[line]:
            key = gain[line], tuple(taking_part.get(line, []))
            found[key] = found.get(key, 0.0) + 1.0 / float(covered.counts[line])
    return found


class _Spread:
    """How a sample of each channel comes into the combined image through a missing line, for some columns."""

    def __init__(self, maps: torch.Tensor, columns: slice) -> None:
        self.conjugate = maps.conj().resolve_conj()
        self._columns = columns
        self._known: dict[Term, torch.Tensor] = {}

    def of(self, term: Term) -> torch.Tensor:
        """`[channel, row, column]`."""
        if term not in self._known:
            rows = self.conjugate.shape[1]
            turns = 2 * math.pi * term.distance / rows * (torch.arange(rows, device=self.conjugate.device) - rows // 2)
            wave = torch.polar(torch.ones_like(turns), turns).to(self.conjugate.dtype)
            weights = term.kernel.weights[self._columns, :, term.place]
            self._known[term] = wave[:, None] * torch.einsum("dyx,xdc->cyx", self.conjugate, weights)
        return self._known[term]
