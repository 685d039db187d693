"""Studies for tests, built through the services as the pages do; plain functions, no fixtures.

people = make_study(subjects=2, readers=3)      # draft, from the paper's preset
people.study, people.coordinator, people.principal_investigator, people.readers, people.subjects, people.stranger
to_preparing(people)                             # and on, one step at a time
"""

from dataclasses import dataclass
from itertools import count

from django.test import Client

from readerstudy.accounts.models import User
from readerstudy.statistics.plan import mapping_sha256
from readerstudy.studies import services
from readerstudy.studies.models import Membership, Study, Subject

PASSWORD = "a password for tests"
PRESET = "lumbar-spine-fast"
_number = count(1)


@dataclass(frozen=True)
class BuiltStudy:
    """A study, its people and subjects."""

    study: Study
    coordinator: User
    principal_investigator: User
    readers: list[User]
    subjects: list[Subject]

    @property
    def everybody(self) -> list[User]:
        """All members."""
        return [self.coordinator, self.principal_investigator, *self.readers]


def make_user(name: str = "person", *, may_create_studies: bool = False, is_superuser: bool = False) -> User:
    """A login of its own; the name gets a number."""
    user = User(username=f"{name}-{next(_number)}", may_create_studies=may_create_studies, is_superuser=is_superuser)
    user.is_staff = is_superuser
    user.set_password(PASSWORD)
    user.save()
    return user


def make_study(*, subjects: int = 2, readers: int = 2, name: str = "A study", preset: str = PRESET) -> BuiltStudy:
    """A draft study from a preset with its people and subjects S01, S02 ... (protocols alternate)."""
    coordinator = make_user("coordinator", may_create_studies=True)
    study = services.create_study_from_preset(name=name, preset=preset, actor=coordinator)
    investigator = make_user("investigator")
    services.add_member(study=study, user=investigator, role=Membership.Role.PRINCIPAL_INVESTIGATOR, actor=coordinator)
    reading = [make_user("reader") for _ in range(readers)]
    for reader in reading:
        services.add_member(study=study, user=reader, role=Membership.Role.READER, actor=coordinator)
    protocols = list(study.protocols.all())
    added = [
        services.add_subject(
            study=study, code=f"S{n + 1:02d}", protocol=protocols[n % len(protocols)], actor=coordinator
        )
        for n in range(subjects)
    ]
    return BuiltStudy(study, coordinator, investigator, reading, added)


def to_preparing(built: BuiltStudy) -> BuiltStudy:
    """Draft to preparing."""
    services.begin_preparing(study=built.study, actor=built.coordinator)
    return built


def to_state(built: BuiltStudy, state: str) -> BuiltStudy:
    """On to `state`, one audited step after the other, with the plan frozen; without files, series or grades."""
    states = list(services.LIFE)
    while built.study.state != state:
        following = states[states.index(built.study.state) + 1]
        if following == Study.State.READING and not built.study.plan_hash:
            plan_hash = mapping_sha256(built.study.plan)
            services.freeze_plan(study=built.study, plan_hash=plan_hash, actor=built.coordinator)
        services.set_state(study=built.study, state=following, actor=built.coordinator)
    return built


def logged_in(user: User | None) -> Client:
    """A browser in which this person is logged in; None is nobody."""
    client = Client()
    if user is not None:
        client.force_login(user)
    return client
