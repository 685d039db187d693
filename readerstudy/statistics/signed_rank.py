"""Wilcoxon's signed-rank test as R's wilcox.test(exact = FALSE, correct = TRUE), with ranks made from integers."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from readerstudy.statistics.distributions import normal_upper_tail

Alternative = Literal["greater", "less"]


@dataclass(frozen=True)
class SignedRankTest:
    """One signed-rank test.

    Attributes
    ----------
    n_pairs
        Pairs that were given.
    n_at_zero
        Pairs that were dropped because their value is exactly zero.
    statistic
        V, the sum of the midranks of the positive values (a multiple of 1/2).
    p
        One-sided P by the normal approximation with tie and continuity correction; 1 when no pair is off zero.
    """

    n_pairs: int
    n_at_zero: int
    statistic: Fraction
    p: float


def doubled_midranks(magnitudes: Sequence[Fraction]) -> list[int]:
    """Twice the midrank of every magnitude, in the order given: doubled, so that they are integers."""
    counts = Counter(magnitudes)
    below = 0
    doubled: dict[Fraction, int] = {}
    for magnitude in sorted(counts):
        doubled[magnitude] = 2 * below + counts[magnitude] + 1
        below += counts[magnitude]
    return [doubled[magnitude] for magnitude in magnitudes]


def signed_rank_test(values: Sequence[Fraction], alternative: Alternative) -> SignedRankTest:
    """Test whether exact `values` lie symmetrically about zero against one side.

    Parameters
    ----------
    values
        One exact number a pair: the difference minus the margin. Zeros are dropped (Wilcoxon's rule).
    alternative
        "greater": the values lie above zero; "less": below.

    Notes
    -----
    Hollander and Wolfe, Nonparametric Statistical Methods, 3.1; R 4.2 stats:::wilcox.test.default. The variance is
    k(k+1)(2k+1)/24 - sum(t^3 - t)/48 with k values off zero and tie groups of size t.
    """
    kept = [value for value in values if value != 0]
    k = len(kept)
    if k == 0:
        return SignedRankTest(len(values), len(values), Fraction(0), 1.0)
    magnitudes = [abs(value) for value in kept]
    doubled_sum = sum(
        rank for rank, value in zip(doubled_midranks(magnitudes), kept, strict=True) if value > 0
    )
    ties = sum(size**3 - size for size in Counter(magnitudes).values())
    variance = Fraction(k * (k + 1) * (2 * k + 1), 24) - Fraction(ties, 48)
    statistic = Fraction(doubled_sum, 2)
    correction = Fraction(1, 2) if alternative == "greater" else Fraction(-1, 2)
    z = float(statistic - Fraction(k * (k + 1), 4) - correction) / math.sqrt(variance)
    p = normal_upper_tail(z if alternative == "greater" else -z)
    return SignedRankTest(len(values), len(values) - k, statistic, p)
