"""What a coordinator says of measured structures: corrected, left out for a reason, taken back, fixed by the lock."""

import threading
import time

import pytest
from django.db import connection

from readerstudy.audit.services import first_broken_link
from readerstudy.faults import Refusal
from readerstudy.processing import services
from readerstudy.processing.models import Series, Structure
from readerstudy.studies.models import Study, Subject
from tests.readerstudy.processing.measured_rows import (
    OTHERS,
    corrections,
    counted,
    into,
    measured_of,
    measured_rows,
    other_person,
    structure,
    while_it_waits,
)

ALL = {1: 6.0, 2: 7.0, 3: 8.0, 4: 9.0, 5: 10.0, 6: 11.0}
REASON = "a Schmorl node hides the endplate"
COUNTED = "the localizer shows the last rib one higher"


@pytest.fixture
def graded(db):
    return measured_rows()


def correct(graded, one, level, actor=None, reason=COUNTED):
    return services.correct_level(structure_id=one.pk, level=level, reason=reason, actor=actor or graded.coordinator)


def exclude(graded, one, reason=REASON, actor=None):
    return services.exclude_structure(structure_id=one.pk, reason=reason, actor=actor or graded.coordinator)


def include(graded, one, actor=None):
    return services.include_structure(structure_id=one.pk, actor=actor or graded.coordinator)


ACTS = {
    "correct": lambda graded, one, actor=None: correct(graded, one, 6, actor),
    "exclude": lambda graded, one, actor=None: exclude(graded, one, actor=actor),
    "include": lambda graded, one, actor=None: include(graded, one, actor),
}


@pytest.fixture(params=ACTS)
def act(request, graded):
    """Each of the three verbs, and disc 5 fit for it: level 6 is free, or it is left out."""
    Structure.objects.filter(pk=structure(graded, 6).pk).delete()
    if request.param == "include":
        Structure.objects.filter(pk=structure(graded, 5).pk).update(
            excluded_reason=REASON, excluded_by=graded.coordinator
        )
    return ACTS[request.param]


def state_of(graded):
    return list(Structure.objects.filter(measured__series__study=graded.study).order_by("pk").values())


def refused(graded, call, words):
    """`call` is refused in these words, and nothing is changed or told."""
    before, told = state_of(graded), len(corrections(graded))
    with pytest.raises(Refusal, match=words) as refusal:
        call()
    assert refusal.value.action
    assert state_of(graded) == before
    assert len(corrections(graded)) == told


def test_a_corrected_level_counts_and_what_was_found_stays(graded):
    structure(graded, 6).delete()
    one = correct(graded, structure(graded, 5), 6)
    one.refresh_from_db()
    assert (one.level, one.matched_level, one.corrected_level, one.corrected_reason) == (5, None, 6, COUNTED)
    assert counted(graded) == {1: 6.0, 2: 7.0, 3: 8.0, 4: 9.0, 6: 10.0}
    assert counted(graded, arm="Standard") == ALL
    [event] = corrections(graded)
    assert (event.action, event.actor) == ("processing.level_corrected", graded.coordinator)
    assert event.details == {
        "subject": "P01", "sequence": "SAG T1", "arm": "Fast", "kind": "disc", "level": 5, "before": 5, "after": 6,
        "reason": COUNTED,
    }  # fmt: skip
    assert first_broken_link(graded.study.pk) is None


def test_its_own_level_again_takes_the_correction_back(graded):
    structure(graded, 6).delete()
    one = structure(graded, 5)
    correct(graded, one, 6)
    back = correct(graded, one, 5, reason="I had the wrong subject")
    assert (back.corrected_level, back.corrected_reason) == (None, "")
    assert counted(graded)[5] == 10.0
    assert [(event.details["before"], event.details["after"]) for event in corrections(graded)] == [(5, 6), (6, 5)]
    assert corrections(graded)[1].details["reason"] == "I had the wrong subject"


def test_the_level_that_it_has_already_is_refused(graded):
    """As Enter in the reason's field asks for it, with the list as it opened."""
    one = structure(graded, 5)
    refused(
        graded, lambda: correct(graded, one, 5), "This disc is L4-L5 already. Choose another level, or leave it out."
    )
    structure(graded, 6).delete()
    correct(graded, one, 6)
    refused(
        graded, lambda: correct(graded, one, 6), "This disc is L5-S1 already. Choose another level, or leave it out."
    )
    exclude(graded, one)
    refused(graded, lambda: correct(graded, one, 6), "is L5-S1 already. Choose another level, or include it again.")
    other = structure(graded, 4)
    Structure.objects.filter(pk=other.pk).update(matched_level=3)
    refused(graded, lambda: correct(graded, other, 3), "This disc is L2-L3 already")
    assert correct(graded, other, 4).effective_level == 4


def test_its_own_level_is_the_matched_one_where_it_was_matched(graded):
    structure(graded, 6).delete()
    one = structure(graded, 5)
    Structure.objects.filter(pk=one.pk).update(matched_level=6)
    assert counted(graded)[6] == 10.0
    assert correct(graded, one, 5).corrected_level == 5
    assert counted(graded)[5] == 10.0
    assert correct(graded, one, 6).corrected_level is None
    assert counted(graded)[6] == 10.0


def test_a_level_that_another_structure_has_is_refused(graded):
    words = "Another disc of this series is L4-L5 already. Correct or leave out that one first."
    refused(graded, lambda: correct(graded, structure(graded, 4), 5), words)
    structure(graded, 6).delete()
    correct(graded, structure(graded, 5), 6)
    refused(graded, lambda: correct(graded, structure(graded, 4), 6), "is L5-S1 already")
    correct(graded, structure(graded, 4), 5)
    assert counted(graded) == {1: 6.0, 2: 7.0, 3: 8.0, 5: 9.0, 6: 10.0}


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("", "A level is corrected for a reason."),
        (" \n", "Write it down."),
        (" \u200b\x00", "Write it down."),
        ("x" * 501, "more than 500 letters"),
    ],
)
def test_a_correction_needs_a_reason(graded, reason, words):
    structure(graded, 6).delete()
    refused(graded, lambda: correct(graded, structure(graded, 5), 6, reason=reason), words)


def test_only_structures_of_its_kind_and_series_take_a_level(graded):
    structure(graded, 6).delete()
    correct(graded, structure(graded, 5), 6)
    assert structure(graded, 6, kind="body").effective_level == 6
    assert structure(graded, 6, arm="Standard").effective_level == 6


def test_the_level_of_one_that_is_left_out_is_free(graded):
    exclude(graded, structure(graded, 6))
    correct(graded, structure(graded, 5), 6)
    assert counted(graded) == {1: 6.0, 2: 7.0, 3: 8.0, 4: 9.0, 6: 10.0}


@pytest.mark.parametrize(("kind", "level"), [("disc", 0), ("disc", 7), ("body", 0), ("body", 8)])
def test_there_are_six_discs_and_seven_bodies(graded, kind, level):
    refused(graded, lambda: correct(graded, structure(graded, 3, kind=kind), level), "no such level")


def test_what_is_left_out_for_a_reason_does_not_count(graded):
    exclude(graded, structure(graded, 3), f"  {REASON[:9]}\x00{REASON[9:]}\n")
    one = structure(graded, 3)
    assert (one.excluded_reason, one.excluded_by) == (REASON, graded.coordinator)
    assert one.excluded_at is not None
    assert counted(graded) == {level: value for level, value in ALL.items() if level != 3}
    [event] = corrections(graded)
    assert (event.action, event.actor) == ("processing.structure_excluded", graded.coordinator)
    assert event.details == {
        "subject": "P01", "sequence": "SAG T1", "arm": "Fast", "kind": "disc", "level": 3, "reason": REASON,
    }  # fmt: skip


@pytest.mark.parametrize("reason", ["", "  \n", "x" * 501, "\u200b", "\x00"])
def test_nothing_is_left_out_without_a_reason_that_can_be_read(graded, reason):
    refused(graded, lambda: exclude(graded, structure(graded, 3), reason), "reason")


def test_a_second_reason_does_not_replace_the_first(graded):
    exclude(graded, structure(graded, 3))
    refused(graded, lambda: exclude(graded, structure(graded, 3), "noise"), "coordinator left this disc out already")


def test_what_is_included_again_counts_again(graded):
    exclude(graded, structure(graded, 3))
    include(graded, structure(graded, 3))
    one = structure(graded, 3)
    assert (one.excluded_reason, one.excluded_by, one.excluded_at) == ("", None, None)
    assert counted(graded) == ALL
    event = corrections(graded)[-1]
    assert (event.action, event.actor) == ("processing.structure_included", graded.coordinator)
    assert event.details["reason"] == REASON, "of the exclusion that was taken back"
    include(graded, structure(graded, 3))
    assert len(corrections(graded)) == 2, "nothing changed, nothing is told"


def test_it_is_not_included_where_another_has_its_level_by_now(graded):
    exclude(graded, structure(graded, 6))
    correct(graded, structure(graded, 5), 6)
    refused(graded, lambda: include(graded, structure(graded, 6)), "Another structure of this series has its level")
    correct(graded, structure(graded, 5), 5)
    include(graded, structure(graded, 6))
    assert counted(graded) == ALL


@pytest.mark.parametrize("state", ["measured", "cut", "excluded"])
def test_of_two_that_have_one_level_none_counts(graded, state):
    one = structure(graded, 5)
    Structure.objects.filter(pk=one.pk).update(matched_level=6, state=state)
    assert counted(graded) == {1: 6.0, 2: 7.0, 3: 8.0, 4: 9.0}
    exclude(graded, one)
    assert counted(graded) == {1: 6.0, 2: 7.0, 3: 8.0, 4: 9.0, 6: 11.0}


@pytest.mark.parametrize("state", ["locked", "unblinded"])
def test_the_lock_fixes_the_values(graded, act, state):
    into(graded, state)
    refused(graded, lambda: act(graded, structure(graded, 5)), f"The study is {state}. .* fixed since the lock")


@pytest.mark.parametrize("state", ["preparing", "reading"])
def test_until_the_lock_they_may_change(graded, act, state):
    into(graded, state)
    act(graded, structure(graded, 5))
    assert len(corrections(graded)) == 1


@pytest.mark.parametrize("who", OTHERS)
def test_only_a_coordinator_of_the_study_corrects(graded, act, who):
    actor = other_person(graded, who)
    refused(graded, lambda: act(graded, structure(graded, 5), actor), "Only a coordinator")


def make_anew(graded):
    Series.objects.filter(pk=measured_of(graded).series_id).update(is_current=False)


def test_a_series_that_was_made_anew_is_not_corrected(graded, act):
    one = structure(graded, 5)
    make_anew(graded)
    refused(graded, lambda: act(graded, one), "made anew meanwhile. Reload")


def test_nor_one_that_is_gone_with_its_file(graded, act):
    one = structure(graded, 5)
    measured_of(graded).delete()
    refused(graded, lambda: act(graded, one), "made anew meanwhile. Reload")


def test_a_series_made_anew_while_the_correction_waits_comes_first(graded, act, monkeypatch):
    one = structure(graded, 5)
    while_it_waits(monkeypatch, Subject, lambda: make_anew(graded))
    refused(graded, lambda: act(graded, one), "made anew meanwhile")


def test_a_lock_while_the_correction_waits_comes_first(graded, act, monkeypatch):
    one = structure(graded, 5)
    while_it_waits(monkeypatch, Study, lambda: into(graded, "locked"))
    refused(graded, lambda: act(graded, one), "The study is locked")


@pytest.mark.django_db(transaction=True)
def test_of_two_corrections_to_one_level_at_the_same_time_one_is_refused(monkeypatch):
    graded = measured_rows()
    structure(graded, 1).delete()
    save, refusals = Structure.save, []

    def save_slowly(*given, **more):
        time.sleep(0.3)  # were there no lock, both would have read before either writes
        save(*given, **more)

    def run(one):
        try:
            correct(graded, one, 1)
        except Refusal as refusal:
            refusals.append(str(refusal))
        finally:
            connection.close()

    monkeypatch.setattr(Structure, "save", save_slowly)
    threads = [threading.Thread(target=run, args=[structure(graded, level)]) for level in (2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refusals == ["Another disc of this series is T12-L1 already. Correct or leave out that one first."]
    assert len(corrections(graded)) == 1
    assert len(counted(graded)) == 5
