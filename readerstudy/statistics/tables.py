"""The tables as CSV text: full precision, an empty field for what is not estimable."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from readerstudy.statistics.measurements import COLUMNS as MEASUREMENT_COLUMNS
from readerstudy.statistics.measurements import COMPARED, SEQUENCE
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
MEASUREMENT_TABLE_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "table6": (
        "sequence", "quantity", "in_paper", "arm", "n", "mean", "sd", "n_pairs", "r", "r2", "slope", "intercept",
        "bias", "loa_low", "loa_high", "reason",
    ),
    "table6a": ("sequence", "quantity", "in_paper", "arm", "level", "n_pairs", *COMPARED, "reason"),
}  # fmt: skip
"""Where there are measurements."""
SERIES_TABLE_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "table6b": (
        "sequence", "quantity", "arm", "series", "series_failed", "levels", "value", "cut", "not_measured", "left_out",
        "same_level", "not_found", "series_not_measured", "matched", "level_unsure", "reasons",
    ),
    "table6c": (
        "sequence", "quantity", "in_paper", "arm", "left_out", "n_without", "n", "mean", "sd", "n_pairs", *COMPARED,
        "reason",
    ),
}  # fmt: skip
"""Where there are series, too: of a study."""
ALL_COLUMNS = {**TABLE_COLUMNS, **MEASUREMENT_TABLE_COLUMNS, **SERIES_TABLE_COLUMNS}
NOTHING: Mapping[str, str] = {}


def table_csv(name: str, rows: Iterable[Mapping[str, Any]], constant: Mapping[str, str] = NOTHING) -> str:
    """One table of the results as CSV; truth values are written true and false.

    `constant` adds columns that say the same in every row, such as a label that must not get lost. A column that a row
    of an earlier version does not have is empty.
    """
    columns = ALL_COLUMNS[name]
    values = list(constant.values())
    lines = ([*(_field(row.get(column)) for column in columns), *values] for row in rows)
    return _csv_text([*columns, *constant], lines)


def scores_csv(
    scores: ScoreTable, constant: Mapping[str, str] = NOTHING, beside: Mapping[str, Sequence[str]] | None = None
) -> str:
    """The score table as CSV, in the form that `analyse` reads, which ignores further columns.

    `beside` adds columns with a value for each rating, in their order; `constant` as in `table_csv`.
    """
    values, columns = list(constant.values()), beside or {}
    more = zip(*columns.values(), strict=True) if columns else [()] * len(scores.ratings)
    return _csv_text(
        [*COLUMNS, *columns, *constant],
        (
            [one.sequence, one.arm, one.patient, one.reader, one.category, _field(one.score), *added, *values]
            for one, added in zip(scores.ratings, more, strict=True)
        ),
    )


def measurements_csv(rows: Iterable[Mapping[str, Any]], constant: Mapping[str, str] = NOTHING) -> str:
    """Measurements as CSV, in the form that `analyse --measurements` reads; `constant` as in `table_csv`."""
    values = list(constant.values())
    return _csv_text(
        [SEQUENCE, *MEASUREMENT_COLUMNS, *constant],
        ([*(_field(row[column]) for column in (SEQUENCE, *MEASUREMENT_COLUMNS)), *values] for row in rows),
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
