"""Who may send files, and when."""

from uuid import UUID

from django.http import Http404

from readerstudy.accounts.models import User
from readerstudy.intake.models import Upload
from readerstudy.studies.models import Study
from readerstudy.studies.policies import study_for

RECEIVING_STATES = (Study.State.DRAFT, Study.State.PREPARING)
"""A study takes files until it is released to its readers."""


def receiving_study(user: User, study_id: UUID | str) -> Study:
    """The study, if `user` coordinates it and it still takes files. Raises Http404 for everything else."""
    study, _ = study_for(user, _uuid(study_id), "coordinator")
    if study.state not in RECEIVING_STATES:
        raise Http404
    return study


def upload_for(user: User, upload_id: UUID | str) -> Upload:
    """An upload into a study that `user` coordinates and that still takes files. Raises Http404 otherwise."""
    upload = Upload.objects.select_related("study").filter(id=_uuid(upload_id)).first()
    if upload is None:
        raise Http404
    receiving_study(user, upload.study_id)
    return upload


def _uuid(value: UUID | str) -> UUID:
    try:
        return value if isinstance(value, UUID) else UUID(value)
    except ValueError as error:
        raise Http404 from error
