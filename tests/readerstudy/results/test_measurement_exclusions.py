"""Table 6c: the measurements as they would be if the coordinator had left nothing out."""

import csv
import io

import pytest

from readerstudy.processing.models import Structure
from readerstudy.results import downloads, selectors, services, words
from readerstudy.statistics.measurements import MeasurementTable, analyse_measurements, read_measurements
from tests.readerstudy.results.measured_study import page_of, structure

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("front_end")]


def leave_out(one, reason="A herniation."):
    Structure.objects.filter(pk=one.pk).update(excluded_reason=reason)


def test_with_nothing_left_out_stands_beside_the_tables(measured, values, client, tmp_path):
    names = set(downloads.names(services.compute_results(study=measured.study).content))
    assert not names & set(downloads.WITH_EXCLUSIONS)
    assert 'id="table6c"' not in page_of(measured, client)
    leave_out(structure(measured, "Fast", 4))
    leave_out(structure(measured, "Fast", 5, patient="P03"))
    leave_out(structure(measured, "Standard", 6, patient="P04"))
    content = services.compute_results(study=measured.study).content
    expected = {
        row["arm"]: row
        for row in analyse_measurements(MeasurementTable(values), "Standard")["table6a"]
        if (row["level"], row["quantity"]) == ("pooled", "disc_height_mm")
    }
    rows = content["table6c"]
    assert [(row["arm"], row["left_out"], row["n_without"], row["n"]) for row in rows] == [
        ("Standard", 1, 33, 36), ("Fast", 2, 33, 36), ("Fast DL50", 0, 33, 36),
    ]  # fmt: skip
    for row in rows[1:]:
        for name in ("bias", "loa_low", "loa_high", "icc", "slope"):
            assert row[name] == pytest.approx(expected[row["arm"]][name])
    text = page_of(measured, client)
    shown = text[text.index('id="table6c"') :]
    assert f"<td>{words.number(expected['Fast']['bias'], 2)}</td>" in shown[: shown.index("</table>")]
    assert set(downloads.names(content)) >= set(downloads.WITH_EXCLUSIONS)
    (tmp_path / "m.csv").write_text(
        downloads.download_text(study=measured.study, actor=None, name="measurements-nothing-left-out.csv")
    )
    again = analyse_measurements(read_measurements(tmp_path / "m.csv"), "Standard")["table6a"]
    assert [row["bias"] for row in again if row["level"] == "pooled" and row["quantity"] == "disc_height_mm"] == [
        row["bias"] for row in rows[1:]
    ]
    lines = list(
        csv.DictReader(io.StringIO(downloads.download_text(study=measured.study, actor=None, name="table6c.csv")))
    )
    assert [line["left_out"] for line in lines] == ["1", "2", "0"]


def test_what_was_left_out_returns_only_where_its_level_is_free(measured):
    """Corrections stay: what was corrected onto a level keeps it, and of two that were left out none returns."""
    leave_out(structure(measured, "Fast", 1))
    Structure.objects.filter(pk=structure(measured, "Fast", 2).pk).update(corrected_level=1)
    leave_out(structure(measured, "Fast", 3))
    Structure.objects.filter(pk=structure(measured, "Fast", 4).pk).update(corrected_level=3, excluded_reason="A piece.")
    leave_out(structure(measured, "Fast", 5))
    Structure.objects.filter(pk=structure(measured, "Fast", 6).pk).update(state="cut", excluded_reason="Cut.")

    def levels(**how):
        return {
            row["level"]: row["value"]
            for row in selectors.measurements(measured.study, **how)
            if (row["arm"], row["patient"], row["quantity"]) == ("Fast", "P02", "disc_height_mm")
        }

    corrected = structure(measured, "Fast", 2).measures["disc_height_mm"]
    back = structure(measured, "Fast", 5).measures["disc_height_mm"]
    assert levels() == {1: corrected}
    assert levels(nothing_left_out=True) == {1: corrected, 5: back}
