"""The only writers of a study, its people and its subjects. Changes of the design are in `amendments`."""

import hashlib
import json
import re
from typing import Any

from django.db import IntegrityError, transaction

from readerstudy.accounts.models import User
from readerstudy.accounts.services import create_user, one_time_password
from readerstudy.audit.services import record
from readerstudy.faults import Refusal
from readerstudy.free_text import kept_text
from readerstudy.studies import presets
from readerstudy.studies.definition import StudyDefinition
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
from readerstudy.studies.policies import (
    is_editable,
    may_create_studies,
    require_coordinator,
    require_editable,
)
from readerstudy.studies.selectors import missing_before_preparing

LIFE = tuple(Study.State.values)
"""The states in their order; a study goes one step at a time and never back."""

CODE = re.compile(r"(?=.*[0-9])[A-Za-z0-9-]{1,20}")
"""A digit is asked for so that a name typed by mistake does not become a subject."""
MOST_SUBJECTS_AT_ONCE = 500


def held_study(study: Study) -> Study:
    """The study's row as it is now, held until the end of the transaction."""
    return Study.objects.select_for_update().get(pk=study.pk)


# A study and its life


@transaction.atomic
def create_study(*, name: str, definition: StudyDefinition, actor: User) -> Study:
    """Make a draft study from a definition; `actor` becomes its coordinator.

    Refuses people who may not create studies, and an empty name.
    """
    if not may_create_studies(actor):
        raise Refusal("You may not create studies.", "Ask whoever runs this server for the right.")
    study = Study.objects.create(
        name=checked_name(name),
        preset=definition.preset,
        plan=definition.plan,
        reader_rules=definition.reader_rules,
    )
    sequences = {
        name: Sequence.objects.create(
            study=study,
            name=name,
            order=order,
            stored_matrix=definition.stored_matrices.get(name),
            is_measured=name in definition.measured,
        )
        for order, name in enumerate(definition.sequences, start=1)
    }
    acquisitions = {
        name: Acquisition.objects.create(study=study, name=name, order=order)
        for order, name in enumerate(definition.acquisitions, start=1)
    }
    for order, arm in enumerate(definition.arms, start=1):
        Arm.objects.create(
            study=study,
            name=arm.name,
            order=order,
            acquisition=acquisitions[arm.acquisition],
            noise_reduction=arm.noise_reduction,
            chain=arm.chain,
            is_reference=arm.is_reference,
            colour=arm.colour,
        )
    for order, criterion in enumerate(definition.criteria, start=1):
        Criterion.objects.create(
            study=study,
            name=criterion.name,
            order=order,
            scale_minimum=criterion.scale[0],
            scale_maximum=criterion.scale[1],
            better=criterion.better,
            margin=criterion.margin,
            anchors=criterion.anchors,
        )
    for order, protocol in enumerate(definition.protocols, start=1):
        row = Protocol.objects.create(study=study, name=protocol.name, order=order)
        ProtocolLine.objects.bulk_create(
            ProtocolLine(
                protocol=row,
                sequence=sequences[line.sequence],
                acquisition=acquisitions[line.acquisition],
                nex=line.nex,
                scan_time_seconds=line.scan_time_seconds,
                parameters=line.parameters,
            )
            for line in protocol.lines
        )
    details = {
        "name": study.name,
        "preset": study.preset,
        "plan": study.plan,
        "reader_rules": study.reader_rules,
        "compared": compared(study),
    }
    record(study=study.pk, actor=actor, action="studies.created", details=details)
    Membership.objects.create(study=study, user=actor, role=Membership.Role.COORDINATOR)
    _record_member(study, actor, "studies.member_added", actor, Membership.Role.COORDINATOR)
    return study


def compared(study: Study) -> dict[str, Any]:
    """What a study compares, as the trail has it: every arm with its whole chain, every sequence with its matrix."""
    return {
        "arms": [
            {
                "name": arm.name,
                "acquisition": arm.acquisition.name,
                "chain": arm.full_chain,
                "noise_reduction": format(arm.noise_reduction, "f"),
                "reference": arm.is_reference,
            }
            for arm in study.arms.select_related("acquisition")
        ],
        "sequences": [
            {"name": one.name, "stored_matrix": one.stored_matrix, "measured": one.is_measured}
            for one in study.sequences.all()
        ],
    }


def create_study_from_preset(*, name: str, preset: str, actor: User) -> Study:
    """Make a draft study from the preset of this name; an empty `name` takes the preset's title."""
    definition = presets.preset(preset)
    return create_study(name=name or definition.title, definition=definition, actor=actor)


def checked_name(name: str) -> str:
    """A study's name. Raises Refusal for an empty or overlong one."""
    name = " ".join(kept_text(name).split())
    if not 1 <= len(name) <= 200:
        raise Refusal("The study's name is empty or longer than 200 characters.", "Give it a short name.")
    return name


@transaction.atomic
def set_state(*, study: Study, state: str, actor: User | None, details: dict[str, Any] | None = None) -> Study:
    """Take a study one step further in its life, and audit it. Returns the study; the one given is brought up to date.

    Whether the step may be taken is checked by who calls this (`begin_preparing` here, release and unblinding in
    `blinding`, lock in `reading`). Refuses a jump, a step back, and reading on a plan that is not frozen.
    """
    held = held_study(study)
    earlier = held.state
    if state not in LIFE or LIFE.index(state) != LIFE.index(earlier) + 1:
        following = LIFE.index(earlier) + 1
        raise Refusal(
            f"The study is {earlier} and cannot become {state}.",
            f"Its next step is {LIFE[following]}." if following < len(LIFE) else "It has no further step.",
        )
    if state == Study.State.READING and not held.plan_hash:
        raise Refusal("The analysis plan is not frozen.", "A study is read only on a frozen plan; release it.")
    held.state = state
    held.save(update_fields=["state"])
    details = {"from": earlier, "to": str(state), **(details or {})}
    record(study=held.pk, actor=actor, action="studies.state_changed", details=details)
    study.refresh_from_db()
    return study


@transaction.atomic
def freeze_plan(*, study: Study, plan_hash: str, actor: User) -> Study:
    """Fix the analysis plan by its SHA-256, at release. The plan itself goes into the trail with it, and what is
    compared: arms with their chains, and stored matrices."""
    held = held_study(study)
    if held.plan_hash:
        raise Refusal("The analysis plan is frozen already.", "A frozen plan stays as it is.")
    held.plan_hash = plan_hash
    held.save(update_fields=["plan_hash"])
    design = compared(held)
    details = {
        "plan": held.plan,
        "sha256": plan_hash,
        "compared": design,
        "compared_sha256": hashlib.sha256(json.dumps(design, sort_keys=True).encode()).hexdigest(),
    }
    record(study=held.pk, actor=actor, action="studies.plan_frozen", details=details)
    study.refresh_from_db()
    return study


@transaction.atomic
def begin_preparing(*, study: Study, actor: User) -> Study:
    """The draft is complete enough to gather files for it. Refuses and says what is missing."""
    require_coordinator(actor, study)
    held = held_study(study)
    if missing := missing_before_preparing(held):
        raise Refusal(f"The study is not ready to be prepared: {', '.join(missing)}.", "Add what is missing.")
    return set_state(study=study, state=Study.State.PREPARING, actor=actor)


@transaction.atomic
def mark_grades_simulated(*, study: Study, actor: User | None) -> Study:
    """Note, for good, that the grades of this study come from simulated readers."""
    held = held_study(study)
    if not held.has_simulated_grades:
        held.has_simulated_grades = True
        held.save(update_fields=["has_simulated_grades"])
        record(study=held.pk, actor=actor, action="studies.grades_marked_simulated")
    study.refresh_from_db()
    return study


# People


def _record_member(study: Study, actor: User | None, action: str, user: User, role: str) -> None:
    details = {"user": user.pk, "username": user.username, "role": str(role)}
    record(study=study.pk, actor=actor, action=action, details=details)


@transaction.atomic
def add_member(*, study: Study, user: User, role: str, actor: User | None) -> Membership:
    """Give a person a role in the study.

    Refuses a second role for the same person, a person whose login is closed, and a reader after the release (the
    order of the series was drawn for those who were there).
    """
    if actor is not None:
        require_coordinator(actor, study)
    held = held_study(study)
    if role not in Membership.Role.values:
        raise Refusal(f"There is no role “{role}”.", f"Choose one of {', '.join(Membership.Role.labels)}.")
    if not user.is_active:
        raise Refusal(f"The login of {user} is closed.", "Choose another person.")
    if role == Membership.Role.READER and not is_editable(held):
        raise Refusal(
            "Readers cannot join after the release.",
            "The order of the series was drawn for the readers who were there.",
        )
    existing = Membership.objects.filter(study=held, user=user).first()
    if existing is not None:
        raise _one_role(user, existing)
    try:
        with transaction.atomic():
            membership = Membership.objects.create(study=held, user=user, role=role)
    except IntegrityError as error:  # added by somebody else at the same moment
        raise _one_role(user, Membership.objects.get(study=held, user=user)) from error
    _record_member(held, actor, "studies.member_added", user, role)
    return membership


def _one_role(user: User, existing: Membership) -> Refusal:
    return Refusal(
        f"{user} is a {existing.get_role_display()} of this study already.",
        "A person has one role in a study, so that nobody reads what they prepare or analyse.",
    )


@transaction.atomic
def add_member_by_username(*, study: Study, username: str, role: str, actor: User) -> Membership:
    """Give the person with this login name a role. Refuses an unknown name."""
    user = User.objects.filter(username__iexact=username.strip()).first()
    if user is None:
        require_coordinator(actor, study)
        raise Refusal(
            f"Nobody has the login name “{username.strip()}”.",
            "Check the spelling, or create a login for a new person.",
        )
    return add_member(study=study, user=user, role=role, actor=actor)


@transaction.atomic
def create_login(*, study: Study, username: str, display_name: str, role: str, actor: User) -> tuple[Membership, str]:
    """Make a login for a new person and give it a role.

    Returns the membership and the one-time password, which is stored nowhere in the clear; its owner chooses another
    one before anything else.
    """
    require_coordinator(actor, study)
    password = one_time_password()
    user = create_user(username=username, display_name=display_name, password=password, must_change_password=True)
    membership = add_member(study=study, user=user, role=role, actor=actor)
    details = {"user": user.pk, "username": user.username}
    record(study=study.pk, actor=actor, action="studies.login_created", details=details)
    return membership, password


@transaction.atomic
def remove_member(*, membership: Membership, actor: User) -> None:
    """Take a person out of a study that is not released yet. Refuses to leave it without a coordinator."""
    study = membership.study
    require_coordinator(actor, study)
    held = held_study(study)
    require_editable(held)
    coordinators = Membership.objects.filter(study=held, role=Membership.Role.COORDINATOR)
    if membership.role == Membership.Role.COORDINATOR and not coordinators.exclude(pk=membership.pk).exists():
        raise Refusal(f"{membership.user} is the only coordinator.", "Add another coordinator first.")
    user, role = membership.user, membership.role
    membership.delete()
    _record_member(held, actor, "studies.member_removed", user, role)


# Subjects


@transaction.atomic
def add_subjects(
    *, study: Study, codes: list[str], protocol: Protocol | None = None, actor: User | None
) -> list[Subject]:
    """Add subjects under their codes; all or none. Refuses a code that is there already or has other characters."""
    if actor is not None:
        require_coordinator(actor, study)
    held = held_study(study)
    require_editable(held)
    if not codes:
        raise Refusal("No code was given.", "Write codes such as S01, S02 or S01-S18.")
    if len(codes) > MOST_SUBJECTS_AT_ONCE:
        raise Refusal(f"These are {len(codes)} codes.", f"Add at most {MOST_SUBJECTS_AT_ONCE} at once.")
    if protocol is not None and protocol.study_id != held.pk:
        raise Refusal("This protocol is not one of this study.", "Choose another one.")
    for code in codes:
        if not CODE.fullmatch(code):
            raise Refusal(
                f"“{code}” cannot be a code.",
                "Use up to 20 letters, digits and hyphens with a digit, such as S07; never a name.",
            )
        if codes.count(code) > 1:
            raise Refusal(f"The code {code} is given twice.", "Give each subject its own code.")
    there = set(held.subjects.filter(code__in=codes).values_list("code", flat=True))
    if there:
        first = next(code for code in codes if code in there)
        raise Refusal(f"The study has a subject {first} already.", "Nothing was added; leave it out.")
    subjects = [Subject.objects.create(study=held, code=code, protocol=protocol) for code in codes]
    details = {"codes": codes, "protocol": protocol.name if protocol else None}
    record(study=held.pk, actor=actor, action="studies.subjects_added", details=details)
    return subjects


def add_subject(*, study: Study, code: str, protocol: Protocol | None = None, actor: User | None) -> Subject:
    """Add one subject."""
    return add_subjects(study=study, codes=[code], protocol=protocol, actor=actor)[0]


@transaction.atomic
def remove_subject(*, subject: Subject, actor: User) -> None:
    """Take out a subject of which nothing came in yet. Refuses once there is a file, a job or anything else of it."""
    study = subject.study
    require_coordinator(actor, study)
    held = held_study(study)
    require_editable(held)
    # Asked of the model, not of the apps above: whatever points to a subject keeps it.
    for relation in Subject._meta.related_objects:
        if relation.related_model._default_manager.filter(**{relation.field.name: subject}).exists():
            raise Refusal(f"{subject.code} has files already.", "Remove its files on the Processing page first.")
    code = subject.code
    subject.delete()
    record(study=held.pk, actor=actor, action="studies.subject_removed", details={"code": code})
