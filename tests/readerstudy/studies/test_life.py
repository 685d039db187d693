"""A study's life: one step at a time, never back, and nothing of the design moves after the release."""

import hashlib
import itertools
import json

import pytest
from django.db import IntegrityError, transaction

from readerstudy.audit.models import Event
from readerstudy.audit.services import first_broken_link
from readerstudy.faults import Refusal
from readerstudy.studies import amendments, services
from readerstudy.studies.chains import paper_chain
from readerstudy.studies.models import Criterion, Study
from readerstudy.studies.presets import preset
from tests.readerstudy.builders import PRESET, make_study, make_user, to_preparing, to_state

pytestmark = pytest.mark.django_db

STATES = ["draft", "preparing", "reading", "locked", "unblinded"]


def actions(study):
    return list(Event.objects.filter(study=study.pk).order_by("index").values_list("action", flat=True))


def test_a_study_is_what_its_preset_says():
    definition = preset(PRESET)
    study = make_study().study
    assert [row.name for row in study.sequences.all()] == list(definition.sequences)
    assert [(row.name, row.acquisition.name, row.is_reference) for row in study.arms.all()] == [
        (arm.name, arm.acquisition, arm.is_reference) for arm in definition.arms
    ]
    assert [amendments.as_definition(row) for row in study.criteria.all()] == list(definition.criteria)
    for row, protocol in zip(study.protocols.all(), definition.protocols, strict=True):
        stored = {(one.sequence.name, one.acquisition.name): one for one in row.lines.all()}
        assert len(stored) == len(protocol.lines) == 6
        for line in protocol.lines:
            one = stored[line.sequence, line.acquisition]
            assert (one.nex, one.scan_time_seconds, one.parameters) == (
                line.nex,
                line.scan_time_seconds,
                line.parameters,
            )
    assert study.plan == definition.plan
    assert study.reader_rules == {"order": "simple", "allow_back": True}
    assert study.state == "draft"


def test_creating_is_for_those_who_may():
    for person in (make_user(), make_user(is_superuser=True)):
        with pytest.raises(Refusal, match="may not create studies"):
            services.create_study_from_preset(name="A study", preset=PRESET, actor=person)
    assert not Study.objects.exists()
    assert not Event.objects.exists()


@pytest.mark.parametrize("name", [" ", "x" * 201])
def test_a_study_needs_a_short_name(name):
    with pytest.raises(Refusal, match="empty or longer"):
        services.create_study_from_preset(name=name, preset=PRESET, actor=make_user(may_create_studies=True))
    assert not Study.objects.exists()


@pytest.mark.parametrize(("now", "then"), list(itertools.product(STATES, [*STATES, "finished"])))
def test_only_the_next_state_is_taken(now, then):
    built = to_state(make_study(subjects=0, readers=0), now)
    if now == "preparing":
        services.freeze_plan(study=built.study, plan_hash="0" * 64, actor=built.coordinator)
    before = len(actions(built.study))
    if then in STATES and STATES.index(then) == STATES.index(now) + 1:
        services.set_state(study=built.study, state=then, actor=built.coordinator, details={"why": "a test"})
        event = Event.objects.filter(study=built.study.pk).last()
        assert event.action == "studies.state_changed"
        assert event.details == {"from": now, "to": then, "why": "a test"}
        assert built.study.state == Study.objects.get(pk=built.study.pk).state == then
    else:
        with pytest.raises(Refusal, match=f"The study is {now} and cannot become {then}"):
            services.set_state(study=built.study, state=then, actor=built.coordinator)
        assert built.study.state == Study.objects.get(pk=built.study.pk).state == now
        assert len(actions(built.study)) == before


def test_the_state_in_the_database_counts_not_the_one_in_hand():
    built = to_preparing(make_study())
    old = Study.objects.get(pk=built.study.pk)
    to_state(built, "reading")
    with pytest.raises(Refusal, match="The study is reading and cannot become reading"):
        services.set_state(study=old, state="reading", actor=built.coordinator)


def test_reading_needs_a_frozen_plan():
    built = to_preparing(make_study())
    with pytest.raises(Refusal, match="not frozen"):
        services.set_state(study=built.study, state="reading", actor=built.coordinator)
    with pytest.raises(IntegrityError), transaction.atomic():
        Study.objects.filter(pk=built.study.pk).update(state="reading")


def test_a_plan_is_frozen_once_and_enters_the_trail():
    built = to_preparing(make_study())
    services.freeze_plan(study=built.study, plan_hash="a" * 64, actor=built.coordinator)
    event = Event.objects.filter(study=built.study.pk).last()
    assert (event.details["plan"], event.details["sha256"]) == (built.study.plan, "a" * 64)
    compared = event.details["compared"]
    assert [arm["name"] for arm in compared["arms"]] == [arm.name for arm in built.study.arms.all()]
    assert all(arm["chain"] == paper_chain() for arm in compared["arms"])
    assert [one["stored_matrix"] for one in compared["sequences"]] == [None, None, None]
    content = json.dumps(compared, sort_keys=True).encode()
    assert event.details["compared_sha256"] == hashlib.sha256(content).hexdigest()
    with pytest.raises(Refusal, match="frozen already"):
        services.freeze_plan(study=built.study, plan_hash="b" * 64, actor=built.coordinator)
    assert Study.objects.get(pk=built.study.pk).plan_hash == "a" * 64


def test_preparing_needs_subjects_a_reference_and_protocols():
    built = make_study(subjects=0)
    with pytest.raises(Refusal, match="it has no subject"):
        services.begin_preparing(study=built.study, actor=built.coordinator)
    subject = services.add_subject(study=built.study, code="S01", protocol=None, actor=built.coordinator)
    built.study.arms.update(is_reference=False)
    with pytest.raises(Refusal) as refusal:
        services.begin_preparing(study=built.study, actor=built.coordinator)
    assert refusal.value.what == (
        "The study is not ready to be prepared: no arm is the reference, 1 subject has no protocol."
    )
    built.study.arms.filter(name="Standard").update(is_reference=True)
    subject.protocol = built.study.protocols.first()
    subject.save()
    with pytest.raises(Refusal, match="Only a coordinator"):
        services.begin_preparing(study=built.study, actor=built.readers[0])
    services.begin_preparing(study=built.study, actor=built.coordinator)
    assert built.study.state == "preparing"


def changes(built):
    study, actor = built.study, built.coordinator
    protocol = study.protocols.first()
    reader = study.memberships.filter(role="reader").first()
    return {
        "studies.renamed": lambda: amendments.rename_study(study=study, name="Another", actor=actor),
        "studies.criteria_changed": lambda: amendments.change_criteria(
            study=study, margins={"Apparent SNR": "-0.4"}, anchors={"Apparent SNR": {"5": "Best"}}, actor=actor
        ),
        "studies.plan_changed": lambda: amendments.change_plan(study=study, changes={"alpha": "0.025"}, actor=actor),
        "studies.reader_rules_changed": lambda: amendments.change_reader_rules(
            study=study, rules={"order": "blocked", "minimum_distance": 3}, actor=actor
        ),
        "studies.subjects_added": lambda: services.add_subject(study=study, code="S77", protocol=protocol, actor=actor),
        "studies.subject_removed": lambda: services.remove_subject(subject=built.subjects[0], actor=actor),
        "studies.member_removed": lambda: services.remove_member(membership=reader, actor=actor),
        "studies.member_added": lambda: services.add_member(study=study, user=make_user(), role="reader", actor=actor),
    }


CHANGES = [
    "studies.renamed", "studies.criteria_changed", "studies.plan_changed", "studies.reader_rules_changed",
    "studies.subjects_added", "studies.subject_removed", "studies.member_removed", "studies.member_added",
]  # fmt: skip


@pytest.mark.parametrize("action", CHANGES)
@pytest.mark.parametrize("state", ["draft", "preparing"])
def test_every_change_before_the_release_leaves_one_link(state, action):
    built = to_state(make_study(), state)
    before = len(actions(built.study))
    changes(built)[action]()
    assert actions(built.study)[before:] == [action]
    assert Event.objects.filter(study=built.study.pk).last().actor == built.coordinator
    assert first_broken_link(built.study.pk) is None


@pytest.mark.parametrize("action", CHANGES)
def test_nothing_changes_after_the_release(action):
    built = to_state(make_study(), "reading")
    change = changes(built)[action]
    for state in ["reading", "locked", "unblinded"]:
        to_state(built, state)
        before = actions(built.study)
        with pytest.raises(Refusal):
            change()
        assert actions(built.study) == before


@pytest.mark.parametrize("action", CHANGES)
def test_nobody_but_a_coordinator_of_this_study_changes_it(action):
    built = make_study()
    before = actions(built.study)
    for person in [*built.readers, built.principal_investigator, make_user(is_superuser=True)]:
        other = type(built)(built.study, person, built.principal_investigator, built.readers, built.subjects)
        with pytest.raises(Refusal, match="Only a coordinator"):
            changes(other)[action]()
    assert actions(built.study) == before


def test_the_plan_follows_the_criteria():
    built = make_study()
    study = amendments.change_criteria(
        study=built.study, margins={"Apparent SNR": "−0,25"}, anchors={}, actor=built.coordinator
    )
    assert study.plan["criteria"]["Apparent SNR"] == {"scale": [1, 5], "better": "higher", "margin": "-0.25"}
    assert Criterion.objects.get(study=study, name="Apparent SNR").margin == "-0.25"


@pytest.mark.parametrize(
    ("margins", "anchors", "words"),
    [
        ({"Apparent SNR": "0.5"}, {}, "higher grades are better there"),
        ({"Apparent SNR": "0"}, {}, "higher grades are better there"),
        ({"Apparent SNR": "-4"}, {}, "as wide as its scale"),
        ({"Apparent SNR": "half"}, {}, "not a decimal number"),
        ({"Presence of Artifacts": "1"}, {}, "as wide as its scale"),
        ({}, {"Apparent SNR": {"5": " "}}, "The anchor of grade 5 of the criterion Apparent SNR is empty"),
        ({}, {"Apparent SNR": {"6": "Perfect"}}, "do not fit its scale"),
        ({"Sharpness": "-0.5"}, {}, "no criterion “Sharpness”"),
    ],
)
def test_a_wrong_criterion_is_refused_and_nothing_is_changed(margins, anchors, words):
    built = make_study()
    before = list(built.study.criteria.values_list("margin", "anchors")), actions(built.study)
    with pytest.raises(Refusal, match=words):
        amendments.change_criteria(
            study=built.study, margins={"Diagnostic Confidence": "-0.1", **margins}, anchors=anchors,
            actor=built.coordinator,
        )  # fmt: skip
    assert (list(built.study.criteria.values_list("margin", "anchors")), actions(built.study)) == before


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"alpha": "0"}, "alpha"),
        ({"alpha": "a twentieth"}, "alpha"),
        ({"family": "some"}, "family"),
        ({"missing": "ignored"}, "missing"),
        ({"reference_arm": "Fast"}, "not changed in the plan itself"),
    ],
)
def test_a_wrong_plan_is_refused(changes, words):
    built = make_study()
    before = built.study.plan
    with pytest.raises(Refusal, match=words):
        amendments.change_plan(study=built.study, changes=changes, actor=built.coordinator)
    assert Study.objects.get(pk=built.study.pk).plan == before


def test_what_changes_nothing_leaves_no_link():
    built = make_study()
    before = actions(built.study)
    amendments.rename_study(study=built.study, name=" A  study ", actor=built.coordinator)
    amendments.change_criteria(study=built.study, margins={"Apparent SNR": "-0.5"}, anchors={}, actor=built.coordinator)
    amendments.change_plan(study=built.study, changes={"alpha": "0.05"}, actor=built.coordinator)
    amendments.change_reader_rules(study=built.study, rules={"minimum_distance": None}, actor=built.coordinator)
    assert actions(built.study) == before


def test_simulated_grades_are_labelled_for_good():
    built = make_study()
    for _ in range(2):
        services.mark_grades_simulated(study=built.study, actor=built.coordinator)
    assert built.study.has_simulated_grades
    assert actions(built.study).count("studies.grades_marked_simulated") == 1
