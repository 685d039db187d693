"""The signed-rank test, pseudomedian and interval: facts of the statistics notes, scipy on integers, properties."""

import random
from fractions import Fraction

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from readerstudy.statistics.false_discovery import benjamini_hochberg
from readerstudy.statistics.signed_rank import doubled_midranks, signed_rank_test
from readerstudy.statistics.walsh import WalshAverages

THIRD = Fraction(1, 3)
HALF = Fraction(1, 2)

fractions = st.fractions(min_value=-4, max_value=4, max_denominator=12)
difference_lists = st.lists(fractions, min_size=1, max_size=24)


def test_scores_that_tie_as_fractions_tie():
    """-1/3 + 0.5 and -2/3 + 0.5 are not each other's opposite in doubles; P would be .0382 instead of .2872."""
    differences = [-THIRD] * 8 + [-2 * THIRD] * 7 + [Fraction(0)] * 2 + [Fraction(-1)]
    test = signed_rank_test([d + HALF for d in differences], "greater")
    assert round(test.p, 4) == 0.2872
    in_doubles = [float(d) + 0.5 for d in differences]
    wrong = scipy.stats.wilcoxon(in_doubles, alternative="greater", correction=True, method="asymptotic")
    assert round(wrong.pvalue, 4) == 0.0382


@pytest.mark.parametrize("seed", range(20))
def test_artifact_margins_between_one_sixth_and_one_third_give_one_p(seed):
    """With three readers 0.2 (the paper's methods) and 0.25 (its footnote) cannot differ."""
    draw = random.Random(seed)
    differences = [Fraction(draw.choice([-2, -1, 0, 0, 1, 2, 3]), 3) for _ in range(18)]
    tests = [
        signed_rank_test([d - margin for d in differences], "less")
        for margin in (Fraction("0.2"), Fraction("0.25"), Fraction("0.17"), Fraction("0.33"))
    ]
    assert len({(test.statistic, test.p) for test in tests}) == 1


@pytest.mark.parametrize("alternative", ["greater", "less"])
def test_against_scipy_on_integers(alternative):
    """300 sets with ties and zeros; scipy ranks the same exact integers."""
    draw = random.Random(7)
    for _ in range(300):
        n = draw.randint(3, 40)
        values = [draw.randint(-6, 7) for _ in range(n)]
        if not any(values):
            continue
        ours = signed_rank_test([Fraction(v, 6) for v in values], alternative)
        theirs = scipy.stats.wilcoxon(values, alternative=alternative, correction=True, method="asymptotic")
        assert ours.statistic == theirs.statistic
        assert ours.p == pytest.approx(theirs.pvalue, rel=1e-12)
        assert ours.n_pairs == n
        assert ours.n_at_zero == values.count(0)


def test_all_on_the_margin_gives_p_one():
    test = signed_rank_test([Fraction(0)] * 5, "greater")
    assert (test.p, test.n_pairs, test.n_at_zero, test.statistic) == (1.0, 5, 5, 0)


@given(st.lists(fractions.filter(bool).map(abs), min_size=1, max_size=30))
def test_midranks_are_scipys(magnitudes):
    assert doubled_midranks(magnitudes) == (2 * scipy.stats.rankdata([float(m) for m in magnitudes])).tolist()


@given(difference_lists)
def test_the_two_sides_mirror_each_other(values):
    assert signed_rank_test(values, "greater").p == signed_rank_test([-v for v in values], "less").p


@given(difference_lists)
def test_the_statistic_counts_walsh_averages(values):
    """V is the number of positive Walsh averages of the values off zero, averages at zero counted by half."""
    kept = [value for value in values if value]
    averages = [a + b for i, a in enumerate(kept) for b in kept[i:]]
    expected = sum(average > 0 for average in averages) + Fraction(sum(average == 0 for average in averages), 2)
    assert signed_rank_test(values, "greater").statistic == expected


@given(difference_lists, st.randoms())
def test_order_and_unit_do_not_matter(values, draw):
    shuffled = [7 * value for value in values]
    draw.shuffle(shuffled)
    assert signed_rank_test(shuffled, "greater") == signed_rank_test(values, "greater")


@given(difference_lists, fractions)
def test_walsh_shifts_with_the_differences(differences, shift):
    here = WalshAverages(differences)
    there = WalshAverages([d + shift for d in differences])
    assert there.pseudomedian() == here.pseudomedian() + shift
    interval = here.confidence_interval(Fraction(1, 20))
    expected = None if interval is None else (interval[0] + shift, interval[1] + shift)
    assert there.confidence_interval(Fraction(1, 20)) == expected


@given(difference_lists)
def test_pseudomedian_is_the_median_of_all_averages(differences):
    averages = sorted((a + b) / 2 for i, a in enumerate(differences) for b in differences[i:])
    ours = WalshAverages(differences)
    assert len(ours) == len(averages)
    assert [ours.order_statistic(i + 1) for i in range(len(averages))] == averages
    middle = len(averages)
    assert ours.pseudomedian() == (averages[(middle - 1) // 2] + averages[middle // 2]) / 2


def test_walsh_with_numbers_beyond_64_bits():
    huge = [Fraction(3**50 + i, 7) for i in range(6)]
    assert WalshAverages(huge).pseudomedian() == Fraction(2 * 3**50 + 5, 14)


@pytest.mark.parametrize(("pairs", "estimable"), [(1, False), (4, False), (5, True), (18, True)])
def test_too_few_pairs_have_no_interval(pairs, estimable):
    interval = WalshAverages([Fraction(i) for i in range(pairs)]).confidence_interval(Fraction(1, 20))
    assert (interval is not None) == estimable


probabilities = st.lists(st.floats(0, 1), min_size=1, max_size=25)


@given(probabilities)
def test_benjamini_hochberg_against_scipy(p_values):
    assert benjamini_hochberg(p_values) == pytest.approx(scipy.stats.false_discovery_control(p_values).tolist())


@given(probabilities)
def test_benjamini_hochberg_keeps_the_order_and_never_lowers(p_values):
    adjusted = benjamini_hochberg(p_values)
    order = np.argsort(p_values, kind="stable")
    assert all(np.diff(np.array(adjusted)[order]) >= 0)
    assert all(p <= q * (1 + 1e-12) and q <= 1 for p, q in zip(p_values, adjusted, strict=True))


@given(probabilities, st.integers(0, 24), st.floats(0, 1))
def test_benjamini_hochberg_is_monotone(p_values, place, factor):
    """A smaller P never makes any adjusted P larger."""
    smaller = list(p_values)
    smaller[place % len(smaller)] *= factor
    pairs = zip(benjamini_hochberg(smaller), benjamini_hochberg(p_values), strict=True)
    assert all(after <= before for after, before in pairs)
