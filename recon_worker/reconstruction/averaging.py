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
    """Acquired phase-encode steps of a slice: one run without gaps, `first` to `last`, around `centre`.

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
    def symmetric(self) -> int:
        """Number of steps acquired on both sides of the centre."""
        return min(self.centre - self.first, self.last - self.centre)

    @property
    def partial_fourier(self) -> bool:
        """Whether one side lacks steps that the other has (the step at -n/2 has no partner)."""
        return abs((self.centre - self.first) - (self.last - self.centre)) > 1

    @property
    def filled(self) -> tuple[int, int]:
        """First and last step after partial Fourier has filled the missing side."""
        if not self.partial_fourier:
            return self.first, self.last
        reach = max(self.centre - self.first, self.last - self.centre)
        return max(0, self.centre - reach), min(len(self.counts) - 1, self.centre + reach)


def average_lines(data: torch.Tensor, acquired: torch.Tensor) -> torch.Tensor:
    """Complex mean `[coil, ky, kx]` of the acquired lines of `data` `[average, coil, ky, kx]`.

    `acquired` is `[average, ky]`; every line is divided by its own count, so lines may have been acquired different
    numbers of times. Lines without any acquisition are zero. Noise variance of a line falls with its count.
    """
    counts = acquired.sum(dim=0).clamp(min=1)
    if data.shape[0] == 1:
        return data[0] * acquired[0].to(data.dtype)[None, :, None]
    total = (data * acquired.to(data.dtype)[:, None, :, None]).sum(dim=0)
    return total / counts.to(total.real.dtype)[None, :, None]


def coverage(piece: KSpaceSlice, centre: int) -> Coverage:
    """Which steps a slice holds.

    Raises
    ------
    InputFault
        If steps within the acquired run are missing (parallel imaging, an interrupted acquisition), or the centre of
        k-space with a few lines around it is.
    """
    counts = piece.acquired.sum(axis=0).astype(np.int64)
    steps = np.flatnonzero(counts)
    if not len(steps):
        raise InputFault(f"Slice {piece.index + 1} holds no line at all.", "Check that the export finished.")
    first, last = int(steps[0]), int(steps[-1])
    gaps = last - first + 1 - len(steps)
    if gaps:
        spacing = np.diff(steps)
        factor = int(np.bincount(spacing).argmax())
        if factor > 1:
            raise InputFault(
                f"The acquisition is undersampled (parallel imaging, every {factor}. line): "
                "this chain reconstructs fully sampled and partial Fourier acquisitions.",
                "Acquire without parallel imaging, or export the lines that the scanner has filled in.",
            )
        raise InputFault(
            f"Slice {piece.index + 1} lacks {gaps} of the {last - first + 1} lines between its outermost ones.",
            "The acquisition was undersampled or is incomplete; export it again.",
        )
    found = Coverage(counts, first, last, centre)
    if found.symmetric < MIN_OVERSCAN:
        raise InputFault(
            f"Slice {piece.index + 1} holds {max(found.symmetric, 0)} lines beyond the centre of k-space; "
            f"partial Fourier needs at least {MIN_OVERSCAN}.",
            "Check the centre of k-space that the header names.",
        )
    return found
