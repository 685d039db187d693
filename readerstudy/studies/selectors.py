"""Reads of studies, shaped for a role."""

from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from readerstudy.accounts.models import User
from readerstudy.studies.models import Membership, Study

COORDINATOR = Membership.Role.COORDINATOR
READER = Membership.Role.READER
PRINCIPAL_INVESTIGATOR = Membership.Role.PRINCIPAL_INVESTIGATOR

TABS = (
    ("design", "Design", "", (COORDINATOR, PRINCIPAL_INVESTIGATOR)),
    ("people", "People", "people", (COORDINATOR, PRINCIPAL_INVESTIGATOR)),
    ("processing", "Processing", "processing", (COORDINATOR,)),
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
    if study.arms.count() < 2:
        missing.append("it has fewer than two arms")
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


def next_step(study: Study, membership: Membership) -> NextStep:
    """What this person does next in the study."""
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
        if membership.role in roles
    ]


def life(study: Study) -> list[dict[str, Any]]:
    """The states of a study's life, and where it stands."""
    states = Study.State.values
    now = states.index(study.state)
    return [{"word": word, "past": place < now, "now": place == now} for place, word in enumerate(states)]
