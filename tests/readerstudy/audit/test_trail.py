"""The trail is a chain that the database refuses to change and the check finds changed."""

import json
import uuid
from io import StringIO
from itertools import pairwise

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from readerstudy.audit import triggers
from readerstudy.audit.models import Event
from readerstudy.audit.services import NO_PREVIOUS_HASH, chains, first_broken_link, link_hash, record
from tests.readerstudy.builders import make_user

pytestmark = pytest.mark.django_db

STUDY = uuid.UUID(int=7)
OTHER = uuid.UUID(int=8)


@pytest.fixture
def chain():
    actor = make_user()
    for number in range(5):
        record(study=STUDY, actor=actor, action="studies.subjects_added", details={"number": number, "what": "é ×"})
        record(study=OTHER, actor=None, action="processing.done")
    return list(Event.objects.filter(study=STUDY).order_by("index"))


@pytest.fixture
def unprotected():
    """What only the owner of the database could do: the triggers are gone."""
    triggers.remove(connection)
    yield
    triggers.install(connection)


def check():
    """Exit code, standard output and standard error of `verify_audit`."""
    out, err = StringIO(), StringIO()
    try:
        call_command("verify_audit", stdout=out, stderr=err)
    except SystemExit as stop:
        return stop.code, out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


def test_a_chain_begins_at_nothing_and_goes_on_without_gaps(chain):
    assert [event.index for event in chain] == [0, 1, 2, 3, 4]
    assert chain[0].previous_hash == NO_PREVIOUS_HASH
    for earlier, later in pairwise(chain):
        assert later.previous_hash == earlier.hash
    assert first_broken_link(STUDY) is None
    assert first_broken_link(OTHER) is None


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_event SET action = 'studies.renamed'",
        "UPDATE audit_event SET hash = hash",
        "DELETE FROM audit_event",
        'DELETE FROM audit_event WHERE "index" = 4',
    ],
)
def test_the_database_refuses_to_change_the_trail(chain, statement):
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert check()[0] == 0


def test_the_models_are_refused_too(chain):
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        chain[2].save()
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        chain[2].delete()
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        Event.objects.filter(study=STUDY).update(actor=None)


@pytest.mark.skipif("connection.vendor != 'postgresql'", reason="TRUNCATE exists on PostgreSQL only")
def test_truncate_is_refused(chain):
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # else its own pending checks refuse first
        cursor.execute("TRUNCATE audit_event")


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ({"action": "studies.renamed"}, 2),
        ({"details": {"number": 3, "what": "é ×"}}, 2),
        ({"actor": None}, 2),
        ({"previous_hash": NO_PREVIOUS_HASH}, 2),
        ({"index": 9}, 2),
        ({"study": OTHER, "index": 99}, 2),
    ],
)
def test_a_changed_link_is_found(chain, unprotected, change, broken):
    Event.objects.filter(pk=chain[2].pk).update(**change)
    assert first_broken_link(STUDY) == broken


def test_a_changed_time_is_found(chain, unprotected):
    Event.objects.filter(pk=chain[2].pk).update(at=chain[1].at)
    assert first_broken_link(STUDY) == 2


def test_a_link_that_was_changed_and_hashed_anew_breaks_the_next_one(chain, unprotected):
    link = chain[2]
    link.details = {"number": 9}
    link.hash = link_hash(link)
    link.save()
    assert first_broken_link(STUDY) == 3


def test_a_removed_link_is_found(chain, unprotected):
    chain[1].delete()
    assert first_broken_link(STUDY) == 1


def test_a_link_cut_off_the_end_is_found_by_the_head_that_was_noted(chain, unprotected):
    noted = f"{STUDY}:{chain[-1].hash}"
    call_command("verify_audit", "--noted", noted, stdout=StringIO())
    chain[-1].delete()
    assert first_broken_link(STUDY) is None
    error = StringIO()
    with pytest.raises(SystemExit) as stop:
        call_command("verify_audit", "--noted", noted, stdout=StringIO(), stderr=error)
    assert stop.value.code == 1
    assert "cut or replaced" in error.getvalue()


def test_verify_audit_says_in_one_sentence_which_chain_is_broken(chain, unprotected):
    Event.objects.filter(pk=chain[3].pk).update(action="nothing")
    code, out, error = check()
    assert code == 1
    assert error.strip() == (
        f"The audit chain of study {STUDY} is broken at link 3: "
        "that link or one before it was changed, removed or added outside the application."
    )
    assert str(OTHER) in out
    assert str(STUDY) not in out


def test_verify_audit_prints_the_heads_of_whole_chains(chain):
    code, out, error = check()
    assert (code, error) == (0, "")
    assert f"{STUDY}:{chain[-1].hash}  whole, 5 links" in out
    assert {one.study for one in chains()} == {STUDY, OTHER}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(
        alphabet=st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12
    ) | st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(details=st.dictionaries(st.sampled_from(["name", "from", "to"]), json_values))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_recorded_comes_back_from_the_database_as_it_was_hashed(details):
    event = record(study=STUDY, actor=None, action="studies.test", details=details)
    stored = Event.objects.get(pk=event.pk)
    assert link_hash(stored) == event.hash
    assert stored.details == json.loads(json.dumps(details))


def test_numbers_that_json_does_not_have_are_refused():
    with pytest.raises(ValueError, match="JSON compliant"):
        record(study=STUDY, actor=None, action="studies.test", details={"seconds": float("nan")})
    assert not Event.objects.exists()


def test_what_is_rolled_back_leaves_no_link():
    class Stop(Exception):
        pass

    with pytest.raises(Stop), transaction.atomic():
        record(study=STUDY, actor=None, action="studies.test")
        raise Stop
    assert not Event.objects.exists()
    assert record(study=STUDY, actor=None, action="studies.test").index == 0
