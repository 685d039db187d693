"""The distributions against scipy."""

from fractions import Fraction

import numpy as np
import pytest
import scipy.special
import scipy.stats

from readerstudy.statistics.distributions import (
    incomplete_beta,
    normal_upper_tail,
    signed_rank_quantile,
    student_t_quantile,
    student_t_upper_tail,
)
from readerstudy.statistics.walsh import WalshAverages


@pytest.mark.parametrize("z", [-40.0, -6.0, -1.645, 0.0, 0.3, 1.96, 8.0, 30.0])
def test_normal_tail(z):
    assert normal_upper_tail(z) == pytest.approx(scipy.stats.norm.sf(z), rel=1e-12)


def test_incomplete_beta_over_its_whole_range():
    for a in (0.5, 1.0, 3.5, 40.0, 500.0):
        for b in (0.5, 2.0, 17.0, 250.0):
            for x in np.linspace(0, 1, 41):
                assert incomplete_beta(a, b, float(x)) == pytest.approx(scipy.special.betainc(a, b, x), abs=1e-12)


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 10, 17, 29, 60, 199, 1000, 100_000])
@pytest.mark.parametrize("probability", [0.5, 0.6, 0.9, 0.95, 0.975, 0.995, 0.9999, 0.025, 0.001])
def test_student_t_quantile(degrees, probability):
    assert student_t_quantile(probability, degrees) == pytest.approx(
        scipy.stats.t.ppf(probability, degrees), rel=1e-9, abs=1e-9
    )


def test_student_t_tail_is_symmetric():
    assert student_t_upper_tail(-2.0, 7) + student_t_upper_tail(2.0, 7) == pytest.approx(1.0, abs=1e-15)


@pytest.mark.parametrize(("probability", "degrees"), [(0.0, 5), (1.0, 5), (0.5, 0)])
def test_student_t_quantile_refuses_what_has_none(probability, degrees):
    with pytest.raises(ValueError, match="quantiles"):
        student_t_quantile(probability, degrees)


def test_signed_rank_quantile_counts_sign_patterns():
    """Against counting all 2^n sign patterns."""
    for pairs in range(1, 11):
        patterns = np.array(np.meshgrid(*[[0, 1]] * pairs)).reshape(pairs, -1).T
        sums = np.sort(patterns @ np.arange(1, pairs + 1))
        for probability in (Fraction(1, 40), Fraction(1, 20), Fraction(1, 4), Fraction(1, 2), Fraction(15, 16)):
            needed = -(-probability.numerator * len(sums) // probability.denominator)
            assert signed_rank_quantile(probability, pairs) == sums[needed - 1]


def test_signed_rank_quantile_in_doubles_continues_the_exact_one():
    """At 200 pairs integers decide, at 201 doubles; the quantile grows as the normal approximation says."""
    for pairs in (199, 200, 201, 202, 300):
        centre, spread = pairs * (pairs + 1) / 4, (pairs * (pairs + 1) * (2 * pairs + 1) / 24) ** 0.5
        assert signed_rank_quantile(Fraction(1, 20), pairs) == pytest.approx(
            centre - 1.6448536 * spread, abs=0.02 * spread
        )


def test_interval_has_its_level():
    """Over untied symmetric differences the 90 % interval holds the centre in at least 90 % of all sign patterns."""
    for pairs in range(5, 12):
        magnitudes = [Fraction(2**i) for i in range(pairs)]
        held = 0
        for pattern in range(2**pairs):
            signed = [m if pattern >> i & 1 else -m for i, m in enumerate(magnitudes)]
            interval = WalshAverages(signed).confidence_interval(Fraction(1, 20))
            assert interval is not None
            held += interval[0] <= 0 <= interval[1]
        assert held >= 0.9 * 2**pairs
