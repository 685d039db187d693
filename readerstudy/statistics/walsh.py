"""Walsh averages: the pseudomedian (Hodges-Lehmann) and its exact confidence interval."""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from readerstudy.statistics.distributions import signed_rank_quantile


class WalshAverages:
    """The n(n+1)/2 averages (d_i + d_j)/2, i <= j, of exact differences, in ascending order.

    Parameters
    ----------
    differences
        Exact differences, at least one; all pairs enter, also those on the margin.
    """

    def __init__(self, differences: Sequence[Fraction]) -> None:
        if not differences:
            raise ValueError("Walsh averages need at least one difference.")
        self.pairs = len(differences)
        self._denominator = math.lcm(*(difference.denominator for difference in differences))
        scaled = [int(difference * self._denominator) for difference in differences]
        fits = max(abs(value) for value in scaled) < 2**61
        array = np.array(scaled, dtype=np.int64 if fits else object)
        first, second = np.triu_indices(self.pairs)
        self._sums = np.sort(array[first] + array[second])

    def __len__(self) -> int:
        return len(self._sums)

    def order_statistic(self, position: int) -> Fraction:
        """The `position`-th smallest average, counted from 1."""
        if not 1 <= position <= len(self):
            raise IndexError(f"There are {len(self)} Walsh averages.")
        return Fraction(int(self._sums[position - 1]), 2 * self._denominator)

    def pseudomedian(self) -> Fraction:
        """The exact median of the averages; of an even number, the mean of the two in the middle."""
        count = len(self)
        return (self.order_statistic((count + 1) // 2) + self.order_statistic(count // 2 + 1)) / 2

    def confidence_interval(self, tail: Fraction) -> tuple[Fraction, Fraction] | None:
        """Two-sided interval with at most `tail` beyond each end, or None where so few pairs cannot give one.

        The ends are the c-th smallest and c-th largest average, c being the `tail` quantile of the exact null
        distribution of the signed rank (at least 1), as wilcox.test(exact = TRUE, conf.int = TRUE) takes them.
        Under ties the interval is conservative.
        """
        if Fraction(1, 2**self.pairs) > tail:
            return None
        c = max(1, signed_rank_quantile(tail, self.pairs))
        return self.order_statistic(c), self.order_statistic(len(self) + 1 - c)
