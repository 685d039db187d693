"""The distributions that the tables need, without scipy: normal, Student's t, F, Wilcoxon's signed rank."""

import math
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate

import numpy as np

LARGEST_EXACT_SIGNED_RANK = 200
"""Above this number of pairs the signed-rank distribution is summed in doubles (error below 1e-12)."""


def normal_upper_tail(z: float) -> float:
    """P(Z > z) of the standard normal distribution, accurate far into the tail."""
    return 0.5 * math.erfc(z / math.sqrt(2.0))


def _beta_continued_fraction(a: float, b: float, x: float) -> float:
    """Continued fraction of the incomplete beta function (DLMF 8.17.22), by Lentz's method."""
    tiny = 1e-300
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1.0)
    d = 1.0 / (d if abs(d) > tiny else tiny)
    fraction = d
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for coefficient in (even, odd):
            d = 1.0 + coefficient * d
            d = 1.0 / (d if abs(d) > tiny else tiny)
            c = 1.0 + coefficient / c
            c = c if abs(c) > tiny else tiny
            step = c * d
            fraction *= step
        if abs(step - 1.0) < 1e-16:
            break
    return fraction


def incomplete_beta(a: float, b: float, x: float) -> float:
    """Regularised incomplete beta function I_x(a, b) for a, b > 0 and 0 <= x <= 1 (DLMF 8.17)."""
    if x <= 0.0 or x >= 1.0:
        return min(max(x, 0.0), 1.0)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    if x < (a + 1.0) / (a + b + 2.0):  # where the continued fraction converges fast
        return front * _beta_continued_fraction(a, b, x) / a
    return 1.0 - front * _beta_continued_fraction(b, a, 1.0 - x) / b


def student_t_upper_tail(t: float, degrees_of_freedom: int) -> float:
    """P(T > t) of Student's t distribution."""
    tail = 0.5 * incomplete_beta(degrees_of_freedom / 2.0, 0.5, degrees_of_freedom / (degrees_of_freedom + t * t))
    return tail if t >= 0 else 1.0 - tail


@lru_cache(maxsize=1024)
def student_t_quantile(probability: float, degrees_of_freedom: int) -> float:
    """The t with P(T <= t) = `probability`, by bisection down to the last double.

    Raises
    ------
    ValueError
        For a probability outside (0, 1) or less than one degree of freedom.
    """
    if not 0.0 < probability < 1.0 or degrees_of_freedom < 1:
        raise ValueError("Student's t has quantiles for probabilities inside (0, 1) and 1 or more degrees of freedom.")
    if probability < 0.5:
        return -student_t_quantile(1.0 - probability, degrees_of_freedom)
    upper_tail = 1.0 - probability
    low, high = 0.0, 1.0
    while student_t_upper_tail(high, degrees_of_freedom) > upper_tail:
        low, high = high, 2.0 * high
    while low < (middle := 0.5 * (low + high)) < high:
        if student_t_upper_tail(middle, degrees_of_freedom) > upper_tail:
            low = middle
        else:
            high = middle
    return high


def f_quantile(probability: float, numerator: float, denominator: float) -> float:
    """The f with P(F <= f) = `probability` for these degrees of freedom, by bisection down to the last double.

    Raises
    ------
    ValueError
        For a probability outside (0, 1) or degrees of freedom that are not positive.
    """
    if not 0.0 < probability < 1.0 or numerator <= 0 or denominator <= 0:
        raise ValueError("F has quantiles for probabilities inside (0, 1) and positive degrees of freedom.")

    def is_too_low(f: float) -> bool:
        """The smaller of both tails decides: the other is rounded."""
        scaled = numerator * f
        if probability < 0.5:
            return incomplete_beta(numerator / 2.0, denominator / 2.0, scaled / (scaled + denominator)) < probability
        tail = incomplete_beta(denominator / 2.0, numerator / 2.0, denominator / (scaled + denominator))
        return tail > 1.0 - probability

    low, high = 0.0, 1.0
    while is_too_low(high) and high < 1e290:
        low, high = high, 2.0 * high
    while low < (middle := 0.5 * (low + high)) < high:
        if is_too_low(middle):
            low = middle
        else:
            high = middle
    return high


@lru_cache(maxsize=256)
def _signed_rank_counts(pairs: int) -> tuple[int, ...]:
    """Number of the 2^pairs sign patterns that give each signed-rank sum 0 ... pairs(pairs + 1)/2."""
    counts = [1]
    for rank in range(1, pairs + 1):
        grown = counts + [0] * rank
        for total, count in enumerate(counts):
            grown[total + rank] += count
        counts = grown
    return tuple(counts)


@lru_cache(maxsize=256)
def signed_rank_quantile(probability: Fraction, pairs: int) -> int:
    """Smallest v with P(V <= v) >= `probability`, V being the signed-rank sum of `pairs` untied pairs under symmetry.

    This is R's qsignrank, in integers up to 200 pairs and in doubles above.
    """
    if pairs <= LARGEST_EXACT_SIGNED_RANK:
        needed = probability * 2**pairs
        return next(v for v, total in enumerate(accumulate(_signed_rank_counts(pairs))) if total >= needed)
    density = np.zeros(pairs * (pairs + 1) // 2 + 1)
    density[0] = 1.0
    for rank in range(1, pairs + 1):
        shifted = np.zeros_like(density)
        shifted[rank:] = density[:-rank]
        density = 0.5 * (density + shifted)
    return int(np.searchsorted(np.cumsum(density), float(probability)))
