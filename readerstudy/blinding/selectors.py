"""What the key says, for those who may know; and how far a release is."""

from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone

from readerstudy.blinding.models import Release, ReleasePreparation, Seal, Unblinding
from readerstudy.faults import Refusal
from readerstudy.studies.models import Arm, Sequence, Study, Subject

STANDS_STILL_AFTER = timedelta(minutes=10)
"""A release that has not moved for so long was interrupted (its worker was stopped)."""


@dataclass(frozen=True)
class KeyLine:
    """What a token stands for."""

    token: str
    subject: Subject
    sequence: Sequence
    arm: Arm


def require_unblinded(study: Study) -> None:
    """Refuse while the key is sealed."""
    if study.state != Study.State.UNBLINDED or not Unblinding.objects.filter(study=study).exists():
        raise Refusal("The key is sealed until the study is unblinded.", "Lock and unblind the study first.")


def key_of_study(study: Study) -> list[KeyLine]:
    """Every series token with its subject, sequence and arm, in the study's order. Raises Refusal until unblinded."""
    require_unblinded(study)
    seals = Seal.objects.filter(study=study).select_related("series__subject", "series__sequence", "series__arm")
    return [
        KeyLine(seal.readable_id, seal.series.subject, seal.series.sequence, seal.series.arm)
        for seal in seals.order_by("series__sequence__order", "series__subject__code", "series__arm__order")
    ]


def arm_of_series(study: Study) -> dict[str, Arm]:
    """The arm of every series token. Raises Refusal until unblinded."""
    return {line.token: line.arm for line in key_of_study(study)}


def release_of(study: Study) -> Release | None:
    """The release, if there was one."""
    return Release.objects.filter(study=study).select_related("by").first()


def preparation_of(study: Study) -> ReleasePreparation | None:
    """The release under way or refused, if there is one."""
    return ReleasePreparation.objects.filter(study=study).first()


def is_under_way(preparation: ReleasePreparation) -> bool:
    """Whether a release is at work: not refused, and it moved lately. One that stands still may be begun again."""
    return not preparation.problems and timezone.now() - preparation.moved_at < STANDS_STILL_AFTER


def unblinding_of(study: Study) -> Unblinding | None:
    """The unblinding, if there was one."""
    return Unblinding.objects.filter(study=study).select_related("by").first()
