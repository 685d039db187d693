"""One role a person, codes and no names, and a database that holds both where the code fails to."""

import pytest
from django.db import IntegrityError, transaction
from hypothesis import given
from hypothesis import strategies as st

from readerstudy.accounts.models import User
from readerstudy.audit.models import Event
from readerstudy.faults import Refusal
from readerstudy.studies import services
from readerstudy.studies.codes import codes_from_text
from readerstudy.studies.models import Acquisition, Arm, Criterion, Membership, Protocol, Sequence, Study, Subject
from tests.readerstudy.builders import make_study, make_user, to_state


@pytest.fixture
def built(db):
    return make_study()


def add(built, user, role):
    return services.add_member(study=built.study, user=user, role=role, actor=built.coordinator)


@pytest.mark.parametrize("role", ["coordinator", "reader", "principal-investigator"])
def test_a_person_has_one_role_in_a_study(built, role):
    before = Event.objects.count()
    with pytest.raises(Refusal) as refusal:
        add(built, built.readers[0], role)
    assert refusal.value.what == f"{built.readers[0]} is a reader of this study already."
    assert Event.objects.count() == before
    with pytest.raises(IntegrityError), transaction.atomic():
        Membership.objects.create(study=built.study, user=built.readers[0], role=role)


def test_the_same_person_may_have_another_role_in_another_study(built):
    other = make_study(name="Another")
    assert add(other, built.readers[0], "principal-investigator").role == "principal-investigator"


def test_an_unknown_role_is_refused_by_service_and_database(built):
    with pytest.raises(Refusal, match="There is no role “owner”"):
        add(built, make_user(), "owner")
    with pytest.raises(IntegrityError), transaction.atomic():
        Membership.objects.create(study=built.study, user=make_user(), role="owner")


def test_a_closed_login_is_not_added(built):
    person = make_user()
    person.is_active = False
    person.save()
    with pytest.raises(Refusal, match="is closed"):
        add(built, person, "reader")


def test_by_login_name_whatever_its_case(built):
    person = make_user("Dr.Lee")
    added = services.add_member_by_username(
        study=built.study, username=f" {person.username.upper()} ", role="reader", actor=built.coordinator
    )
    assert added.user == person
    with pytest.raises(Refusal, match="Nobody has the login name “nobody”"):
        services.add_member_by_username(study=built.study, username="nobody", role="reader", actor=built.coordinator)


def test_a_new_login_has_a_password_for_once(built):
    membership, password = services.create_login(
        study=built.study, username="j.lee", display_name="Dr. Lee", role="reader", actor=built.coordinator
    )
    user = User.objects.get(username="j.lee")
    assert (membership.user, membership.role) == (user, "reader")
    assert user.check_password(password)
    assert user.must_change_password
    assert not user.may_create_studies
    assert password not in str(list(Event.objects.values_list("details", flat=True)))


@pytest.mark.parametrize("username", ["", "a", "dr lee", "x" * 61, "jürgen", "-lee"])
def test_a_login_name_is_plain(built, username):
    with pytest.raises(Refusal):
        services.create_login(
            study=built.study, username=username, display_name="", role="reader", actor=built.coordinator
        )


def test_a_taken_login_name_is_refused_whatever_its_case_and_nothing_is_left(built):
    taken = built.readers[0].username.upper()
    before = User.objects.count(), Event.objects.count()
    with pytest.raises(Refusal, match="is taken"):
        services.create_login(
            study=built.study, username=taken, display_name="", role="reader", actor=built.coordinator
        )
    assert (User.objects.count(), Event.objects.count()) == before


def test_a_login_that_gets_no_role_is_not_made(built):
    to_state(built, "reading")
    with pytest.raises(Refusal, match="Readers cannot join after the release"):
        services.create_login(
            study=built.study, username="late", display_name="", role="reader", actor=built.coordinator
        )
    assert not User.objects.filter(username="late").exists()


def test_staff_may_join_later(built):
    to_state(built, "locked")
    assert add(built, make_user(), "principal-investigator")


def test_the_only_coordinator_stays(built):
    mine = built.study.memberships.get(user=built.coordinator)
    with pytest.raises(Refusal, match="is the only coordinator"):
        services.remove_member(membership=mine, actor=built.coordinator)
    add(built, make_user(), "coordinator")
    services.remove_member(membership=mine, actor=built.coordinator)
    assert not built.study.memberships.filter(user=built.coordinator).exists()


# Subjects


def add_subjects(built, *codes, protocol=None):
    return services.add_subjects(study=built.study, codes=list(codes), protocol=protocol, actor=built.coordinator)


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        (["S10", "S01"], "has a subject S01 already"),
        (["S10", "S10"], "S10 is given twice"),
        (["S10", "Doe, John"], "“Doe, John” cannot be a code"),
        (["S10", "x1" * 11], "cannot be a code"),
        (["S10", "Meier"], "“Meier” cannot be a code"),
        ([], "No code was given"),
        ([f"T{n}" for n in range(501)], "These are 501 codes"),
    ],
)
def test_subjects_are_added_all_or_none(built, codes, words):
    before = built.study.subjects.count(), Event.objects.count()
    with pytest.raises(Refusal, match=words):
        add_subjects(built, *codes)
    assert (built.study.subjects.count(), Event.objects.count()) == before


def test_a_protocol_of_another_study_is_refused(built):
    other = make_study(name="Another")
    with pytest.raises(Refusal, match="not one of this study"):
        add_subjects(built, "S10", protocol=other.study.protocols.first())


def test_a_subject_with_a_file_stays(built):
    from readerstudy.intake.models import RawFile

    subject = built.subjects[0]
    RawFile.objects.create(
        study=built.study,
        subject=subject,
        sequence=built.study.sequences.first(),
        acquisition=built.study.acquisitions.first(),
        path="raw/x",
        file_name="x.h5",
        sha256="0" * 64,
        bytes=1,
    )
    with pytest.raises(Refusal, match="S01 has files already"):
        services.remove_subject(subject=subject, actor=built.coordinator)
    services.remove_subject(subject=built.subjects[1], actor=built.coordinator)
    assert [one.code for one in built.study.subjects.all()] == ["S01"]


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("S01", ["S01"]),
        ("S01, S02;S03\nS04  S05", ["S01", "S02", "S03", "S04", "S05"]),
        ("S01-S03", ["S01", "S02", "S03"]),
        ("S09 – S11", ["S09", "S10", "S11"]),
        ("S08-11", ["S08", "S09", "S10", "S11"]),
        ("07-11", ["07", "08", "09", "10", "11"]),
        ("S8 to S11", ["S8", "S9", "S10", "S11"]),
        ("P-01-P-03, Q7", ["P-01", "P-02", "P-03", "Q7"]),
        ("A-7", ["A-7"]),
        ("12-B3", ["12-B3"]),
        ("", []),
    ],
)
def test_codes_as_people_write_them(text, codes):
    assert codes_from_text(text) == codes


@pytest.mark.parametrize("text", ["S05–S02", "S01–T05", "S1–S9999"])
def test_what_is_no_range_is_refused(text):
    with pytest.raises(Refusal):
        codes_from_text(text)


@given(st.text(max_size=30))
def test_any_text_gives_codes_or_a_refusal(text):
    try:
        codes = codes_from_text(text)
    except Refusal:
        return
    assert all(code and not code.isspace() for code in codes)


# The database holds what the services hold


def first(study, manager):
    return getattr(study, manager).first()


FORBIDDEN = {
    "state": lambda s: Study.objects.filter(pk=s.pk).update(state="finished"),
    "reading without a frozen plan": lambda s: Study.objects.filter(pk=s.pk).update(state="locked"),
    "two sequences of one name": lambda s: Sequence.objects.create(study=s, name="SAG T1", order=9),
    "two acquisitions of one name": lambda s: Acquisition.objects.create(study=s, name="Fast", order=9),
    "two arms of one name": lambda s: Arm.objects.create(
        study=s, name="Fast", order=9, acquisition=s.acquisitions.first()
    ),
    "two reference arms": lambda s: Arm.objects.filter(study=s).update(is_reference=True),
    "more noise taken than there is": lambda s: Arm.objects.filter(study=s, name="Fast").update(noise_reduction="1.5"),
    "two criteria of one name": lambda s: Criterion.objects.create(
        study=s, name="Apparent SNR", order=9, margin="-0.5"
    ),
    "a scale that descends": lambda s: Criterion.objects.filter(study=s).update(scale_minimum=5),
    "two protocols of one name": lambda s: Protocol.objects.create(study=s, name="MSK", order=9),
    "a protocol's line twice": lambda s: first(s, "protocols").lines.create(
        sequence=s.sequences.first(), acquisition=s.acquisitions.first(), nex=1, scan_time_seconds=1
    ),
    "two subjects of one code": lambda s: Subject.objects.create(study=s, code="S01"),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_the_database_refuses(built, what):
    with pytest.raises(IntegrityError), transaction.atomic():
        FORBIDDEN[what](built.study)
