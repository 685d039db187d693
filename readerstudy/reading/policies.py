"""What a reader may see and do: the own presentations only, in their order."""

from uuid import UUID

from django.http import Http404

from readerstudy.accounts.models import User
from readerstudy.faults import Refusal
from readerstudy.reading.models import Presentation
from readerstudy.studies.models import Membership, Study
from readerstudy.studies.policies import study_for

LOADED_AHEAD = 3
"""Series after the current one that the page may load before they are shown: two, and one more because the sign-off of
the series before may still be on its way."""


def may_go_back(study: Study) -> bool:
    """Whether readers may look at and correct series they have signed off (a rule of the study; the default is yes)."""
    return bool(study.reader_rules.get("allow_back", True))


def reader_study_for(user: User, study_id: UUID) -> Study:
    """The study in which `user` is a reader. Raises Http404 for any other."""
    study, _ = study_for(user, study_id, Membership.Role.READER)
    return study


def presentation_for(user: User, study_id: UUID, token: str) -> Presentation:
    """The reader's own presentation. Raises Http404 for anything else, whether it exists or not."""
    study = reader_study_for(user, study_id)
    try:
        presentation = Presentation.objects.select_related("series__sequence").get(
            token=token, study=study, reader=user
        )
    except Presentation.DoesNotExist as error:
        raise Http404 from error
    presentation.study = study
    return presentation


def require_reading(study: Study) -> None:
    """Refuse unless the study is being read."""
    if study.state != Study.State.READING:
        raise Refusal("This study is not open for reading.", "Nothing more can be graded in it.")


def series_before(presentation: Presentation) -> int:
    """How many series before this one the reader has not signed off."""
    return Presentation.objects.filter(
        study=presentation.study_id,
        reader=presentation.reader_id,
        position__lt=presentation.position,
        signed_off_at=None,
    ).count()


def is_current(presentation: Presentation) -> bool:
    """Whether this is the first series of the reader's list that is not signed off."""
    return presentation.signed_off_at is None and series_before(presentation) == 0


def require_may_load(presentation: Presentation) -> None:
    """Refuse what the reader may not see yet, or no more."""
    require_reading(presentation.study)
    if presentation.signed_off_at is not None:
        if not may_go_back(presentation.study):
            raise Refusal("This series is signed off.", "In this study, signed-off series are not opened again.")
    elif series_before(presentation) > LOADED_AHEAD:
        raise Refusal("This series comes later.", "The series are read in their order.")


def require_may_grade(presentation: Presentation) -> None:
    """Refuse unless this is the current series, or a signed-off one that may be corrected."""
    require_may_load(presentation)
    if presentation.signed_off_at is None and series_before(presentation):
        raise Refusal("A series before this one is not signed off.", "The series are read in their order.")


def require_principal_investigator(user: User, study: Study, act: str) -> None:
    """Refuse unless `user` is the study's principal investigator; `act` says what only that person may do."""
    if not Membership.objects.filter(
        study=study, user=user, role=Membership.Role.PRINCIPAL_INVESTIGATOR, user__is_active=True
    ).exists():
        raise Refusal(f"Only the principal investigator may {act}.", "Ask the principal investigator.")
