"""The whole analysis: from a score table and a plan to tables 3, 4 and 5."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from readerstudy.statistics.agreement import agree
from readerstudy.statistics.descriptive import describe
from readerstudy.statistics.missing import completely_rated, paired_differences, reader_means
from readerstudy.statistics.noninferiority import adjust, compare_with_margin
from readerstudy.statistics.plan import AnalysisPlan
from readerstudy.statistics.scores import Cell, ScoreTable


def analyse(scores: ScoreTable, plan: AnalysisPlan) -> dict[str, Any]:
    """Tables 3, 4 and 5 in full precision, as plain values for JSON.

    Returns
    -------
    dict
        `plan` (every default written out), `counts`, and `table3`, `table4`, `table5`: lists of rows as
        docs/statistics.md describes them. None = not estimable, `reason` says why. Rows go by sequence (as they
        appear), arm (reference first) and category (as the plan lists them); a combination without any row in the
        score table has none here.

    Raises
    ------
    AnalysisFault
        When the scores do not fit the plan.
    """
    plan.check(scores)
    descriptive, comparisons, agreement = [], [], []
    for sequence, arm, category in cells(scores, plan):
        readers = scores.block_readers(sequence, category)
        cell = estimation_cell(scores, plan, sequence, arm, category)
        descriptive.append(describe(sequence, arm, category, list(reader_means(cell).values())))
        agreement.append(agree(sequence, arm, category, cell))
        if arm != plan.reference_arm:
            differences = paired_differences(
                scores.cell(sequence, arm, category),
                scores.cell(sequence, plan.reference_arm, category),
                plan.missing,
                readers,
            )
            comparisons.append(
                compare_with_margin(sequence, arm, category, differences, plan.criteria[category], plan.alpha)
            )
    return {
        "plan": plan.as_mapping(),
        "counts": {
            "sequences": len(scores.sequences),
            "arms": len(scores.arms),
            "patients": len(scores.patients),
            "readers": len(scores.readers),
            "rows": len(scores.ratings),
            "not_rated": sum(rating.score is None for rating in scores.ratings),
        },
        "table3": [asdict(row) for row in descriptive],
        "table4": [asdict(row) for row in adjust(comparisons, plan)],
        "table5": [asdict(row) for row in agreement],
    }


def cells(scores: ScoreTable, plan: AnalysisPlan) -> Iterator[tuple[str, str, str]]:
    """Sequence, arm and category of every cell that the score table has, in the order of the tables."""
    arms = [plan.reference_arm, *(arm for arm in scores.arms if arm != plan.reference_arm)]
    for sequence in scores.sequences:
        for arm in arms:
            for category in plan.criteria:
                if scores.has_cell(sequence, arm, category):
                    yield sequence, arm, category


def estimation_cell(scores: ScoreTable, plan: AnalysisPlan, sequence: str, arm: str, category: str) -> Cell:
    """The ratings that tables 3 and 5 use: what is available, under "complete" only completely rated patients."""
    cell = scores.cell(sequence, arm, category)
    if plan.missing == "complete":
        return completely_rated(cell, scores.block_readers(sequence, category))
    return cell
