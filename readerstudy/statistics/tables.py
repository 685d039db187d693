"""The tables as CSV text: full precision, an empty field for what is not estimable."""

import csv
import io
from collections.abc import Iterable, Mapping
from typing import Any

from readerstudy.statistics.scores import COLUMNS, ScoreTable

TABLE_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "table3": ("sequence", "arm", "category", "n_patients", "mean", "sd", "reason"),
    "table4": (
        "sequence", "arm", "category", "margin", "alternative", "n_pairs", "n_at_margin", "statistic", "p_raw",
        "p_adjusted", "pseudomedian", "ci_low", "ci_high", "noninferior", "reason",
    ),
    "table5": (
        "sequence", "arm", "category", "n_patients", "n_readers", "kappa", "se", "ci_low", "ci_high", "band", "reason",
    ),
}  # fmt: skip


def table_csv(name: str, rows: Iterable[Mapping[str, Any]]) -> str:
    """One table of the results as CSV; truth values are written true and false."""
    columns = TABLE_COLUMNS[name]
    return _csv_text(columns, ([_field(row[column]) for column in columns] for row in rows))


def scores_csv(scores: ScoreTable) -> str:
    """The score table as CSV, in the form that `analyse` reads."""
    return _csv_text(
        COLUMNS,
        (
            [rating.sequence, rating.arm, rating.patient, rating.reader, rating.category, _field(rating.score)]
            for rating in scores.ratings
        ),
    )


def _field(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


def _csv_text(columns: Iterable[str], rows: Iterable[list[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()
