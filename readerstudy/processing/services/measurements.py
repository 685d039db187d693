"""What a coordinator says of measured structures: which level one is, and that one does not count."""

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
from readerstudy.processing.models import Series, Structure
from readerstudy.processing.policies import may_correct_measurements
from readerstudy.studies.models import Study, Subject
from readerstudy.studies.policies import require_coordinator

LONGEST_REASON = 500
EXCLUSION = ["excluded_reason", "excluded_by", "excluded_at"]
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
def correct_level(*, structure_id: int, level: int, reason: str, actor: User) -> Structure:
    """Say which level a structure is, and why. Its own level again takes the correction back.

    Raises Refusal without a reason, for a level that there is not or that another structure of the series has, and
    after the lock.
    """
    structure = _open(structure_id, actor)
    if level not in names(structure.kind):
        raise Refusal(f"There is no such level of a {structure.get_kind_display()}.", "Choose one of the list.")
    found = structure.matched_level or structure.level
    others = Structure.objects.filter(measured=structure.measured, kind=structure.kind, excluded_reason="")
    if any(other.effective_level == level for other in others.exclude(pk=structure.pk)):
        raise Refusal(
            f"Another {structure.get_kind_display()} of this series is {names(structure.kind)[level]} already.",
            "Correct or leave out that one first.",
        )
    before = structure.effective_level
    if before == level:
        return structure
    reason = _told(reason, "A level is corrected for a reason.")
    structure.corrected_level = None if level == found else level
    structure.corrected_reason = "" if level == found else reason
    structure.beyond, structure.left_out_by_shift = 0, False
    structure.save(update_fields=["corrected_level", "corrected_reason", "beyond", "left_out_by_shift"])
    _record(structure, actor, "processing.level_corrected", before=before, after=level, reason=reason)
    return structure


@transaction.atomic
def exclude_structure(*, structure_id: int, reason: str, actor: User) -> Structure:
    """Leave a structure out of the results. Raises Refusal without a reason, where it is left out already, and after
    the lock."""
    structure = _open(structure_id, actor)
    if structure.excluded_reason:
        raise Refusal(
            f"{structure.excluded_by} left this {structure.get_kind_display()} out already.",
            "Include it again to give another reason.",
        )
    reason = _told(reason, "A structure is left out for a reason.")
    structure.excluded_reason, structure.excluded_by, structure.excluded_at = reason, actor, timezone.now()
    structure.save(update_fields=EXCLUSION)
    _record(structure, actor, "processing.structure_excluded", reason=reason)
    return structure


@transaction.atomic
def include_structure(*, structure_id: int, actor: User) -> Structure:
    """Let a structure count again. Raises Refusal where another has its level by now, and after the lock."""
    structure = _open(structure_id, actor)
    if structure.excluded_reason:
        others = Structure.objects.filter(measured=structure.measured, kind=structure.kind, excluded_reason="")
        if any(other.effective_level == structure.effective_level for other in others):
            raise Refusal("Another structure of this series has its level by now.", "Correct that one first.")
        reason = structure.excluded_reason
        structure.excluded_reason, structure.excluded_by, structure.excluded_at = "", None, None
        structure.beyond, structure.left_out_by_shift = 0, False
        structure.save(update_fields=[*EXCLUSION, "beyond", "left_out_by_shift"])
        _record(structure, actor, "processing.structure_included", reason=reason)
    return structure


@transaction.atomic
def shift_levels(
    *, subject_id: UUID, sequence_id: UUID, arm_id: UUID | None, by: int, reason: str, actor: User, seen: str = ""
) -> Shift:
    """Shift all levels of a subject and sequence by one, for a count that is one off. All or nothing, one audit event.

    What would get no name (above T12, below S1) is left out with the same reason, so that it does not stand in the way;
    the shift back includes it again. Corrections and what is left out by hand move along.

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
    reason = _told(reason, "Levels are shifted for a reason.")
    subject = Subject.objects.filter(pk=subject_id).first()
    if subject is None:
        raise Refusal("This subject left the study meanwhile.", "Reload the page.")
    _hold(subject.study_id, subject.pk, actor)
    found = measured_of(subject, sequence_id)
    if seen and seen != as_seen(found):
        raise Refusal("Levels of this subject changed since you saw them.", "Look at them as they are now.")
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
        },
    )
    return done


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


def _told(reason: str, rule: str) -> str:
    """The reason as it is kept. Raises Refusal, with the rule, where there is none, and where it is too long."""
    reason = reason.strip()
    if not reason:
        raise Refusal(rule, "Write it down.")
    if len(reason) > LONGEST_REASON:
        raise Refusal(f"The reason has more than {LONGEST_REASON} letters.", "Shorten it.")
    return reason


def _open(structure_id: int, actor: User) -> Structure:
    """The structure as it stands once study and subject are held: the lock of the study, a series made anew and another
    correction wait for this one, and it for them. Raises Refusal where one of them came first."""
    gone = Refusal("This series was made anew meanwhile.", "Reload the page.")
    series = Series.objects.filter(measured__structures=structure_id).first()
    if series is None:
        raise gone
    _hold(series.study_id, series.subject_id, actor)
    structures = Structure.objects.select_related(
        *(f"measured__series__{one}" for one in ("subject", "sequence", "arm"))
    )
    structure = structures.filter(pk=structure_id, measured__series__is_current=True).first()
    if structure is None:
        raise gone
    return structure


def _hold(study_id: UUID, subject_id: UUID, actor: User) -> None:
    """Lock study and subject. Raises Refusal for another than a coordinator, and after the lock of the study."""
    study = Study.objects.select_for_update(no_key=True).get(pk=study_id)
    Subject.objects.select_for_update(no_key=True).get(pk=subject_id)
    require_coordinator(actor, study)
    if not may_correct_measurements(study):
        raise Refusal(f"The study is {study.get_state_display()}.", "Measurements are fixed since the lock.")


def _by_arm(held: dict[str, list[str]]) -> str:
    """As "S1 of Standard and Fast; L5-S1 and S1 of Fast DL50": arms that share their names stand together."""
    arms: dict[str, list[str]] = {}
    for arm, found in held.items():
        arms.setdefault(_listed(found), []).append(arm)
    return "; ".join(f"{found} of {_listed(mine)}" for found, mine in arms.items())


def _listed(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _record(structure: Structure, actor: User, action: str, **details: object) -> None:
    series = structure.measured.series
    audit.record(
        study=series.study_id,
        actor=actor,
        action=action,
        details={
            "subject": series.subject.code,
            "sequence": series.sequence.name,
            "arm": series.arm.name,
            "kind": structure.kind,
            "level": structure.level,
            **details,
        },
    )
