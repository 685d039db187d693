"""What a coordinator says of single measured structures: which level one is, and that one does not count."""

from uuid import UUID

from django.db import transaction
from django.utils import timezone

from readerstudy.accounts.models import User
from readerstudy.audit import services as audit
from readerstudy.faults import Refusal
from readerstudy.free_text import kept_text
from readerstudy.processing.levels import names
from readerstudy.processing.models import MeasuredSeries, Series, Structure
from readerstudy.processing.policies import may_correct_measurements
from readerstudy.studies.models import Study, Subject
from readerstudy.studies.policies import require_coordinator

LONGEST_REASON = 500
EXCLUSION = ["excluded_reason", "excluded_by", "excluded_at"]


@transaction.atomic
def correct_level(*, structure_id: int, level: int, reason: str, actor: User) -> Structure:
    """Say which level a structure is, and why. The level that it was found as takes a correction back. That the count
    was confirmed holds no longer, in no arm.

    Raises Refusal without a reason, for a level that there is not, that it has already or that another structure of the
    series has, and after the lock.
    """
    structure = _open(structure_id, actor)
    if level not in names(structure.kind):
        raise Refusal(f"There is no such level of a {structure.get_kind_display()}.", "Choose one of the list.")
    found, before = structure.matched_level or structure.level, structure.effective_level
    if before == level:
        raise Refusal(
            f"This {structure.get_kind_display()} is {names(structure.kind)[level]} already.",
            f"Choose another level, or {'include it again' if structure.excluded_reason else 'leave it out'}.",
        )
    others = Structure.objects.filter(measured=structure.measured, kind=structure.kind, excluded_reason="")
    if any(other.effective_level == level for other in others.exclude(pk=structure.pk)):
        raise Refusal(
            f"Another {structure.get_kind_display()} of this series is {names(structure.kind)[level]} already.",
            "Correct or leave out that one first.",
        )
    reason = checked_reason(reason, "A level is corrected for a reason.")
    structure.corrected_level = None if level == found else level
    structure.corrected_reason = "" if level == found else reason
    structure.beyond, structure.left_out_by_shift = 0, False
    structure.save(update_fields=["corrected_level", "corrected_reason", "beyond", "left_out_by_shift"])
    series = structure.measured.series
    doubted = doubted_again(series.subject_id, series.sequence_id)
    _record(structure, actor, "processing.level_corrected", before=before, after=level, reason=reason, **doubted)
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
    reason = checked_reason(reason, "A structure is left out for a reason.")
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


def checked_reason(reason: str, rule: str) -> str:
    """The reason as it is kept. Raises Refusal, with the rule, where there is none, and where it is too long."""
    reason = kept_text(reason)
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
    hold_measurements(series.study_id, series.subject_id, actor)
    structures = Structure.objects.select_related(
        *(f"measured__series__{one}" for one in ("subject", "sequence", "arm"))
    )
    structure = structures.filter(pk=structure_id, measured__series__is_current=True).first()
    if structure is None:
        raise gone
    return structure


def hold_measurements(study_id: UUID, subject_id: UUID, actor: User) -> None:
    """Lock study and subject. Raises Refusal for another than a coordinator, and after the lock of the study."""
    study = Study.objects.select_for_update(no_key=True).get(pk=study_id)
    Subject.objects.select_for_update(no_key=True).get(pk=subject_id)
    require_coordinator(actor, study)
    if not may_correct_measurements(study):
        raise Refusal(f"The study is {study.get_state_display()}.", "Measurements are fixed since the lock.")


def doubted_again(subject_id: UUID, sequence_id: UUID) -> dict[str, str]:
    """Take back that the count was confirmed, since what was confirmed stands otherwise now. Returns what the trail is
    told of it: with which reason it had been; nothing if it had not."""
    held = MeasuredSeries.objects.filter(
        series__subject=subject_id, series__sequence=sequence_id, series__is_current=True
    )
    reason = held.exclude(count_confirmed_reason="").values_list("count_confirmed_reason", flat=True).first()
    if reason is None:
        return {}
    held.update(count_confirmed_reason="", count_confirmed_by=None, count_confirmed_at=None)
    return {"count_no_longer_confirmed": reason}


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
