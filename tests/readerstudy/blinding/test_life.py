"""Lock and unblinding: who, when, over which grades; and that nothing is seen before."""

import pytest
from django.db import DatabaseError, transaction
from django.test import Client

from readerstudy.audit.models import Event
from readerstudy.audit.services import first_broken_link
from readerstudy.blinding import selectors as key
from readerstudy.blinding import services
from readerstudy.blinding.models import Seal, Unblinding
from readerstudy.faults import Refusal
from readerstudy.reading import selectors as reading_selectors
from readerstudy.reading import services as reading
from readerstudy.reading.models import Grade
from tests.readerstudy.reading.study_rows import grade_all, read_everything


@pytest.fixture
def locked(rows):
    read_everything(rows)
    reading.lock(study=rows.study, actor=rows.investigator)
    return rows


def test_lock_keeps_the_digest_of_all_grades(locked):
    assert locked.study.state == "locked"
    event = Event.objects.get(study=locked.study.pk, action="reading.locked")
    assert event.actor == locked.investigator
    assert event.details["grades_sha256"] == reading.study_grades_sha256(locked.study)
    assert event.details["not_signed_off"] == 0
    assert first_broken_link(locked.study.pk) is None


def test_lock_with_gaps_needs_a_reason(rows):
    with pytest.raises(Refusal, match="16 series are not signed off"):
        reading.lock(study=rows.study, actor=rows.investigator)
    with pytest.raises(Refusal, match="16 series are not signed off"):
        reading.lock(study=rows.study, actor=rows.investigator, reason="\u200b\x00")
    assert rows.study.state == "reading"
    reading.lock(study=rows.study, actor=rows.investigator, reason="a reader\x00 fell ill")
    event = Event.objects.get(study=rows.study.pk, action="reading.locked")
    assert (event.details["not_signed_off"], event.details["reason"]) == (16, "a reader fell ill")


def test_only_the_principal_investigator_locks_and_unblinds(rows):
    read_everything(rows)
    for actor in (rows.coordinator, rows.readers[0]):
        with pytest.raises(Refusal, match="Only the principal investigator may lock"):
            reading.lock(study=rows.study, actor=actor)
    reading.lock(study=rows.study, actor=rows.investigator)
    for actor in (rows.coordinator, rows.readers[0]):
        with pytest.raises(Refusal, match="Only the principal investigator may unblind"):
            services.unblind(study=rows.study, actor=actor, reason="curious")
    assert not Unblinding.objects.exists()


def test_lock_happens_once(locked):
    with pytest.raises(Refusal, match="not being read"):
        reading.lock(study=locked.study, actor=locked.investigator)


def test_unblinding_only_after_the_lock_with_a_reason_and_once(rows):
    with pytest.raises(Refusal, match="Lock it first"):
        services.unblind(study=rows.study, actor=rows.investigator, reason="now")
    read_everything(rows)
    reading.lock(study=rows.study, actor=rows.investigator)
    for nothing in (" ", "\u200b", "\x00"):
        with pytest.raises(Refusal, match="No reason"):
            services.unblind(study=rows.study, actor=rows.investigator, reason=nothing)
    made = services.unblind(study=rows.study, actor=rows.investigator, reason="all\x00 read")
    assert made.reason == "all read"
    locked = Event.objects.get(study=rows.study.pk, action="reading.locked")
    opened = Event.objects.get(study=rows.study.pk, action="blinding.unblinded")
    assert made.grades_sha256 == locked.details["grades_sha256"] == opened.details["grades_sha256"]
    assert rows.study.state == "unblinded"
    with pytest.raises(Refusal):
        services.unblind(study=rows.study, actor=rows.investigator, reason="again")
    assert first_broken_link(rows.study.pk) is None


def test_grades_changed_behind_the_lock_stop_the_unblinding(locked):
    one = Grade.objects.filter(presentation__study=locked.study).first()
    Grade.objects.create(presentation=one.presentation, criterion=one.criterion, number=2, value=5)
    with pytest.raises(Refusal, match="not those of the lock"):
        services.unblind(study=locked.study, actor=locked.investigator, reason="all read")
    assert not Unblinding.objects.exists()


def test_the_key_is_closed_until_unblinding_and_then_true(locked):
    with pytest.raises(Refusal, match="sealed"):
        key.key_of_study(locked.study)
    with pytest.raises(Refusal, match="sealed"):
        key.arm_of_series(locked.study)
    services.unblind(study=locked.study, actor=locked.investigator, reason="all read")
    arms = key.arm_of_series(locked.study)
    assert len(arms) == len(locked.series)
    for seal in Seal.objects.filter(study=locked.study):
        assert arms[seal.readable_id] == seal.series.arm


def test_no_grade_is_seen_by_anybody_before_the_lock(rows):
    presentation = rows.presentations(rows.readers[0])[0]
    grade_all(presentation, rows.criteria)
    reading.sign_off(presentation=presentation)
    with pytest.raises(Refusal, match="closed until the study is locked"):
        reading_selectors.current_grades(rows.study)
    progress = reading_selectors.progress(rows.study)
    assert [(one.signed_off, one.length) for one in progress] == [(1, 8), (0, 8)]
    assert sum(sequence.signed_off for sequence in progress[0].sequences) == 1


def test_current_grades_after_the_lock_are_the_newest(rows):
    presentation = rows.presentations(rows.readers[0])[0]
    grade_all(presentation, rows.criteria)
    grade_all(presentation, rows.criteria[:1], value=4)
    reading.sign_off(presentation=presentation)
    reading.lock(study=rows.study, actor=rows.investigator, reason="enough")
    grades = reading_selectors.current_grades(rows.study)
    assert [(one.criterion_name, one.value) for one in grades] == [
        ("Apparent SNR", 4),
        ("Overall Image Quality", 1),
        ("Presence of Artifacts", 1),
    ]
    assert {one.series for one in grades} == {presentation.series_id}


def test_the_key_cannot_be_rewritten(rows):
    first, second = Seal.objects.filter(study=rows.study)[:2]
    with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
        Seal.objects.filter(pk=first.pk).update(series=second.series)
    with pytest.raises(DatabaseError, match="never changed"), transaction.atomic():
        Seal.objects.filter(pk=first.pk).delete()


@pytest.mark.parametrize("page", ["readers", "lock", "unblind"])
def test_pages_of_the_principal_investigator(rows, page):
    client = Client()
    client.force_login(rows.investigator)
    assert client.get(f"/studies/{rows.study.pk}/{page}").status_code == 200


def test_the_way_through_the_pages(rows):
    presentation = rows.presentations(rows.readers[0])[0]
    grade_all(presentation, rows.criteria)
    reading.sign_off(presentation=presentation)
    client = Client()
    client.force_login(rows.investigator)
    base = f"/studies/{rows.study.pk}"
    shown = client.get(f"{base}/readers").content.decode()
    assert "1 / 8" in shown and "Lock the study" in shown
    refused = client.post(f"{base}/lock")
    assert refused.status_code == 409 and "15 series are not signed off" in refused.content.decode()
    assert client.post(f"{base}/unblind", {"reason": "now"}).status_code == 409
    assert client.post(f"{base}/lock", {"reason": "a reader fell ill"}).status_code == 302
    assert "Unblind" in client.get(f"{base}/readers").content.decode()
    assert client.post(f"{base}/unblind", {"reason": ""}).status_code == 409
    assert client.post(f"{base}/unblind", {"reason": "all read"}).status_code == 302
    assert "all read" in client.get(f"{base}/unblind").content.decode()
    rows.study.refresh_from_db()
    assert rows.study.state == "unblinded"


def test_the_coordinator_sees_progress_but_neither_locks_nor_unblinds(rows):
    client = Client()
    client.force_login(rows.coordinator)
    base = f"/studies/{rows.study.pk}"
    shown = client.get(f"{base}/readers").content.decode()
    assert "0 / 8" in shown and "Lock the study" not in shown
    for page in ("lock", "unblind"):
        assert client.get(f"{base}/{page}").status_code == client.post(f"{base}/{page}").status_code == 404
