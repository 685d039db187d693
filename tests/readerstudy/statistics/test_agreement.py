"""Conger's kappa against its definition over pairs, the form with categories and weights, and irrCAC's example."""

import random
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from readerstudy.statistics.agreement import NotEstimable, agree, band, conger_kappa

RAW_4_RATERS = [
    [1, 1, None, 1], [2, 2, 3, 2], [3, 3, 3, 3], [3, 3, 3, 3], [2, 2, 2, 2], [1, 2, 3, 4],
    [4, 4, 4, 4], [1, 1, 2, 1], [2, 2, 2, 2], [None, 5, 5, 5], [None, None, 1, 1], [None, None, 3, None],
]  # fmt: skip
"""The example with missing ratings of Gwet's irrCAC (cac.raw4raters)."""


def cell_of(rows):
    return {
        f"P{i}": {f"R{j}": score for j, score in enumerate(row) if score is not None}
        for i, row in enumerate(rows)
        if any(score is not None for score in row)
    }


def random_rows(draw, missing=0.0):
    low, high = draw.choice([(0, 1), (1, 5)])
    readers = draw.randint(2, 5)
    rows = []
    for _ in range(draw.randint(4, 25)):
        centre = draw.randint(low, high)
        rows.append(
            [
                None if draw.random() < missing else min(high, max(low, centre + draw.choice([-1, 0, 0, 1])))
                for _ in range(readers)
            ]
        )
    return rows


def gwet_weighted(rows, weight):
    """Gwet's formulas in their general form: category counts and a weight matrix; kappa and standard error in doubles.

    Written from Handbook of Inter-Rater Reliability (2014), ch. 5, independent of the disagreement form.
    """
    x = np.array([[np.nan if s is None else s for s in row] for row in rows], float)
    x = x[~np.isnan(x).all(axis=1)]
    x = x[:, ~np.isnan(x).all(axis=0)]
    n, r = x.shape
    categories = np.unique(x[~np.isnan(x)])
    w = np.array([[weight(a, b, categories) for b in categories] for a in categories])
    given_category = x[:, :, None] == categories  # patient, reader, category
    counts = given_category.sum(axis=1)
    ri = counts.sum(axis=1)
    two = ri >= 2
    agreement = (counts * (counts @ w.T - 1)).sum(axis=1) / np.where(ri > 1, ri * (ri - 1), 1)
    pa = agreement[two].mean()
    ng = (~np.isnan(x)).sum(axis=0)
    p = given_category.sum(axis=0) / ng[:, None]  # reader, category
    pe = sum(p[g] @ w @ p[h] for g in range(r) for h in range(r) if g != h) / (r * (r - 1))
    kappa = (pa - pe) / (1 - pe)
    rated = ~np.isnan(x)
    pe_i = np.zeros(n)
    for g in range(r):
        others = sum(p[h] for h in range(r) if h != g)
        to_others = w @ others
        pe_i += n / ng[g] * (given_category[:, g] @ to_others - (rated[:, g] - ng[g] / n) * (p[g] @ to_others))
    pe_i /= r * (r - 1)
    kappa_i = n / two.sum() * np.where(two, agreement - pe, 0) / (1 - pe)
    kappa_i -= 2 * (1 - kappa) * (pe_i - pe) / (1 - pe)
    return kappa, np.sqrt(((kappa_i - kappa) ** 2).sum() / (n * (n - 1)))


def quadratic(a, b, categories):
    return 1 - (a - b) ** 2 / (categories.max() - categories.min()) ** 2


@pytest.mark.parametrize("missing", [0.0, 0.1, 0.35])
def test_against_the_form_with_categories_and_weights(missing):
    draw = random.Random(11)
    compared = 0
    while compared < 60:
        rows = random_rows(draw, missing)
        row = agree("s", "a", "c", cell_of(rows))
        if row.kappa is None:
            continue
        kappa, se = gwet_weighted(rows, quadratic)
        assert row.kappa == pytest.approx(kappa, abs=1e-10)
        assert row.se == pytest.approx(se, abs=1e-10)
        compared += 1


def test_against_the_definition_over_all_pairs_of_ratings():
    """Complete data: observed over pairs within a patient, expected over all pairs of patients."""
    draw = random.Random(3)
    for _ in range(40):
        rows = random_rows(draw)
        n, pairs = len(rows), list(combinations(range(len(rows[0])), 2))
        observed = Fraction(sum((row[g] - row[h]) ** 2 for row in rows for g, h in pairs), n * len(pairs))
        expected = Fraction(
            sum((a[g] - b[h]) ** 2 for a in rows for b in rows for g, h in pairs), n * n * len(pairs)
        )
        if expected:
            assert conger_kappa(cell_of(rows)).kappa == 1 - observed / expected


def test_published_example_with_missing_ratings():
    """irrCAC prints 0.85771, 0.14367 and (0.54149, 1) for cac.raw4raters with quadratic weights."""
    row = agree("s", "a", "c", cell_of(RAW_4_RATERS))
    assert (row.n_patients, row.n_readers, row.band) == (12, 4, "almost perfect")
    assert [round(value, 5) for value in (row.kappa, row.se, row.ci_low, row.ci_high)] == [0.85771, 0.14367, 0.54149, 1]


@given(st.integers(0, 10**6), st.integers(-3, 3), st.integers(1, 4), st.randoms())
def test_shift_stretch_and_order_do_not_matter(seed, shift, stretch, shuffler):
    """The category list has no influence, and patients and readers are exchangeable."""
    rows = random_rows(random.Random(seed), 0.15)
    try:
        here = conger_kappa(cell_of(rows))
    except NotEstimable:
        assume(False)
    order = list(range(len(rows[0])))
    shuffler.shuffle(order)
    moved = [[None if row[i] is None else stretch * row[i] + shift for i in order] for row in rows]
    shuffler.shuffle(moved)
    assert conger_kappa(cell_of(moved)) == here
    assert here.kappa <= 1


def test_perfect_agreement():
    row = agree("s", "a", "c", cell_of([[1, 1, 1], [3, 3, 3], [5, 5, 5]]))
    assert (row.kappa, row.se, row.ci_low, row.ci_high, row.band) == (1.0, 0.0, 1.0, 1.0, "almost perfect")


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([[3, 3, 3]] * 6, "one and the same grade"),
        ([[3], [4]], "two readers"),
        ([[3, None], [None, 4]], "No patient was rated by two"),
        ([], "No patient has a rating"),
    ],
)
def test_not_estimable_says_why(rows, reason):
    row = agree("s", "a", "c", cell_of(rows))
    assert (row.kappa, row.se, row.ci_low, row.ci_high, row.band) == (None,) * 5
    assert reason in row.reason


def test_one_patient_has_no_standard_error():
    row = agree("s", "a", "c", cell_of([[3, 4]]))
    assert (row.kappa, row.se) == (0.0, None)
    assert "standard error" in row.reason


@pytest.mark.parametrize(
    ("kappa", "word"),
    [
        ("-0.001", "no"), ("0", None), ("0.0001", "slight"), ("0.2", "slight"), ("0.2001", "fair"), ("0.4", "fair"),
        ("0.4001", "moderate"), ("0.6", "moderate"), ("0.8", "substantial"), ("0.8001", "almost perfect"),
        ("1", "almost perfect"),
    ],
)  # fmt: skip
def test_bands_include_their_upper_end(kappa, word):
    assert band(Fraction(kappa)) == word


def test_a_reader_or_patient_without_any_rating_changes_nothing():
    rows = [[1, 2, None], [3, 3, None], [5, 4, None], [None, None, None], [2, 2, None]]
    assert agree("s", "a", "c", cell_of(rows)) == agree("s", "a", "c", cell_of([r[:2] for r in rows if r[0]]))
