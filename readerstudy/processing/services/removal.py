"""Taking a file out of its place: one that was put in the wrong row, or one of a person who leaves the study."""

from functools import partial
from uuid import UUID

from django.db import transaction

from readerstudy import storage
from readerstudy.accounts.models import User
from readerstudy.audit import services as audit
from readerstudy.faults import Refusal
from readerstudy.intake.models import RawFile, Upload
from readerstudy.processing.models import Job
from readerstudy.processing.policies import is_open
from readerstudy.processing.services.jobs import supersede
from readerstudy.studies.models import Study, Subject


@transaction.atomic
def remove_file(*, raw_file_id: UUID, actor: User) -> None:
    """Remove the file of a place, those it replaced there, their jobs, and every series they went into.

    Rows and stored bytes go; the trail keeps the checksums. A worker that is still at it sends to a job that no longer
    exists. Raises Refusal if the file was replaced or removed meanwhile, or the study is released.
    """
    raw_file = (
        RawFile.objects.select_related("subject", "sequence", "acquisition")
        .filter(id=raw_file_id, is_current=True)
        .first()
    )
    if raw_file is None:
        raise Refusal("This file was replaced or removed meanwhile.", "Reload the page.")
    study = Study.objects.select_for_update(no_key=True).get(id=raw_file.study_id)
    Subject.objects.select_for_update(no_key=True).get(id=raw_file.subject_id)
    if not is_open(study):
        raise Refusal("The study was released to its readers.", "Files are fixed now.")
    RawFile.objects.filter(id=raw_file.id).update(is_current=False)
    supersede(raw_file, itself=True)
    here = {"subject": raw_file.subject, "sequence": raw_file.sequence}
    files = RawFile.objects.filter(**here, acquisition=raw_file.acquisition)
    removed = list(files.values_list("sha256", flat=True))
    jobs = Job.objects.filter(**here, raw_file__in=files) | Job.objects.filter(**here, kind=Job.Kind.FINISHING)
    paths = [f"work/{job}" for job in jobs.values_list("id", flat=True)]
    paths += files.values_list("path", flat=True)
    # Series and volumes go with their jobs.
    Job.objects.filter(id__in=list(jobs.values_list("id", flat=True))).delete()
    files.delete()
    # What was said of earlier uploads to this place ("already here") no longer holds.
    ended = [Upload.State.ACCEPTED, Upload.State.REFUSED, Upload.State.EXPIRED, Upload.State.CANCELLED]
    Upload.objects.filter(**here, acquisition=raw_file.acquisition, state__in=ended).delete()
    details = {
        "subject": raw_file.subject.code,
        "sequence": raw_file.sequence.name,
        "acquisition": raw_file.acquisition.name,
        "sha256": removed,
    }
    audit.record(study=study.pk, actor=actor, action="processing.file_removed", details=details)
    for path in paths:
        transaction.on_commit(partial(storage.remove, path), robust=True)
