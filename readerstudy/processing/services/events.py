"""What a recon worker says about a job, recorded once."""

import logging
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from readerstudy import storage
from readerstudy.audit import services as audit
from readerstudy.processing import contracts
from readerstudy.processing.comparison import difference, too_large_for
from readerstudy.processing.models import Job, MeasuredSeries, Series, Structure, VolumeFile
from readerstudy.processing.services.jobs import (
    audit_details,
    done_acquisition_jobs,
    end_as_cancelled,
    lock,
    start_finishing_job,
)

logger = logging.getLogger(__name__)

BROKEN_MESSAGE = "The reconstruction sent a result that is not in the agreed form."
BROKEN_ACTION = "Try again; if it stays so, tell the administrator."


@transaction.atomic
def record(*, job_id: UUID, attempt: int, event: str, payload: dict[str, Any]) -> bool:
    """Record one event. Work may be computed twice; it is recorded once.

    Events of another attempt than the current one, and all after a final state, are ignored. An event that breaks the
    contract fails the job (the fault is ours).

    Returns
    -------
    bool
        Whether it was recorded.
    """
    if not Job.objects.filter(id=job_id).exists():
        logger.warning("event %s for an unknown job %s", event, job_id)
        if event in ("done", "failed"):
            # Its file was removed while a worker was at it, and the worker wrote once more.
            storage.remove(f"work/{job_id}")
        return False
    job = lock(job_id)
    if attempt != job.attempt or job.status in Job.FINAL:
        # Its worker still writes, or has just written, what nobody wants: look there once more.
        Job.objects.filter(id=job_id).update(is_swept=False)
        return False
    try:
        contracts.check_payload(job.kind, event, payload)
        if event == "done":
            _check_paths(job, payload)
    except contracts.BrokenContract as error:
        logger.error("job %s sent %s against the contract: %s", job_id, event, error)
        fail(
            job,
            responsibility=Job.Responsibility.OURS,
            message=BROKEN_MESSAGE,
            action=BROKEN_ACTION,
            detail=str(error),
        )
        return True
    job.heartbeat_at = timezone.now()
    if event == "started":
        _run(job)
        job.lineage = {"worker": payload}
        job.save()
    elif event == "progress":
        _run(job)
        job.stage, job.fraction = payload["stage"], payload["fraction"]
        job.save()
    elif event == "failed":
        fail(job, **payload)
    elif job.kind == Job.Kind.ACQUISITION:
        _acquisition_done(job, payload)
    else:
        _finishing_done(job, payload)
    return True


def _run(job: Job) -> None:
    job.status = Job.Status.RUNNING
    job.started_at = job.started_at or timezone.now()


def _acquisition_done(job: Job, payload: dict[str, Any]) -> None:
    job.summary = payload["summary"]
    job.lineage = {**job.lineage, **payload["lineage"], "seconds": payload["seconds"]}
    for other in done_acquisition_jobs(subject=job.subject, sequence=job.sequence):
        name = other.acquisition.name if other.acquisition else ""
        if other.id != job.id and (sentence := difference(job.summary, other.summary, other_name=name)):
            action = f"Choose another file here, or for {name}."
            fail(job, responsibility=Job.Responsibility.FILE, message=sentence, action=action)
            return
    if sentence := too_large_for(job.sequence.stored_matrix, job.summary["image_matrix"]):
        action = "Choose another file, or change the stored matrix on the Design page."
        fail(job, responsibility=Job.Responsibility.FILE, message=sentence, action=action)
        return
    VolumeFile.objects.filter(job=job).delete()  # of an earlier attempt
    chains = contracts.current(job.kind, job.work_order)["chains"]
    for volume in payload["volumes"]:
        index = volume.get("chain", 0)
        VolumeFile.objects.create(
            job=job,
            chain_index=index,
            chain=chains[index]["chain"],
            noise_reduction=Decimal(str(volume["noise_reduction"])),
            noise_reduction_reached=volume.get("noise_reduction_reached"),
            remarks=volume.get("remarks", []),
            path=volume["path"],
            sha256=volume["sha256"],
            bytes=volume["bytes"],
        )
    _done(job)
    start_finishing_job(subject=job.subject, sequence=job.sequence)


def _finishing_done(job: Job, payload: dict[str, Any]) -> None:
    job.lineage = {**job.lineage, **payload["lineage"], "seconds": payload["seconds"]}
    if set(job.arms) != {str(arm) for arm in job.study.arms.values_list("id", flat=True)}:
        end_as_cancelled(job)  # the arms changed while it ran
        start_finishing_job(subject=job.subject, sequence=job.sequence)
        return
    volumes = {volume.path: volume for volume in VolumeFile.objects.filter(job__finishing_jobs=job)}
    Series.objects.filter(subject=job.subject, sequence=job.sequence, is_current=True).update(is_current=False)
    measurements = {one["index"]: one for one in payload.get("measurements") or []}
    for made in payload["series"]:
        volume = volumes.get(job.work_order["series"][made["index"]]["volume"]["path"])
        series = Series.objects.create(
            job=job,
            study_id=job.study_id,
            subject=job.subject,
            sequence=job.sequence,
            arm_id=job.arms[made["index"]],
            path=made["path"],
            rows=made["rows"],
            columns=made["columns"],
            slices=made["slices"],
            spacing_mm=made["spacing_mm"],
            window=made["window"],
            edges=made["edges"],
            files=made["files"],
            preview=made["preview"],
            noise_reduction_reached=volume.noise_reduction_reached if volume else None,
            remarks=volume.remarks if volume else [],
        )
        if made["index"] in measurements:
            _measured(series, measurements[made["index"]])
    _done(job)


def _measured(series: Series, found: dict[str, Any]) -> None:
    fault = found["fault"] or {}
    measured = MeasuredSeries.objects.create(
        series=series,
        remarks=found["remarks"],
        files=found["files"],
        overlay=found["overlay"] or "",
        sheet=found.get("sheet"),
        fault_message=fault.get("message", ""),
        fault_action=fault.get("action", ""),
    )
    Structure.objects.bulk_create(
        Structure(
            measured=measured,
            kind=one["kind"],
            level=one["level"],
            matched_level=one.get("matched_level"),
            state=one["state"],
            measures=one["measures"],
            centroid_mm=one["centroid_mm"],
            flags=one["flags"],
        )
        for one in found["structures"]
    )


def _done(job: Job) -> None:
    job.status, job.stage, job.fraction = Job.Status.DONE, "", 1.0
    job.finished_at = timezone.now()
    job.save()
    audit.record(study=job.study_id, actor=None, action="processing.job_done", details=audit_details(job))


def fail(job: Job, *, responsibility: str, message: str, action: str, detail: str = "") -> None:
    """The locked job has failed: whose fault, what happened, what to do."""
    job.status, job.stage = Job.Status.FAILED, ""
    job.failure_responsibility = responsibility
    job.failure_message, job.failure_action, job.failure_detail = message, action, detail
    job.finished_at = timezone.now()
    job.save()
    details = {**audit_details(job), "responsibility": responsibility, "message": message}
    audit.record(study=job.study_id, actor=None, action="processing.job_failed", details=details)


def _check_paths(job: Job, payload: dict[str, Any]) -> None:
    """A result lies below the attempt's own output, and there is one for everything that was ordered."""
    output = job.work_order["output"] + "/"
    made: list[Any]
    ordered: list[Any]
    if job.kind == Job.Kind.ACQUISITION:
        paths = [volume["path"] for volume in payload["volumes"]]
        made = sorted((volume.get("chain", 0), float(volume["noise_reduction"])) for volume in payload["volumes"])
        chains = contracts.current(job.kind, job.work_order)["chains"]
        ordered = sorted(
            (index, float(factor)) for index, each in enumerate(chains) for factor in each["noise_reduction"]
        )
    else:
        paths = [path for each in payload["series"] for path in (each["path"], each["preview"])]
        paths += [file["path"] for each in payload["series"] for file in each["files"]]
        paths += [file["path"] for each in payload.get("measurements") or [] for file in each["files"]]
        paths += [each["overlay"] for each in payload.get("measurements") or [] if each["overlay"]]
        made = sorted(each["index"] for each in payload["series"])
        ordered = list(range(len(job.work_order["series"])))
    if made != ordered:
        raise contracts.BrokenContract(f"made {made}, ordered {ordered}")
    for path in paths:
        if not path.startswith(output):
            raise contracts.BrokenContract(f"{path} does not lie below {output}")
