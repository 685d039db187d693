"""A count that the measurement is not sure of: the coordinator confirms it, and it is in doubt no longer."""

import re

import pytest
from django.urls import reverse

from readerstudy.audit.services import first_broken_link
from readerstudy.faults import Refusal
from readerstudy.processing import measurements, services
from readerstudy.processing.measurements import as_seen, measurement_rows
from readerstudy.processing.models import MeasuredSeries, Structure
from readerstudy.processing.services.counts import DOWN, UP
from readerstudy.processing.services.measurements import LONGEST_REASON
from readerstudy.processing.structure_fates import structure_fates
from readerstudy.studies.models import Study
from tests.readerstudy.builders import logged_in
from tests.readerstudy.processing.measured_rows import (
    ARMS,
    DOUBT,
    OTHERS,
    SEQUENCES,
    corrections,
    doubted,
    into,
    measured_of,
    measured_rows,
    other_person,
    structure,
    while_it_waits,
)
from tests.readerstudy.processing.small_study import small_study

pytestmark = pytest.mark.django_db

REASON = "the localizer shows the last rib"


@pytest.fixture
def graded():
    graded = measured_rows()
    doubted(graded)
    return graded


def place(graded, patient="P01", sequence="SAG T1"):
    return {
        "subject_id": graded.study.subjects.get(code=patient).pk,
        "sequence_id": graded.study.sequences.get(name=sequence).pk,
    }


def seen(graded):
    return as_seen(measurements.measured_of(graded.study.subjects.get(code="P01"), place(graded)["sequence_id"]))


def confirm(graded, *, reason=REASON, actor=None, **more):
    return services.confirm_count(**place(graded), reason=reason, actor=actor or graded.coordinator, **more)


def doubt(graded, *, actor=None):
    return services.doubt_count(**place(graded), actor=actor or graded.coordinator)


def shift(graded, by, arm=None):
    arm_id = arm and graded.study.arms.get(name=arm).pk
    return services.shift_levels(
        **place(graded), arm_id=arm_id, by=by, reason="one off", actor=graded.coordinator
    )  # fmt: skip


def unsure(graded):
    """Of discs on SAG T1, by arm."""
    rows = [row for row in structure_fates(graded.study) if row["sequence"] == "SAG T1"]
    return {row["arm"]: row["level_unsure"] for row in rows if row["quantity"] == "disc_height_mm"}


def group(graded, patient="P01"):
    return next(one for one in measurements.page(graded.study)["groups"] if one["subject"].code == patient)


def standing(graded):
    """All that is kept of the measurements, but for the times."""
    kept = [list(model.objects.order_by("pk").values()) for model in (MeasuredSeries, Structure)]
    return [[{name: value for name, value in row.items() if not name.endswith("_at")} for row in rows] for rows in kept]


def test_a_doubt_is_one_of_the_series_and_not_of_every_value(graded):
    assert group(graded)["attention"] == len(ARMS)
    assert unsure(graded) == dict.fromkeys(ARMS, 6)
    [entry] = group(graded)["tables"][0]["rows"][0]["cells"][0]["entries"]
    assert entry["notes"] == [DOUBT] and not entry["look"]


def test_a_confirmed_count_is_in_doubt_no_longer_and_changes_no_value(graded):
    values = measurement_rows(graded.study)
    assert confirm(graded) == list(ARMS)
    assert group(graded)["attention"] == 0 and unsure(graded) == dict.fromkeys(ARMS, 0)
    assert measurement_rows(graded.study) == values
    [event] = corrections(graded)
    assert (event.action, event.actor) == ("processing.count_confirmed", graded.coordinator)
    assert event.details == {"subject": "P01", "sequence": "SAG T1", "arms": list(ARMS), "reason": REASON}
    assert first_broken_link(graded.study.pk) is None


def test_it_settles_no_other_remark(graded):
    measured = MeasuredSeries.objects.filter(pk=measured_of(graded).pk)
    measured.update(remarks=[*measured.get().remarks, "Not found: L3."])
    Structure.objects.filter(pk=structure(graded, 3).pk).update(flags=[DOUBT, "found in pieces"])
    confirm(graded)
    assert group(graded)["attention"] == 2


def test_only_the_subject_and_sequence_are_confirmed():
    graded = measured_rows(sequences=SEQUENCES)
    doubted(graded)
    doubted(graded, patient="P02")
    confirm(graded)
    assert MeasuredSeries.objects.exclude(count_confirmed_reason="").count() == len(ARMS)
    assert unsure(graded) == dict.fromkeys(ARMS, 6)


def test_that_arms_were_named_apart_can_be_settled_without_another_doubt():
    graded = measured_rows()
    structure(graded, 5).delete()
    Structure.objects.filter(pk=structure(graded, 6).pk).update(matched_level=5)
    assert group(graded)["count"]["unsure"] and group(graded)["attention"] > 1
    before = group(graded)["attention"]
    confirm(graded)
    assert group(graded)["attention"] == before - 1


def test_that_arms_were_named_apart_is_settled_too(graded):
    one = structure(graded, 6)
    Structure.objects.filter(pk=structure(graded, 5).pk).delete()
    Structure.objects.filter(pk=one.pk).update(matched_level=5)
    assert group(graded)["attention"] > len(ARMS)
    before = group(graded)["attention"]
    confirm(graded)
    assert before - group(graded)["attention"] == len(ARMS) + 1


def test_a_level_that_was_corrected_is_unsure_no_longer_and_the_others_are(graded):
    structure(graded, 6).delete()
    services.correct_level(
        structure_id=structure(graded, 5).pk, level=6, reason="the last rib", actor=graded.coordinator
    )
    assert unsure(graded) == {"Standard": 6, "Fast": 4, "Fast DL50": 6}


def test_a_corrected_level_takes_the_confirmation_back_and_the_trail_says_so(graded):
    structure(graded, 6, arm="Standard").delete()
    confirm(graded)
    services.correct_level(
        structure_id=structure(graded, 5, arm="Standard").pk, level=6, reason="lower", actor=graded.coordinator
    )
    assert group(graded)["count"]["confirmed"] is None
    assert corrections(graded)[-1].details["count_no_longer_confirmed"] == REASON
    assert first_broken_link(graded.study.pk) is None


def test_what_is_corrected_as_a_whole_is_settled_on_the_page_as_in_the_tables(graded):
    shift(graded, UP)
    assert unsure(graded) == dict.fromkeys(ARMS, 0)
    assert not group(graded)["count"]["unsure"] and group(graded)["attention"] == 0
    shift(graded, DOWN)
    assert group(graded)["count"]["unsure"] and group(graded)["attention"] == len(ARMS)


@pytest.mark.parametrize("arm", [None, "Fast"])
def test_a_shift_takes_the_confirmation_back_in_every_arm(graded, arm):
    confirm(graded)
    shift(graded, UP, arm)
    assert group(graded)["count"]["confirmed"] is None
    assert corrections(graded)[-1].details["count_no_longer_confirmed"] == REASON
    shift(graded, DOWN, arm)
    assert "count_no_longer_confirmed" not in corrections(graded)[-1].details
    assert unsure(graded) == dict.fromkeys(ARMS, 6)
    assert confirm(graded) == list(ARMS)


def test_what_is_taken_back_is_as_it_was_before(graded):
    before = standing(graded)
    confirm(graded)
    assert doubt(graded) == list(ARMS)
    assert standing(graded) == before
    assert doubt(graded) == []
    assert [event.action for event in corrections(graded)] == ["processing.count_confirmed", "processing.count_doubted"]
    assert corrections(graded)[1].details["reason"] == REASON


def refused(graded, words, call):
    before, told = standing(graded), len(corrections(graded))
    with pytest.raises(Refusal, match=words) as refusal:
        call()
    assert refusal.value.action
    assert standing(graded) == before and len(corrections(graded)) == told


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"reason": " "}, "how you know"),
        ({"reason": "x" * (LONGEST_REASON + 1)}, "more than 500 letters"),
        ({"seen": "0" * 16}, "changed since you saw them"),
    ],
)
def test_what_cannot_be_confirmed_is_refused(graded, given, words):
    refused(graded, words, lambda: confirm(graded, **given))


def test_who_saw_other_levels_does_not_confirm_these(graded):
    stale = seen(graded)
    services.exclude_structure(structure_id=structure(graded, 2).pk, reason="a fold", actor=graded.coordinator)
    refused(graded, "changed since you saw them", lambda: confirm(graded, seen=stale))
    confirm(graded, seen=seen(graded))


def test_a_count_is_confirmed_once(graded):
    confirm(graded)
    refused(graded, "coordinator confirmed this count already", lambda: confirm(graded, reason="again"))
    refused(graded, "coordinator confirmed this count already", lambda: confirm(graded, seen="0" * 16))


def test_nothing_found_is_nothing_to_confirm(graded):
    Structure.objects.all().delete()
    refused(graded, "no level to confirm", lambda: confirm(graded))


@pytest.mark.parametrize("act", [confirm, doubt])
@pytest.mark.parametrize("state", ["locked", "unblinded"])
def test_the_lock_fixes_it(graded, state, act):
    confirm(graded) if act is doubt else None
    into(graded, state)
    refused(graded, "fixed since the lock", lambda: act(graded))


def test_a_lock_while_it_waits_comes_first(graded, monkeypatch):
    while_it_waits(monkeypatch, Study, lambda: into(graded, "locked"))
    refused(graded, "The study is locked", lambda: confirm(graded))


@pytest.mark.parametrize("act", [confirm, doubt])
@pytest.mark.parametrize("who", OTHERS)
def test_only_a_coordinator_of_the_study_says_so(graded, who, act):
    refused(graded, "Only a coordinator", lambda: act(graded, actor=other_person(graded, who)))


@pytest.fixture
def built_front_end(settings, tmp_path):
    """A manifest is enough: the page names the script, it does not run it."""
    (tmp_path / "manifest.json").write_text('{"src/measurements/main.ts": {"file": "assets/measurements.js"}}')
    settings.FRONTEND_BUILD = tmp_path


def address(graded, study=None):
    return reverse("processing:count", args=[(study or graded.study).pk, *place(graded).values()])


def shown(graded, person=None):
    page = reverse("processing:measurements", args=[graded.study.pk])
    return logged_in(person or graded.coordinator).get(page).content.decode()


def test_the_form_stands_at_what_is_in_doubt_and_nowhere_else(graded, built_front_end):
    text = shown(graded)
    assert text.count('name="act" value="confirm"') == 1
    first, second = re.split('<section class="card measured"', text)[1:]
    assert address(graded) in first and "The count is right" not in second
    answer = logged_in(graded.coordinator).post(
        address(graded), {"act": "confirm", "reason": "the <last> rib", "seen": seen(graded)}
    )
    assert (answer.status_code, answer["Location"].rsplit("#")[1]) == (302, group(graded)["anchor"])
    text = shown(graded)
    assert "Count confirmed</b> by coordinator on" in text and "the &lt;last&gt; rib" in text
    assert "The count is right" not in text and 'value="doubt"' in text
    into(graded, "locked")
    text = shown(graded)
    assert "Count confirmed</b>" in text and 'value="doubt"' not in text
    into(graded, "reading")
    logged_in(graded.coordinator).post(address(graded), {"act": "doubt"})
    assert "The count is right" in shown(graded)


@pytest.mark.parametrize("who", ["reader", "investigator", "coordinator of another study"])
def test_nobody_else_finds_the_address(graded, who):
    person = other_person(graded, who)
    for act in ("confirm", "doubt"):
        assert logged_in(person).post(address(graded), {"act": act, "reason": "x"}).status_code == 404
    assert corrections(graded) == []


def test_neither_another_act_nor_a_subject_of_another_study(graded):
    client = logged_in(graded.coordinator)
    assert client.post(address(graded), {"act": "forget", "reason": "x"}).status_code == 404
    assert client.post(address(graded, small_study().study), {"act": "confirm", "reason": "x"}).status_code == 404
    assert client.get(address(graded)).status_code == 405
    assert corrections(graded) == []
