"""Measurements of a study: the numbers of the values, on the page and in the downloads; none before unblinding."""

import csv
import io
import json
import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from readerstudy.audit.models import Event
from readerstudy.faults import Refusal
from readerstudy.processing.models import MeasuredSeries, Structure
from readerstudy.processing.structure_fates import FATES
from readerstudy.results import downloads, selectors, services, words
from readerstudy.results.models import Result
from readerstudy.statistics.measurement_agreement import FEWEST_PATIENTS
from readerstudy.statistics.measurements import MeasurementTable, analyse_measurements, read_measurements
from tests.readerstudy.results.graded_study import graded_study
from tests.readerstudy.results.measured_study import measure, page_of, structure, with_more_of_discs
from tests.readerstudy.statistics.measurement_tables import random_measurements
from tests.readerstudy.statistics.score_tables import random_scores

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("front_end")]

TABLES = ("table6", "table6a")


def of_sequence(rows, name):
    """Rows as they would be if nothing were said of sequences."""
    return [{**row, "sequence": None} for row in rows if row["sequence"] == name]


def test_the_database_gives_the_numbers_of_the_values(measured, values):
    content = services.compute_results(study=measured.study).content
    expected = analyse_measurements(MeasurementTable(values), "Standard")
    for table in TABLES:
        rows = of_sequence(content[table], "SAG T2 FS")
        assert len(rows) == len(content[table])
        for ours, theirs in zip(rows, expected[table], strict=True):
            assert ours == pytest.approx(theirs)
    assert content["measurements_reason"] is None


def test_downloads_can_be_analysed_again(measured, tmp_path):
    texts = {name: downloads.download_text(study=measured.study, actor=None, name=name) for name in downloads.NAMES}
    stored = json.loads(texts["results.json"])
    (tmp_path / "m.csv").write_text(texts["measurements.csv"])
    again = analyse_measurements(read_measurements(tmp_path / "m.csv"), "Standard")
    for table in TABLES:
        assert again[table] == stored[table]
        lines = list(csv.DictReader(io.StringIO(texts[f"{table}.csv"])))
        assert [line["bias"] for line in lines] == [
            "" if row["bias"] is None else repr(row["bias"]) for row in stored[table]
        ]


def fates_of(graded, kind="disc"):
    quantity = {"disc": "disc_height_mm", "body": "body_volume_cm3"}[kind]
    rows = services.compute_results(study=graded.study).content["table6b"]
    for row in rows:
        assert row["levels"] == sum(row[fate] for fate in FATES)
    return {row["arm"]: row for row in rows if row["quantity"] == quantity}


def told(row):
    """What is not zero."""
    return {fate: row[fate] for fate in FATES if row[fate]}


def test_every_level_has_a_fate_in_every_arm(measured):
    whole = fates_of(measured)
    assert {arm: told(row) for arm, row in whole.items()} == {
        arm: {"value": 36} for arm in ("Standard", "Fast", "Fast DL50")
    }
    structure(measured, "Fast", 1).delete()
    Structure.objects.filter(pk=structure(measured, "Fast", 2).pk).update(state="cut")
    Structure.objects.filter(pk=structure(measured, "Fast", 3).pk).update(state="excluded")
    Structure.objects.filter(pk=structure(measured, "Fast", 4).pk).update(excluded_reason="A herniation.")
    Structure.objects.filter(pk=structure(measured, "Fast", 5, patient="P03").pk).update(excluded_reason="A herniation")
    Structure.objects.filter(pk=structure(measured, "Fast", 5).pk).update(corrected_level=6)
    Structure.objects.filter(pk=structure(measured, "Fast DL50", 1, patient="P04").pk).update(measures={})
    failed = structure(measured, "Fast", 1, patient="P05").measured
    failed.structures.all().delete()
    MeasuredSeries.objects.filter(pk=failed.pk).update(fault_message="No lumbar spine was found in the series.")
    structure(measured, "Fast DL50", 1, patient="P06").measured.delete()
    now = fates_of(measured)
    assert told(now["Standard"]) == {"value": 36}
    # Of P02 the six levels are gone, cut, void, left out, and two on one level; of P03 one is left out.
    assert told(now["Fast"]) == {
        "value": 36 - 6 - 6 - 1, "cut": 1, "not_measured": 1, "left_out": 2, "same_level": 1, "not_found": 2,
        "series_not_measured": 6,
    }  # fmt: skip
    assert told(now["Fast DL50"]) == {"value": 29, "not_measured": 1, "series_not_measured": 6}
    assert (now["Fast"]["series"], now["Fast"]["series_failed"], now["Fast DL50"]["series_failed"]) == (6, 1, 0)
    assert now["Fast"]["reasons"] == "A herniation (2); No lumbar spine was found in the series (1 series)"
    table6 = services.compute_results(study=measured.study).content["table6"]
    for kind, quantity in (("disc", "disc_height_mm"), ("body", "body_volume_cm3")):
        matched = {row["matched"] for row in fates_of(measured, kind).values()}
        assert matched == {row["n"] for row in table6 if row["quantity"] == quantity}


def test_what_is_left_out_wherever_it_was_found_is_no_miss_of_the_other_arms(measured):
    for arm in ("Standard", "Fast DL50"):
        structure(measured, arm, 1).delete()
    one = structure(measured, "Fast", 1)
    assert told(fates_of(measured)["Standard"]) == {"value": 35, "not_found": 1}
    Structure.objects.filter(pk=one.pk).update(excluded_reason="=no disc\n at all")
    now = fates_of(measured)
    assert {arm: told(row) for arm, row in now.items()} == {arm: {"value": 35, "left_out": 1} for arm in now}
    assert [row["reasons"] for row in now.values()] == ["", "“=no disc at all” (1)", ""]


def test_a_level_that_another_structure_holds_has_lost_nothing(measured):
    one = structure(measured, "Fast", 1)
    Structure.objects.filter(pk=structure(measured, "Fast", 2).pk).update(corrected_level=1, excluded_reason="twice")
    now = fates_of(measured)["Fast"]
    assert one.effective_level == 1
    assert (told(now), now["reasons"]) == ({"value": 35, "not_found": 1}, "")


def test_an_arm_without_any_value_leaves_the_others_matched(measured, client):
    for series in MeasuredSeries.objects.filter(series__arm__name="Fast"):
        series.structures.all().delete()
        series.fault_message = "No lumbar spine was found in the series."
        series.save()
    table6 = services.compute_results(study=measured.study).content["table6"]
    rows = fates_of(measured)
    assert {row["matched"] for row in rows.values()} == {36} == {
        row["n"] for row in table6 if row["quantity"] == "disc_height_mm"
    }
    assert told(rows["Fast"]) == {"series_not_measured": 36}
    assert rows["Fast"]["reasons"] == "No lumbar spine was found in the series (6 series)"


def test_without_the_reference_it_is_still_told_what_became_of_it(measured, client):
    MeasuredSeries.objects.filter(series__arm__name="Standard").update(fault_message="No lumbar spine was found.")
    Structure.objects.filter(measured__series__arm__name="Standard").delete()
    text = page_of(measured, client)
    assert 'id="table6"' not in text and 'id="table6b"' in text
    assert "No lumbar spine was found (6 series)" in text
    assert "table6b.csv" in text and "table6.csv" not in text


def test_the_page_and_the_download_tell_what_was_not_measured(measured, client):
    Structure.objects.filter(pk=structure(measured, "Fast", 4).pk).update(excluded_reason="A <herniation>.")
    text = page_of(measured, client)
    shown = text[text.index('id="table6b"') :]
    assert "Left out" in shown and "A &lt;herniation&gt; (1)" in shown
    line = re.search(r"</i>Fast</th>(.*?)</tr>", shown)
    assert re.findall("<td>(.*?)</td>", line[1])[:8] == ["35", "0", "0", "1", "0", "0", "0", "35"]
    lines = list(
        csv.DictReader(io.StringIO(downloads.download_text(study=measured.study, actor=None, name="table6b.csv")))
    )
    assert [one["left_out"] for one in lines] == ["0", "1", "0", "0", "0", "0"]
    assert lines[1]["reasons"] == "A <herniation> (1)"


def test_two_measured_sequences_stand_beside_each_other(measured, values):
    others = random_measurements(25, patients=6, arms=("Standard", "Fast", "Fast DL50"))
    measure(measured.study, others, "AX T2")
    content = services.compute_results(study=measured.study).content
    for rows, sequence in ((values, "SAG T2 FS"), (others, "AX T2")):
        expected = analyse_measurements(MeasurementTable(rows), "Standard")["table6"]
        for ours, theirs in zip(of_sequence(content["table6"], sequence), expected, strict=True):
            assert ours == pytest.approx(theirs)


@pytest.mark.parametrize("how", ["excluded", "cut", "corrected onto another", "not current", "gone"])
def test_what_does_not_count_is_missing_in_every_arm(measured, values, how):
    one = structure(measured, "Fast", 3)
    if how == "excluded":
        one.excluded_reason = "a herniation"
    elif how == "cut":
        one.state = "cut"
    elif how == "corrected onto another":
        one.corrected_level = 4
    elif how == "not current":
        series = one.measured.series
        series.is_current = False
        series.save()
    if how == "gone":
        one.delete()
    else:
        one.save()
    table6 = services.compute_results(study=measured.study).content["table6"]
    missing = {"corrected onto another": 2, "not current": 6}.get(how, 1)
    assert {row["n"] for row in table6 if row["quantity"] == "disc_height_mm"} == {36 - missing}
    assert {row["n"] for row in table6 if row["quantity"] == "body_volume_cm3"} == {42 - 7 * (how == "not current")}


def test_a_correction_makes_another_result(measured):
    first = services.compute_results(study=measured.study)
    assert services.compute_results(study=measured.study) == first
    assert len(first.measurements_sha256) == 64
    structure(measured, "Fast DL50", 5).delete()
    second = services.compute_results(study=measured.study)
    assert second.pk != first.pk
    assert second.scores_sha256 == first.scores_sha256
    assert second.content["measurements_sha256"] == second.measurements_sha256 != first.measurements_sha256
    assert second.content["table6"] != first.content["table6"]
    assert Result.objects.count() == 2
    events = Event.objects.filter(study=measured.study.pk, action="results.computed")
    assert {event.details["measurements_sha256"] for event in events} == {
        first.measurements_sha256,
        second.measurements_sha256,
    }


def test_without_measurements_nothing_of_them(graded, client):
    result = services.compute_results(study=graded.study)
    assert (result.content["table6"], result.content["table6a"], result.measurements_sha256) == ([], [], "")
    text = page_of(graded, client)
    assert 'id="table6"' not in text
    assert "measurements.csv" not in text
    assert downloads.download_text(study=graded.study, actor=None, name="table6.csv").count("\n") == 1


def test_a_result_stored_before_there_were_measurements_is_still_shown(graded, client):
    result = services.compute_results(study=graded.study)
    content = {name: value for name, value in result.content.items() if name not in (*TABLES, "measurements_reason")}
    Result.objects.filter(pk=result.pk).update(content=content)
    assert 'id="table4"' in page_of(graded, client)
    assert downloads.download_text(study=graded.study, actor=None, name="table6a.csv").count("\n") == 1


def test_without_the_reference_the_other_results_stand(measured, client):
    MeasuredSeries.objects.filter(series__arm__name="Standard").delete()
    content = services.compute_results(study=measured.study).content
    assert (content["table6"], len(content["table4"])) == ([], 20)
    assert "no values of the reference arm Standard" in content["measurements_reason"]
    text = page_of(measured, client)
    assert "no values of the reference arm Standard" in text
    assert 'id="table6"' not in text


def test_a_sequence_without_the_reference_leaves_the_other_its_tables(measured, values, client):
    alone = services.compute_results(study=measured.study).content
    measure(measured.study, [row for row in values if row.arm != "Standard"], "AX T2")
    content = services.compute_results(study=measured.study).content
    assert [content[table] for table in TABLES] == [alone[table] for table in TABLES]
    says = "disc_height_mm of AX T2 has no values of the reference arm Standard."
    assert says in content["measurements_reason"]
    text = page_of(measured, client)
    assert f"Measurements that are in no table: {says}" in text
    assert 'id="table6"' in text


def test_an_arm_that_was_not_measured_has_a_dash(measured, client):
    Structure.objects.filter(measured__series__arm__name="Fast", kind="body").delete()
    content = services.compute_results(study=measured.study).content
    assert [row["arm"] for row in content["table6"]] == ["Standard", "Fast", "Fast DL50", "Standard", "Fast DL50"]
    assert '<td colspan="3">–</td>' in page_of(measured, client)


def test_nothing_in_common_is_said_on_the_page(measured, client):
    Structure.objects.filter(measured__series__arm__name="Fast", level__gt=3).delete()
    Structure.objects.filter(measured__series__arm__name="Standard", level__lte=3).delete()
    text = page_of(measured, client)
    assert text.count("No patient and level has a value in every arm.") == 2
    assert 'id="measured-0"' not in text


def test_two_subjects_have_means_and_too_few_pairs_by_level(measured, client):
    MeasuredSeries.objects.exclude(series__subject__code__in=["P01", "P02"]).delete()
    text = page_of(measured, client)
    assert "not estimable" in text
    assert "n = 12" in text


def test_the_page_shows_table_6_and_figure_6(measured, client):
    content = services.compute_results(study=measured.study).content
    for sequence in ("SAG T2 FS", "AX T2"):  # the same under every sequence
        text = page_of(measured, client, sequence=sequence)
        for row in content["table6"]:
            shown = f"<td>{words.number(row['mean'], 2)} ± {words.number(row['sd'], 2)}"
            if row["r2"] is None:
                mean = row["mean"]
                assert f"{shown}</td>" in text
            else:
                percent = words.number(100 * (row["mean"] - mean) / mean, 2)
                assert f"{shown}<small>{percent} %</small></td>" in text
                assert f"<td>{words.number(row['r2'], 2)}</td>" in text
                assert text.count(f"y = {words.number(row['slope'], 2)} x ") >= 3  # table, label and drawn text
                assert f"r² = {row['r2']:.3f}" in text
        heads = re.findall(r'<th scope="col">([TLS][\dLS-]+) <small>n = (\d+)</small></th>', text)
        assert heads == [
            *((name, "6") for name in ("T12-L1", "L1-L2", "L2-L3", "L3-L4", "L4-L5", "L5-S1")),
            *((name, "6") for name in ("T12", "L1", "L2", "L3", "L4", "L5", "S1")),
        ]
        assert text.index("Intervertebral disc height") < text.index("Vertebral body volume")
        figures = re.findall(r'class="figure" id="measured-(\d)-(\w+)-(\d)" role="img" aria-label="([^"]+)"', text)
        assert [figure[:3] for figure in figures] == [
            (part, kind, arm) for part in "01" for kind in ("scatter", "differences") for arm in "01"
        ]
        assert all("36 pairs" in label or "42 pairs" in label for *_, label in figures)
        specifications = re.findall(r'<script type="application/json">(.*?)</script>', text, re.DOTALL)
        assert len(specifications) == 2 * 2 + 8
        for one in specifications:
            assert "P0" not in one  # no subject in a point
            json.loads(one)


@pytest.mark.parametrize("patients", [FEWEST_PATIENTS - 1, FEWEST_PATIENTS])
def test_the_agreement_table_shows_both_intervals_or_says_why_not(db, client, patients):
    graded = graded_study(random_scores(5, patients=patients, sequences=("SAG T1",), arms=("Standard", "Fast")))
    measure(graded.study, random_measurements(26, patients=patients, arms=("Standard", "Fast")), "SAG T1")
    text = page_of(graded, client)
    enough = patients >= FEWEST_PATIENTS
    for row in services.compute_results(study=graded.study).content["table6a"]:
        if row["level"] == "pooled":
            assert words.interval(row["bias_low"], row["bias_high"], 2) in text
            assert (row["cluster_reason"] is None) == enough
            if enough:
                assert f"[{words.interval(row['cluster_bias_low'], row['cluster_bias_high'], 2)}]" in text
                assert f"[{words.interval(row['cluster_icc_low'], row['cluster_icc_high'], 3)}]" in text
    assert ("There is none from a bootstrap of whole subjects: with fewer than 8" in text) != enough


def test_by_level_the_page_shows_the_icc_and_its_interval(measured, client):
    text = page_of(measured, client)
    for row in services.compute_results(study=measured.study).content["table6a"]:
        if row["level"] != "pooled" and row["icc_low"] is not None:
            interval = words.interval(row["icc_low"], row["icc_high"], 2)
            assert f"<td>{words.number(row['icc'], 2)}<small>{interval}</small></td>" in text


def test_what_is_beyond_the_paper_comes_after_it(graded, values, client):
    measure(graded.study, with_more_of_discs(values), "SAG T2 FS")
    rows = selectors.measurements(graded.study)
    quantities = ["disc_height_mm", "body_volume_cm3", "disc_mean_height_mm", "disc_area_mm2"]
    assert list(dict.fromkeys(row["quantity"] for row in rows)) == quantities
    content = services.compute_results(study=graded.study).content
    alone = analyse_measurements(MeasurementTable(values), "Standard")["table6"]
    for ours, theirs in zip(of_sequence(content["table6"], "SAG T2 FS"), alone, strict=False):
        assert ours == pytest.approx(theirs)
    assert [row["in_paper"] for row in content["table6"]] == [True] * 6 + [False] * 6
    text = page_of(graded, client)
    first, second = text.index('id="table6"'), text.index('id="table6-beyond"')
    assert first < text.index("Vertebral body volume, cm³") < second < text.index("Mean disc height, mm")
    area = next(row for row in content["table6"] if row["quantity"] == "disc_area_mm2")
    assert f"{words.number(area['mean'], 1)} ± {words.number(area['sd'], 1)}" in text
    assert text.count('class="figure" id="measured-') == 2 * 2 * 2  # figure 6 is of the paper's quantities
    csv_text = downloads.download_text(study=graded.study, actor=None, name="measurements.csv")
    assert {line["quantity"] for line in csv.DictReader(io.StringIO(csv_text))} == set(quantities)


def test_unsure_levels_are_counted_of_what_is_measured(measured, client):
    flags = ["the sacrum is not seen whole, and the levels are counted from it: check the level"]
    held = Structure.objects.filter(measured__series__arm__name="Fast", measured__series__subject__code="P02")
    held.update(flags=flags)
    Structure.objects.filter(pk=structure(measured, "Fast", 4).pk).update(state="cut", flags=[*flags, "cut"])
    Structure.objects.filter(pk=structure(measured, "Fast", 5).pk).update(excluded_reason="A herniation.")
    Structure.objects.filter(pk=structure(measured, "Standard", 4).pk).update(flags=["a signal void lies inside"])
    assert {arm: row["level_unsure"] for arm, row in fates_of(measured).items()} == {
        "Standard": 0, "Fast": 4, "Fast DL50": 0,
    }  # fmt: skip
    assert fates_of(measured, "body")["Fast"]["level_unsure"] == 7
    shown = page_of(measured, client)
    line = re.search(r"</i>Fast</th>(.*?)</tr>", shown[shown.index('id="table6b"') :])
    assert re.findall("<td>(.*?)</td>", line[1])[8] == "4"


@pytest.mark.parametrize("state", ["reading", "locked"])
def test_no_measurement_before_unblinding(db, client, state):
    graded = graded_study(random_scores(5, patients=3, sequences=("SAG T1",)), state=state)
    measure(graded.study, random_measurements(26, patients=3), "SAG T1")
    graded.study.state = "unblinded"  # an object that lies does not help
    with CaptureQueriesContext(connection) as queries:
        with pytest.raises(Refusal, match="before the study is unblinded"):
            selectors.measurements(graded.study)
        with pytest.raises(Refusal, match="before the study is unblinded"):
            downloads.download_text(study=graded.study, actor=None, name="measurements.csv")
    assert not any("processing_structure" in query["sql"] for query in queries)
    for person in (graded.investigator, graded.coordinator):
        client.force_login(person)
        assert "measured-0" not in client.get(reverse("results:results", args=[graded.study.pk])).content.decode()
        for name in downloads.OF_MEASUREMENTS:
            assert client.get(reverse("results:download", args=[graded.study.pk, name])).status_code == 404


def test_a_reader_has_no_such_file(measured, client):
    client.force_login(measured.reader)
    for name in downloads.OF_MEASUREMENTS:
        assert client.get(reverse("results:download", args=[measured.study.pk, name])).status_code == 404
