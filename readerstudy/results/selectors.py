"""Score table and plan of a study. Nothing here touches a grade before the study is unblinded."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.db.models import Count, Max, Min

from readerstudy.blinding.selectors import key_of_study
from readerstudy.faults import Refusal
from readerstudy.processing.levels import ALL_QUANTITIES
from readerstudy.processing.measured_by import measured_by as measured_by_of
from readerstudy.processing.measurements import measurement_rows
from readerstudy.processing.models import Series
from readerstudy.processing.structure_fates import structure_fates as fates_of
from readerstudy.reading.models import Grade
from readerstudy.reading.selectors import current_grades, progress
from readerstudy.statistics.analysis import cells, estimation_cell
from readerstudy.statistics.descriptive import box
from readerstudy.statistics.faults import AnalysisFault
from readerstudy.statistics.measurements import (
    PAPER_QUANTITIES,
    Measurement,
    MeasurementTable,
    analyse_measurements,
    sensitivity,
)
from readerstudy.statistics.missing import reader_means
from readerstudy.statistics.plan import AnalysisPlan, mapping_sha256, plan_from_mapping
from readerstudy.statistics.scores import Rating, ScoreTable
from readerstudy.studies.models import Study


def require_unblinded(study: Study) -> None:
    """Refuse while the study is not unblinded; the state is read anew, not taken from the object."""
    state = Study.objects.values_list("state", flat=True).get(pk=study.pk)
    if state != Study.State.UNBLINDED:
        raise Refusal("There are no results before the study is unblinded.", "Lock the study, then unblind it.")


def analysis_plan(study: Study) -> AnalysisPlan:
    """The study's frozen plan; scale, direction and margin of a criterion, and the reference, where it is silent.

    Raises Refusal when the plan is not the one that was frozen before the first read.
    """
    if mapping_sha256(study.plan) != study.plan_hash:
        raise Refusal(
            "The analysis plan is not the one that was frozen at the release.",
            "Restore the plan of the audit trail; results are computed under no other.",
        )
    content = dict(study.plan)
    written = content.get("criteria") or {}
    content["criteria"] = {
        criterion.name: {
            "scale": [criterion.scale_minimum, criterion.scale_maximum],
            "better": criterion.better,
            "margin": criterion.margin,
            **written.get(criterion.name, {}),
        }
        for criterion in study.criteria.order_by("order")
    }
    if "reference_arm" not in content:
        reference = study.arms.filter(is_reference=True).first()
        if reference is not None:
            content["reference_arm"] = reference.name
    try:
        return plan_from_mapping(content)
    except AnalysisFault as fault:
        raise Refusal(fault.what, fault.action) from fault


@dataclass(frozen=True)
class StudyScores:
    """The score table of a study and how complete it is.

    Attributes
    ----------
    completeness
        Counts: series and readers; answers expected, graded, "cannot be graded" by cause; answers of series that were
        not signed off, which do not enter.
    cannot_grade
        For each rating of the table why it could not be graded; empty where it could be or was not given.
    """

    table: ScoreTable
    completeness: dict[str, int]
    cannot_grade: list[str]


def study_scores(study: Study, plan: AnalysisPlan) -> StudyScores:
    """One row for every series, reader and criterion, in the order of the study's sequences, subjects and arms.

    Hidden repeats and series that were not signed off do not enter. "Cannot be graded because of image quality" counts
    as the plan says, a technical reason as not rated. Raises Refusal before unblinding.
    """
    require_unblinded(study)
    criteria = list(study.criteria.order_by("order").values_list("name", flat=True))
    series = key_of_study(study)
    readers = {row.reader.pk: row.reader.username for row in progress(study) if row.length}
    answers = {}
    not_signed_off = 0
    for grade in current_grades(study):
        if grade.is_repeat:
            continue
        if not grade.signed_off:
            not_signed_off += 1
            continue
        answers[grade.series, grade.reader, grade.criterion_name] = grade
    counts = {"graded": 0, "image_quality": 0, "technical": 0}
    ratings: list[Rating] = []
    cannot_grade: list[str] = []
    for line in series:
        for reader, reader_name in readers.items():
            for criterion in criteria:
                answer = answers.get((line.token, reader, criterion))
                score = None
                if answer is not None and answer.value is not None:
                    counts["graded"] += 1
                    score = answer.value
                elif answer is not None and answer.cannot_grade == Grade.Cause.IMAGE_QUALITY:
                    counts["image_quality"] += 1
                    if plan.cannot_grade_image_quality == "worst":
                        score = plan.criteria[criterion].worst_score
                elif answer is not None:
                    counts["technical"] += 1
                cannot_grade.append("" if answer is None else answer.cannot_grade)
                ratings.append(
                    Rating(
                        line.sequence.name, line.arm.name, line.subject.code, reader_name, criterion, score,
                        len(ratings) + 2,
                    )
                )  # fmt: skip
    if not ratings:
        raise Refusal("Nothing was read in this study.", "Results need at least one series and one reader.")
    completeness = {
        "series": len(series), "readers": len(readers), "expected": len(ratings), **counts,
        "not_signed_off": not_signed_off,
    }  # fmt: skip
    return StudyScores(ScoreTable(ratings), completeness, cannot_grade)


def noise_reductions(study: Study) -> list[dict[str, Any]]:
    """For each sequence and arm with noise reduction what was asked and what the network reached, least and most over
    the subjects. Raises Refusal before unblinding."""
    require_unblinded(study)
    series = Series.objects.filter(study=study, is_current=True, noise_reduction_reached__isnull=False)
    rows = series.values("sequence__name", "arm__name", "arm__noise_reduction").annotate(
        least=Min("noise_reduction_reached"), most=Max("noise_reduction_reached"), subjects=Count("subject")
    )
    return [
        {
            "sequence": row["sequence__name"],
            "arm": row["arm__name"],
            "asked": float(row["arm__noise_reduction"]),
            "least": row["least"],
            "most": row["most"],
            "subjects": row["subjects"],
        }
        for row in rows.order_by("sequence__order", "arm__order")
    ]


def measurements(study: Study, *, nothing_left_out: bool = False) -> list[dict[str, Any]]:
    """What counts of the study's measurements, a row each: the paper's quantities first, disc heights before volumes,
    then what is beyond it; sequences and arms in the study's order.

    With `nothing_left_out` as if the coordinator had excluded none of what was measured. Raises Refusal before
    unblinding.
    """
    require_unblinded(study)
    sequences = list(study.sequences.order_by("order").values_list("name", flat=True))
    arms = list(study.arms.order_by("order").values_list("name", flat=True))
    return sorted(
        measurement_rows(study, nothing_left_out=nothing_left_out),
        key=lambda row: (
            row["quantity"] not in PAPER_QUANTITIES, sequences.index(row["sequence"]),
            ALL_QUANTITIES.index(row["quantity"]), arms.index(row["arm"]), row["patient"], row["level"],
        ),
    )  # fmt: skip


def measured_by(study: Study) -> list[dict[str, Any]]:
    """Weights, thresholds and software that measured the series, all that differ. Raises Refusal before unblinding."""
    require_unblinded(study)
    return measured_by_of(study)


def structure_fates(study: Study) -> list[dict[str, Any]]:
    """Table 6b: how many levels of each arm have a value, and what became of the others. Raises Refusal before
    unblinding."""
    require_unblinded(study)
    return fates_of(study)


def measurement_tables(rows: Sequence[Mapping[str, Any]], plan: AnalysisPlan) -> dict[str, Any]:
    """Tables 6 and 6a, empty where nothing is measured; `measurements_reason` says what is left out of them and why:
    results do not wait for measurements."""
    empty: dict[str, Any] = {"table6": [], "table6a": [], "measurements_reason": None}
    values = (
        Measurement(row["quantity"], row["arm"], row["patient"], str(row["level"]), row["value"], row["sequence"])
        for row in rows
    )
    try:
        return {**empty, **analyse_measurements(MeasurementTable(values), plan.reference_arm)}
    except AnalysisFault as fault:
        return {**empty, "measurements_reason": fault.what}


def without_exclusions(study: Study, rows: Sequence[Mapping[str, Any]], plan: AnalysisPlan) -> list[dict[str, Any]]:
    """Table 6c: the measurements with nothing left out, beside those that count (`rows`); empty where none was left
    out that was measured. Raises Refusal before unblinding."""
    whole = measurements(study, nothing_left_out=True)
    if len(whole) == len(rows):
        return []
    places = [Counter((row["sequence"], row["quantity"], row["arm"]) for row in held) for held in (whole, rows)]
    return sensitivity(measurement_tables(rows, plan), measurement_tables(whole, plan), places[0] - places[1])


def box_rows(scores: ScoreTable, plan: AnalysisPlan) -> list[dict[str, Any]]:
    """A box plot of the reader means for every cell that has any."""
    rows = []
    for sequence, arm, category in cells(scores, plan):
        means = list(reader_means(estimation_cell(scores, plan, sequence, arm, category)).values())
        if means:
            described = {**asdict(box(means))}
            described["outliers"] = list(described["outliers"])
            rows.append({"sequence": sequence, "arm": arm, "category": category, "n_patients": len(means), **described})
    return rows
