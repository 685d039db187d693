"""Two methods that measure the same things: regression, limits of agreement, intraclass correlation, cluster bootstrap.

Bland and Altman, Lancet 1986;327:307-310 (limits and their standard errors). McGraw and Wong, Psychol Methods
1996;1:30-46 (ICC(A,1), which is Shrout and Fleiss's ICC(2,1), and its interval). Levels of one patient are not
independent: the bootstrap draws whole patients (Field and Welsh, J R Stat Soc B 2007;69:369-390), and its percentiles
are expanded for their number (Hesterberg, What Teachers Should Know About the Bootstrap, Am Stat 2015;69:371-386).
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from readerstudy.statistics.distributions import f_quantile, normal_upper_tail, student_t_quantile

CONFIDENCE = 0.95
NORMAL = 1.959963984540054
DRAWS = 10_000
"""Of the bootstrap: with 8 patients the expanded interval ends some 57 draws from either end."""
SEED = 20230101
"""Of the bootstrap, so that the same values give the same interval."""
FEWEST_PATIENTS = 8
"""With fewer, the interval of a limit of agreement holds the truth far less than 95 times in 100, expanded or not
(docs/statistics.md)."""
TOO_FEW_PATIENTS = f"Fewer than {FEWEST_PATIENTS} patients: a bootstrap of whole patients would be too narrow."
VARIES = 1e-12
"""Part of the variance of all pairs below which a draw of patients does not vary."""
CLUSTERED = ("bias", "loa_low", "loa_high", "r2", "slope", "intercept", "icc")
"""What the bootstrap gives intervals of."""


@dataclass(frozen=True)
class Line:
    """Least squares of y on x: estimates and 95 % intervals; None where x or y does not vary."""

    r: float | None
    r2: float | None
    slope: float | None
    slope_low: float | None
    slope_high: float | None
    intercept: float | None
    intercept_low: float | None
    intercept_high: float | None

    def as_mapping(self) -> dict[str, Any]:
        """By name."""
        return asdict(self)


@dataclass(frozen=True)
class Agreement:
    """y minus x, the limits that hold 95 % of differences, ICC(2,1); 95 % intervals of all.

    `clustered` holds `cluster_..._low` and `cluster_..._high` of CLUSTERED: expanded percentile intervals of a
    bootstrap over patients. None with fewer than FEWEST_PATIENTS, as `cluster_reason` says then.
    """

    bias: float
    bias_low: float
    bias_high: float
    sd_of_differences: float
    loa_low: float
    loa_low_from: float
    loa_low_to: float
    loa_high: float
    loa_high_from: float
    loa_high_to: float
    icc: float | None
    icc_low: float | None
    icc_high: float | None
    n_patients: int
    cluster_reason: str | None
    clustered: dict[str, float | None] = field(default_factory=dict)

    def as_mapping(self) -> dict[str, Any]:
        """By name."""
        held = asdict(self)
        return held | held.pop("clustered")


def regression(x: np.ndarray, y: np.ndarray) -> Line:
    """Least squares of `y` on `x`, `[pair]` each, three pairs or more."""
    n = len(x)
    if np.ptp(x) == 0:  # not the sum of squares: the mean of equal values is rounded
        return Line(*[None] * 8)
    sxx, syy = float(((x - x.mean()) ** 2).sum()), float(((y - y.mean()) ** 2).sum())
    sxy = float(((x - x.mean()) * (y - y.mean())).sum())
    slope = sxy / sxx
    intercept = float(y.mean() - slope * x.mean())
    r = max(-1.0, min(1.0, sxy / math.sqrt(sxx * syy))) if np.ptp(y) > 0 else None
    residual = max(syy - slope * sxy, 0.0) / (n - 2)
    quantile = student_t_quantile((1 + CONFIDENCE) / 2, n - 2)
    reach = quantile * math.sqrt(residual / sxx)
    reach_0 = quantile * math.sqrt(residual * (1 / n + float(x.mean()) ** 2 / sxx))
    return Line(
        r,
        None if r is None else r * r,
        slope,
        slope - reach,
        slope + reach,
        intercept,
        intercept - reach_0,
        intercept + reach_0,
    )


def agreement(x: np.ndarray, y: np.ndarray, patients: Sequence[str] = ()) -> Agreement:
    """Bland-Altman limits and ICC(2,1) of `y` against `x`, `[pair]` each, three pairs or more.

    `patients` names the patient of each pair, for the bootstrap; without it there is none.
    """
    n = len(x)
    differences = y - x
    bias, sd = float(differences.mean()), float(differences.std(ddof=1))
    quantile = student_t_quantile((1 + CONFIDENCE) / 2, n - 1)
    reach = quantile * sd / math.sqrt(n)
    # Variance of a limit: that of the mean and that of the standard deviation.
    reach_limit = quantile * sd * math.sqrt(1 / n + NORMAL**2 / (2 * (n - 1)))
    low, high = bias - NORMAL * sd, bias + NORMAL * sd
    icc, icc_low, icc_high = intraclass_correlation(np.stack([x, y], axis=1))
    return Agreement(
        bias,
        bias - reach,
        bias + reach,
        sd,
        low,
        low - reach_limit,
        low + reach_limit,
        high,
        high - reach_limit,
        high + reach_limit,
        icc,
        icc_low,
        icc_high,
        len(set(patients)),
        TOO_FEW_PATIENTS if 0 < len(set(patients)) < FEWEST_PATIENTS else None,
        _cluster_bootstrap(x, y, patients),
    )


def intraclass_correlation(ratings: np.ndarray) -> tuple[float | None, float | None, float | None]:
    """ICC(2,1): two-way random effects, absolute agreement, single measurement; `ratings` `[subject, rater]`.

    Returns
    -------
    tuple
        Estimate and its 95 % interval (McGraw and Wong 1996, table 7, case 2A); None where nothing varies.
    """
    n, k = ratings.shape
    rows, columns, disagreement = _mean_squares(ratings)
    bottom = rows + (k - 1) * disagreement + k * (columns - disagreement) / n
    if np.ptp(ratings) == 0 or bottom <= 0:
        return None, None, None
    icc = (rows - disagreement) / bottom
    if icc >= 1:
        return 1.0, 1.0, 1.0
    a = k * icc / (n * (1 - icc))
    b = 1 + k * icc * (n - 1) / (n * (1 - icc))
    under = (a * columns) ** 2 / (k - 1) + (b * disagreement) ** 2 / ((n - 1) * (k - 1))
    freedom = (a * columns + b * disagreement) ** 2 / under if under > 0 else 0.0
    if freedom <= 0:  # all subjects have the same mean
        return icc, None, None
    tail = (1 + CONFIDENCE) / 2
    first, second = f_quantile(tail, n - 1, freedom), f_quantile(tail, freedom, n - 1)
    spread = k * columns + (k * n - k - n) * disagreement
    low = n * (rows - first * disagreement) / (first * spread + n * rows)
    high = n * (second * rows - disagreement) / (spread + n * second * rows)
    if not (math.isfinite(low) and math.isfinite(high)):  # the same mean again, but for rounding
        return icc, None, None
    return icc, low, high


def _mean_squares(ratings: np.ndarray) -> tuple[float, float, float]:
    """Of subjects, raters and what is left, of a two-way table without repeats."""
    n, k = ratings.shape
    grand = ratings.mean()
    by_row, by_column = ratings.mean(axis=1), ratings.mean(axis=0)
    rows = k * ((by_row - grand) ** 2).sum() / (n - 1)
    columns = n * ((by_column - grand) ** 2).sum() / (k - 1)
    left = ((ratings - by_row[:, None] - by_column[None] + grand) ** 2).sum() / ((n - 1) * (k - 1))
    return float(rows), float(columns), float(left)


def _cluster_bootstrap(x: np.ndarray, y: np.ndarray, patients: Sequence[str]) -> dict[str, float | None]:
    """Expanded percentile intervals of CLUSTERED over draws of whole patients, from the sums of each patient."""
    names, places = np.unique(np.array(patients, dtype=str), return_inverse=True)
    ends: dict[str, float | None] = {f"cluster_{name}_{end}": None for name in CLUSTERED for end in ("low", "high")}
    if len(names) < FEWEST_PATIENTS:
        return ends
    centre, bias = (float(x.mean()) + float(y.mean())) / 2, float((y - x).mean())
    mean, difference = (x + y) / 2 - centre, y - x - bias
    parts = (np.ones_like(x), mean, difference, mean**2, difference**2, mean * difference)
    by_patient = np.stack([np.bincount(places, part, len(names)) for part in parts], axis=1)
    drawn = np.random.default_rng(SEED).multinomial(len(names), np.full(len(names), 1 / len(names)), DRAWS)
    statistics = _from_sums(drawn @ by_patient, by_patient.sum(axis=0), centre, bias)
    tail = 100 * expanded_tail(len(names))
    for name, values in zip(CLUSTERED, statistics, strict=True):
        known = values[np.isfinite(values)]
        if len(known) >= DRAWS / 2:
            low, high = np.percentile(known, [tail, 100 - tail])
            ends[f"cluster_{name}_low"], ends[f"cluster_{name}_high"] = float(low), float(high)
    return ends


def expanded_tail(n: int) -> float:
    """Part of the draws of `n` independent units beyond either end of the interval.

    Draws with replacement vary as if variances were divided by n, not n - 1, and normal quantiles are taken for those
    of t: both make percentile intervals of few units too narrow. Hesterberg's expanded percentile interval takes the
    tail Phi(-t sqrt(n/(n - 1))), t the quantile with n - 1 degrees of freedom; 0.0057 of 8 units, 0.025 of many.
    """
    quantile = student_t_quantile((1 + CONFIDENCE) / 2, n - 1)
    return normal_upper_tail(quantile * math.sqrt(n / (n - 1)))


def _from_sums(sums: np.ndarray, whole: np.ndarray, centre: float, bias: float) -> list[np.ndarray]:
    """CLUSTERED of each draw; NaN where nothing varies.

    `sums` `[draw, 6]` and `whole` `[6]` hold n, Σm, Σd, Σm², Σd², Σmd: m is a pair's mean less `centre`, d its
    difference less `bias`.
    """
    n, m, d, mm, dd, md = sums.T
    mean, difference = m / n, d / n
    mm, dd, md = mm - n * mean**2, np.maximum(dd - n * difference**2, 0), md - n * mean * difference
    sxx, syy, sxy = mm - md + dd / 4, mm + md + dd / 4, mm - dd / 4
    least = VARIES * (whole[3] + whole[4])
    sxx, syy = np.where(sxx > least, sxx, np.nan), np.where(syy > least, syy, np.nan)
    slope = sxy / sxx
    shift = bias + difference
    spread = NORMAL * np.sqrt(dd / (n - 1))
    intercept = centre + mean + shift / 2 - slope * (centre + mean - shift / 2)
    rows, left, columns = 2 * mm / (n - 1), dd / (2 * (n - 1)), n * shift**2 / 2
    bottom = rows + left + 2 * (columns - left) / n
    icc = np.divide(rows - left, bottom, out=np.full_like(bottom, np.nan), where=bottom > 0)
    return [shift, shift - spread, shift + spread, sxy**2 / (sxx * syy), slope, intercept, icc]
