"""Jobs begin, are cancelled, and are tried again."""

from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from readerstudy.accounts.models import User
from readerstudy.audit import services as audit
from readerstudy.faults import Refusal
from readerstudy.intake.models import RawFile
from readerstudy.processing import contracts, orders, queue
from readerstudy.processing.models import Job, Series, VolumeFile
from readerstudy.processing.policies import is_open
from readerstudy.studies.models import Arm, Sequence, Study, Subject

LIVE = (Job.Status.QUEUED, Job.Status.RUNNING)


@transaction.atomic
def start_acquisition_job(*, raw_file_id: UUID) -> Job | None:
    """Queue the job of a raw file that has just come in; what was made of the file before it is no longer current.

    Called again for the same file it returns the job that is there. None if the file was replaced meanwhile or the
    study is released.
    """
    raw_file = RawFile.objects.select_related("study", "subject").filter(id=raw_file_id, is_current=True).first()
    if raw_file is None or not is_open(raw_file.study):
        return None
    Subject.objects.select_for_update(no_key=True).get(id=raw_file.subject_id)
    there = Job.objects.filter(raw_file=raw_file).order_by("-queued_at").first()
    if there is not None:
        return there
    supersede(raw_file)
    job = Job(
        study=raw_file.study,
        kind=Job.Kind.ACQUISITION,
        subject=raw_file.subject,
        sequence_id=raw_file.sequence_id,
        acquisition_id=raw_file.acquisition_id,
        raw_file=raw_file,
        queued_at=timezone.now(),
    )
    job.work_order = orders.acquisition_order(
        output=orders.output_of(job.id, job.attempt), raw_file=raw_file, arms=_arms(raw_file.study)
    )
    _queue(job)
    return job


@transaction.atomic
def start_finishing_job(*, subject: Subject, sequence: Sequence) -> Job | None:
    """Queue the finishing job if every acquisition that the study's arms name is done; None otherwise.

    There is one at a time: called again it returns the job that is there. Where arms came after an acquisition was
    reconstructed, that one is reconstructed again, with what they need.
    """
    Subject.objects.select_for_update(no_key=True).get(id=subject.id)
    there = Job.objects.filter(
        kind=Job.Kind.FINISHING, subject=subject, sequence=sequence, status__in=[*LIVE, Job.Status.DONE]
    ).first()
    if there is not None:
        return there
    arms = _arms(subject.study)
    done = {job.acquisition_id: job for job in done_acquisition_jobs(subject=subject, sequence=sequence)}
    if not arms or not {arm.acquisition_id for arm in arms} <= set(done):
        return None
    inputs = [done[acquisition] for acquisition in {arm.acquisition_id for arm in arms}]
    if lacking := [each for each in inputs if not _has_all(each, arms)]:
        for each in lacking:
            queue_next_attempt(lock(each.id))
        return None
    stored = {
        (volume.job_id, orders.pair_of_volume(volume)): volume for volume in VolumeFile.objects.filter(job__in=inputs)
    }
    volumes = {arm.id: stored[done[arm.acquisition_id].id, orders.pair_of_arm(arm)] for arm in arms}
    job = Job(
        study=subject.study, kind=Job.Kind.FINISHING, subject=subject, sequence=sequence, queued_at=timezone.now()
    )
    if not any(arm.is_reference for arm in arms):
        job.status, job.finished_at = Job.Status.FAILED, timezone.now()
        job.failure_responsibility = Job.Responsibility.OURS
        job.failure_message = "No arm of the study is the reference."
        job.failure_action = "Mark one on the Design page, then try again."
        job.save()
        return job
    job.work_order, job.arms = orders.finishing_order(
        output=orders.output_of(job.id, job.attempt),
        arms=arms,
        volumes=volumes,
        stored_matrix=sequence.stored_matrix,
        measure=sequence.is_measured,
    )
    _queue(job)
    job.inputs.set(inputs)
    return job


@transaction.atomic
def cancel(*, job_id: UUID, actor: User) -> Job:
    """Stop a job that waits or runs: what its worker still sends is ignored. Raises Refusal if it has ended."""
    job = lock(job_id)
    if job.status not in LIVE:
        raise Refusal("This step has already ended.", "Reload the page.")
    end_as_cancelled(job)
    _audit(job, "processing.job_cancelled", actor)
    return job


@transaction.atomic
def retry(*, job_id: UUID, actor: User) -> Job:
    """Queue a failed or cancelled job again as a new attempt.

    Raises
    ------
    Refusal
        It has not failed, its file or its inputs were replaced, or the study is released.
    """
    job = lock(job_id)
    if job.status not in (Job.Status.FAILED, Job.Status.CANCELLED):
        raise Refusal("This step has not failed.", "Reload the page.")
    if not is_open(job.study):
        raise Refusal("The study was released to its readers.", "Nothing can be processed any more.")
    if job.kind == Job.Kind.ACQUISITION and not (job.raw_file and job.raw_file.is_current):
        raise Refusal("Another file took the place of this one.", "Reload the page.")
    if job.kind == Job.Kind.FINISHING and (not job.work_order or not _inputs_hold(job) or not follows_design(job)):
        again = start_finishing_job(subject=job.subject, sequence=job.sequence)
        if again is None or again.status == Job.Status.FAILED:
            raise Refusal("The files behind this step changed.", "Wait until they are reconstructed.")
        return again
    _audit(job, "processing.job_retried", actor)
    job.lost_attempts = 0
    queue_next_attempt(job)
    return job


def lock(job_id: UUID) -> Job:
    """The job, with its subject's row and its own locked in this order, so that two jobs of a subject meet in line.

    The subject is locked without its key: rows that point to it may be inserted meanwhile, or two transactions could
    wait for each other.
    """
    subject_id = Job.objects.values_list("subject_id", flat=True).get(id=job_id)
    Subject.objects.select_for_update(no_key=True).get(id=subject_id)
    return Job.objects.select_for_update().get(id=job_id)


def queue_next_attempt(job: Job) -> None:
    """The locked job as a new attempt; whatever older attempts still send is stale from here on."""
    job.attempt += 1
    job.work_order = {
        **contracts.current(job.kind, job.work_order),
        "output": orders.output_of(job.id, job.attempt),
    }
    if job.kind == Job.Kind.ACQUISITION and job.raw_file:
        job.work_order = orders.acquisition_order(
            output=job.work_order["output"], raw_file=job.raw_file, arms=_arms(job.study)
        )
    job.summary, job.lineage = {}, {}
    job.failure_responsibility = job.failure_message = job.failure_action = job.failure_detail = ""
    job.started_at = job.heartbeat_at = job.finished_at = None
    job.is_swept = False
    job.queued_at = timezone.now()
    _queue(job)


def send_again(job: Job) -> None:
    """The same attempt once more, because its message was lost."""
    job.sent_at = timezone.now()
    job.save(update_fields=["sent_at"])
    queue.send(job)


def end_as_cancelled(job: Job) -> None:
    """The locked job is cancelled; its worker is asked not to begin."""
    if job.status in LIVE:
        queue.call_back(job)
    job.status = Job.Status.CANCELLED
    job.stage = ""
    job.is_swept = False
    job.finished_at = timezone.now()
    job.save()


def done_acquisition_jobs(*, subject: Subject, sequence: Sequence) -> list[Job]:
    """The done jobs of the current files of a subject and sequence."""
    return list(
        Job.objects.filter(
            kind=Job.Kind.ACQUISITION,
            subject=subject,
            sequence=sequence,
            status=Job.Status.DONE,
            raw_file__is_current=True,
        ).select_related("acquisition")
    )


def _queue(job: Job) -> None:
    contracts.check_order(job.kind, job.work_order)
    job.status = Job.Status.QUEUED
    job.stage, job.fraction = "", 0.0
    job.sent_at = timezone.now()
    job.save()
    queue.send(job)


def supersede(raw_file: RawFile, *, itself: bool = False) -> None:
    """End what was made of an older file of the same place (`itself`: of this one too), and the series it went into."""
    here: dict[str, Any] = {"subject_id": raw_file.subject_id, "sequence_id": raw_file.sequence_id}
    jobs = Job.objects.select_for_update().filter(**here)
    of_older_file = jobs.filter(
        kind=Job.Kind.ACQUISITION, acquisition_id=raw_file.acquisition_id, status__in=[*LIVE, Job.Status.DONE]
    )
    if not itself:
        of_older_file = of_older_file.exclude(raw_file=raw_file)
    of_finishing = jobs.filter(kind=Job.Kind.FINISHING, status__in=[*LIVE, Job.Status.DONE, Job.Status.FAILED])
    for job in [*of_finishing, *of_older_file]:
        end_as_cancelled(job)
        _audit(job, "processing.job_superseded", None)
    Series.objects.filter(**here, is_current=True).update(is_current=False)
    # An acquisition that did not fit the older file may fit this one.
    unfitting = jobs.filter(
        kind=Job.Kind.ACQUISITION,
        status=Job.Status.FAILED,
        failure_responsibility=Job.Responsibility.FILE,
        raw_file__is_current=True,
    ).exclude(acquisition_id=raw_file.acquisition_id)
    for job in unfitting:
        if job.summary:
            queue_next_attempt(job)


def _inputs_hold(job: Job) -> bool:
    inputs = list(job.inputs.select_related("raw_file"))
    return bool(inputs) and all(
        each.status == Job.Status.DONE and each.raw_file is not None and each.raw_file.is_current for each in inputs
    )


def _has_all(job: Job, arms: list[Arm]) -> bool:
    """Whether a done acquisition job made everything that the arms need of its acquisition."""
    made = {orders.pair_of_volume(volume) for volume in job.volumes.all()}
    return orders.pairs_of_acquisition(arms, job.acquisition_id) <= made


def follows_design(job: Job) -> bool:
    """Whether a finishing job makes a series for every arm of the study, in the matrix of its sequence, and measures it
    if that is wanted."""
    if "adopted_from" in job.lineage:
        return True  # there is nothing that it could be made from again
    arms = {str(arm) for arm in job.study.arms.values_list("id", flat=True)}
    order, sequence = job.work_order, job.sequence
    return (
        set(job.arms) == arms
        and order.get("stored_matrix") == sequence.stored_matrix
        and bool(order.get("measure")) == sequence.is_measured
    )


@transaction.atomic
def follow_design(*, study: Study) -> int:
    """The arms or a stored matrix changed: what no longer fits is ended, what is missing is queued. Returns of how many
    subjects and sequences. Nothing happens where all fits, or once the study is released."""
    if not is_open(Study.objects.get(pk=study.pk)):
        return 0
    changed = 0
    with_files = Job.objects.filter(
        study=study, kind=Job.Kind.ACQUISITION, raw_file__is_current=True, status__in=[*Job.FINAL, *LIVE]
    ).order_by("subject__code", "sequence__order")
    places = dict.fromkeys(with_files.values_list("subject_id", "sequence_id"))
    arms = _arms(study)
    for subject_id, sequence_id in places:
        subject = Subject.objects.select_for_update(no_key=True).get(id=subject_id)
        sequence = Sequence.objects.get(id=sequence_id)
        here = Job.objects.select_for_update().filter(subject=subject, sequence=sequence)
        old = [
            job
            for job in here.filter(kind=Job.Kind.FINISHING, status__in=[*LIVE, Job.Status.DONE, Job.Status.FAILED])
            if not follows_design(job)
        ]
        for job in old:
            end_as_cancelled(job)
            _audit(job, "processing.job_superseded", None)
            Series.objects.filter(job=job, is_current=True).update(is_current=False)
        unfitting = here.filter(
            kind=Job.Kind.ACQUISITION,
            status=Job.Status.FAILED,
            failure_responsibility=Job.Responsibility.FILE,
            raw_file__is_current=True,
        )
        again = [job for job in unfitting if job.summary]  # it may fit the stored matrix now
        lacking = [job for job in done_acquisition_jobs(subject=subject, sequence=sequence) if not _has_all(job, arms)]
        for job in [*again, *lacking]:
            queue_next_attempt(lock(job.id))
        if old and not again and not lacking:
            start_finishing_job(subject=subject, sequence=sequence)
        changed += bool(old or again or lacking)
    return changed


def _arms(study: Study) -> list[Arm]:
    return list(study.arms.select_related("acquisition"))


def _audit(job: Job, action: str, actor: User | None) -> None:
    audit.record(study=job.study_id, actor=actor, action=action, details=audit_details(job))


def audit_details(job: Job) -> dict[str, Any]:
    """What the trail says of a job."""
    return {
        "job": str(job.id),
        "kind": job.kind,
        "attempt": job.attempt,
        "subject": job.subject.code,
        "sequence": job.sequence.name,
        "acquisition": job.acquisition.name if job.acquisition else None,
    }
