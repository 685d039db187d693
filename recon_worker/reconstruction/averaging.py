"""Averaging of repeated lines (NEX) and what part of k-space a slice covers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from recon_worker.data import InputFault, KSpaceSlice

MIN_OVERSCAN = 4
"""Lines beyond the centre that partial Fourier needs for its phase."""


@dataclass(frozen=True)
class Coverage:
    """Acquired phase-encode steps of a slice: `first` to `last` around `centre`, with or without gaps.

    Attributes
    ----------
    counts
        `[ky]` how often each step was acquired.
    """

    counts: npt.NDArray[np.int64]
    first: int
    last: int
    centre: int

    @property
    def missing(self) -> int:
        """Number of steps of the run that were not acquired."""
        first, last = self.run
        return int(np.count_nonzero(self.counts[first : last + 1] == 0))

    @property
    def run_length(self) -> int:
        """Number of steps of the run."""
        return self.run[1] - self.run[0] + 1

    @property
    def undersampled(self) -> bool:
        """Whether steps within the run have to be unfolded from the coils."""
        return self.missing > 0

    @property
    def widest_step(self) -> int:
        """Largest distance of neighbouring acquired steps; 1 without gaps."""
        return int(np.diff(np.flatnonzero(self.counts)).max(initial=1))

    @property
    def run(self) -> tuple[int, int]:
        """First and last step that are measured or unfolded. Undersampling rarely ends on the last step of the grid: it
        goes on round the grid's end, as the discrete transform does."""
        if self.partial_fourier or self.first + len(self.counts) - self.last > self.widest_step:
            return self.first, self.last
        return 0, len(self.counts) - 1

    @property
    def symmetric(self) -> int:
        """Number of steps on both sides of the centre."""
        return min(self.centre - self.first, self.last - self.centre)

    @property
    def fully_sampled_reach(self) -> int:
        """Number of steps acquired without a gap on both sides of the centre; -1 if the centre itself is missing."""
        return reach_without_gap(self.counts > 0, self.centre)

    @property
    def partial_fourier(self) -> bool:
        """Whether one side lacks steps that the other has (the step at -n/2 has no partner)."""
        return abs((self.centre - self.first) - (self.last - self.centre)) > self.widest_step

    @property
    def filled(self) -> tuple[int, int]:
        """First and last step after partial Fourier has filled the missing side."""
        if not self.partial_fourier:
            return self.first, self.last
        reach = max(self.centre - self.first, self.last - self.centre)
        return max(0, self.centre - reach), min(len(self.counts) - 1, self.centre + reach)

    @property
    def missing_side(self) -> float:
        """Part of the steps, of those after partial Fourier, that lie on the side that was not acquired; gaps within
        the run, which the coils fill, do not count."""
        if not self.partial_fourier:
            return 0.0
        first, last = self.filled
        return 1 - self.run_length / (last - first + 1)

    def unfolded(self) -> Coverage:
        """The coverage once the gaps are filled in: every step of the run once."""
        first, last = self.run
        counts = np.zeros_like(self.counts)
        counts[first : last + 1] = 1
        return Coverage(counts, first, last, self.centre)


def reach_without_gap(held: npt.NDArray[np.bool_], centre: int) -> int:
    """Steps on both sides of `centre` up to the first one that `held` `[ky]` lacks; -1 if it lacks the centre."""
    missing = np.flatnonzero(~held)
    below, above = missing[missing <= centre], missing[missing >= centre]
    lowest = int(below[-1]) if len(below) else -1
    highest = int(above[0]) if len(above) else len(held)
    return min(centre - lowest, highest - centre) - 1


def averaged_lines(piece: KSpaceSlice, device: torch.device | str = "cpu") -> torch.Tensor:
    """`[coil, ky, kx]` mean of a slice's repeated lines, whether they were averaged while they were read or not."""
    data = torch.from_numpy(piece.data).to(device)
    if piece.averaged:
        return data[0]
    return average_lines(data, torch.from_numpy(np.ascontiguousarray(piece.acquired)).to(device))


def average_lines(data: torch.Tensor, acquired: torch.Tensor) -> torch.Tensor:
    """Complex mean `[coil, ky, kx]` of the acquired lines of `data` `[average, coil, ky, kx]`.

    `acquired` is `[average, ky]`; every line is divided by its own count, so lines may have been acquired different
    numbers of times. Lines without any acquisition are zero. Noise variance of a line falls with its count.
    """
    weights = (acquired / acquired.sum(dim=0).clamp(min=1)).to(torch.float32)[:, :, None]
    if data.shape[0] == 1:
        return data[0] if bool(acquired.all()) else data[0] * weights[0]
    mean = torch.empty_like(data[0])
    # Line by line or coil by coil, as they lie in memory, so that the sum stays in the processor's cache.
    outer = 0 if mean.stride(0) >= mean.stride(1) else 1
    for index in range(mean.shape[outer]):
        total = mean.select(outer, index)
        factors = weights if outer == 0 else weights[:, index]
        torch.mul(data[0].select(outer, index), factors[0], out=total)
        for average in range(1, data.shape[0]):
            total += data[average].select(outer, index) * factors[average]
    return mean


def coverage(piece: KSpaceSlice, centre: int) -> Coverage:
    """Which steps a slice holds.

    Raises
    ------
    InputFault
        If there is none, or the acquired steps end before or right behind the centre of k-space.
    """
    counts = piece.acquired.sum(axis=0).astype(np.int64)
    steps = np.flatnonzero(counts)
    if not len(steps):
        raise InputFault(f"Slice {piece.index + 1} holds no line at all.", "Check that the export finished.")
    found = Coverage(counts, int(steps[0]), int(steps[-1]), centre)
    if found.symmetric < MIN_OVERSCAN:
        raise InputFault(
            f"Slice {piece.index + 1} holds {max(found.symmetric, 0)} lines beyond the centre of k-space; "
            f"partial Fourier needs at least {MIN_OVERSCAN}.",
            "Check the centre of k-space that the header names.",
        )
    return found
