"""Taking over finished series from another study, so that a demonstration needs no second reconstruction."""

from typing import Any

from django.db import transaction
from django.utils import timezone

from readerstudy import storage
from readerstudy.accounts.models import User
from readerstudy.audit import services as audit
from readerstudy.processing.models import Job, MeasuredSeries, Series, Structure
from readerstudy.processing.services.jobs import audit_details
from readerstudy.studies.models import Sequence, Subject


def adopt_series(*, subject: Subject, sequence: Sequence, sources: list[Series], actor: User) -> Job:
    """Copy finished series of another study to this subject and sequence; the lineage says where they came from.

    `sources` are series of one subject and sequence there; arms are matched by name, and every file is copied, so that
    neither study depends on the other afterwards.
    """
    arms = {arm.name: arm for arm in subject.study.arms.all()}
    origin = {"study": str(sources[0].study_id), "job": str(sources[0].job_id)}
    job = Job(
        study=subject.study,
        kind=Job.Kind.FINISHING,
        subject=subject,
        sequence=sequence,
        status=Job.Status.DONE,
        fraction=1.0,
        queued_at=timezone.now(),
        finished_at=timezone.now(),
        arms=[str(arms[source.arm.name].pk) for source in sources],
        lineage={"adopted_from": origin, **_told_of_measurements(sources)},
    )
    copies: list[tuple[Series, str, list[dict[str, Any]], str]] = []
    for index, source in enumerate(sources):
        folder = f"work/{job.pk}/{job.attempt}/series/{index}"
        files = [{**file, "path": file["path"].replace(source.path, folder, 1)} for file in source.files]
        for old, new in zip(source.files, files, strict=True):
            storage.copy(old["path"], new["path"])
        preview = source.preview.replace(source.path, folder, 1)
        if preview and preview not in {file["path"] for file in files}:
            storage.copy(source.preview, preview)
        copies.append((source, folder, files, preview))
    with transaction.atomic():
        job.save(force_insert=True)
        for source, folder, files, preview in copies:
            series = Series.objects.create(
                job=job,
                study=subject.study,
                subject=subject,
                sequence=sequence,
                arm=arms[source.arm.name],
                path=folder,
                rows=source.rows,
                columns=source.columns,
                slices=source.slices,
                spacing_mm=source.spacing_mm,
                window=source.window,
                edges=source.edges,
                files=files,
                preview=preview,
                noise_reduction_reached=source.noise_reduction_reached,
                remarks=source.remarks,
            )
            _adopt_measurements(source, series)
        audit.record(
            study=subject.study_id,
            actor=actor,
            action="processing.series_adopted",
            details={**audit_details(job), "adopted_from": origin},
        )
    return job


def _told_of_measurements(sources: list[Series]) -> dict[str, Any]:
    """What measured each source and which code, in the form of a finishing job's lineage: results name it."""
    measured = {one.series_id: one for one in MeasuredSeries.objects.filter(series__in=sources)}
    told = [measured[source.pk].lineage if source.pk in measured else None for source in sources]
    code = sources[0].job.lineage.get("code")
    return {"parameters": {"measurements": told}, **({"code": code} if code else {})} if any(told) else {}


def _adopt_measurements(source: Series, series: Series) -> None:
    """What was measured in the source, files copied; corrections are the other study's and stay there."""
    measured = MeasuredSeries.objects.filter(series=source).first()
    if measured is None:
        return
    folder = series.path.replace("/series/", "/measurements/", 1)
    moved = {file["path"]: f"{folder}/{file['path'].rsplit('/', 1)[-1]}" for file in measured.files}
    for old, new in moved.items():
        storage.copy(old, new)
    copy = MeasuredSeries.objects.create(
        series=series,
        remarks=measured.remarks,
        files=[{**file, "path": moved[file["path"]]} for file in measured.files],
        overlay=moved.get(measured.overlay, ""),
        sheet=measured.sheet,
        fault_message=measured.fault_message,
        fault_action=measured.fault_action,
    )
    kept = ("kind", "level", "matched_level", "state", "measures", "centroid_mm", "flags")
    Structure.objects.bulk_create(
        Structure(measured=copy, **{name: getattr(one, name) for name in kept}) for one in measured.structures.all()
    )
