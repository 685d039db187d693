"""What the coordinator's Processing page shows, and what release must know."""

from typing import Any
from uuid import UUID

from django.utils import timezone

from readerstudy import storage
from readerstudy.intake.models import RawFile
from readerstudy.intake.selectors import current_files
from readerstudy.intake.sizes import in_words
from readerstudy.processing.models import Job, Series
from readerstudy.processing.page import Page
from readerstudy.studies.models import Study


def page(study: Study) -> dict[str, Any]:
    """Everything on the Processing page as plain JSON: `summary`, `open`, `acquisitions` (a row each), `sequences`."""
    return Page(study, timezone.now()).content()


def problems(study: Study) -> list[str]:
    """What is missing before every arm of every subject and sequence can be read, a sentence each; empty when ready."""
    needed = {arm.acquisition_id for arm in study.arms.all()}
    files = {(f.subject_id, f.sequence_id, f.acquisition_id): f.id for f in current_files(study)}
    made: dict[tuple[UUID, UUID], set[UUID]] = {}
    for series in Series.objects.filter(study=study, is_current=True, job__status=Job.Status.DONE):
        made.setdefault((series.subject_id, series.sequence_id), set()).add(series.arm_id)
    inputs: dict[tuple[UUID, UUID], set[UUID | None]] = {}
    for job in Job.objects.filter(study=study, kind=Job.Kind.FINISHING, status=Job.Status.DONE):
        inputs[job.subject_id, job.sequence_id] = set(job.inputs.values_list("raw_file_id", flat=True))
    arms = {arm.id for arm in study.arms.all()}
    found: list[str] = []
    for subject in study.subjects.all():
        for sequence in study.sequences.all():
            there = {files.get((subject.id, sequence.id, acquisition)) for acquisition in needed}
            if None in there:
                found.append(f"{subject} · {sequence}: a raw file is missing.")
            elif made.get((subject.id, sequence.id)) != arms or inputs.get((subject.id, sequence.id)) != there:
                found.append(f"{subject} · {sequence}: its series are not finished.")
    return found


def lineage(series: Series) -> dict[str, Any]:
    """Where a series came from, as plain JSON: its files, the finishing job, each acquisition's job and raw file."""
    return {
        "series": {
            "id": str(series.id),
            "subject": series.subject.code,
            "sequence": series.sequence.name,
            "arm": series.arm.name,
            "chain": series.arm.full_chain,
            "noise_reduction": float(series.arm.noise_reduction),
            "noise_reduction_reached": series.noise_reduction_reached,
            "stored_matrix": series.job.work_order.get("stored_matrix"),
            "rows": series.rows,
            "columns": series.columns,
            "slices": series.slices,
            "spacing_mm": series.spacing_mm,
            "window": series.window,
            "files": series.files,
        },
        "finishing": _job_lineage(series.job),
        "acquisitions": [
            {
                "acquisition": job.acquisition.name if job.acquisition else None,
                "raw_file": _raw_lineage(job.raw_file) if job.raw_file else None,
                "summary": job.summary,
                **_job_lineage(job),
            }
            for job in series.job.inputs.select_related("acquisition", "raw_file").order_by("acquisition__order")
        ],
    }


def preview(series: Series) -> bytes:
    """The PNG of a series' middle slice. Raises FileNotFoundError."""
    if not series.preview:
        raise FileNotFoundError("no preview")
    with storage.open_file(series.preview) as file:
        return file.read()


def _job_lineage(job: Job) -> dict[str, Any]:
    return {
        "job": str(job.id),
        "attempt": job.attempt,
        "queued_at": job.queued_at.isoformat(),
        "finished_at": job.finished_at.isoformat() if job.finished_at else None,
        "lineage": job.lineage,
    }


def _raw_lineage(raw_file: RawFile) -> dict[str, Any]:
    return {
        "file_name": raw_file.file_name,
        "sha256": raw_file.sha256,
        "bytes": raw_file.bytes,
        "size": in_words(raw_file.bytes),
        "received_at": raw_file.received_at.isoformat(),
    }
