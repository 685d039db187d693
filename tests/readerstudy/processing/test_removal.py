"""A file is taken out of its place: rows, bytes and series go, and its place and its subject are free again."""

import pytest

from readerstudy.audit.models import Event
from readerstudy.faults import Refusal
from readerstudy.intake import services as intake
from readerstudy.intake.models import RawFile
from readerstudy.processing import services
from readerstudy.processing.models import Job, Series
from readerstudy.studies.models import Study
from readerstudy.studies.services import remove_subject
from tests.readerstudy.processing.small_study import (
    STARTED,
    SmallStudy,
    acquisition_done,
    finishing_done,
    is_stored,
    raw_file,
    small_study,
    stored,
    take_in,
)


@pytest.fixture
def small(db) -> SmallStudy:
    return small_study(subjects=2)


@pytest.fixture
def remove(small, django_capture_on_commit_callbacks):
    def run(file: RawFile) -> None:
        with django_capture_on_commit_callbacks(execute=True):
            services.remove_file(raw_file_id=file.id, actor=small.coordinator)

    return run


def done(file: RawFile, **summary) -> Job:
    job = services.start_acquisition_job(raw_file_id=file.id)
    assert job is not None
    services.record(job_id=job.id, attempt=1, event="started", payload=STARTED)
    services.record(job_id=job.id, attempt=1, event="done", payload=acquisition_done(job, **summary))
    return job


def test_with_its_series_and_bytes(small, tmp_path, remove):
    standard, fast = (raw_file(small, tmp_path, each) for each in (small.standard, small.fast))
    kept, gone = done(standard), done(fast)
    finishing = Job.objects.get(kind=Job.Kind.FINISHING)
    services.record(job_id=finishing.id, attempt=1, event="done", payload=finishing_done(finishing))
    assert Series.objects.count() == 2

    remove(fast)

    assert not Series.objects.exists()
    assert list(Job.objects.all()) == [kept]
    assert list(RawFile.objects.all()) == [standard]
    assert is_stored(standard.path) and is_stored(f"work/{kept.id}")
    assert not is_stored(fast.path) and not is_stored(f"work/{gone.id}") and not is_stored(f"work/{finishing.id}")
    event = Event.objects.filter(study=small.study.pk).latest("index")
    assert (event.action, event.actor) == ("processing.file_removed", small.coordinator)
    assert event.details["sha256"] == [fast.sha256]


def test_swapped_files_can_be_put_right(small, tmp_path, remove):
    wrong = raw_file(small, tmp_path, small.fast, b"the standard one" * 64)
    path = tmp_path / "standard.h5"
    path.write_bytes(b"the standard one" * 64)
    refused = take_in(small, path, small.standard)
    assert intake.accept(upload_id=refused.id) is None
    refused.refresh_from_db()
    assert refused.refusal_action == "Choose the file that belongs here; if this one does, remove it there first."

    remove(wrong)

    assert intake.accept(upload_id=take_in(small, path, small.standard).id) is not None


def test_its_row_is_empty_again(client, small, tmp_path, remove):
    path = tmp_path / "standard.h5"
    path.write_bytes(b"the same" * 64)
    file = intake.accept(upload_id=take_in(small, path, small.standard).id)
    assert file is not None
    assert intake.accept(upload_id=take_in(small, path, small.standard).id) is None  # it is there already
    remove(file)
    client.force_login(small.coordinator)
    row = client.get(f"/api/processing/{small.study.id}/status").json()["acquisitions"][0]
    assert (row["kind"], row["stage"], row["note"], row["raw_file"]) == ("wait", "no file yet", "", None)


def test_what_did_not_fit_it_is_tried_again(small, tmp_path, remove):
    wrong = raw_file(small, tmp_path, small.standard)
    done(wrong)
    job = done(raw_file(small, tmp_path, small.fast), n_slices=9)
    job.refresh_from_db()
    assert job.status == Job.Status.FAILED

    remove(wrong)

    job.refresh_from_db()
    assert (job.status, job.attempt) == (Job.Status.QUEUED, 2)


def test_a_subject_without_files_can_leave(small, tmp_path, remove):
    subject = small.subjects[0]
    first = raw_file(small, tmp_path, small.standard)
    done(first)
    second = raw_file(small, tmp_path, small.standard)  # takes the place of the first
    with pytest.raises(Refusal, match="S01 has files already"):
        remove_subject(subject=subject, actor=small.coordinator)
    remove(second)
    remove_subject(subject=subject, actor=small.coordinator)
    assert [each.code for each in small.study.subjects.all()] == ["S02"]
    assert not is_stored(first.path) and not is_stored(second.path)


def test_what_its_worker_still_writes_goes_too(small, tmp_path, remove):
    file = raw_file(small, tmp_path, small.standard)
    job = services.start_acquisition_job(raw_file_id=file.id)
    services.record(job_id=job.id, attempt=1, event="started", payload=STARTED)
    remove(file)
    late = stored(f"work/{job.id}/1/reconstructed.npz", b"late")
    assert services.record(job_id=job.id, attempt=1, event="done", payload={}) is False
    assert not is_stored(late["path"])


def test_not_after_the_release_and_not_twice(small, tmp_path, remove):
    file = raw_file(small, tmp_path, small.standard)
    Study.objects.filter(pk=small.study.pk).update(state=Study.State.READING, plan_hash="0" * 64)
    with pytest.raises(Refusal, match="released"):
        remove(file)
    Study.objects.filter(pk=small.study.pk).update(state=Study.State.PREPARING, plan_hash="")
    remove(file)
    with pytest.raises(Refusal, match="removed meanwhile"):
        remove(file)


def test_by_the_page(client, small, tmp_path):
    file = raw_file(small, tmp_path, small.standard)
    address = f"/studies/{small.study.id}/processing/files/{file.id}/remove"
    assert client.post(address).status_code == 302 and RawFile.objects.exists()
    client.force_login(small.coordinator)
    page = client.get(f"/api/processing/{small.study.id}/status").json()
    assert page["acquisitions"][0]["raw_file"] == str(file.id)
    assert client.get(address).status_code == 405
    assert client.post(address, headers={"Accept": "application/json"}).status_code == 204
    assert not RawFile.objects.exists()
    assert client.post(address).status_code == 404
