"""What a coordinator says of the count of all levels: that it is right, or one off."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from readerstudy.accounts.models import User
from readerstudy.audit import services as audit
from readerstudy.faults import Refusal
from readerstudy.processing.levels import names
from readerstudy.processing.measurements import as_seen, measured_of
from readerstudy.processing.models import MeasuredSeries, Structure
from readerstudy.processing.services.measurements import EXCLUSION, checked_reason, doubted_again, hold_measurements
from readerstudy.studies.models import Subject

CONFIRMATION = ["count_confirmed_reason", "count_confirmed_by", "count_confirmed_at"]
UP, DOWN = -1, 1
"""Directions of a shift: levels are numbered from the head down."""


@dataclass(frozen=True)
class Shift:
    """What a shift of levels did. `left_out` and `included`: by name of the arm the names that structures had, or have
    again."""

    arms: list[str]
    by: int
    moved: int
    left_out: dict[str, list[str]]
    included: dict[str, list[str]]

    @property
    def sentence(self) -> str:
        """For the one who shifted."""
        told = [f"All levels of {_listed(self.arms)} are one {'up' if self.by == UP else 'down'} now."]
        if self.left_out:
            end = "above T12" if self.by == UP else "below S1"
            told.append(f"Left out, since there is no name {end}: {_by_arm(self.left_out)}.")
        if self.included:
            told.append(f"Included again: {_by_arm(self.included)}.")
        return " ".join(told)


@transaction.atomic
def confirm_count(*, subject_id: UUID, sequence_id: UUID, reason: str, actor: User, seen: str = "") -> list[str]:
    """Say that the levels of a subject and sequence are counted right in all arms, and how one knows: the answer to a
    flag that the count is unsure. Returns the names of the arms.

    Raises Refusal without a reason, where nothing was found, after the lock, where it is confirmed already, and where
    levels changed since they were `seen` (`measurements.as_seen`; empty: not to be compared).
    """
    reason = checked_reason(reason, "A count is confirmed with how you know that it is right.")
    subject, all_arms = _held(subject_id, sequence_id, actor)
    found = [one for one in all_arms if one.structures.all()]
    if not found:
        raise Refusal("There is no level to confirm.", "Look why nothing was found.")
    if all(one.count_confirmed_reason for one in found):
        raise Refusal(f"{found[0].count_confirmed_by} confirmed this count already.", "There is nothing left to do.")
    _require_as_seen(all_arms, seen)
    now = timezone.now()
    for measured in found:
        measured.count_confirmed_reason, measured.count_confirmed_by = reason, actor
        measured.count_confirmed_at = now
    MeasuredSeries.objects.bulk_update(found, CONFIRMATION)
    return _recorded(subject, found, actor, "processing.count_confirmed", reason=reason)


@transaction.atomic
def doubt_count(*, subject_id: UUID, sequence_id: UUID, actor: User) -> list[str]:
    """Take back that the count was confirmed. Returns the names of the arms; none: it was not confirmed. Raises Refusal
    after the lock."""
    subject, found = _held(subject_id, sequence_id, actor)
    found = [one for one in found if one.count_confirmed_reason]
    if not found:
        return []
    reason = found[0].count_confirmed_reason
    doubted_again(subject.pk, sequence_id)
    return _recorded(subject, found, actor, "processing.count_doubted", reason=reason)


@transaction.atomic
def shift_levels(
    *, subject_id: UUID, sequence_id: UUID, arm_id: UUID | None, by: int, reason: str, actor: User, seen: str = ""
) -> Shift:
    """Shift all levels of a subject and sequence by one, for a count that is one off. All or nothing, one audit event.

    What would get no name (above T12, below S1) is left out with the same reason, so that it does not stand in the way;
    the shift back includes it again. Corrections and what is left out by hand move along. That the count was confirmed
    holds no longer, in no arm.

    Parameters
    ----------
    arm_id
        The arm to shift; None: every arm that was measured.
    by
        UP or DOWN.
    seen
        What `measurements.as_seen` gave when the one who shifts looked; empty: not to be compared.

    Raises
    ------
    Refusal
        Without a reason, without a structure to shift, after the lock, and where levels changed since they were seen: a
        form that is sent twice shifts once.
    """
    if by not in (UP, DOWN):
        raise Refusal("Levels are shifted by one, up or down.", "Choose one of the two.")
    reason = checked_reason(reason, "Levels are shifted for a reason.")
    subject, found = _held(subject_id, sequence_id, actor)
    _require_as_seen(found, seen)
    shifted = [one for one in found if arm_id in (None, one.series.arm_id) and one.structures.all()]
    if not shifted:
        raise Refusal("There is no level to shift.", "Choose an arm that was measured.")
    left_out: dict[str, list[str]] = {}
    included: dict[str, list[str]] = {}
    structures = []
    for measured in shifted:
        arm = measured.series.arm.name
        for one in measured.structures.all():
            name, was_out = names(one.kind)[one.effective_level], bool(one.excluded_reason)
            _shift(one, by, reason, actor)
            structures.append(one)
            if bool(one.excluded_reason) != was_out:
                (included if was_out else left_out).setdefault(arm, []).append(name)
    Structure.objects.bulk_update(
        structures, ["corrected_level", "corrected_reason", *EXCLUSION, "beyond", "left_out_by_shift"]
    )
    doubted = doubted_again(subject.pk, sequence_id)
    done = Shift([one.series.arm.name for one in shifted], by, len(structures), left_out, included)
    audit.record(
        study=subject.study_id,
        actor=actor,
        action="processing.levels_shifted",
        details={
            "subject": subject.code,
            "sequence": shifted[0].series.sequence.name,
            "arms": done.arms,
            "by": by,
            "structures": done.moved,
            "left_out": left_out,
            "included": included,
            "reason": reason,
            **doubted,
        },
    )
    return done


def _held(subject_id: UUID, sequence_id: UUID, actor: User) -> tuple[Subject, list[MeasuredSeries]]:
    """Subject and measured series, held for a change."""
    subject = Subject.objects.filter(pk=subject_id).first()
    if subject is None:
        raise Refusal("This subject left the study meanwhile.", "Reload the page.")
    hold_measurements(subject.study_id, subject.pk, actor)
    return subject, measured_of(subject, sequence_id)


def _require_as_seen(found: list[MeasuredSeries], seen: str) -> None:
    if seen and seen != as_seen(found):
        raise Refusal("Levels of this subject changed since you saw them.", "Look at them as they are now.")


def _recorded(subject: Subject, found: list[MeasuredSeries], actor: User, action: str, *, reason: str) -> list[str]:
    arms = [one.series.arm.name for one in found]
    details = {"subject": subject.code, "sequence": found[0].series.sequence.name, "arms": arms, "reason": reason}
    audit.record(study=subject.study_id, actor=actor, action=action, details=details)
    return arms


def _shift(structure: Structure, by: int, reason: str, actor: User) -> None:
    """One structure among others of its series, unsaved. Beyond the last name it keeps that level and counts on."""
    levels = names(structure.kind)
    whole = structure.effective_level + structure.beyond + by
    level = min(max(whole, min(levels)), max(levels))
    structure.beyond = whole - level
    if level != structure.effective_level:
        found = structure.matched_level or structure.level
        earlier = structure.corrected_reason
        structure.corrected_level = None if level == found else level
        structure.corrected_reason = "" if level == found else f"{earlier}; {reason}" if earlier else reason
    if structure.beyond and not structure.excluded_reason:
        structure.excluded_reason, structure.excluded_by, structure.excluded_at = reason, actor, timezone.now()
        structure.left_out_by_shift = True
    elif structure.left_out_by_shift and not structure.beyond:
        structure.excluded_reason, structure.excluded_by, structure.excluded_at = "", None, None
        structure.left_out_by_shift = False


def _by_arm(held: dict[str, list[str]]) -> str:
    """As "S1 of Standard and Fast; L5-S1 and S1 of Fast DL50": arms that share their names stand together."""
    arms: dict[str, list[str]] = {}
    for arm, found in held.items():
        arms.setdefault(_listed(found), []).append(arm)
    return "; ".join(f"{found} of {_listed(mine)}" for found, mine in arms.items())


def _listed(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
