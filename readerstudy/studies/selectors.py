"""Reads of studies, shaped for a role."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.urls import reverse

from readerstudy.accounts.models import User
from readerstudy.studies import words
from readerstudy.studies.models import Criterion, Membership, ProtocolLine, Study, Subject

COORDINATOR = Membership.Role.COORDINATOR
READER = Membership.Role.READER
PRINCIPAL_INVESTIGATOR = Membership.Role.PRINCIPAL_INVESTIGATOR

TABS = (
    ("design", "Design", "", (COORDINATOR, PRINCIPAL_INVESTIGATOR)),
    ("people", "People", "people", (COORDINATOR, PRINCIPAL_INVESTIGATOR)),
    ("processing", "Processing", "processing", (COORDINATOR,)),
    ("measurements", "Measurements", "measurements", (COORDINATOR, PRINCIPAL_INVESTIGATOR)),
    ("readers", "Readers", "readers", (COORDINATOR, PRINCIPAL_INVESTIGATOR)),
    ("results", "Results", "results", (COORDINATOR, PRINCIPAL_INVESTIGATOR)),
)
"""Key, word, address below the study's, and whose it is. Readers have no staff page."""


@dataclass(frozen=True)
class NextStep:
    """The one next thing to do in a study for one person; without an address there is nothing to do."""

    sentence: str
    label: str = ""
    address: str = ""


@dataclass(frozen=True)
class MyStudy:
    """A study on a person's list."""

    study: Study
    membership: Membership
    address: str
    next_step: NextStep


def study_page(study: Study, page: str = "") -> str:
    """Address of a page of the study; pages of apps above are known here by their path only."""
    return reverse("studies:design", args=[study.pk]) + page


def missing_before_preparing(study: Study) -> list[str]:
    """What a draft still lacks before files can be gathered for it, in words; empty when it is ready."""
    missing = []
    if not study.arms.filter(is_reference=True).exists():
        missing.append("no arm is the reference")
    if not study.sequences.exists():
        missing.append("it has no sequence")
    if not study.criteria.exists():
        missing.append("it has no criterion")
    if not study.subjects.exists():
        missing.append("it has no subject")
    elif without := study.subjects.filter(protocol=None).count():
        missing.append(f"{without} {'subject has' if without == 1 else 'subjects have'} no protocol")
    return missing


def missing_people(study: Study) -> list[str]:
    """Roles that nobody has yet and that the study needs."""
    roles = set(study.memberships.values_list("role", flat=True))
    wanted = ((READER, "readers"), (PRINCIPAL_INVESTIGATOR, "a principal investigator"))
    return [words for role, words in wanted if role not in roles]


def next_step(study: Study, membership: Membership, tab: str = "") -> NextStep:
    """What this person does next in the study; on the page `tab`, what comes after what is done there."""
    if tab == "processing" and study.state == Study.State.PREPARING and not missing_people(study):
        return NextStep("When every series is there:", "Check and release", study_page(study, "release"))
    steps = {COORDINATOR: _coordinator_step, READER: _reader_step, PRINCIPAL_INVESTIGATOR: _investigator_step}
    return steps[Membership.Role(membership.role)](study)


def _coordinator_step(study: Study) -> NextStep:
    if study.state == Study.State.DRAFT:
        if not study.subjects.exists():
            return NextStep("The study has no subjects yet.", "Add subjects", study_page(study) + "#subjects")
        return NextStep("The design is in place.", "Begin preparing", study_page(study) + "#subjects")
    if study.state == Study.State.PREPARING:
        if people := missing_people(study):
            words = " and ".join(people)
            return NextStep(
                f"Files can come in; {words} are still to be added.", "Add people", study_page(study, "people")
            )
        return NextStep("Upload raw files, then release.", "Go to processing", study_page(study, "processing"))
    if study.state == Study.State.READING:
        return NextStep("The readers are grading.", "See progress", study_page(study, "readers"))
    if study.state == Study.State.LOCKED:
        return NextStep("Locked. The principal investigator unblinds.")
    return NextStep("The key is open.", "See results", study_page(study, "results"))


def _reader_step(study: Study) -> NextStep:
    if study.state in (Study.State.DRAFT, Study.State.PREPARING):
        return NextStep("The series are not ready to be read yet.")
    if study.state == Study.State.READING:
        return NextStep("Open for reading.", "Read", study_page(study, "start"))
    return NextStep("Reading has ended. Thank you.")


def _investigator_step(study: Study) -> NextStep:
    if study.state in (Study.State.DRAFT, Study.State.PREPARING):
        return NextStep(
            "The coordinator is preparing it. Check the analysis plan.", "See the design", study_page(study)
        )
    if study.state == Study.State.READING:
        return NextStep(
            "The readers are grading. Lock when they are done.", "See progress", study_page(study, "readers")
        )
    if study.state == Study.State.LOCKED:
        return NextStep("Locked. Unblind to see the results.", "Unblind", study_page(study, "readers"))
    return NextStep("The key is open.", "See results", study_page(study, "results"))


def my_studies(user: User) -> list[MyStudy]:
    """A person's studies, newest first, each once with role, state and next step."""
    memberships = Membership.objects.filter(user=user).select_related("study").order_by("-study__created_at")
    return [
        MyStudy(
            study=membership.study,
            membership=membership,
            address=study_page(membership.study, "start" if membership.role == READER else ""),
            next_step=next_step(membership.study, membership),
        )
        for membership in memberships
    ]


def tabs(study: Study, membership: Membership) -> list[dict[str, str]]:
    """The pages of a study that a role has."""
    return [
        {"key": key, "word": word, "address": study_page(study, page)}
        for key, word, page, roles in TABS
        if membership.role in roles and (key != "measurements" or _shows_measurements(study, membership))
    ]


def _shows_measurements(study: Study, membership: Membership) -> bool:
    """They stand beside the arms: before the unblinding for the coordinator alone; without any there is no page."""
    is_theirs = membership.role == COORDINATOR or study.state == Study.State.UNBLINDED
    return is_theirs and study.sequences.filter(is_measured=True).exists()


def life(study: Study) -> list[dict[str, Any]]:
    """The states of a study's life, and where it stands."""
    states = Study.State.values
    now = states.index(study.state)
    return [{"word": word, "past": place < now, "now": place == now} for place, word in enumerate(states)]


def _number_words(low_high: Any) -> str:
    return "–".join(str(end) for end in low_high) if isinstance(low_high, list) else str(low_high)


def _each(lines: dict[str, ProtocolLine], words: Any) -> str:
    """One value where all acquisitions agree; else the first, the others behind it in brackets, as the paper has it."""
    values = [words(line) for line in lines.values()]
    if len(set(values)) == 1:
        return str(values[0])
    return f"{values[0]} ({', '.join(values[1:])})"


def _plain(number: Decimal) -> str:
    return format(number.normalize(), "f")


PARAMETER_ROWS = (
    ("TE", "ms", lambda line: str(line.parameters.get("te_ms", "–"))),
    ("TR", "ms", lambda line: str(line.parameters.get("tr_ms", "–"))),
    ("Field of view", "mm", lambda line: str(line.parameters.get("fov_mm", "–"))),
    ("Slice thickness", "mm", lambda line: str(line.parameters.get("slice_thickness_mm", "–"))),
    ("Slices", "", lambda line: _number_words(line.parameters.get("slices", "–"))),
    ("Echo train length", "", lambda line: str(line.parameters.get("echo_train_length", "–"))),
    ("Matrix", "", lambda line: " × ".join(str(n) for n in line.parameters.get("matrix", "–"))),
    ("Readout bandwidth", "±kHz", lambda line: str(line.parameters.get("bandwidth_khz", "–"))),
    ("NEX", "", lambda line: _plain(line.nex)),
    ("Scan time", "min:s", lambda line: words.minutes(line.scan_time_seconds)),
)


def protocol_table(study: Study) -> dict[str, Any]:
    """Table 1: one column a protocol and sequence, one row a parameter; acquisitions that differ in brackets."""
    sequences = list(study.sequences.all())
    lines = ProtocolLine.objects.filter(protocol__study=study).select_related("acquisition", "protocol")
    columns: dict[tuple[Any, Any], dict[str, ProtocolLine]] = {}
    for line in sorted(lines, key=lambda line: (line.protocol.order, line.acquisition.order)):
        columns.setdefault((line.protocol_id, line.sequence_id), {})[line.acquisition.name] = line
    protocols = list(study.protocols.all())
    keys = [(protocol.pk, sequence.pk) for protocol in protocols for sequence in sequences]
    return {
        "protocols": protocols,
        "sequences": sequences,
        "rows": [
            {
                "name": name,
                "unit": unit,
                "cells": [_each(columns[key], value) if key in columns else "–" for key in keys],
            }
            for name, unit, value in PARAMETER_ROWS
        ],
        "first": study.acquisitions.first(),
        "others": list(study.acquisitions.all()[1:]),
    }


def design(study: Study) -> dict[str, Any]:
    """What the Design page shows. For staff only: it names the arms."""
    criteria = list(study.criteria.all())
    subjects = list(study.subjects.select_related("protocol"))
    by_protocol: dict[str, list[Subject]] = {}
    for subject in subjects:
        by_protocol.setdefault(subject.protocol.name if subject.protocol else "no protocol", []).append(subject)
    arms = list(study.arms.select_related("acquisition"))
    return {
        "arms": arms,
        "has_chains": any(arm.chain_words for arm in arms),
        "sequences": list(study.sequences.all()),
        "criteria": [
            {"row": one, "anchors": anchors_in_order(one), "margin": one.margin.replace("-", "−")} for one in criteria
        ],
        "grades": grades_of(criteria),
        "protocols": list(study.protocols.all()),
        "table": protocol_table(study),
        "subjects": subjects,
        "by_protocol": sorted(by_protocol.items()),
        "missing": missing_before_preparing(study),
        "plan": {
            "alpha": study.plan.get("alpha"),
            "reference_arm": study.plan.get("reference_arm"),
            "family": words.FAMILY.get(study.plan.get("family", ""), ""),
            "missing": words.MISSING.get(study.plan.get("missing", ""), ""),
            "cannot_grade": words.CANNOT_GRADE.get(study.plan.get("cannot_grade_image_quality", "worst"), ""),
        },
        "rules": {
            "order": words.ORDER.get(study.reader_rules.get("order", "simple"), ""),
            "is_blocked": study.reader_rules.get("order") == "blocked",
            "minimum_distance": study.reader_rules.get("minimum_distance"),
            "allow_back": study.reader_rules.get("allow_back", True),
        },
    }


def anchors_in_order(criterion: Criterion) -> list[dict[str, str]]:
    """The anchors of a criterion from the lowest grade to the highest."""
    grades = range(criterion.scale_minimum, criterion.scale_maximum + 1)
    return [{"value": str(grade), "text": criterion.anchors.get(str(grade), "")} for grade in grades]


def grades_of(criteria: list[Criterion]) -> list[int]:
    """All grades that occur in any scale, for the columns of the anchor table."""
    return sorted({g for one in criteria for g in range(one.scale_minimum, one.scale_maximum + 1)})


def criteria_to_edit(study: Study, entered: Mapping[str, str]) -> list[dict[str, Any]]:
    """The criteria for the form; what was entered already stands before what is stored."""
    rows = []
    for criterion in study.criteria.all():
        prefix = f"criterion-{criterion.pk}"
        anchors = [
            {
                **anchor,
                "field": f"{prefix}-{anchor['value']}",
                "text": entered.get(f"{prefix}-{anchor['value']}", anchor["text"]),
            }
            for anchor in anchors_in_order(criterion)
        ]
        margin = entered.get(f"{prefix}-margin", criterion.margin)
        rows.append(
            {
                "name": criterion.name,
                "better": criterion.better,
                "margin": margin,
                "field": f"{prefix}-margin",
                "anchors": anchors,
            }
        )
    return rows


def settings_to_edit(study: Study, part: str, entered: Mapping[str, str]) -> dict[str, Any]:
    """Name, plan and rules for their forms; what was entered in `part` stands before what is stored."""

    def value(of: str, key: str, stored: Any) -> Any:
        return entered.get(key, "") if part == of else stored

    plan, rules = study.plan, study.reader_rules
    return {
        "name": value("name", "name", study.name),
        "alpha": value("plan", "alpha", plan.get("alpha")),
        "family": value("plan", "family", plan.get("family")),
        "missing": value("plan", "missing", plan.get("missing")),
        "cannot_grade": value("plan", "cannot_grade_image_quality", plan.get("cannot_grade_image_quality", "worst")),
        "order": value("rules", "order", rules.get("order", "simple")),
        "minimum_distance": value("rules", "minimum_distance", rules.get("minimum_distance") or ""),
        "allow_back": value("rules", "allow_back", "yes" if rules.get("allow_back", True) else "") == "yes",
        "families": words.FAMILY.items(),
        "missing_policies": words.MISSING.items(),
        "cannot_grade_choices": words.CANNOT_GRADE.items(),
        "orders": words.ORDER.items(),
    }


def people(study: Study) -> list[Membership]:
    """Everybody in the study: staff first, then readers, each in the order of joining."""
    order = [COORDINATOR, PRINCIPAL_INVESTIGATOR, READER]
    members = study.memberships.select_related("user").order_by("added_at", "pk")
    return sorted(members, key=lambda membership: order.index(Membership.Role(membership.role)))


def roles_to_give(study: Study) -> list[tuple[str, str]]:
    """The roles that a person may still be given: no reader joins after the release."""
    readers_closed = study.state not in (Study.State.DRAFT, Study.State.PREPARING)
    order = [READER, PRINCIPAL_INVESTIGATOR, COORDINATOR]
    return [(role.value, str(role.label)) for role in order if not (readers_closed and role == READER)]
