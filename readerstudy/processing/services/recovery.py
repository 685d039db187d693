"""What crashes, lost messages and silent workers leave behind is taken up again. Run every few seconds."""

from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from readerstudy import storage
from readerstudy.audit import services as audit
from readerstudy.intake.models import RawFile
from readerstudy.intake.policies import RECEIVING_STATES
from readerstudy.intake.services import resend_unchecked
from readerstudy.processing import queue
from readerstudy.processing.models import Job
from readerstudy.processing.services.events import fail
from readerstudy.processing.services.jobs import (
    LIVE,
    audit_details,
    follow_design,
    lock,
    queue_next_attempt,
    send_again,
    start_acquisition_job,
)
from readerstudy.studies.models import Arm, Study

MESSAGE_LOST_AFTER = timedelta(minutes=2)
START_LOST_AFTER = timedelta(minutes=1)
SWEEP_AFTER = timedelta(minutes=10)


def reconcile() -> dict[str, int]:
    """Take up what fell down. Returns how much of each, by name."""
    return {
        "unchecked_uploads": resend_unchecked(),
        "files_without_job": _start_forgotten(),
        "designs_not_followed": _follow_forgotten(),
        "silent_workers": _take_from_silent_workers(),
        "lost_messages": _send_lost_messages(),
        "swept": remove_leftovers(),
    }


def remove_leftovers() -> int:
    """Remove files below `work/` of attempts that came to nothing, once nobody writes there any more. Returns how many.

    A done job keeps its last attempt; a failed or cancelled one keeps nothing. A worker that still writes for a job
    that ended reports it with each event, and the job is looked at again.
    """
    limit = timezone.now() - SWEEP_AFTER
    ended = Job.objects.filter(status__in=Job.FINAL, is_swept=False, finished_at__lt=limit)
    swept = 0
    for job in ended.exclude(finishing_jobs__status__in=LIVE):
        # The flag first: a late event after this clears it again and brings us back.
        if not Job.objects.filter(id=job.id, is_swept=False, status=job.status, attempt=job.attempt).update(
            is_swept=True
        ):
            continue
        if job.status == Job.Status.DONE:
            for attempt in range(1, job.attempt):
                storage.remove(f"work/{job.id}/{attempt}")
        else:
            storage.remove(f"work/{job.id}")
        swept += 1
    return swept


def _start_forgotten() -> int:
    limit = timezone.now() - START_LOST_AFTER
    forgotten = RawFile.objects.filter(
        is_current=True, jobs__isnull=True, received_at__lt=limit, study__state__in=RECEIVING_STATES
    )
    return sum(start_acquisition_job(raw_file_id=each) is not None for each in forgotten.values_list("id", flat=True))


def _follow_forgotten() -> int:
    """Studies whose arms or stored matrices changed, and the message of it was lost."""
    done = Job.objects.filter(
        kind=Job.Kind.FINISHING, status=Job.Status.DONE, study__state__in=RECEIVING_STATES
    ).exclude(lineage__has_key="adopted_from")
    rows = done.values_list(
        "study_id",
        "arms",
        "sequence__stored_matrix",
        "work_order__stored_matrix",
        "sequence__is_measured",
        "work_order__measure",
    )
    arms: dict[UUID, set[str]] = {}
    behind: set[UUID] = set()
    for study_id, of_job, wanted, made, is_measured, measured in rows:
        if study_id not in arms:
            arms[study_id] = {str(arm) for arm in Arm.objects.filter(study=study_id).values_list("id", flat=True)}
        if set(of_job) != arms[study_id] or wanted != made or is_measured != bool(measured):
            behind.add(study_id)
    return sum(follow_design(study=study) for study in Study.objects.filter(id__in=behind))


def _take_from_silent_workers() -> int:
    limit = timezone.now() - timedelta(seconds=settings.JOB_HEARTBEAT_TIMEOUT_SECONDS)
    silent = Job.objects.filter(status=Job.Status.RUNNING, heartbeat_at__lt=limit).values_list("id", flat=True)
    return sum(_take_back(job_id, limit) for job_id in list(silent))


@transaction.atomic
def _take_back(job_id: UUID, limit: datetime) -> bool:
    """Queue a job again whose worker fell silent; after the last attempt it has failed, and the fault is ours."""
    job = lock(job_id)
    if job.status != Job.Status.RUNNING or job.heartbeat_at is None or job.heartbeat_at >= limit:
        return False
    job.lost_attempts += 1
    audit.record(study=job.study_id, actor=None, action="processing.job_lost", details=audit_details(job))
    if job.lost_attempts >= settings.JOB_MOST_ATTEMPTS:
        fail(
            job,
            responsibility=Job.Responsibility.OURS,
            message=f"The worker fell silent {job.lost_attempts} times, last at {job.stage or 'the start'}.",
            action="Ask the administrator whether it has enough memory, then try again.",
        )
    else:
        queue_next_attempt(job)
    return True


def _send_lost_messages() -> int:
    limit = timezone.now() - MESSAGE_LOST_AFTER
    lost = Job.objects.filter(status=Job.Status.QUEUED).filter(Q(sent_at__lt=limit) | Q(sent_at__isnull=True))
    if not lost.exists() or queue.waiting() != 0:
        return 0
    return sum(_send_if_still_queued(job_id, limit) for job_id in list(lost.values_list("id", flat=True)))


@transaction.atomic
def _send_if_still_queued(job_id: UUID, limit: datetime) -> bool:
    job = lock(job_id)
    if job.status != Job.Status.QUEUED or (job.sent_at is not None and job.sent_at >= limit):
        return False
    send_again(job)
    return True
