"""From the database to tables: the same numbers as from the score table, and nothing before unblinding."""

import csv
import io
import json
import uuid

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from readerstudy.audit.models import Event
from readerstudy.faults import Refusal
from readerstudy.processing.models import Structure
from readerstudy.reading.models import Grade, Presentation
from readerstudy.results import downloads, selectors, services
from readerstudy.results.models import Result
from readerstudy.statistics.analysis import analyse
from readerstudy.statistics.plan import AnalysisPlan, mapping_sha256
from readerstudy.statistics.scores import parse_scores
from tests.readerstudy.results.graded_study import graded_study
from tests.readerstudy.results.measured_study import measure
from tests.readerstudy.statistics.measurement_tables import random_measurements
from tests.readerstudy.statistics.score_tables import random_scores

TABLES = ("table3", "table4", "table5")

pytestmark = pytest.mark.django_db


def test_the_database_gives_the_numbers_of_the_score_table(graded, scores):
    result = services.compute_results(study=graded.study, actor=graded.investigator)
    expected = analyse(scores, AnalysisPlan())
    for table in TABLES:
        assert result.content[table] == expected[table]
    assert result.plan_sha256 == graded.study.plan_hash
    assert result.completeness["graded"] == result.completeness["expected"] == len(scores.ratings)


def test_missing_grades_are_missing_scores(db):
    scores = random_scores(22, patients=7, sequences=("SAG T1",), missing=0.15)
    graded = graded_study(scores)
    content = services.compute_results(study=graded.study).content
    for table in TABLES:
        assert content[table] == analyse(scores, AnalysisPlan())[table]


def test_downloads_are_the_stored_numbers_and_can_be_analysed_again(graded):
    texts = {
        name: downloads.download_text(study=graded.study, actor=graded.investigator, name=name)
        for name in downloads.NAMES
    }
    stored = json.loads(texts["results.json"])
    again = analyse(parse_scores(io.StringIO(texts["scores.csv"])), AnalysisPlan())
    for table in TABLES:
        assert again[table] == stored[table]
    rows = list(csv.DictReader(io.StringIO(texts["table4.csv"])))
    assert [float(row["p_adjusted"]) for row in rows] == [row["p_adjusted"] for row in stored["table4"]]
    assert len(rows) == 2 * 2 * 5


def test_simulated_grades_are_labelled_in_every_download(db, scores):
    graded = graded_study(scores, simulated=True)
    measure(graded.study, random_measurements(24, patients=6, arms=scores.arms), "AX T2")
    one = Structure.objects.filter(kind="disc").earliest("pk")
    Structure.objects.filter(pk=one.pk).update(excluded_reason="A herniation.")
    for name in downloads.NAMES:
        text = downloads.download_text(study=graded.study, actor=graded.investigator, name=name)
        if name == "results.json":
            assert json.loads(text)["simulated_grades"] is True
        else:
            assert {row["grades"] for row in csv.DictReader(io.StringIO(text))} == {"simulated"}
            if name == "scores.csv":
                parse_scores(io.StringIO(text))


def test_computed_once_and_in_the_trail(graded):
    first = services.compute_results(study=graded.study, actor=graded.investigator)
    assert services.compute_results(study=graded.study) == first
    assert Result.objects.count() == 1
    (event,) = Event.objects.filter(study=graded.study.pk, action="results.computed")
    assert event.details["plan_sha256"] == graded.study.plan_hash
    assert event.actor == graded.investigator


@pytest.mark.parametrize("state", ["reading", "locked"])
def test_nothing_before_unblinding_not_even_a_look_at_a_grade(db, state):
    graded = graded_study(random_scores(3, patients=2, sequences=("SAG T1",)), state=state)
    graded.study.state = "unblinded"  # an object that lies does not help: the state is read from the database
    plan = selectors.analysis_plan(graded.study)
    with CaptureQueriesContext(connection, ) as queries:
        with pytest.raises(Refusal, match="before the study is unblinded"):
            selectors.study_scores(graded.study, plan)
        with pytest.raises(Refusal, match="before the study is unblinded"):
            services.compute_results(study=graded.study, actor=graded.investigator)
    assert not any("reading_grade" in query["sql"] or "blinding_seal" in query["sql"] for query in queries)
    assert not Result.objects.exists()


def answer(graded, reason, **change):
    row = {"patient": "P01", "arm": "Fast", "sequence": "AX T2", "reader": "R1", "category": "Apparent SNR"}
    row |= change
    grade = graded.grade(**row)
    Grade.objects.create(
        id=uuid.uuid4(), presentation=grade.presentation, criterion=grade.criterion, number=2, cannot_grade=reason
    )
    return row


def score_of(graded, row):
    scores = selectors.study_scores(graded.study, selectors.analysis_plan(graded.study))
    return scores.table.cell(row["sequence"], row["arm"], row["category"])[row["patient"]].get(row["reader"]), scores


@pytest.mark.parametrize(("category", "worst"), [("Apparent SNR", 1), ("Presence of Artifacts", 1)])
def test_image_quality_counts_as_the_worst_score(graded, category, worst):
    row = answer(graded, "image-quality", category=category)
    score, scores = score_of(graded, row)
    assert score == worst
    assert scores.completeness["image_quality"] == 1


def test_image_quality_counts_as_missing_where_the_plan_says_so(graded):
    graded.study.plan["cannot_grade_image_quality"] = "missing"
    graded.study.plan_hash = mapping_sha256(graded.study.plan)
    graded.study.save()
    score, scores = score_of(graded, answer(graded, "image-quality"))
    assert score is None
    assert scores.completeness["image_quality"] == 1


def test_the_downloaded_scores_tell_what_was_given_from_what_the_plan_put_there(graded):
    row = answer(graded, "image-quality")
    text = downloads.download_text(study=graded.study, actor=None, name="scores.csv")
    lines = list(csv.DictReader(io.StringIO(text)))
    marked = [line for line in lines if line["cannot_grade"]]
    assert [(line["arm"], line["category"], line["score"], line["cannot_grade"]) for line in marked] == [
        (row["arm"], row["category"], "1", "image-quality")
    ]
    _, scores = score_of(graded, row)
    assert [line["score"] for line in lines] == [
        "" if rating.score is None else str(rating.score) for rating in scores.table.ratings
    ]


def test_a_technical_reason_is_missing(graded):
    score, scores = score_of(graded, answer(graded, "technical"))
    assert score is None
    assert (scores.completeness["technical"], scores.completeness["image_quality"]) == (1, 0)


def test_hidden_repeats_and_series_not_signed_off_do_not_enter(graded, scores):
    row = {"patient": "P01", "arm": "Fast", "sequence": "AX T2", "reader": "R1", "category": "Apparent SNR"}
    grade = graded.grade(**row)
    repeat = Presentation.objects.create(
        token="r" * 43, study=graded.study, reader=grade.presentation.reader, series=grade.presentation.series,
        position=999, is_repeat=True, signed_off_at=grade.presentation.signed_off_at,
    )  # fmt: skip
    Grade.objects.create(id=uuid.uuid4(), presentation=repeat, criterion=grade.criterion, number=1, value=5)
    services.compute_results(study=graded.study)
    assert Result.objects.get().content["table3"] == analyse(scores, AnalysisPlan())["table3"]
    Presentation.objects.filter(pk=grade.presentation.pk).update(signed_off_at=None)
    score, after = score_of(graded, row)
    assert score is None
    assert after.completeness["not_signed_off"] == 5


def test_another_plan_than_the_frozen_one_is_refused(graded):
    graded.study.plan["family"] = "none"
    graded.study.save()
    with pytest.raises(Refusal, match="not the one that was frozen"):
        services.compute_results(study=graded.study)


def test_a_correction_counts_as_its_newest_row(graded):
    grade = graded.grade(patient="P02", arm="Standard", sequence="AX T2", reader="R2", category="Apparent SNR")
    Grade.objects.create(
        id=uuid.uuid4(), presentation=grade.presentation, criterion=grade.criterion, number=2, value=5, reason="slip"
    )
    scores = selectors.study_scores(graded.study, selectors.analysis_plan(graded.study))
    assert scores.table.cell("AX T2", "Standard", "Apparent SNR")["P02"]["R2"] == 5
