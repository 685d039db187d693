"""Who may see which study, and in what role. What is not a person's does not exist for that person (404)."""

from typing import Any
from uuid import UUID

from django.http import Http404

from readerstudy.accounts.models import User
from readerstudy.faults import Refusal
from readerstudy.studies.models import Membership, Study

EDITABLE_STATES = (Study.State.DRAFT, Study.State.PREPARING)
"""A study's design, subjects and readers may change until it is released to its readers."""

STAFF_ROLES = (Membership.Role.COORDINATOR, Membership.Role.PRINCIPAL_INVESTIGATOR)


def study_for(user: Any, study_id: UUID | str, *roles: str) -> tuple[Study, Membership]:
    """The study and the person's membership in it, if the membership is in one of `roles` (no roles: any).

    Raises Http404 for everything else, whether the study exists or not: a superuser has no right here either.
    """
    if not getattr(user, "is_authenticated", False) or not user.is_active:
        raise Http404
    try:
        identifier = study_id if isinstance(study_id, UUID) else UUID(study_id)
    except ValueError as error:
        raise Http404 from error
    membership = Membership.objects.select_related("study").filter(study=identifier, user=user).first()
    if membership is None or (roles and membership.role not in roles):
        raise Http404
    membership.user = user
    return membership.study, membership


def may_create_studies(user: Any) -> bool:
    """Whether a person may begin a study; superusers too only if it was granted."""
    return bool(getattr(user, "is_authenticated", False) and user.is_active and user.may_create_studies)


def require_coordinator(user: User, study: Study) -> None:
    """Refuse unless `user` coordinates the study."""
    if not Membership.objects.filter(
        study=study, user=user, role=Membership.Role.COORDINATOR, user__is_active=True
    ).exists():
        raise Refusal("Only a coordinator of the study may do this.", "Ask the coordinator.")


def is_editable(study: Study) -> bool:
    """Whether design, subjects and readers may still change."""
    return study.state in EDITABLE_STATES


def require_editable(study: Study) -> None:
    """Refuse once the study is released to its readers."""
    if not is_editable(study):
        raise Refusal(
            f"The study is {'being read' if study.state == Study.State.READING else study.state}.",
            "Design, subjects and readers are fixed since it was released.",
        )
