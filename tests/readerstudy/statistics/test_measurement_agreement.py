"""Regression, limits of agreement, ICC(2,1) and the bootstrap: published data, scipy, R, second implementations."""

import shutil
import subprocess

import numpy as np
import pytest
import scipy.stats

from readerstudy.statistics.distributions import f_quantile
from readerstudy.statistics.measurement_agreement import (
    CLUSTERED,
    FEWEST_PATIENTS,
    agreement,
    expanded_tail,
    intraclass_correlation,
    regression,
)
from tests.readerstudy.statistics.interval_coverage import coverage, differing

LARGE = np.array([494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427], float)
MINI = np.array([512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451], float)
"""Peak flow of 17 subjects by two meters, first readings: Bland and Altman, Lancet 1986, table 1."""
JUDGES = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float
)  # fmt: skip
"""Six targets, four judges: Shrout and Fleiss, Psychol Bull 1979, table 2."""


def two_methods(seed, n=30, *, shift=0.3, slope=1.1, spread=0.6):
    rng = np.random.default_rng(seed)
    truth = rng.normal(10, 2, n)
    return truth + rng.normal(0, spread, n), shift + slope * truth + rng.normal(0, spread, n)


@pytest.mark.parametrize("probability", [0.025, 0.5, 0.95, 0.975, 0.999])
@pytest.mark.parametrize("numerator", [1, 2.5, 5, 71, 400])
@pytest.mark.parametrize("denominator", [0.7, 3, 17.2, 84, 5000])
def test_f_quantile(probability, numerator, denominator):
    theirs = scipy.stats.f.ppf(probability, numerator, denominator)
    assert f_quantile(probability, numerator, denominator) == pytest.approx(theirs, rel=1e-7)


@pytest.mark.parametrize("arguments", [(0.0, 1, 1), (1.0, 1, 1), (0.5, 0, 1), (0.5, 1, -1)])
def test_f_quantile_refuses_what_has_none(arguments):
    with pytest.raises(ValueError, match="quantiles"):
        f_quantile(*arguments)


@pytest.mark.parametrize(("seed", "n"), [(1, 3), (2, 4), (3, 30), (4, 300)])
def test_regression_is_scipys(seed, n):
    x, y = two_methods(seed, n)
    ours, theirs = regression(x, y), scipy.stats.linregress(x, y)
    quantile = scipy.stats.t.ppf(0.975, n - 2)
    assert [ours.slope, ours.intercept, ours.r, ours.r2] == pytest.approx(
        [theirs.slope, theirs.intercept, theirs.rvalue, theirs.rvalue**2]
    )
    reach, reach_0 = quantile * theirs.stderr, quantile * theirs.intercept_stderr
    assert [ours.slope_low, ours.slope_high] == pytest.approx([theirs.slope - reach, theirs.slope + reach])
    assert [ours.intercept_low, ours.intercept_high] == pytest.approx(
        [theirs.intercept - reach_0, theirs.intercept + reach_0]
    )


def test_bland_and_altmans_meters():
    """They print bias -2.1 l/min, SD 38.8, limits by 2 SD -79.7 to 75.5; bias -22.0 to 17.8; r = .94 of these data."""
    found = agreement(MINI, LARGE)
    assert found.bias == pytest.approx(-2.1, abs=0.05)
    assert found.sd_of_differences == pytest.approx(38.8, abs=0.05)
    assert [found.bias - 2 * found.sd_of_differences, found.bias + 2 * found.sd_of_differences] == pytest.approx(
        [-79.7, 75.5], abs=0.2
    )
    assert [found.bias_low, found.bias_high] == pytest.approx([-22.0, 17.8], abs=0.1)
    assert regression(MINI, LARGE).r == pytest.approx(0.94, abs=0.005)


def test_limits_hold_95_percent_and_their_intervals_are_bland_and_altmans():
    """They use 2 SD and the variance 3 s²/n of a limit: -114.3 to -45.1 and 40.9 to 110.1 l/min."""
    found = agreement(MINI, LARGE)
    assert [found.loa_low, found.loa_high] == pytest.approx(
        list(scipy.stats.norm.interval(0.95, found.bias, found.sd_of_differences))
    )
    assert [found.loa_low_to - found.loa_low_from, found.loa_high_to - found.loa_high_from] == pytest.approx(
        [69.2, 69.2], rel=0.01
    )
    assert found.loa_low - found.loa_low_from == pytest.approx(found.loa_low_to - found.loa_low)


def test_limits_intervals_have_their_level():
    """Over 2000 samples of 30 the interval of the upper limit holds the true one about 95 times in 100."""
    rng, held = np.random.default_rng(5), 0
    true = 0.2 + scipy.stats.norm.ppf(0.975) * 1.5
    for _ in range(2000):
        found = agreement(np.zeros(30), rng.normal(0.2, 1.5, 30))
        held += found.loa_high_from <= true <= found.loa_high_to
    assert held / 2000 == pytest.approx(0.95, abs=0.02)


def test_shrout_and_fleiss_and_mcgraw_and_wong():
    """ICC(2,1) = .29; the interval of ICC(A,1) as R's irr and psych print it for these data: .019 to .761."""
    icc, low, high = intraclass_correlation(JUDGES)
    assert icc == pytest.approx(0.2898, abs=5e-5)
    assert [low, high] == pytest.approx([0.0188, 0.7611], abs=2e-4)


@pytest.mark.parametrize("seed", range(4))
def test_icc_is_that_of_the_variance_components(seed):
    """Second implementation: of two methods by covariances, 2 s_xy / (s_xx + s_yy + bias² - s_d²/n)."""
    x, y = two_methods(seed, 12 + seed, spread=1.0)
    s = np.cov(x, y)
    d = y - x
    expected = 2 * s[0, 1] / (s[0, 0] + s[1, 1] + d.mean() ** 2 - d.var(ddof=1) / len(x))
    assert intraclass_correlation(np.stack([x, y], axis=1))[0] == pytest.approx(expected)


ANOVA = """
values <- as.matrix(read.csv(file("stdin"), header = FALSE)); n <- nrow(values); k <- ncol(values)
long <- data.frame(v = c(values), s = factor(rep(1:n, k)), j = factor(rep(1:k, each = n)))
m <- anova(lm(v ~ s + j, long))[["Mean Sq"]]; r <- m[1]; c <- m[2]; e <- m[3]
icc <- (r - e) / (r + (k - 1) * e + k * (c - e) / n)
a <- k * icc / (n * (1 - icc)); b <- 1 + k * icc * (n - 1) / (n * (1 - icc))
v <- (a * c + b * e)^2 / ((a * c)^2 / (k - 1) + (b * e)^2 / ((n - 1) * (k - 1)))
f <- qf(.975, n - 1, v); g <- qf(.975, v, n - 1)
low <- n * (r - f * e) / (f * (k * c + (k * n - k - n) * e) + n * r)
high <- n * (g * r - e) / (k * c + (k * n - k - n) * e + n * g * r)
line <- lm(values[, 2] ~ values[, 1]); bounds <- confint(line)
cat(format(c(icc, low, high, coef(line), bounds[1, ], bounds[2, ], summary(line)$r.squared,
             t.test(values[, 2] - values[, 1])$conf.int), digits = 15))
"""


@pytest.mark.skipif(shutil.which("Rscript") is None, reason="R (Debian package r-base-core) is missing.")
@pytest.mark.parametrize("seed", [1, 2])
def test_against_r(seed):
    x, y = two_methods(seed, 20, spread=1.5)
    text = "".join(f"{a!r},{b!r}\n" for a, b in zip(x.tolist(), y.tolist(), strict=True))
    run = subprocess.run(["Rscript", "--vanilla", "-e", ANOVA], input=text, capture_output=True, text=True, check=True)
    line, found = regression(x, y), agreement(x, y)
    ours = [
        found.icc, found.icc_low, found.icc_high, line.intercept, line.slope, line.intercept_low, line.intercept_high,
        line.slope_low, line.slope_high, line.r2, found.bias_low, found.bias_high,
    ]  # fmt: skip
    assert ours == pytest.approx([float(value) for value in run.stdout.split()], rel=1e-8)


def test_equal_methods_agree_perfectly():
    x, _ = two_methods(6)
    found, line = agreement(x, x.copy()), regression(x, x.copy())
    assert [found.bias, found.loa_low, found.loa_high] == [0, 0, 0]
    assert [found.icc, found.icc_low, found.icc_high] == [1, 1, 1]
    assert [line.r2, line.slope] == pytest.approx([1, 1])


def test_invariances():
    """Order does not matter; a common shift moves the intercept only; a common factor is a change of unit."""
    x, y = two_methods(7)
    patients = [str(number // 3) for number in range(30)]
    base, line = agreement(x, y, patients).as_mapping(), regression(x, y).as_mapping()
    turned = agreement(y, x, patients).as_mapping()
    assert [turned["bias"], turned["loa_low"], turned["icc"]] == pytest.approx(
        [-base["bias"], -base["loa_high"], base["icc"]]
    )
    assert turned["cluster_icc_low"] == pytest.approx(base["cluster_icc_low"])
    shifted = agreement(x + 1000, y + 1000, patients).as_mapping()
    for name in shifted:
        if "intercept" not in name and base[name] is not None:
            assert shifted[name] == pytest.approx(base[name], rel=1e-7, abs=1e-7), name
    assert regression(x + 1000, y + 1000).intercept == pytest.approx(line["intercept"] + 1000 * (1 - line["slope"]))
    scaled = agreement(10 * x, 10 * y, patients).as_mapping()
    for name, value in scaled.items():
        unit = 1 if any(part in name for part in ("icc", "r2", "slope", "n_patients")) else 10
        if name == "cluster_reason":
            continue
        assert value == pytest.approx(unit * base[name]), name
    order = np.random.default_rng(1).permutation(30)
    mixed = agreement(x[order], y[order], [patients[place] for place in order]).as_mapping()
    assert mixed == pytest.approx(base)


@pytest.mark.parametrize("value", [0.1, 11.3, 1e6 + 0.1])
def test_values_that_do_not_vary_have_no_line(value):
    """0.1 has no exact mean in doubles: it is the values that are compared."""
    x, _ = two_methods(8, 9)
    constant = np.full(9, value)
    assert set(regression(constant, x).as_mapping().values()) == {None}
    flat = regression(x, constant)
    assert (flat.r, flat.r2) == (None, None)
    assert flat.slope == pytest.approx(0, abs=1e-9)
    patients = [str(number) for number in range(9)]
    found = agreement(constant, x, patients).as_mapping()
    assert found["cluster_slope_low"] is None
    assert found["cluster_bias_low"] < found["bias"] < found["cluster_bias_high"]
    assert intraclass_correlation(np.stack([constant, constant], axis=1)) == (None, None, None)


def test_opposite_methods_have_a_negative_icc():
    icc, low, high = intraclass_correlation(np.array([[1.0, 3.0], [2.0, 2.0], [3.0, 1.0]]))
    assert icc == pytest.approx(-3.0)  # (0 - 2) / (0 + 2 + 2 (0 - 2) / 3)
    assert (low, high) == (None, None)


def naive_bootstrap(x, y, patients, draws=4000):
    """Second implementation, a draw at a time, from values instead of sums."""
    rng, names = np.random.default_rng(2), sorted(set(patients))
    held = np.array(patients)
    found = []
    for _ in range(draws):
        places = np.concatenate([np.flatnonzero(held == name) for name in rng.choice(names, len(names))])
        a, b = x[places], y[places]
        line, d = scipy.stats.linregress(a, b), b - a
        spread = scipy.stats.norm.ppf(0.975) * d.std(ddof=1)
        icc = intraclass_correlation_of(a, b)
        found.append([d.mean(), d.mean() - spread, d.mean() + spread, line.rvalue**2, line.slope, line.intercept, icc])
    n = len(names)
    tail = 100 * scipy.stats.norm.cdf(-scipy.stats.t.ppf(0.975, n - 1) * np.sqrt(n / (n - 1)))
    return np.percentile(found, [tail, 100 - tail], axis=0)


def intraclass_correlation_of(a, b):
    s, d = np.cov(a, b), b - a
    return 2 * s[0, 1] / (s[0, 0] + s[1, 1] + d.mean() ** 2 - d.var(ddof=1) / len(a))


def test_the_bootstrap_is_that_of_a_second_implementation():
    """With a bias that grows, and patients of one to four levels."""
    x, y, names = differing(np.random.default_rng(3), 15, 4)
    kept = np.array([place % 4 <= int(names[place]) % 4 for place in range(len(x))])
    x, y, names = x[kept], (2 * y - 7)[kept], [name for name, keep in zip(names, kept, strict=True) if keep]
    ours = agreement(x, y, names).as_mapping()
    low, high = naive_bootstrap(x, y, names)
    for number, name in enumerate(CLUSTERED):
        width = high[number] - low[number]
        assert ours[f"cluster_{name}_low"] == pytest.approx(low[number], abs=0.1 * width), name
        assert ours[f"cluster_{name}_high"] == pytest.approx(high[number], abs=0.1 * width), name


@pytest.mark.parametrize("patients", [8, 18])
def test_intervals_by_patient_hold_the_truth_where_those_by_level_do_not(patients):
    """Six levels a patient, as much in common as of their own; 95 % is asked. The bias gets it; a limit of agreement
    less, as docs/statistics.md says, but more than from levels that are taken as independent."""
    held = coverage(patients, 6, runs=300, seed=4)
    assert held["cluster_bias"] > 0.91
    assert held["bias"] < 0.75
    least = {8: 0.78, 18: 0.85}[patients]
    for limit in ("loa_low", "loa_high"):
        assert held[f"cluster_{limit}"] > least
        assert held[f"cluster_{limit}"] > held[limit]


@pytest.mark.parametrize("patients", [8, 18])
def test_of_one_level_a_patient_both_intervals_of_the_bias_hold_the_truth(patients):
    held = coverage(patients, 1, runs=300, seed=5)
    assert held["bias"] > 0.92
    assert held["cluster_bias"] > 0.91


def test_the_tail_is_expanded_for_few_and_percentile_for_many():
    assert expanded_tail(8) == pytest.approx(
        scipy.stats.norm.cdf(-scipy.stats.t.ppf(0.975, 7) * np.sqrt(8 / 7)), rel=1e-9
    )
    assert expanded_tail(8) < expanded_tail(18) < expanded_tail(100) < 0.025
    assert expanded_tail(100_000) == pytest.approx(0.025, rel=1e-3)


def test_independent_levels_give_intervals_of_the_same_width():
    x, y, names = differing(np.random.default_rng(6), 60, 4, of_patient=0.0)
    found = agreement(x, y, names).as_mapping()
    widths = [found[f"{prefix}bias_high"] - found[f"{prefix}bias_low"] for prefix in ("", "cluster_")]
    assert widths[1] == pytest.approx(widths[0], rel=0.2)


@pytest.mark.parametrize("patients", [2, FEWEST_PATIENTS - 1, FEWEST_PATIENTS])
def test_no_bootstrap_of_too_few_patients_and_it_is_said(patients):
    x, y, names = differing(np.random.default_rng(9), patients, 3)
    found = agreement(x, y, names).as_mapping()
    ends = {found[f"cluster_{name}_{end}"] is None for name in CLUSTERED for end in ("low", "high")}
    assert ends == {patients < FEWEST_PATIENTS}
    assert (found["cluster_reason"] or "").startswith("Fewer than 8 patients") == (patients < FEWEST_PATIENTS)


def test_without_names_of_patients_there_is_no_bootstrap_and_nothing_to_say():
    x, y = two_methods(9, 8)
    found = agreement(x, y)
    assert (found.n_patients, found.cluster_reason, set(found.clustered.values())) == (0, None, {None})
