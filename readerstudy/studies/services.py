"""The only writers of what a study is. Each writes its audit event."""

from collections.abc import Sequence as Ordered
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, transaction

from readerstudy.accounts.models import User
from readerstudy.audit.services import record
from readerstudy.faults import Refusal
from readerstudy.studies import policies
from readerstudy.studies.models import (
    Acquisition,
    Arm,
    Criterion,
    Membership,
    Protocol,
    ProtocolLine,
    Sequence,
    Study,
    Subject,
)
from readerstudy.studies.presets import load_preset

NEXT_STATE = {
    Study.State.DRAFT: Study.State.PREPARING,
    Study.State.PREPARING: Study.State.READING,
    Study.State.READING: Study.State.LOCKED,
    Study.State.LOCKED: Study.State.UNBLINDED,
}


def _seconds(minutes_and_seconds: str) -> int:
    minutes, seconds = minutes_and_seconds.split(":")
    return 60 * int(minutes) + int(seconds)


def plan_criteria(criteria: Ordered[Criterion]) -> dict[str, Any]:
    """The criteria as PLAN.json has them: name to scale, better and margin."""
    return {
        criterion.name: {
            "scale": [criterion.scale_minimum, criterion.scale_maximum],
            "better": criterion.better,
            "margin": criterion.margin,
        }
        for criterion in criteria
    }


@transaction.atomic
def create_study_from_preset(*, name: str, preset: str, actor: User) -> Study:
    """A new study in draft with everything that the preset defines; the actor becomes its coordinator.

    Raises
    ------
    Refusal
        For a person who may not create studies, an empty name, an unknown or faulty preset.
    """
    if not actor.may_create_studies:
        raise Refusal("This login may not create studies.", "Ask whoever runs this installation.")
    if not name.strip():
        raise Refusal("The study has no name.", "Write one.")
    content = load_preset(preset)
    study = Study.objects.create(
        name=name.strip(), preset=preset, plan=content["plan"], reader_rules=content["reader_rules"]
    )
    sequences = {
        each: Sequence.objects.create(study=study, name=each, order=order)
        for order, each in enumerate(content["sequences"])
    }
    acquisitions = {
        each: Acquisition.objects.create(study=study, name=each, order=order)
        for order, each in enumerate(content["acquisitions"])
    }
    for order, arm in enumerate(content["arms"]):
        Arm.objects.create(
            study=study,
            name=arm["name"],
            order=order,
            acquisition=acquisitions[arm["acquisition"]],
            noise_reduction=Decimal(arm["noise_reduction"]),
            is_reference=arm.get("reference", False),
            colour=arm["colour"],
        )
    criteria = [
        Criterion.objects.create(
            study=study,
            name=each["name"],
            order=order,
            scale_minimum=each["scale"][0],
            scale_maximum=each["scale"][1],
            better=each["better"],
            margin=each["margin"],
            anchors=each["anchors"],
        )
        for order, each in enumerate(content["criteria"])
    ]
    for order, protocol in enumerate(content["protocols"]):
        made = Protocol.objects.create(study=study, name=protocol["name"], order=order)
        for sequence, line in protocol["lines"].items():
            for acquisition, nex in line["nex"].items():
                ProtocolLine.objects.create(
                    protocol=made,
                    sequence=sequences[sequence],
                    acquisition=acquisitions[acquisition],
                    nex=Decimal(nex),
                    scan_time_seconds=_seconds(line["scan_time"][acquisition]),
                    parameters=line["parameters"],
                )
    study.plan = {**content["plan"], "criteria": plan_criteria(criteria)}
    study.save(update_fields=["plan"])
    Membership.objects.create(study=study, user=actor, role=Membership.Role.COORDINATOR)
    record(study=study.pk, actor=actor, action="studies.study_created", details={"name": study.name, "preset": preset})
    return study


@transaction.atomic
def add_member(*, study: Study, user: User, role: str, actor: User | None) -> Membership:
    """Give a person a role. Refuses a second role, an unknown role, and new readers once the order is made."""
    if role not in Membership.Role.values:
        raise Refusal(f"There is no role {role!r}.", "Choose coordinator, reader or principal investigator.")
    if role == Membership.Role.READER and not policies.may_edit_design(study):
        raise Refusal("The study is released, and the order of its readers is made.", "Add readers before the release.")
    try:
        with transaction.atomic():
            membership = Membership.objects.create(study=study, user=user, role=role)
    except IntegrityError as error:
        held = Membership.objects.get(study=study, user=user)
        raise Refusal(
            f"{user} is already {held.get_role_display()} in this study, and a person has one role in a study.",
            "Remove that role first.",
        ) from error
    details = {"user": user.pk, "username": user.username, "role": role}
    record(study=study.pk, actor=actor, action="studies.member_added", details=details)
    return membership


@transaction.atomic
def remove_member(*, study: Study, user: User, actor: User) -> None:
    """Take a person's role away. Refuses the last coordinator, oneself, and readers once the study is released."""
    membership = Membership.objects.select_for_update().filter(study=study, user=user).first()
    if membership is None:
        raise Refusal("This person has no role in this study.")
    if user == actor:
        raise Refusal("You cannot remove yourself.", "Ask another coordinator.")
    if membership.role == Membership.Role.READER and not policies.may_edit_design(study):
        raise Refusal("The study is released; its readers stay.", "")
    details = {"user": user.pk, "username": user.username, "role": membership.role}
    membership.delete()
    record(study=study.pk, actor=actor, action="studies.member_removed", details=details)


@transaction.atomic
def add_subjects(*, study: Study, codes: Ordered[str], protocol: Protocol | None, actor: User) -> list[Subject]:
    """Add subjects by their study codes, all or none. Refuses a code that is there or is not letters and digits."""
    _require_editable(study)
    if protocol is not None and protocol.study_id != study.pk:
        raise Refusal("This protocol is not one of this study.")
    taken = set(study.subjects.values_list("code", flat=True))
    subjects = []
    for code in codes:
        if code in taken:
            raise Refusal(f"Subject {code} is already in this study.", "Leave it out.")
        taken.add(code)
        subject = Subject(study=study, code=code, protocol=protocol)
        try:
            subject.full_clean(validate_unique=False, validate_constraints=False)
        except Exception as error:
            raise Refusal(f"{code!r} is no subject code.", "Use 1 to 20 letters, digits and hyphens.") from error
        subjects.append(subject)
    if not subjects:
        raise Refusal("No subject code was given.", "Write codes such as S01 S02 S03.")
    Subject.objects.bulk_create(subjects)
    record(study=study.pk, actor=actor, action="studies.subjects_added", details={"codes": list(codes)})
    return subjects


@transaction.atomic
def set_state(*, study: Study, state: str, actor: User, details: dict[str, Any] | None = None) -> Study:
    """Move the study one step on in its life. The caller has checked what the step itself needs.

    Raises
    ------
    Refusal
        For any other step than the next one.
    """
    held = Study.objects.select_for_update().get(pk=study.pk)
    following = NEXT_STATE.get(Study.State(held.state))
    if following != state:
        raise Refusal(
            f"The study is {held.state}, and the next step is {following or 'none'}, not {state}.", "Reload the page."
        )
    previous, held.state = held.state, state
    held.save(update_fields=["state"])
    record(
        study=held.pk,
        actor=actor,
        action="studies.state_changed",
        details={"from": previous, "to": state, **(details or {})},
    )
    study.state = state
    return held


@transaction.atomic
def begin_preparing(*, study: Study, actor: User) -> Study:
    """Draft to preparing: the definition is complete enough to take in files."""
    if not study.subjects.exists():
        raise Refusal("The study has no subject yet.", "Add at least one.")
    if study.arms.filter(is_reference=True).count() != 1:
        raise Refusal("One arm must be the reference.", "Mark it on the Design page.")
    return set_state(study=study, state=Study.State.PREPARING, actor=actor)


@transaction.atomic
def mark_grades_simulated(*, study: Study, actor: User) -> Study:
    """Say for good that the grades of this study come from simulated readers."""
    study.has_simulated_grades = True
    study.save(update_fields=["has_simulated_grades"])
    record(study=study.pk, actor=actor, action="studies.grades_marked_simulated")
    return study


@transaction.atomic
def change_definition(
    *,
    study: Study,
    actor: User,
    name: str | None = None,
    margins: dict[str, str] | None = None,
    plan: dict[str, Any] | None = None,
    reader_rules: dict[str, Any] | None = None,
) -> Study:
    """Change what may be changed before the release; the analysis plan follows the criteria.

    `margins` maps criterion names to decimal texts. Refuses after the release and for values that are not understood.
    """
    _require_editable(study)
    held = Study.objects.select_for_update().get(pk=study.pk)
    if name is not None:
        if not name.strip():
            raise Refusal("The study has no name.", "Write one.")
        held.name = name.strip()
    for criterion in held.criteria.filter(name__in=margins or {}):
        criterion.margin = (margins or {})[criterion.name].strip()
        try:
            criterion.full_clean()
        except Exception as error:
            raise Refusal(f"The margin of {criterion.name} is no decimal number.", "Write one such as -0.5.") from error
        criterion.save(update_fields=["margin"])
    held.plan = {**held.plan, **(plan or {}), "criteria": plan_criteria(list(held.criteria.all()))}
    held.reader_rules = {**held.reader_rules, **(reader_rules or {})}
    held.save(update_fields=["name", "plan", "reader_rules"])
    record(
        study=held.pk,
        actor=actor,
        action="studies.definition_changed",
        details={"name": held.name, "plan": held.plan, "reader_rules": held.reader_rules},
    )
    return held


@transaction.atomic
def freeze_plan(*, study: Study, plan_hash: str, actor: User) -> Study:
    """Fix the analysis plan by its SHA-256 (at release)."""
    held = Study.objects.select_for_update().get(pk=study.pk)
    if held.plan_hash:
        raise Refusal("The analysis plan is already frozen.")
    held.plan_hash = plan_hash
    held.save(update_fields=["plan_hash"])
    record(study=held.pk, actor=actor, action="studies.plan_frozen", details={"plan": held.plan, "sha256": plan_hash})
    study.plan_hash = plan_hash
    return held


def _require_editable(study: Study) -> None:
    if not policies.may_edit_design(study):
        raise Refusal("The study is released; its definition is fixed.", "")
