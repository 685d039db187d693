"""Silent workers, lost messages, leftovers."""

from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from readerstudy.celery import app
from readerstudy.intake.models import RawFile
from readerstudy.processing import queue, services
from readerstudy.processing.models import Job
from tests.readerstudy.processing.small_study import (
    STARTED,
    SmallStudy,
    acquisition_done,
    is_stored,
    messages,
    raw_file,
    small_study,
    stored,
)

LONG_AGO = timedelta(hours=1)


@pytest.fixture
def small(db) -> SmallStudy:
    messages("recon"), messages("light")
    return small_study()


@pytest.fixture
def job(small, tmp_path, django_capture_on_commit_callbacks) -> Job:
    file = raw_file(small, tmp_path, small.standard)
    with django_capture_on_commit_callbacks(execute=True):
        made = services.start_acquisition_job(raw_file_id=file.id)
    assert made is not None
    return made


def started(job: Job) -> None:
    services.record(job_id=job.id, attempt=job.attempt, event="started", payload=STARTED)


def silent(job: Job) -> None:
    Job.objects.filter(id=job.id).update(heartbeat_at=timezone.now() - LONG_AGO)


@pytest.fixture
def reconcile(django_capture_on_commit_callbacks):
    def run() -> dict[str, int]:
        with django_capture_on_commit_callbacks(execute=True):
            return services.reconcile()

    return run


def test_job_of_a_silent_worker_is_queued_again(job, reconcile):
    started(job)
    messages("recon")
    assert reconcile()["silent_workers"] == 0, "its heart still beats"
    silent(job)
    assert reconcile()["silent_workers"] == 1
    job.refresh_from_db()
    assert (job.status, job.attempt) == (Job.Status.QUEUED, 2)
    assert [(m["attempt"], m["order"]["output"]) for m in messages("recon")] == [(2, f"work/{job.id}/2")]


def test_after_the_last_attempt_the_fault_is_ours(job, reconcile):
    for _ in range(settings.JOB_MOST_ATTEMPTS):
        job.refresh_from_db()
        started(job)
        silent(job)
        reconcile()
    job.refresh_from_db()
    assert (job.status, job.failure_responsibility) == (Job.Status.FAILED, "ours")
    assert f"silent {settings.JOB_MOST_ATTEMPTS} times" in job.failure_message
    assert job.failure_action


def test_retry_by_hand_gives_all_attempts_back(job, small, reconcile):
    for _ in range(settings.JOB_MOST_ATTEMPTS):
        job.refresh_from_db()
        started(job)
        silent(job)
        reconcile()
    services.retry(job_id=job.id, actor=small.coordinator)
    job.refresh_from_db()
    started(job)
    silent(job)
    reconcile()
    job.refresh_from_db()
    assert job.status == Job.Status.QUEUED


def test_lost_message_is_sent_again_when_the_queue_is_empty(job, reconcile):
    assert queue.waiting() == 1
    Job.objects.update(sent_at=timezone.now() - LONG_AGO)
    assert reconcile()["lost_messages"] == 0, "a message is still waiting for a worker"
    messages("recon")
    assert queue.waiting() == 0
    assert reconcile()["lost_messages"] == 1
    [message] = messages("recon")
    assert message["attempt"] == 1
    assert reconcile()["lost_messages"] == 0, "it has just been sent"


def test_queue_that_cannot_be_reached_stops_nothing(job, reconcile, monkeypatch):
    messages("recon")
    Job.objects.update(sent_at=timezone.now() - LONG_AGO)
    monkeypatch.setattr(app, "connection_for_read", lambda: app.connection("redis://127.0.0.1:1/0"))
    assert queue.waiting() is None
    assert reconcile()["lost_messages"] == 0


def test_file_whose_start_was_lost_gets_its_job(small, tmp_path, reconcile):
    raw_file(small, tmp_path, small.standard)
    assert reconcile()["files_without_job"] == 0
    RawFile.objects.update(received_at=timezone.now() - LONG_AGO)
    assert reconcile()["files_without_job"] == 1
    assert Job.objects.get().status == Job.Status.QUEUED
    assert reconcile()["files_without_job"] == 0


class TestLeftovers:
    def test_done_job_keeps_its_last_attempt_only(self, job, reconcile):
        lost = stored(f"work/{job.id}/1/reconstructed.npz.part", b"half")
        started(job)
        silent(job)
        reconcile()
        job.refresh_from_db()
        done = acquisition_done(job)
        services.record(job_id=job.id, attempt=2, event="done", payload=done)
        assert services.remove_leftovers() == 0, "the first worker may still be writing"
        Job.objects.update(finished_at=timezone.now() - LONG_AGO)
        assert services.remove_leftovers() == 1
        assert not is_stored(lost["path"])
        assert is_stored(done["volumes"][0]["path"])
        assert services.remove_leftovers() == 0

    def test_cancelled_job_keeps_nothing_and_its_late_worker_is_cleaned_up_after(self, job, small):
        started(job)
        services.cancel(job_id=job.id, actor=small.coordinator)
        Job.objects.update(finished_at=timezone.now() - LONG_AGO)
        early = stored(f"work/{job.id}/1/a", b"early")
        services.remove_leftovers()
        assert not is_stored(early["path"])
        late = acquisition_done(job)
        services.record(job_id=job.id, attempt=1, event="done", payload=late)
        services.remove_leftovers()
        assert not is_stored(late["volumes"][0]["path"])

    def test_running_job_is_left_alone(self, job):
        held = stored(f"work/{job.id}/1/a", b"being written")
        started(job)
        assert services.remove_leftovers() == 0
        assert is_stored(held["path"])
