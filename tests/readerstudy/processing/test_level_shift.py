"""A count that is one off: all levels of a subject shift together, in one arm or all, and the shift back undoes it."""

import random
from contextlib import suppress

import pytest
from django.db import transaction

from readerstudy.audit.services import first_broken_link
from readerstudy.faults import Refusal
from readerstudy.processing import services
from readerstudy.processing.levels import names
from readerstudy.processing.measurements import as_seen, measured_of, measurement_rows
from readerstudy.processing.models import MeasuredSeries, Structure
from readerstudy.processing.services.counts import DOWN, UP
from readerstudy.processing.structure_fates import structure_fates
from readerstudy.results import services as results
from readerstudy.studies.models import Study
from tests.readerstudy.processing.measured_rows import (
    ARMS,
    OTHERS,
    SEQUENCES,
    corrections,
    counted,
    into,
    measured_rows,
    other_person,
    structure,
    while_it_waits,
)
from tests.readerstudy.processing.measured_rows import measured_of as series_of

REASON = "the localizer shows the last rib one lower"
BY_HAND = ("a Schmorl node", "counted again")


@pytest.fixture
def graded(db):
    return measured_rows()


def shift(graded, by, arm=None, *, reason=REASON, actor=None, seen="", patient="P01", sequence="SAG T1"):
    return services.shift_levels(
        subject_id=graded.study.subjects.get(code=patient).pk,
        sequence_id=graded.study.sequences.get(name=sequence).pk,
        arm_id=arm and graded.study.arms.get(name=arm).pk,
        by=by,
        reason=reason,
        seen=seen,
        actor=actor or graded.coordinator,
    )


def standing(graded):
    """Key to what a coordinator sees of each structure, reasons of corrections aside."""
    return {
        one.pk: (one.effective_level, one.excluded_reason, one.excluded_by_id, one.beyond, one.left_out_by_shift)
        for one in Structure.objects.filter(measured__series__study=graded.study)
    }


def muddled(graded, seed):
    """Some structures not found, some named otherwise, cut, corrected or left out: as a real study stands."""
    draw = random.Random(seed)
    for one in Structure.objects.filter(measured__series__study=graded.study):
        match draw.randrange(8):
            case 0:
                one.delete()
            case 1:
                Structure.objects.filter(pk=one.pk).update(state=Structure.State.CUT, measures={})
            case 2:
                services.exclude_structure(structure_id=one.pk, reason=BY_HAND[0], actor=graded.coordinator)
            case 3:
                Structure.objects.filter(pk=one.pk).update(matched_level=min(one.level + 1, max(names(one.kind))))
            case 4:
                level = draw.choice(list(names(one.kind)))
                with suppress(Refusal):  # another has that level
                    services.correct_level(
                        structure_id=one.pk, level=level, reason=BY_HAND[1], actor=graded.coordinator
                    )


def rows_of(graded, **of):
    return {
        (row["patient"], row["arm"], row["quantity"], row["level"]): row["value"]
        for row in measurement_rows(graded.study)
        if all(row[name] == value for name, value in of.items())
    }


@pytest.mark.parametrize("by", [UP, DOWN])
@pytest.mark.parametrize("seed", range(4))
def test_whatever_stands_there_all_that_counts_moves_by_one_and_keeps_its_value(graded, seed, by):
    muddled(graded, seed)
    before, told = rows_of(graded), len(corrections(graded))
    arm = (None, *ARMS)[seed]
    shift(graded, by, arm)
    arms = ARMS if arm is None else (arm,)
    last = {"disc_height_mm": 6, "body_volume_cm3": 7}
    expected = {}
    for (patient, one, quantity, level), value in before.items():
        moved = level + by if patient == "P01" and one in arms else level
        if 1 <= moved <= last[quantity]:
            expected[patient, one, quantity, moved] = value
    assert rows_of(graded) == expected
    assert len(corrections(graded)) == told + 1, "one event for all of it"
    assert first_broken_link(graded.study.pk) is None


@pytest.mark.parametrize("steps", [(UP, DOWN), (DOWN, UP), (UP, UP, DOWN, DOWN), (DOWN, UP, UP, DOWN)])
@pytest.mark.parametrize("seed", range(3))
def test_the_shift_back_restores_everything(graded, seed, steps):
    muddled(graded, seed)
    before, values = standing(graded), rows_of(graded)
    for by in steps:
        shift(graded, by)
    assert standing(graded) == before
    assert rows_of(graded) == values


@pytest.mark.parametrize("by", [UP, DOWN])
def test_discs_stay_between_their_bodies(graded, by):
    shift(graded, by)
    for measured in MeasuredSeries.objects.filter(series__subject__code="P01"):
        kept = [one for one in measured.structures.all() if not one.excluded_reason]
        bodies = {one.level: one.effective_level for one in kept if one.kind == "body"}
        discs = {one.level: one.effective_level for one in kept if one.kind == "disc"}
        assert len(discs) == 5 and len(bodies) == 6
        for level, now in discs.items():
            assert {bodies.get(level, now), bodies.get(level + 1, now + 1)} == {now, now + 1}


def test_what_would_lie_above_t12_is_left_out_and_does_not_stand_in_the_way(graded):
    done = shift(graded, UP, "Fast")
    assert done.left_out == {"Fast": ["T12", "T12-L1"]}
    assert done.sentence == (
        "All levels of Fast are one up now. Left out, since there is no name above T12: T12 and T12-L1 of Fast."
    )
    assert counted(graded) == {1: 7.0, 2: 8.0, 3: 9.0, 4: 10.0, 5: 11.0}
    one = structure(graded, 1)
    assert (one.excluded_reason, one.excluded_by, one.left_out_by_shift) == (REASON, graded.coordinator, True)
    assert counted(graded, arm="Standard")[1] == 6.0
    [event] = corrections(graded)
    assert (event.action, event.actor) == ("processing.levels_shifted", graded.coordinator)
    assert event.details == {
        "subject": "P01", "sequence": "SAG T1", "arms": ["Fast"], "by": -1, "structures": 13,
        "left_out": {"Fast": ["T12", "T12-L1"]}, "included": {}, "reason": REASON,
    }  # fmt: skip


def test_what_would_lie_below_s1_is_left_out_and_comes_back(graded):
    done = shift(graded, DOWN)
    assert done.left_out == {arm: ["S1", "L5-S1"] for arm in ARMS}
    assert "no name below S1: S1 and L5-S1 of Standard, Fast and Fast DL50." in done.sentence
    assert counted(graded) == {2: 6.0, 3: 7.0, 4: 8.0, 5: 9.0, 6: 10.0}
    back = shift(graded, UP, reason="the other way was right")
    assert (back.included, back.left_out) == (done.left_out, {})
    assert back.sentence.endswith("Included again: S1 and L5-S1 of Standard, Fast and Fast DL50.")
    assert counted(graded) == {level: level + 5.0 for level in range(1, 7)}


def test_corrections_move_along_and_keep_their_reasons(graded):
    structure(graded, 4).delete()
    services.correct_level(
        structure_id=structure(graded, 3).pk, level=4, reason="counted again", actor=graded.coordinator
    )
    services.exclude_structure(structure_id=structure(graded, 2).pk, reason="a fold", actor=graded.coordinator)
    shift(graded, DOWN)
    one = structure(graded, 3)
    assert (one.corrected_level, one.corrected_reason) == (5, f"counted again; {REASON}")
    out = structure(graded, 2)
    assert (out.effective_level, out.excluded_reason) == (3, "a fold")


def test_what_was_left_out_by_hand_at_the_end_stays_so_after_the_shift_back(graded):
    services.exclude_structure(structure_id=structure(graded, 1).pk, reason="a fold", actor=graded.coordinator)
    assert shift(graded, UP, "Fast").left_out == {"Fast": ["T12"]}
    shift(graded, DOWN, "Fast", reason="back")
    assert structure(graded, 1).excluded_reason == "a fold"
    assert counted(graded) == {level: level + 5.0 for level in range(2, 7)}


def test_one_that_was_carried_beyond_may_be_included_or_corrected_by_hand_and_then_moves_as_the_others(graded):
    structure(graded, 2).delete()
    shift(graded, UP, "Fast")
    services.include_structure(structure_id=structure(graded, 1).pk, actor=graded.coordinator)
    assert counted(graded)[1] == 6.0
    shift(graded, DOWN, "Fast")
    assert counted(graded)[2] == 6.0
    assert structure(graded, 1).beyond == 0


@pytest.mark.parametrize("by", [UP, DOWN])
def test_one_that_was_carried_beyond_counts_from_the_level_that_it_is_corrected_to(graded, by):
    """It stays left out, now by hand: no shift includes it."""
    for level in (3, 4, 5):
        structure(graded, level).delete()
    shift(graded, UP, "Fast")
    one = structure(graded, 1)
    services.correct_level(structure_id=one.pk, level=3, reason="counted again", actor=graded.coordinator)
    shift(graded, by, "Fast")
    one = structure(graded, 1)
    assert (one.effective_level, one.beyond, one.left_out_by_shift) == (3 + by, 0, False)
    assert one.excluded_reason == REASON and 3 + by not in counted(graded)


def test_only_the_subject_and_sequence_shift(db):
    graded = measured_rows(sequences=SEQUENCES)

    def others():
        return rows_of(graded, patient="P02", sequence="SAG T1"), rows_of(graded, sequence="SAG T2 FS")

    before = others()
    shift(graded, UP)
    assert others() == before


def test_the_tables_see_a_shift_as_they_see_the_same_single_corrections(db):
    """Table 6 and what became of every level: equal to each structure corrected by itself."""
    graded = measured_rows(state="unblinded")

    def singly():
        for kind, last in (("disc", 6), ("body", 7)):
            services.exclude_structure(
                structure_id=structure(graded, last, kind=kind).pk, reason=REASON, actor=graded.coordinator
            )
            for level in range(last - 1, 0, -1):
                one = structure(graded, level, kind=kind)
                services.correct_level(structure_id=one.pk, level=level + 1, reason=REASON, actor=graded.coordinator)

    def seen_after(act):
        with transaction.atomic():
            into(graded, "reading")
            act()
            into(graded, "unblinded")
            content = results.compute_results(study=Study.objects.get(pk=graded.study.pk)).content
            seen = rows_of(graded), structure_fates(graded.study), content["table6"], content["table6b"]
            transaction.set_rollback(True)
        return seen

    shifted = seen_after(lambda: shift(graded, DOWN, "Fast"))
    assert shifted == seen_after(singly) and shifted != seen_after(lambda: None)


def refused(graded, words, call):
    before, told = list(Structure.objects.order_by("pk").values()), len(corrections(graded))
    with pytest.raises(Refusal, match=words) as refusal:
        call()
    assert refusal.value.action
    assert list(Structure.objects.order_by("pk").values()) == before
    assert len(corrections(graded)) == told


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"reason": " "}, "Levels are shifted for a reason."),
        ({"reason": "x" * 501}, "more than 500 letters"),
        ({"by": 0}, "one, up or down"),
        ({"by": 2}, "one, up or down"),
        ({"seen": "0" * 16}, "changed since you saw them"),
    ],
)
def test_what_cannot_be_shifted_is_refused_and_nothing_is_changed(graded, given, words):
    refused(graded, words, lambda: shift(graded, **{"by": UP, **given}))


def test_a_form_that_is_sent_twice_shifts_once(graded):
    subject, sequence = graded.study.subjects.get(code="P01"), graded.study.sequences.get(name="SAG T1")
    seen = as_seen(measured_of(subject, sequence.pk))
    shift(graded, UP, seen=seen)
    refused(graded, "changed since you saw them", lambda: shift(graded, UP, seen=seen))
    shift(graded, DOWN, seen=as_seen(measured_of(subject, sequence.pk)))
    assert as_seen(measured_of(subject, sequence.pk)) == seen


def test_an_arm_without_structures_is_refused_and_does_not_stop_the_others(graded):
    series_of(graded).structures.all().delete()
    refused(graded, "There is no level to shift.", lambda: shift(graded, UP, "Fast"))
    assert shift(graded, UP).arms == ["Standard", "Fast DL50"]


@pytest.mark.parametrize("state", ["locked", "unblinded"])
def test_the_lock_fixes_the_levels(graded, state):
    into(graded, state)
    refused(graded, f"The study is {state}. .* fixed since the lock", lambda: shift(graded, UP))


def test_a_lock_while_the_shift_waits_comes_first(graded, monkeypatch):
    while_it_waits(monkeypatch, Study, lambda: into(graded, "locked"))
    refused(graded, "The study is locked", lambda: shift(graded, UP))


@pytest.mark.parametrize("who", OTHERS)
def test_only_a_coordinator_of_the_study_shifts(graded, who):
    refused(graded, "Only a coordinator", lambda: shift(graded, UP, actor=other_person(graded, who)))
