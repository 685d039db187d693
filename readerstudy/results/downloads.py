"""The files of a study's results."""

from collections.abc import Mapping

from readerstudy.accounts.models import User
from readerstudy.results import selectors, services
from readerstudy.results.files import results_json
from readerstudy.statistics.tables import TABLE_COLUMNS, scores_csv, table_csv
from readerstudy.studies.models import Study

NAMES: Mapping[str, str] = {
    "table3.csv": "Means",
    "table4.csv": "Noninferiority",
    "table5.csv": "Agreement",
    "scores.csv": "Scores",
    "results.json": "All, JSON",
}
"""File names, and what their links say."""

SIMULATED_COLUMN = {"grades": "simulated"}
"""Added to every row of a study whose grades are simulated; `analyse` ignores further columns."""


def download_text(*, study: Study, actor: User, name: str) -> str:
    """Text of one of NAMES. Raises Refusal before unblinding."""
    label = SIMULATED_COLUMN if study.has_simulated_grades else {}
    if name == "scores.csv":
        scores = selectors.study_scores(study, selectors.analysis_plan(study))
        # The score alone does not tell a grade that was given from one that the plan puts in its place.
        return scores_csv(scores.table, label, {"cannot_grade": scores.cannot_grade})
    content = services.compute_results(study=study, actor=actor).content
    if name == "results.json":
        return results_json(content)
    table = name.removesuffix(".csv")
    if table not in TABLE_COLUMNS:
        raise KeyError(name)
    return table_csv(table, content[table], label)
