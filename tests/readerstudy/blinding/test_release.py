"""Checks before the release; the release itself, whole or not at all."""

import json
import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from readerstudy import storage
from readerstudy.audit.models import Event
from readerstudy.audit.services import first_broken_link
from readerstudy.blinding import checks, services
from readerstudy.blinding.models import Release, ReleasePreparation, Seal
from readerstudy.faults import Refusal
from readerstudy.intake.models import RawFile
from readerstudy.processing.models import Job, Series
from readerstudy.reading.models import OrderPlan, Presentation, ReadableSeries
from readerstudy.statistics.plan import mapping_sha256
from readerstudy.studies.models import Membership
from tests.readerstudy.reading.study_rows import make_study, overwrite


def released_nothing(rows) -> bool:
    rows.study.refresh_from_db()
    tables = (Seal, ReadableSeries, OrderPlan, Presentation, Release)
    return rows.study.state == "preparing" and not any(
        table.objects.filter(study=rows.study).exists() for table in tables
    )


def test_a_complete_study_has_no_problem(prepared):
    assert services.release_problems(prepared.study) == []


def test_release_seals_every_series_and_makes_the_orders(prepared):
    study = prepared.study
    made = services.release(study=study, actor=prepared.coordinator)
    assert study.state == "reading"
    assert study.plan_hash == mapping_sha256(study.plan)
    frozen = Event.objects.get(study=study.pk, action="studies.plan_frozen")
    assert (frozen.details["plan"], frozen.details["sha256"]) == (study.plan, study.plan_hash)
    assert {arm["name"] for arm in frozen.details["compared"]["arms"]} == {arm.name for arm in study.arms.all()}
    assert {seal.series_id for seal in Seal.objects.filter(study=study)} == {one.pk for one in prepared.series}
    for reader in prepared.readers:
        shown = [one.series_id for one in prepared.presentations(reader)]
        assert sorted(shown) == sorted(ReadableSeries.objects.filter(study=study).values_list("pk", flat=True))
    stored = OrderPlan.objects.get(study=study)
    for reader in prepared.readers:
        order = [token for part in stored.permutations[str(reader.pk)] for token in part["series"]]
        assert order == [one.series_id for one in prepared.presentations(reader)]
    assert all(check["passed"] for check in made.checks)
    assert {check["name"] for check in made.checks} >= {"complete", "geometry", "headers", "words", "leak-audit"}
    assert not ReleasePreparation.objects.exists()
    actions = list(Event.objects.filter(study=study.pk).values_list("action", flat=True))
    assert actions == [
        "reading.order_plan_made", "studies.plan_frozen", "blinding.released", "studies.state_changed",
    ]  # fmt: skip
    assert first_broken_link(study.pk) is None


def test_the_trail_does_not_tell_the_key(prepared):
    services.release(study=prepared.study, actor=prepared.coordinator)
    events = Event.objects.filter(study=prepared.study.pk)
    text = json.dumps(list(events.values_list("details", flat=True)))
    for one in prepared.series:
        assert str(one.pk) not in text
    assert "PAT" not in text
    # What is compared is no secret, which series is which is one.
    others = events.exclude(action="studies.plan_frozen")
    assert "Fast" not in json.dumps(list(others.values_list("details", flat=True)))


def test_frames_are_copied_bit_for_bit(prepared):
    services.release(study=prepared.study, actor=prepared.coordinator)
    for seal in Seal.objects.filter(study=prepared.study).select_related("series"):
        with storage.open_file(f"reading/{seal.readable_id}/frames.u16") as file:
            copied = file.read()
        with storage.open_file(f"{seal.series.path}/frames.u16") as file:
            assert copied == file.read()


def test_a_second_release_is_refused_and_a_second_task_changes_nothing(rows):
    with pytest.raises(Refusal, match="The study is reading"):
        services.release(study=rows.study, actor=rows.coordinator)
    from readerstudy.blinding.tasks import release

    release(study=str(rows.study.pk), actor=rows.coordinator.pk)
    assert Seal.objects.filter(study=rows.study).count() == len(rows.series)


@pytest.mark.parametrize("role", ["reader", "principal-investigator", None])
def test_only_the_coordinator_releases(prepared, role):
    actor = {"reader": prepared.readers[0], "principal-investigator": prepared.investigator}.get(role)
    stranger = make_study(series=False).coordinator
    for act in (services.release, services.start_release):
        with pytest.raises(Refusal, match="Only the coordinator"):
            act(study=prepared.study, actor=actor or stranger)
    assert released_nothing(prepared)


def spoil_readers(rows):
    Membership.objects.filter(study=rows.study, role="reader").delete()


def spoil_investigator(rows):
    Membership.objects.filter(study=rows.study, role="principal-investigator").delete()


def spoil_criteria(rows):
    rows.study.criteria.all().delete()


def spoil_plan(rows):
    rows.study.plan = {"alpha": "half"}
    rows.study.save()


def spoil_plan_reference(rows):
    rows.study.plan = {"reference_arm": "Fast"}
    rows.study.save()


def spoil_series(rows):
    rows.series[0].delete()


def spoil_not_current(rows):
    Series.objects.filter(pk=rows.series[0].pk).update(is_current=False)


def spoil_job(rows):
    Job.objects.filter(pk=rows.series[0].job_id).update(status="running")


def spoil_matrix(rows):
    Series.objects.filter(pk=rows.series[0].pk).update(rows=rows.series[0].rows + 1)


def spoil_window(rows):
    Series.objects.filter(pk=rows.series[0].pk).update(window=[1000, 2000])


def spoil_edges(rows):
    Series.objects.filter(pk=rows.series[0].pk).update(edges={**rows.series[0].edges, "left": "P"})


def spoil_length(rows):
    series = rows.series[0]
    series.files[0]["bytes"] += 2
    series.save()


def spoil_names(rows):
    series = rows.series[0]
    series.files = series.files[1:]
    series.save()


def spoil_order(rows):
    rows.study.reader_rules = {"order": "blocked", "minimum_distance": 3}
    rows.study.save()


def change_file(rows, name: str, old: bytes, new: bytes):
    path = f"{rows.series[0].path}/{name}"
    with storage.open_file(path) as file:
        content = file.read()
    assert old in content
    overwrite(path, content.replace(old, new, 1))


def spoil_header(rows):
    change_file(rows, "dicom/0001.dcm", b"RM", b"SE")


def spoil_header_word(rows):
    for one in Series.objects.filter(study=rows.study):
        rows.series = [one]
        change_file(rows, "dicom/0002.dcm", b"Anonymous^", b"John PAT01")


def spoil_series_json(rows):
    change_file(rows, "series.json", b"3500", b"3501")


def spoil_frames(rows):
    series = rows.series[0]
    overwrite(f"{series.path}/frames.u16", bytes(series.slices * series.rows * series.columns * 2))


def spoil_missing_file(rows):
    storage.remove(f"{rows.series[0].path}/frames.u16")


def spoil_missing_header(rows):
    storage.remove(f"{rows.series[0].path}/dicom/0001.dcm")


def spoil_raw_file(rows):
    """A replacement has been accepted and its processing has not begun."""
    series = rows.series[0]
    RawFile.objects.create(
        study=rows.study,
        subject=series.subject,
        sequence=series.sequence,
        acquisition=series.arm.acquisition,
        path="raw/new",
        file_name="new.h5",
        sha256="0" * 64,
        bytes=1,
    )


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (spoil_readers, "no reader"),
        (spoil_investigator, "no principal investigator"),
        (spoil_criteria, "no criteria"),
        (spoil_plan, "alpha of the analysis plan"),
        (spoil_plan_reference, "compares with Fast, but the reference arm is Standard"),
        (spoil_series, "PAT01, SAG T2 FS: no series yet for Standard"),
        (spoil_not_current, "PAT01, SAG T2 FS: no series yet for Standard"),
        (spoil_job, "still under way"),
        (spoil_raw_file, r"PAT01, SAG T2 FS: new\.h5 is not in its series yet"),
        (spoil_matrix, "rows differ between the arms"),
        (spoil_window, "window differ between the arms"),
        (spoil_edges, "edges differ between the arms"),
        (spoil_length, "differ in name or length"),
        (spoil_names, "differ in name or length"),
        (spoil_order, "minimum distance of 3 .* not possible with 2 subjects"),
        (spoil_header, r"dicom/0001\.dcm differs between the arms"),
        (spoil_header_word, r"dicom/0002\.dcm says “PAT01”"),
        (spoil_series_json, r"series\.json differs between the arms"),
        (spoil_frames, "missing or not what was made"),
        (spoil_missing_file, "missing or not what was made"),
        (spoil_missing_header, "a stored file is missing"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_released(prepared, spoil, says):
    spoil(prepared)
    prepared.study.refresh_from_db()
    problems = services.release_problems(prepared.study)
    assert any(re.search(says, problem) for problem in problems), problems
    with pytest.raises(Refusal):
        services.release(study=prepared.study, actor=prepared.coordinator)
    assert released_nothing(prepared)
    assert ReleasePreparation.objects.get(study=prepared.study).problems == problems


def test_an_interrupted_release_is_taken_up_with_the_same_tokens(prepared, monkeypatch):
    copies = []

    def fails_at_the_third(source: str, path: str) -> None:
        if len(copies) == 2:
            raise OSError("No space left on device")
        copies.append(path)
        original(source, path)

    original = storage.copy
    monkeypatch.setattr(storage, "copy", fails_at_the_third)
    with pytest.raises(OSError, match="No space"):
        services.release(study=prepared.study, actor=prepared.coordinator)
    assert released_nothing(prepared)
    kept = ReleasePreparation.objects.get(study=prepared.study)
    monkeypatch.setattr(storage, "copy", lambda source, path: (copies.append(path), original(source, path)))
    services.release(study=prepared.study, actor=prepared.coordinator)
    assert len(copies) == len(set(copies)) == len(prepared.series), "what was copied whole is not copied again"
    sealed = {str(seal.series_id): seal.readable_id for seal in Seal.objects.filter(study=prepared.study)}
    assert sealed == kept.tokens


def test_a_series_made_again_during_the_release_stops_it(prepared, monkeypatch):
    original = services._copy_frames

    def and_meanwhile(*args):
        original(*args)
        Series.objects.filter(pk=prepared.series[0].pk).update(is_current=False)

    monkeypatch.setattr(services, "_copy_frames", and_meanwhile)
    with pytest.raises(Refusal, match="made again"):
        services.release(study=prepared.study, actor=prepared.coordinator)
    assert released_nothing(prepared)


def test_a_leak_found_by_the_audit_undoes_the_release(prepared, monkeypatch):
    from readerstudy.blinding import leak_audit

    def finds(study, **options):
        return leak_audit.LeakAudit(1, 1, 1, 1, 1, 1, ["Value of window differs between arms."])

    monkeypatch.setattr(services.leak_audit, "audit", finds)
    with pytest.raises(Refusal, match="window differs"):
        services.release(study=prepared.study, actor=prepared.coordinator)
    assert released_nothing(prepared)


def test_blocked_order_through_a_release(db):
    rows = make_study(subjects=3, sequences=2, arms=2, rules={"order": "blocked", "minimum_distance": 2})
    services.release(study=rows.study, actor=rows.coordinator)
    subject = {seal.readable_id: seal.series.subject_id for seal in Seal.objects.filter(study=rows.study)}
    for reader in rows.readers:
        order = [subject[one.series_id] for one in rows.presentations(reader)]
        assert all(order[place] != order[place + 1] for place in range(len(order) - 1))
    assert OrderPlan.objects.get(study=rows.study).algorithm == "blocked"


def test_many_problems_are_shortened():
    assert checks.shortened([str(number) for number in range(20)])[-1] == "… and 12 more of this kind."


def page(rows, user):
    client = Client()
    client.force_login(user)
    return client, f"/studies/{rows.study.pk}/release"


@pytest.mark.django_db(transaction=True)
def test_release_page_shows_the_checks_and_releases():
    rows = make_study()
    client, url = page(rows, rows.coordinator)
    shown = client.get(url).content.decode()
    assert shown.count("✓") == len(checks.QUICK) and "✗" not in shown
    assert client.post(url, follow=True).status_code == 200
    rows.study.refresh_from_db()
    assert rows.study.state == "reading"
    assert "The leak audit" not in client.get(url).content.decode()
    assert "Released" in client.get(url).content.decode()
    assert client.post(url).status_code == 409


def test_release_page_says_what_is_missing(prepared):
    spoil_series(prepared)
    client, url = page(prepared, prepared.coordinator)
    shown = client.get(url).content.decode()
    assert "✗" in shown and "PAT01, SAG T2 FS: no series yet for Standard." in shown
    assert "disabled" in shown
    answer = client.post(url)
    assert answer.status_code == 409
    assert released_nothing(prepared)


@pytest.mark.django_db(transaction=True)
def test_release_page_says_why_the_files_stopped_it():
    rows = make_study()
    spoil_header(rows)
    client, url = page(rows, rows.coordinator)
    shown = client.post(url, follow=True).content.decode()
    assert "dicom/0001.dcm differs between the arms" in shown
    assert "Nothing has been handed to readers" in shown


def test_an_interrupted_release_can_be_begun_again_from_the_page(prepared):
    ReleasePreparation.objects.create(study=prepared.study, by=prepared.coordinator, done=3, total=8)
    client, url = page(prepared, prepared.coordinator)
    assert "3 of 8 series are checked and copied" in client.get(url).content.decode()
    ReleasePreparation.objects.update(moved_at=timezone.now() - timedelta(minutes=11))
    shown = client.get(url).content.decode()
    assert "interrupted after 3 of 8 series" in shown and "Release to readers" in shown


def test_a_study_name_that_says_an_arm_is_remarked_but_does_not_stand_against_the_release(db):
    rows = make_study(name="Fast lumbar spine MRI")
    assert services.release_problems(rows.study) == []
    client, url = page(rows, rows.coordinator)
    assert "holds the word “Fast”" in client.get(url).content.decode()


def test_release_page_is_the_coordinators_alone(prepared):
    for user in (prepared.investigator, *prepared.readers):
        client, url = page(prepared, user)
        assert client.get(url).status_code == client.post(url).status_code == 404
