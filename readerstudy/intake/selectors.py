"""Reads of uploads and raw files."""

from dataclasses import dataclass
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import Http404

from readerstudy.intake.models import RawFile, Upload
from readerstudy.studies.models import Acquisition, Sequence, Study, Subject


@dataclass(frozen=True)
class Place:
    """Where a raw file belongs."""

    subject: Subject
    sequence: Sequence
    acquisition: Acquisition


def place(study: Study, *, subject: str, sequence: str, acquisition: str) -> Place:
    """The place of a study that three ids name. Raises Http404 if one of them is not this study's."""
    try:
        return Place(
            subject=study.subjects.get(id=subject),
            sequence=study.sequences.get(id=sequence),
            acquisition=study.acquisitions.get(id=acquisition),
        )
    except (Subject.DoesNotExist, Sequence.DoesNotExist, Acquisition.DoesNotExist, ValidationError) as error:
        raise Http404 from error


def current_files(study: Study) -> QuerySet[RawFile]:
    """The files that are processed."""
    return RawFile.objects.filter(study=study, is_current=True)


def latest_uploads(study: Study) -> dict[tuple[UUID, UUID, UUID], Upload]:
    """The newest upload of every place (subject, sequence, acquisition) that has had one."""
    uploads = Upload.objects.filter(study=study).order_by("created_at")
    return {(each.subject_id, each.sequence_id, each.acquisition_id): each for each in uploads}
