"""Who may see and do what in a study. What is not somebody's is not there for them: 404, never 403."""

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404

from readerstudy.studies.models import Membership, Study

COORDINATOR = Membership.Role.COORDINATOR.value
READER = Membership.Role.READER.value
PRINCIPAL_INVESTIGATOR = Membership.Role.PRINCIPAL_INVESTIGATOR.value

EDITABLE_STATES = (Study.State.DRAFT, Study.State.PREPARING)


def memberships_of(user: Any) -> QuerySet[Membership]:
    """The memberships of a user; of all studies there are no others for them, superusers included."""
    if not user.is_authenticated:
        return Membership.objects.none()
    return Membership.objects.filter(user=user).select_related("study")


def study_for(user: Any, study_id: UUID, *roles: str) -> tuple[Study, Membership]:
    """The study and the user's membership, if the user has one of `roles` in it.

    Raises
    ------
    Http404
        For everybody else: a stranger cannot tell a study that exists from one that does not.
    """
    membership = memberships_of(user).filter(study_id=study_id, role__in=roles).first()
    if membership is None:
        raise Http404
    return membership.study, membership


def may_edit_design(study: Study) -> bool:
    """Whether what the study is may still be changed: until it is released to its readers."""
    return study.state in EDITABLE_STATES
