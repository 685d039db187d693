"""Table 4: one-sided signed-rank tests of the difference from the reference arm against the margin."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from readerstudy.statistics.false_discovery import benjamini_hochberg
from readerstudy.statistics.plan import AnalysisPlan, CriterionPlan, Family
from readerstudy.statistics.signed_rank import Alternative, signed_rank_test
from readerstudy.statistics.walsh import WalshAverages


@dataclass(frozen=True)
class NoninferiorityRow:
    """One row of table 4.

    The test drops the `n_at_margin` pairs whose difference is the margin; pseudomedian and interval (two-sided,
    level 1 - 2 alpha) use all pairs.
    """

    sequence: str
    arm: str
    category: str
    margin: float
    alternative: Alternative
    n_pairs: int
    n_at_margin: int
    statistic: float | None
    p_raw: float | None
    p_adjusted: float | None
    pseudomedian: float | None
    ci_low: float | None
    ci_high: float | None
    noninferior: bool | None
    reason: str | None


def compare_with_margin(
    sequence: str, arm: str, category: str, differences: Sequence[Fraction], criterion: CriterionPlan, alpha: Fraction
) -> NoninferiorityRow:
    """The row of table 4 for one comparison, not yet adjusted for the others of its family."""
    margin = criterion.exact_margin
    if not differences:
        return NoninferiorityRow(
            sequence, arm, category, float(margin), criterion.alternative,
            n_pairs=0, n_at_margin=0, statistic=None, p_raw=None, p_adjusted=None, pseudomedian=None,
            ci_low=None, ci_high=None, noninferior=None, reason="No patient has ratings in both arms.",
        )  # fmt: skip
    test = signed_rank_test([difference - margin for difference in differences], criterion.alternative)
    averages = WalshAverages(differences)
    interval = averages.confidence_interval(alpha)
    level = f"{float(100 * (1 - 2 * alpha)):g} %"
    pairs = "1 pair cannot give" if test.n_pairs == 1 else f"{test.n_pairs} pairs cannot give"
    return NoninferiorityRow(
        sequence, arm, category, float(margin), criterion.alternative,
        n_pairs=test.n_pairs, n_at_margin=test.n_at_zero, statistic=float(test.statistic), p_raw=test.p,
        p_adjusted=None, pseudomedian=float(averages.pseudomedian()),
        ci_low=float(interval[0]) if interval else None, ci_high=float(interval[1]) if interval else None,
        noninferior=None, reason=None if interval else f"{pairs} an interval of level {level}.",
    )  # fmt: skip


def family_key(row: NoninferiorityRow, family: Family) -> tuple[str, ...]:
    """Rows with the same key share one false discovery rate."""
    keys: dict[Family, tuple[str, ...]] = {
        "sequence-category": (row.sequence, row.category),
        "category": (row.category,),
        "sequence": (row.sequence,),
        "all": (),
        "none": (row.sequence, row.category, row.arm),
    }
    return keys[family]


def adjust(rows: Sequence[NoninferiorityRow], plan: AnalysisPlan) -> list[NoninferiorityRow]:
    """Rows with adjusted P and the decision; comparisons that are not estimable do not count in their family."""
    families: dict[tuple[str, ...], list[int]] = {}
    for index, row in enumerate(rows):
        if row.p_raw is not None:
            families.setdefault(family_key(row, plan.family), []).append(index)
    adjusted = list(rows)
    for members in families.values():
        p_values = [p for index in members if (p := rows[index].p_raw) is not None]
        for index, p in zip(members, benjamini_hochberg(p_values), strict=True):
            adjusted[index] = replace(rows[index], p_adjusted=p, noninferior=p < float(plan.alpha))
    return adjusted
