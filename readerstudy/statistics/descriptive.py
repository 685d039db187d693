"""Table 3: mean and standard deviation of the reader mean over patients; quartiles for the box plots."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from readerstudy.statistics.missing import mean


@dataclass(frozen=True)
class DescriptiveRow:
    """One row of table 3; `sd` has the denominator n - 1."""

    sequence: str
    arm: str
    category: str
    n_patients: int
    mean: float | None
    sd: float | None
    reason: str | None


def standard_deviation(values: Sequence[Fraction]) -> float:
    """Sample standard deviation (denominator n - 1) of at least two exact numbers."""
    centre = mean(values)
    return math.sqrt(sum((value - centre) ** 2 for value in values) / (len(values) - 1))


def describe(sequence: str, arm: str, category: str, means: Sequence[Fraction]) -> DescriptiveRow:
    """The row of table 3 for the reader means of one sequence, arm and category."""
    n = len(means)
    if n == 0:
        return DescriptiveRow(sequence, arm, category, 0, None, None, "No patient has a rating.")
    if n == 1:
        reason = "One patient has no standard deviation."
        return DescriptiveRow(sequence, arm, category, 1, float(means[0]), None, reason)
    return DescriptiveRow(sequence, arm, category, n, float(mean(means)), standard_deviation(means), None)


def hazen_quantile(ascending: Sequence[Fraction], probability: Fraction) -> Fraction:
    """Quantile of ascending numbers after Hazen (type 5 of Hyndman and Fan 1996; MATLAB's): at n p + 1/2 from 1."""
    n = len(ascending)
    position = n * probability + Fraction(1, 2)
    below = min(max(math.floor(position), 1), n)
    above = min(below + 1, n)
    weight = min(max(position - below, Fraction(0)), Fraction(1))
    return ascending[below - 1] + weight * (ascending[above - 1] - ascending[below - 1])


@dataclass(frozen=True)
class Box:
    """A box plot after Tukey: Hazen quartiles, whiskers to the furthest value within 1.5 box lengths."""

    low: float
    lower_quartile: float
    median: float
    upper_quartile: float
    high: float
    outliers: tuple[float, ...]


def box(values: Sequence[Fraction]) -> Box:
    """The box plot of at least one exact number."""
    ascending = sorted(values)
    lower, median, upper = (hazen_quantile(ascending, Fraction(quarter, 4)) for quarter in (1, 2, 3))
    reach = Fraction(3, 2) * (upper - lower)
    inside = [value for value in ascending if lower - reach <= value <= upper + reach]
    outliers = tuple(float(value) for value in ascending if not lower - reach <= value <= upper + reach)
    low, high = min(inside[0], lower), max(inside[-1], upper)  # a whisker never ends inside the box
    return Box(float(low), float(lower), float(median), float(upper), float(high), outliers)
