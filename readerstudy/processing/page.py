"""The content of the coordinator's Processing page, as plain JSON."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.conf import settings
from django.urls import reverse

from readerstudy.intake import folder
from readerstudy.intake.models import RawFile, Upload
from readerstudy.intake.selectors import current_files, latest_uploads
from readerstudy.intake.sizes import in_words
from readerstudy.processing import protocol, wording
from readerstudy.processing.models import Job, Series
from readerstudy.processing.policies import is_open
from readerstudy.studies.models import Acquisition, ProtocolLine, Sequence, Study, Subject

Key = tuple[UUID, UUID, UUID]
"""Subject, sequence, acquisition."""

UPLOAD_IS_MOVING = timedelta(seconds=90)
"""An upload whose last part came within this time is going on, in this browser or another."""


class Page:
    """One reading of the page; every table is fetched once."""

    def __init__(self, study: Study, now: datetime) -> None:
        self.study = study
        self.now = now
        self.is_open = is_open(study)
        used = {arm.acquisition_id for arm in study.arms.all()}
        self.acquisitions = [each for each in study.acquisitions.all() if each.id in used]
        self.files: dict[Key, RawFile] = {
            (each.subject_id, each.sequence_id, each.acquisition_id): each for each in current_files(study)
        }
        self.uploads: dict[Key, Upload] = latest_uploads(study)
        jobs = list(Job.objects.filter(study=study).defer("work_order", "lineage").order_by("queued_at"))
        self.jobs = {job.raw_file_id: job for job in jobs if job.raw_file_id}
        self.finishing = {(job.subject_id, job.sequence_id): job for job in jobs if job.kind == Job.Kind.FINISHING}
        adopted = Job.objects.filter(study=study, kind=Job.Kind.FINISHING, lineage__has_key="adopted_from")
        self.adopted = set(adopted.values_list("subject_id", "sequence_id"))
        taken = {
            kind: [
                s
                for job in jobs
                if job.kind == kind and job.status == Job.Status.DONE and (s := wording.seconds_taken(job))
            ]
            for kind in Job.Kind.values
        }
        self.usual = {kind: sum(values) / len(values) for kind, values in taken.items() if values}
        self.nex = {
            (line.protocol_id, line.sequence_id, line.acquisition_id): line.nex
            for line in ProtocolLine.objects.filter(protocol__study=study)
        }

    def content(self) -> dict[str, Any]:
        """`summary`, `open`, `acquisitions` (a row each), `sequences` (finished or being finished)."""
        subjects, sequences = list(self.study.subjects.all()), list(self.study.sequences.all())
        rows = [self._row(p, s, a) for p in subjects for s in sequences for a in self.acquisitions]
        shown = self._series()
        groups = [self._group(p, s, shown.get((p.id, s.id), [])) for p in subjects for s in sequences]
        return {
            "summary": self._summary(rows, groups),
            "state": self.study.state,
            "open": self.is_open,
            "acquisitions": rows,
            "sequences": [group for group in groups if group["kind"] != "wait" or group["series"] or group["job"]],
        }

    def _row(self, subject: Subject, sequence: Sequence, acquisition: Acquisition) -> dict[str, Any]:
        key = (subject.id, sequence.id, acquisition.id)
        raw_file, upload = self.files.get(key), self.uploads.get(key)
        nex = self.nex.get((subject.protocol_id, sequence.id, acquisition.id)) if subject.protocol_id else None
        row: dict[str, Any] = {
            "id": ".".join(each.hex for each in key),
            "subject": {"id": str(subject.id), "name": subject.code},
            "sequence": {"id": str(sequence.id), "name": sequence.name},
            "acquisition": {"id": str(acquisition.id), "name": acquisition.name},
            "nex": "" if nex is None else f"NEX {wording.number(nex)}",
            "file": f"{raw_file.file_name} · {in_words(raw_file.bytes)}" if raw_file else "",
            "has_file": raw_file is not None,
            "raw_file": str(raw_file.id) if raw_file and self.is_open else None,
            "upload": None,
            "note": "",
            **_state("wait", "no file yet"),
        }
        if raw_file is None and (subject.id, sequence.id) in self.adopted:
            row.update(_state("done", "taken over from another study", fraction=1.0))
        if raw_file is not None:
            job = self.jobs.get(raw_file.id)
            row.update(self._job_state(job, done="reconstructed"))
            if nex is not None and job is not None and job.status == Job.Status.DONE:
                row["note"] = protocol.remark(job.summary, nex=nex, others=self._other_nex(key, subject))
        if upload is not None:
            row.update(self._upload_state(upload, has_file=raw_file is not None))
        return row

    def _other_nex(self, key: Key, subject: Subject) -> dict[str, Decimal]:
        """What the protocol says for the other acquisitions of this place's sequence, by name."""
        others = [each for each in self.acquisitions if each.id != key[2]]
        if subject.protocol_id is None:
            return {}
        found = {each.name: self.nex.get((subject.protocol_id, key[1], each.id)) for each in others}
        return {name: nex for name, nex in found.items() if nex is not None}

    def _upload_state(self, upload: Upload, *, has_file: bool) -> dict[str, Any]:
        if upload.state == Upload.State.RECEIVING:
            return self._receiving(upload)
        if upload.state == Upload.State.CHECKING:
            return {**_state("run", "checking the file", fraction=1.0), "file": _named(upload), "has_file": has_file}
        if upload.state == Upload.State.REFUSED:
            if has_file:
                return {"note": f"Not taken: {upload.refusal} The file before it stays."}
            return {**_state("bad", upload.refusal), "action": upload.refusal_action, "file": _named(upload)}
        if upload.state == Upload.State.EXPIRED and not has_file:
            return {
                **_state("bad", f"The upload of {upload.file_name} was cut off and not gone on with in time."),
                "action": "Choose the file again.",
            }
        return {}

    def _receiving(self, upload: Upload) -> dict[str, Any]:
        try:
            arrived = folder.size(upload.id)
        except folder.Gone:
            arrived = upload.offset
        touched = upload.expires_at - timedelta(hours=settings.UPLOAD_EXPIRY_HOURS)
        moving = self.now - touched < UPLOAD_IS_MOVING
        return {
            **_state("run" if moving else "wait", "upload" if moving else "upload stopped"),
            "fraction": arrived / upload.length,
            "time": "" if moving else "Choose the file again to go on",
            "file": f"{upload.file_name} · {_part(arrived, upload.length)}",
            "upload": {
                "address": reverse("intake:upload", args=[upload.id]),
                "file_name": upload.file_name,
                "fingerprint": upload.fingerprint,
                "length": upload.length,
                "offset": arrived,
            },
        }

    def _job_state(self, job: Job | None, *, done: str) -> dict[str, Any]:
        if job is None:
            return _state("run", "received")
        state: dict[str, Any]
        if job.status == Job.Status.QUEUED:
            state = _state("wait", "waiting for the worker")
        elif job.status == Job.Status.RUNNING:
            left = wording.seconds_left(job, self.now)
            state = _state("run", job.stage or "starting", fraction=job.fraction)
            state["time"] = "" if left is None else wording.about_left(left)
        elif job.status == Job.Status.DONE:
            taken = wording.seconds_taken(job)
            state = _state("done", done, fraction=1.0)
            state["time"] = "" if taken is None else wording.duration(taken)
        elif job.status == Job.Status.FAILED:
            state = _state("bad", job.failure_message)
            state["action"] = job.failure_action
        else:
            state = _state("wait", "cancelled")
        if job.attempt > 1 and job.status in (Job.Status.QUEUED, Job.Status.RUNNING):
            state["time"] = f"{state['time']} (attempt {job.attempt})".strip()
        state["job"] = str(job.id)
        state["can_cancel"] = self.is_open and job.status in (Job.Status.QUEUED, Job.Status.RUNNING)
        state["can_retry"] = self.is_open and job.status in (Job.Status.FAILED, Job.Status.CANCELLED)
        return state

    def _series(self) -> dict[tuple[UUID, UUID], list[dict[str, Any]]]:
        shown: dict[tuple[UUID, UUID], list[dict[str, Any]]] = {}
        series = Series.objects.filter(study=self.study, is_current=True).select_related("arm")
        for each in series.order_by("arm__order"):
            address = [self.study.id, each.id]
            shown.setdefault((each.subject_id, each.sequence_id), []).append(
                {
                    "id": str(each.id),
                    "arm": each.arm.name,
                    "colour": each.arm.colour,
                    "made": wording.made(each),
                    "is_clamped": wording.is_clamped(each),
                    "remarks": each.remarks,
                    "size": f"{each.columns} × {each.rows}, {each.slices} slice{'' if each.slices == 1 else 's'}",
                    "preview": reverse("processing:preview", args=address) if each.preview else "",
                    "lineage": reverse("processing:lineage", args=address),
                }
            )
        return shown

    def _group(self, subject: Subject, sequence: Sequence, series: list[dict[str, Any]]) -> dict[str, Any]:
        job = self.finishing.get((subject.id, sequence.id))
        state = _state("wait", "waiting for its acquisitions")
        if job is not None and (job.status != Job.Status.CANCELLED or self._can_finish(subject, sequence)):
            state = self._job_state(job, done="finished")
        return {
            "id": f"{subject.id.hex}.{sequence.id.hex}",
            "subject": subject.code,
            "sequence": sequence.name,
            "series": series,
            **state,
        }

    def _can_finish(self, subject: Subject, sequence: Sequence) -> bool:
        """Whether a cancelled finishing job could go on: its acquisitions are done (else a newer one will come)."""
        files = [f for key, f in self.files.items() if key[:2] == (subject.id, sequence.id)]
        jobs = [self.jobs.get(f.id) for f in files]
        return bool(jobs) and all(job is not None and job.status == Job.Status.DONE for job in jobs)

    def _summary(self, rows: list[dict[str, Any]], groups: list[dict[str, Any]]) -> str:
        done = sum(row["kind"] == "done" for row in rows)
        running = sum(each["kind"] == "run" for each in [*rows, *groups])
        needs_you = sum(each["kind"] == "bad" for each in [*rows, *groups])
        parts = [f"{done} of {len(rows)} done"]
        if running:
            parts.append(f"{running} running")
        if needs_you:
            parts.append(f"{needs_you} {'needs' if needs_you == 1 else 'need'} you")
        left = self._seconds_left([*self.jobs.values(), *self.finishing.values()])
        if left:
            parts.append(wording.about_left(left))
        return " · ".join(parts)

    def _seconds_left(self, jobs: Iterable[Job]) -> float:
        """What the queue still needs, one job after the other; 0 if nothing is known or nothing waits."""
        total = 0.0
        for job in jobs:
            if job.status == Job.Status.RUNNING:
                total += wording.seconds_left(job, self.now) or self.usual.get(job.kind, 0.0)
            elif job.status == Job.Status.QUEUED:
                total += self.usual.get(job.kind, 0.0)
        return total


def _state(kind: str, stage: str, *, fraction: float = 0.0) -> dict[str, Any]:
    return {
        "kind": kind,
        "stage": stage,
        "fraction": fraction,
        "time": "",
        "action": "",
        "note": "",
        "job": None,
        "can_cancel": False,
        "can_retry": False,
    }


def _named(upload: Upload) -> str:
    return f"{upload.file_name} · {in_words(upload.length)}"


def _part(arrived: int, length: int) -> str:
    """ "1.2 of 1.9 GB", with one unit where both have the same."""
    here, whole = in_words(arrived), in_words(length)
    number, _, unit = here.partition(" ")
    return f"{number} of {whole}" if whole.endswith(f" {unit}") else f"{here} of {whole}"
