"""The only writers of what readers are shown and of what they say."""

import secrets
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from readerstudy.accounts.models import User
from readerstudy.audit.services import record
from readerstudy.faults import Refusal
from readerstudy.free_text import kept_text
from readerstudy.reading import order, policies
from readerstudy.reading.digest import grades_sha256, sha256_of
from readerstudy.reading.models import Comment, Grade, OrderPlan, Presentation, ReadableSeries, Session
from readerstudy.studies.models import Criterion, Membership, Study
from readerstudy.studies.services import set_state

LONGEST_COMMENT = 2000


def new_token() -> str:
    """256 random bits as base64url, 43 characters: says nothing and is not guessed."""
    return secrets.token_urlsafe(32)


@transaction.atomic
def create_order_plan(
    *, study: Study, actor: User, groups: Mapping[str, tuple[str, str]] | None = None, seed: str = ""
) -> OrderPlan:
    """Put every readable series of the study in order for every reader, and make the presentations.

    `groups` (token to subject and arm) serves the `blocked` order and is stored nowhere. Refuses what is impossible.
    """
    rules = study.reader_rules
    readers = list(
        Membership.objects.filter(study=study, role=Membership.Role.READER).values_list("user_id", flat=True)
    )
    names = {sequence.pk: sequence.name for sequence in study.sequences.order_by("order")}
    series: dict[str, list[str]] = {name: [] for name in names.values()}
    for token, sequence in ReadableSeries.objects.filter(study=study).values_list("token", "sequence_id"):
        series[names[sequence]].append(token)
    plan = order.make_plan(
        algorithm=rules.get("order", "simple"),
        seed=seed or str(rules.get("seed") or "") or secrets.token_hex(16),
        readers=[str(reader) for reader in readers],
        series=series,
        groups=groups,
        minimum_distance=rules.get("minimum_distance"),
    )
    stored = OrderPlan.objects.create(
        study=study,
        algorithm=plan.algorithm,
        version=plan.version,
        seed=plan.seed,
        permutations=plan.as_json(),
        sha256=sha256_of(plan.as_json()),
    )
    Presentation.objects.bulk_create(
        Presentation(token=new_token(), study=study, reader_id=int(reader), series_id=token, position=position)
        for reader, parts in plan.orders.items()
        for position, token in enumerate((token for _, tokens in parts for token in tokens), start=1)
    )
    details = {"algorithm": plan.algorithm, "version": plan.version, "seed": plan.seed, "sha256": stored.sha256}
    record(study=study.pk, actor=actor, action="reading.order_plan_made", details=details)
    return stored


def _locked(presentation: Presentation) -> Presentation:
    """The presentation's row, held until the end of the transaction.

    The study is read afterwards, not joined: a lock that was just taken must be seen (`lock` holds the same rows).
    """
    return Presentation.objects.select_for_update().get(pk=presentation.pk, reader=presentation.reader_id)


@transaction.atomic
def open_presentation(*, presentation: Presentation) -> Presentation:
    """Note when the reader was first shown this series; later openings change nothing."""
    held = _locked(presentation)
    policies.require_may_grade(held)
    if held.first_opened_at is None:
        held.first_opened_at = timezone.now()
        held.save(update_fields=["first_opened_at"])
    return held


def _checked_answer(criterion: Criterion, value: int | None, cannot_grade: str) -> None:
    if (value is None) == (cannot_grade == ""):
        raise Refusal("A grade is a number, or a cause why it cannot be given.", "Give one of the two.")
    if value is not None and not criterion.scale_minimum <= value <= criterion.scale_maximum:
        raise Refusal(
            f"{criterion.name} is graded from {criterion.scale_minimum} to {criterion.scale_maximum}.",
            "Choose a grade of this scale.",
        )
    if cannot_grade and cannot_grade not in Grade.Cause.values:
        raise Refusal("This cause is not known.", "Choose image quality or a technical reason.")


@transaction.atomic
def add_grade(
    *,
    presentation: Presentation,
    id: UUID,
    criterion: UUID,
    value: int | None,
    cannot_grade: str = "",
    reason: str = "",
) -> tuple[Grade, bool]:
    """Add one answer; the newest of a criterion counts. Sending the same `id` again adds nothing.

    Returns the row and whether it is new. Refuses another study's criterion, a value off the scale, a series that is
    not the current one, a correction after sign-off without a reason, and everything once the study is locked.
    """
    held = _locked(presentation)
    earlier = Grade.objects.filter(pk=id).first()
    if earlier is not None:
        same = (earlier.presentation_id, earlier.criterion_id, earlier.value, earlier.cannot_grade)
        if same != (held.pk, criterion, value, cannot_grade):
            raise Refusal("This grade was sent before with another content.", "Reload the page and grade again.")
        return earlier, False
    policies.require_may_grade(held)
    known = Criterion.objects.filter(pk=criterion, study=held.study_id).first()
    if known is None:
        raise Refusal("This criterion is not one of this study.", "Reload the page.")
    _checked_answer(known, value, cannot_grade)
    reason = kept_text(reason)
    if held.signed_off_at is not None and not reason:
        raise Refusal("This series is signed off.", "Write a short reason for the correction.")
    number = Grade.objects.filter(presentation=held, criterion=known).count() + 1
    try:
        with transaction.atomic():
            grade = Grade.objects.create(
                id=id,
                presentation=held,
                criterion=known,
                number=number,
                value=value,
                cannot_grade=cannot_grade,
                reason=reason,
            )
    except IntegrityError as error:  # the same id sent at once for another series
        raise Refusal("This grade was sent before with another content.", "Reload the page and grade again.") from error
    if held.signed_off_at is not None:
        details = {
            "presentation": held.pk,
            "criterion": known.name,
            "reason": grade.reason,
            "grades_sha256": presentation_sha256(held),
        }
        record(study=held.study_id, actor=held.reader, action="reading.grade_corrected", details=details)
    return grade, True


def presentation_sha256(presentation: Presentation) -> str:
    """Digest of all grades of one presentation."""
    return grades_sha256(Grade.objects.filter(presentation=presentation))


def study_grades_sha256(study: Study) -> str:
    """Digest of all grades of a study."""
    return grades_sha256(Grade.objects.filter(presentation__study=study))


@transaction.atomic
def add_comment(*, presentation: Presentation, text: str) -> Comment | None:
    """Add a remark; the same text twice adds nothing. An empty text takes the remark back."""
    held = _locked(presentation)
    policies.require_may_grade(held)
    text = kept_text(text)
    if len(text) > LONGEST_COMMENT:
        raise Refusal(f"The comment is longer than {LONGEST_COMMENT} characters.", "Shorten it.")
    last = held.comments.order_by("-pk").first()
    if text == (last.text if last else ""):
        return last
    return Comment.objects.create(presentation=held, text=text)


def criteria_missing(presentation: Presentation) -> list[str]:
    """Names of the criteria without any answer."""
    answered = Grade.objects.filter(presentation=presentation).values("criterion")
    return list(
        Criterion.objects.filter(study=presentation.study_id).exclude(pk__in=answered).values_list("name", flat=True)
    )


@transaction.atomic
def sign_off(*, presentation: Presentation) -> str | None:
    """The reader is done with this series. Returns the token of the next one, None at the end of the list.

    Refuses while a criterion has no answer. Signing off twice changes nothing.
    """
    held = _locked(presentation)
    if held.signed_off_at is None:
        policies.require_may_grade(held)
        missing = criteria_missing(held)
        if missing:
            raise Refusal(
                f"Not graded yet: {', '.join(missing)}.", "Grade each criterion, or say why it cannot be graded."
            )
        held.signed_off_at = timezone.now()
        held.save(update_fields=["signed_off_at"])
        details = {
            "presentation": held.pk,
            "position": held.position,
            "grades_sha256": presentation_sha256(held),
        }
        record(study=held.study_id, actor=held.reader, action="reading.signed_off", details=details)
    return next_token(held)


def next_token(presentation: Presentation) -> str | None:
    """The reader's first series that is not signed off."""
    return (
        Presentation.objects.filter(study=presentation.study_id, reader=presentation.reader_id, signed_off_at=None)
        .order_by("position")
        .values_list("token", flat=True)
        .first()
    )


@transaction.atomic
def start_session(*, study: Study, reader: User, display: dict[str, Any]) -> Session:
    """Note on what the images are shown (rendering mode, pixel ratio, viewport, browser)."""
    policies.require_reading(study)
    return Session.objects.create(study=study, reader=reader, display=display)


@transaction.atomic
def lock(*, study: Study, actor: User, reason: str = "") -> Study:
    """End the reading: no grade can be added or corrected any more.

    The principal investigator locks when every reader has signed off every series, or gives a reason to lock with gaps.
    """
    policies.require_principal_investigator(actor, study, "lock the study")
    held = list(Presentation.objects.select_for_update().filter(study=study).order_by("pk"))
    now = Study.objects.select_for_update().get(pk=study.pk)
    if now.state != Study.State.READING:
        raise Refusal(f"The study is {now.state}, not being read.", "Only a study that is being read can be locked.")
    gaps = sum(presentation.signed_off_at is None for presentation in held)
    reason = kept_text(reason)
    if gaps and not reason:
        noun = "series are" if gaps != 1 else "series is"
        raise Refusal(f"{gaps} {noun} not signed off yet.", "Wait for the readers, or give a reason to lock with gaps.")
    details = {
        "grades_sha256": study_grades_sha256(now),
        "presentations": len(held),
        "not_signed_off": gaps,
        "reason": reason,
    }
    record(study=now.pk, actor=actor, action="reading.locked", details=details)
    set_state(study=now, state=Study.State.LOCKED, actor=actor, details={"grades_sha256": details["grades_sha256"]})
    study.refresh_from_db()
    return study
