"""The colour of the noise, as the network is told it.

After partial Fourier the lines on one side of k-space are known from the other: their noise lies along the object's
phase only, twice as strong (`reconstruction.partial_fourier.noise_along_phase`). Two numbers say it: how much larger
the noise is along the phase than the root mean square of both directions, and what part of the lines is one-sided.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


def noise_colour(missing_part: float, along_over_mean: float) -> tuple[float, float]:
    """`(excess along the phase, missing part)` from the part of the lines not acquired on one side."""
    return along_over_mean - 1.0, missing_part


WHITE = (0.0, 0.0)
MOST_MISSING = 0.5


@dataclass(frozen=True)
class LineNoise:
    """The noise of an image whose phase-encode lines (rows) were not all acquired.

    Attributes
    ----------
    missing_part
        Part of the phase-encode lines that were not acquired on one side, 0 to 0.5; 0 for a full acquisition.
    along_over_mean
        Standard deviation of the noise along the image's phase over that of `noise_std` (root mean square of both
        directions): 1 to 1.41. `noise_along_phase_over_mean` in the reconstruction's lineage.
    """

    missing_part: float = 0.0
    along_over_mean: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.missing_part < 0.6 or not 0.9 <= self.along_over_mean <= math.sqrt(2) + 1e-3:
            raise ValueError("A line noise has up to 0.6 of the lines missing and 1 to 1.41 times the noise along.")

    @property
    def conditions(self) -> tuple[float, float]:
        """As the network takes it."""
        return noise_colour(self.missing_part, self.along_over_mean)

    @property
    def spread(self) -> tuple[float, float]:
        """Standard deviation along the phase and across it, in units of `noise_std`."""
        return self.along_over_mean, math.sqrt(max(2 - self.along_over_mean**2, 1e-3))


def line_noise(reconstruction_lineage: dict[str, object]) -> LineNoise:
    """The line noise that the lineage of `reconstruction.chain.reconstruct` tells.

    The ratio along the phase is an estimate where the noise comes from replicas: it is kept within what is possible.
    """
    steps = reconstruction_lineage.get("steps")
    for step in steps if isinstance(steps, list) else []:
        if step.get("step") == "partial Fourier" and step.get("missing_side"):
            along = float(step["noise_along_phase_over_mean"])
            return LineNoise(min(step["missing_side"], MOST_MISSING), min(max(along, 1.0), math.sqrt(2)))
    return LineNoise()
