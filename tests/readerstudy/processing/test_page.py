"""The Processing page: what the coordinator sees, and that nobody else does."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from readerstudy.accounts.models import User
from readerstudy.audit.models import Event
from readerstudy.intake import services as intake
from readerstudy.intake.models import Upload
from readerstudy.processing import services, wording
from readerstudy.processing.models import Job, MeasuredSeries, Series
from readerstudy.processing.services.adoption import adopt_series
from readerstudy.studies.models import Membership, Study
from tests.readerstudy.processing.small_study import (
    STARTED,
    SmallStudy,
    acquisition_done,
    finishing_done,
    raw_file,
    small_study,
    take_in,
)


@pytest.fixture
def small(db) -> SmallStudy:
    return small_study(subjects=2)


@pytest.fixture
def coordinator(client: Client, small: SmallStudy) -> Client:
    client.force_login(small.coordinator)
    return client


def status(client: Client, small: SmallStudy) -> dict:
    answer = client.get(f"/api/processing/{small.study.id}/status")
    assert answer.status_code == 200
    return answer.json()


def row(client: Client, small: SmallStudy) -> dict:
    """The first subject's Standard."""
    return status(client, small)["acquisitions"][0]


def finished(small: SmallStudy, folder, **more: object) -> Series:
    for acquisition in (small.standard, small.fast):
        job = services.start_acquisition_job(raw_file_id=raw_file(small, folder, acquisition).id)
        services.record(job_id=job.id, attempt=1, event="started", payload=STARTED)
        services.record(job_id=job.id, attempt=1, event="done", payload=acquisition_done(job))
    job = Job.objects.get(kind=Job.Kind.FINISHING)
    services.record(job_id=job.id, attempt=1, event="started", payload=STARTED)
    services.record(job_id=job.id, attempt=1, event="done", payload={**finishing_done(job), **more})
    return Series.objects.order_by("arm__order")[0]


def test_a_row_for_every_subject_sequence_and_acquisition(coordinator, small):
    content = status(coordinator, small)
    names = [
        (r["subject"]["name"], r["sequence"]["name"], r["acquisition"]["name"], r["nex"])
        for r in content["acquisitions"]
    ]
    assert names == [
        ("S01", "SAG T1", "Standard", "NEX 2"),
        ("S01", "SAG T1", "Fast", "NEX 0.5"),
        ("S02", "SAG T1", "Standard", "NEX 2"),
        ("S02", "SAG T1", "Fast", "NEX 0.5"),
    ]
    assert {r["stage"] for r in content["acquisitions"]} == {"no file yet"}
    assert content["summary"] == "0 of 4 done"
    assert content["sequences"] == []


def test_upload_in_its_row(coordinator, small):
    upload = intake.create_upload(
        study=small.study,
        subject=small.subjects[0],
        sequence=small.sequences[0],
        acquisition=small.standard,
        uploader=small.coordinator,
        file_name="P01.h5",
        length=1000,
        fingerprint="P01.h5|1000|5",
    )
    intake.folder.path_of(upload.id).write_bytes(bytes(640))
    shown = row(coordinator, small)
    assert (shown["kind"], shown["stage"], shown["fraction"]) == ("run", "upload", 0.64)
    assert shown["file"] == "P01.h5 · 640 bytes of 1.0 kB"
    assert shown["upload"] == {
        "address": f"/api/uploads/{upload.id}",
        "file_name": "P01.h5",
        "fingerprint": "P01.h5|1000|5",
        "length": 1000,
        "offset": 640,
    }
    Upload.objects.update(expires_at=timezone.now() + timedelta(hours=1))
    shown = row(coordinator, small)
    assert (shown["kind"], shown["stage"], shown["time"]) == (
        "wait",
        "upload stopped",
        "Choose the file again to go on",
    )


def test_refused_file_says_why(coordinator, small, tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes(b"raw" * 99)
    intake.accept(upload_id=take_in(small, path, small.fast).id)
    intake.accept(upload_id=take_in(small, path, small.standard).id)
    shown = row(coordinator, small)
    assert shown["kind"] == "bad"
    assert shown["stage"].startswith("a.h5 is already at S01 · SAG T1 · Fast")
    assert "1 needs you" in status(coordinator, small)["summary"]


def test_file_that_is_there_already_is_said_and_bothers_nobody(coordinator, small, tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes(b"raw" * 99)
    for _ in range(2):
        intake.accept(upload_id=take_in(small, path, small.standard).id)
    shown = row(coordinator, small)
    assert shown["note"] == "Not taken: a.h5 is already here (as a.h5). The file before it stays."
    assert shown["kind"] != "bad"
    assert "you" not in status(coordinator, small)["summary"]


def test_running_and_done(coordinator, small, tmp_path):
    job = services.start_acquisition_job(raw_file_id=raw_file(small, tmp_path, small.standard).id)
    assert row(coordinator, small)["stage"] == "waiting for the worker"
    services.record(job_id=job.id, attempt=1, event="started", payload=STARTED)
    services.record(job_id=job.id, attempt=1, event="progress", payload={"stage": "coil maps", "fraction": 0.5})
    Job.objects.update(started_at=timezone.now() - timedelta(seconds=20))
    shown = row(coordinator, small)
    assert (shown["kind"], shown["stage"], shown["time"], shown["can_cancel"]) == (
        "run",
        "coil maps",
        "about 20 s left",
        True,
    )
    services.record(job_id=job.id, attempt=1, event="done", payload=acquisition_done(job))
    shown = row(coordinator, small)
    assert (shown["kind"], shown["stage"], shown["fraction"]) == ("done", "reconstructed", 1.0)
    assert status(coordinator, small)["summary"].startswith("1 of 4 done")


def test_finished_series_with_picture_and_lineage(coordinator, small, tmp_path):
    series = finished(small, tmp_path)
    [group] = status(coordinator, small)["sequences"]
    assert [each["arm"] for each in group["series"]] == ["Standard", "Fast"]
    picture = coordinator.get(group["series"][0]["preview"])
    assert picture["Content-Type"] == "image/png"
    assert picture.content.startswith(b"\x89PNG")
    page = coordinator.get(group["series"][0]["lineage"])
    assert page.status_code == 200
    as_json = coordinator.get(group["series"][0]["lineage"] + "?format=json").json()
    assert as_json["series"]["id"] == str(series.id)
    assert as_json["finishing"]["lineage"]["code"]["name"] == "recon_worker"
    assert "uid_key" not in str(as_json)


def test_series_taken_over_from_another_study(coordinator, small, tmp_path):
    """Its rows have no file, and are done all the same; the lineage says where it came from."""
    finished(small, tmp_path)
    other = small_study(name="Other")
    adopt_series(
        subject=other.subjects[0],
        sequence=other.sequences[0],
        sources=list(Series.objects.filter(study=small.study)),
        actor=other.coordinator,
    )
    coordinator.force_login(other.coordinator)
    content = status(coordinator, other)
    assert {each["stage"] for each in content["acquisitions"]} == {"taken over from another study"}
    [group] = content["sequences"]
    assert coordinator.get(group["series"][0]["preview"]).status_code == 200
    assert f"study {small.study.id}" in coordinator.get(group["series"][0]["lineage"]).content.decode()


def test_adopted_measurements_still_say_what_measured_them(coordinator, small, tmp_path):
    finished(small, tmp_path)
    sources = list(Series.objects.filter(study=small.study).select_related("job").order_by("arm__order"))
    job = sources[0].job
    job.lineage["parameters"] = {"measurements": [{"weights": {"discs": str(place)}} for place in range(len(job.arms))]}
    job.save()
    for one in sources:
        MeasuredSeries.objects.create(series=one)
    other = small_study(name="Other")
    adopt_series(
        subject=other.subjects[0], sequence=other.sequences[0], sources=sources[::-1], actor=other.coordinator
    )
    for source in sources:
        copy = MeasuredSeries.objects.get(series__study=other.study, series__arm__name=source.arm.name)
        place = job.arms.index(str(source.arm_id))
        assert copy.lineage == MeasuredSeries.objects.get(series=source).lineage == {"weights": {"discs": str(place)}}
        assert copy.series.job.lineage["code"] == job.lineage["code"]
    event = Event.objects.get(study=other.study.pk, action="processing.series_adopted")
    assert event.details["adopted_from"] == {"study": str(small.study.pk), "job": str(job.pk)}


def test_where_slices_lie_on_a_contact_sheet_is_kept_and_goes_along(small, tmp_path):
    sheet = {"first": 3, "slices": 7, "across": 4, "tile": [200, 400], "start": [10, 44], "step": [210, 410],
             "size": [850, 900]}  # fmt: skip
    told = {"structures": [], "remarks": [], "files": [], "overlay": None, "labels": None, "fault": None}
    finished(small, tmp_path, measurements=[{"index": 0, **told, "sheet": sheet}, {"index": 1, **told}])
    other = small_study(name="Other")
    adopt_series(
        subject=other.subjects[0],
        sequence=other.sequences[0],
        sources=list(Series.objects.filter(study=small.study).order_by("arm__order")),
        actor=other.coordinator,
    )
    # Measurements are told by the place of their arm in the job.
    first = Job.objects.get(kind=Job.Kind.FINISHING, subject__study=small.study).arms[0]
    for study in (small.study, other.study):
        for one in MeasuredSeries.objects.filter(series__study=study):
            is_first = one.series.arm.name == small.study.arms.get(pk=first).name
            assert one.sheet == (sheet if is_first else None)


def test_unchanged_status_is_304(coordinator, small):
    first = coordinator.get(f"/api/processing/{small.study.id}/status")
    again = coordinator.get(f"/api/processing/{small.study.id}/status", headers={"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_page_is_drawn_by_the_server(coordinator, small, tmp_path, built_front_end):
    finished(small, tmp_path)
    text = coordinator.get(f"/studies/{small.study.id}/processing").content.decode()
    for expected in ("NEX 0.5", "reconstructed", "no file yet", "2 of 4 done", "preview.png", "lineage"):
        assert expected in text


@pytest.fixture
def built_front_end(settings, tmp_path):
    """A manifest is enough: the page names the script, it does not run it."""
    folder = tmp_path / "dist"
    folder.mkdir()
    (folder / "manifest.json").write_text('{"src/intake/main.ts": {"file": "assets/intake.js"}}')
    settings.FRONTEND_BUILD = folder


def test_retry_and_cancel_from_the_page(coordinator, small, tmp_path):
    job = services.start_acquisition_job(raw_file_id=raw_file(small, tmp_path, small.standard).id)
    address = f"/studies/{small.study.id}/processing/jobs/{job.id}"
    assert coordinator.post(f"{address}/cancel", headers={"Accept": "application/json"}).status_code == 204
    refused = coordinator.post(f"{address}/cancel", headers={"Accept": "application/json"})
    assert (refused.status_code, refused.json()["message"]) == (409, "This step has already ended.")
    assert coordinator.post(f"{address}/retry").status_code == 302
    job.refresh_from_db()
    assert (job.status, job.attempt) == (Job.Status.QUEUED, 2)


class TestRights:
    def addresses(self, small: SmallStudy, folder) -> list[str]:
        series = finished(small, folder)
        study = f"/studies/{small.study.id}/processing"
        return [
            study,
            f"/api/processing/{small.study.id}/status",
            f"{study}/series/{series.id}/preview.png",
            f"{study}/series/{series.id}/lineage",
            f"{study}/series/{series.id}/lineage?format=json",
        ]

    @pytest.mark.parametrize("role", ["reader", "principal-investigator", None])
    def test_others_find_nothing(self, client, small, tmp_path, role):
        addresses = self.addresses(small, tmp_path)
        person = User.objects.create_superuser(username="person", password="four words in a row")
        if role:
            Membership.objects.create(study=small.study, user=person, role=role)
        client.force_login(person)
        assert {client.get(address).status_code for address in addresses} == {404}
        job = Job.objects.first()
        assert client.post(f"/studies/{small.study.id}/processing/jobs/{job.id}/retry").status_code == 404

    def test_series_of_another_study(self, client, small, tmp_path):
        series = finished(small, tmp_path)
        other = small_study(name="Other")
        client.force_login(other.coordinator)
        assert client.get(f"/studies/{other.study.id}/processing/series/{series.id}/preview.png").status_code == 404

    def test_logged_out(self, client, small):
        assert client.get(f"/studies/{small.study.id}/processing").status_code == 302
        assert client.get(f"/api/processing/{small.study.id}/status").status_code == 401

    def test_released_study_can_be_seen_but_not_steered(self, coordinator, small, tmp_path):
        job = services.start_acquisition_job(raw_file_id=raw_file(small, tmp_path, small.standard).id)
        Study.objects.update(state=Study.State.READING, plan_hash="0" * 64)
        assert status(coordinator, small)["open"] is False
        assert row(coordinator, small)["can_cancel"] is False
        assert coordinator.post(f"/studies/{small.study.id}/processing/jobs/{job.id}/cancel").status_code == 404


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (41, "41 s"), (60, "1 min"), (200, "3 min 20 s"), (3600, "1 h"), (4020, "1 h 7 min")],
)
def test_duration_in_words(seconds: float, words: str):
    assert wording.duration(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "about 5 s left"),
        (21, "about 20 s left"),
        (58, "about 1 min left"),
        (2100, "about 35 min left"),
        (7000, "about 2 h left"),
    ],
)
def test_remaining_time_in_words(seconds: float, words: str):
    assert wording.about_left(seconds) == words
