"""The files of a study's results."""

from collections.abc import Mapping
from typing import Any

from readerstudy.accounts.models import User
from readerstudy.results import selectors, services
from readerstudy.results.files import results_json
from readerstudy.statistics.tables import ALL_COLUMNS, measurements_csv, scores_csv, table_csv
from readerstudy.studies.models import Study

NAMES: Mapping[str, str] = {
    "table3.csv": "Means",
    "table4.csv": "Noninferiority",
    "table5.csv": "Agreement",
    "table6.csv": "Measurements",
    "table6a.csv": "Measurement agreement",
    "table6b.csv": "What was not measured",
    "table6c.csv": "Nothing left out",
    "scores.csv": "Scores",
    "measurements.csv": "Measured values",
    "measurements-nothing-left-out.csv": "Measured values, nothing left out",
    "results.json": "All, JSON",
}
"""File names, and what their links say."""

SIMULATED_COLUMN = {"grades": "simulated"}
"""Added to every row of a study whose grades are simulated; `analyse` ignores further columns."""

WITH_EXCLUSIONS = ("table6c.csv", "measurements-nothing-left-out.csv")
"""Only where something was left out."""
OF_MEASUREMENTS = ("table6.csv", "table6a.csv", "table6b.csv", "measurements.csv", *WITH_EXCLUSIONS)


def names(content: Mapping[str, Any]) -> dict[str, str]:
    """NAMES without those that would be empty: there are tables of measurements only where something was measured."""
    measured = {name: bool(content.get("table6")) for name in OF_MEASUREMENTS}
    measured["table6b.csv"] = bool(content.get("table6b"))
    measured |= dict.fromkeys(WITH_EXCLUSIONS, bool(content.get("table6c")))
    return {name: says for name, says in NAMES.items() if measured.get(name, True)}


def download_text(*, study: Study, actor: User, name: str) -> str:
    """Text of one of NAMES. Raises Refusal before unblinding."""
    label = SIMULATED_COLUMN if study.has_simulated_grades else {}
    if name == "scores.csv":
        scores = selectors.study_scores(study, selectors.analysis_plan(study))
        # The score alone does not tell a grade that was given from one that the plan puts in its place.
        return scores_csv(scores.table, label, {"cannot_grade": scores.cannot_grade})
    if name == "measurements.csv":
        return measurements_csv(selectors.measurements(study), label)
    if name == "measurements-nothing-left-out.csv":
        return measurements_csv(selectors.measurements(study, nothing_left_out=True), label)
    content = services.compute_results(study=study, actor=actor).content
    if name == "results.json":
        return results_json(content)
    table = name.removesuffix(".csv")
    if table not in ALL_COLUMNS:
        raise KeyError(name)
    return table_csv(table, content.get(table, []), label)
