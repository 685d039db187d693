"""Who may see and steer processing, and when."""

from uuid import UUID

from django.http import Http404

from readerstudy.accounts.models import User
from readerstudy.intake.models import RawFile
from readerstudy.intake.policies import RECEIVING_STATES
from readerstudy.processing.models import Job, MeasuredSeries, Series, Structure
from readerstudy.studies.models import Membership, Sequence, Study, Subject
from readerstudy.studies.policies import study_for

OBJECTS = {"segmentation.dcm": "SEG", "report.dcm": "SR"}
"""DICOM objects of a measured series, and how they are called."""


def is_open(study: Study) -> bool:
    """Whether jobs may still begin or change: until the release to the readers."""
    return study.state in RECEIVING_STATES


def coordinated(user: User, study_id: UUID) -> tuple[Study, Membership]:
    """A study that `user` coordinates, in any state. Raises Http404."""
    return study_for(user, study_id, Membership.Role.COORDINATOR)


def may_correct_measurements(study: Study) -> bool:
    """Whether levels may be corrected and structures excluded: until the lock."""
    return study.state not in (Study.State.LOCKED, Study.State.UNBLINDED)


def measured_study(user: User, study_id: UUID) -> tuple[Study, Membership]:
    """A study whose measurements `user` may see: its coordinator always, its principal investigator once it is
    unblinded (they stand beside the arms). Raises Http404."""
    study, membership = study_for(
        user, study_id, Membership.Role.COORDINATOR, Membership.Role.PRINCIPAL_INVESTIGATOR
    )
    if membership.role != Membership.Role.COORDINATOR and study.state != Study.State.UNBLINDED:
        raise Http404
    return study, membership


def overlay_of(user: User, study_id: UUID, series_id: UUID) -> str:
    """Path of the contact sheet of a measured series of a study whose measurements `user` may see. Raises Http404."""
    study, _ = measured_study(user, study_id)
    measured = MeasuredSeries.objects.filter(series_id=series_id, series__study=study).exclude(overlay="").first()
    if measured is None:
        raise Http404
    return measured.overlay


def measurement_object_of(user: User, study_id: UUID, series_id: UUID, name: str) -> tuple[Series, str]:
    """A measured series of a study that `user` coordinates, and the path of its SEG or SR (one of OBJECTS). Raises
    Http404."""
    series = series_of(user, study_id, series_id)
    measured = MeasuredSeries.objects.filter(series=series).first()
    paths = [file["path"] for file in measured.files] if measured and name in OBJECTS else []
    found = next((path for path in paths if path.rsplit("/", 1)[-1] == name), None)
    if found is None:
        raise Http404
    return series, found


def subject_and_sequence_of(
    user: User, study_id: UUID, subject_id: UUID, sequence_id: UUID
) -> tuple[Subject, Sequence]:
    """A subject and a sequence of a study that `user` coordinates. Raises Http404."""
    study, _ = coordinated(user, study_id)
    subject, sequence = study.subjects.filter(pk=subject_id).first(), study.sequences.filter(pk=sequence_id).first()
    if subject is None or sequence is None:
        raise Http404
    return subject, sequence


def structure_of(user: User, study_id: UUID, structure_id: int) -> Structure:
    """A measured structure of a study that `user` coordinates. Raises Http404."""
    study, _ = coordinated(user, study_id)
    structure = Structure.objects.filter(pk=structure_id, measured__series__study=study).first()
    if structure is None:
        raise Http404
    return structure


def steerable_job(user: User, study_id: UUID, job_id: UUID) -> Job:
    """A job of a study that `user` coordinates and that is not released yet. Raises Http404."""
    study, _ = coordinated(user, study_id)
    job = Job.objects.filter(id=job_id, study=study).first()
    if job is None or not is_open(study):
        raise Http404
    return job


def removable_file(user: User, study_id: UUID, raw_file_id: UUID) -> RawFile:
    """A file of a study that `user` coordinates and that is not released yet. Raises Http404."""
    study, _ = coordinated(user, study_id)
    raw_file = RawFile.objects.filter(id=raw_file_id, study=study).first()
    if raw_file is None or not is_open(study):
        raise Http404
    return raw_file


def series_of(user: User, study_id: UUID, series_id: UUID) -> Series:
    """A series of a study that `user` coordinates. Raises Http404."""
    study, _ = coordinated(user, study_id)
    series = Series.objects.select_related("job", "subject", "sequence", "arm").filter(id=series_id, study=study)
    if (found := series.first()) is None:
        raise Http404
    return found
