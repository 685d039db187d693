"""Two complete studies, every role of both, every address: what is not somebody's is not there (404)."""

import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import URLResolver, get_resolver, reverse

from readerstudy.audit.models import Event
from readerstudy.studies.models import Membership
from tests.readerstudy.builders import BuiltStudy, logged_in, make_study, make_user, to_state

pytestmark = pytest.mark.django_db

COORDINATOR, READER, INVESTIGATOR = "coordinator", "reader", "principal-investigator"
STAFF = {COORDINATOR, INVESTIGATOR}

VIEWS: dict[str, set[str]] = {
    "studies:design": STAFF,
    "studies:people": STAFF,
    "studies:add-subjects": {COORDINATOR},
    "studies:remove-subject": {COORDINATOR},
    "studies:begin-preparing": {COORDINATOR},
    "studies:criteria": {COORDINATOR},
    "studies:settings": {COORDINATOR},
    "studies:arms": {COORDINATOR},
    "studies:add-person": {COORDINATOR},
    "studies:create-login": {COORDINATOR},
    "studies:remove-person": {COORDINATOR},
    "processing:page": {COORDINATOR},
    "processing:status": {COORDINATOR},
    "processing:retry": {COORDINATOR},
    "processing:cancel": {COORDINATOR},
    "processing:remove-file": {COORDINATOR},
    "processing:preview": {COORDINATOR},
    "processing:lineage": {COORDINATOR},
    "processing:measurements": {COORDINATOR},
    "processing:overlay": {COORDINATOR},
    "processing:dicom-object": {COORDINATOR},
    "processing:correct-structure": {COORDINATOR},
    "processing:shift-levels": {COORDINATOR},
    "processing:count": {COORDINATOR},
    "blinding:release": {COORDINATOR},
    "blinding:unblind": {INVESTIGATOR},
    "reading:readers": STAFF,
    "reading:lock": {INVESTIGATOR},
    "reading:start": {READER},
    "reading:read": {READER},
    "reading:api-study": {READER},
    "reading:api-sessions": {READER},
    "reading:api-presentation": {READER},
    "reading:api-frame": {READER},
    "reading:api-open": {READER},
    "reading:api-grades": {READER},
    "reading:api-comment": {READER},
    "reading:api-sign-off": {READER},
    "results:results": STAFF,
    "results:download": STAFF,
}
"""Every address of a study, and whose it is."""

POST_ONLY = {
    "studies:add-subjects", "studies:remove-subject", "studies:begin-preparing", "studies:add-person",
    "studies:create-login", "studies:remove-person", "processing:retry", "processing:cancel",
    "processing:remove-file", "processing:correct-structure", "processing:shift-levels", "processing:count",
    "reading:api-sessions",
    "reading:api-open", "reading:api-grades", "reading:api-comment", "reading:api-sign-off",
}  # fmt: skip

OTHER_ARGUMENTS: dict[str, Any] = {
    "subject_id": uuid.UUID(int=1),
    "sequence_id": uuid.UUID(int=1),
    "job_id": uuid.UUID(int=1),
    "raw_file_id": uuid.UUID(int=1),
    "series_id": uuid.UUID(int=1),
    "membership_id": 0,
    "structure_id": 0,
    "token": "x" * 43,
    "number": 0,
    "name": "table3.csv",
}


def addresses(patterns: list[Any], namespace: str = "") -> Iterator[tuple[str, list[str]]]:
    """Name and arguments of every address."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from addresses(pattern.url_patterns, pattern.namespace or namespace)
        else:
            yield f"{namespace}:{pattern.name}", list(pattern.pattern.converters)


STUDY_ADDRESSES = {
    name: arguments for name, arguments in addresses(get_resolver().url_patterns) if "study_id" in arguments
}


@pytest.fixture(autouse=True)
def built_front_end(settings: Any, tmp_path: Path) -> None:
    """The pages name the built front end; its manifest alone is enough here."""
    names = ("reading", "intake", "measurements", "results")
    entries = {f"src/{name}/main.ts": {"file": f"assets/{name}-0.js"} for name in names}
    (tmp_path / "manifest.json").write_text(json.dumps(entries))
    settings.FRONTEND_BUILD = tmp_path


@pytest.fixture
def studies() -> tuple[BuiltStudy, BuiltStudy]:
    return make_study(name="Study one"), make_study(name="Study two")


def by_role(built: BuiltStudy) -> dict[str, Any]:
    return {
        COORDINATOR: built.coordinator,
        READER: built.readers[0],
        INVESTIGATOR: built.principal_investigator,
    }


def ask(client: Client, view: str, built: BuiltStudy) -> Any:
    arguments = {name: OTHER_ARGUMENTS[name] for name in STUDY_ADDRESSES[view] if name != "study_id"}
    address = reverse(view, kwargs={"study_id": built.study.pk, **arguments})
    if view in POST_ONLY:
        return client.post(address, data="{}", content_type="application/json")
    return client.get(address)


def test_every_address_of_a_study_says_whose_it_is() -> None:
    assert set(STUDY_ADDRESSES) == set(VIEWS)


def without_token(content: bytes) -> bytes:
    """A page without its form token, which is drawn anew each time."""
    return re.sub(rb'name="csrfmiddlewaretoken" value="[^"]+"', b"", content)


def test_who_is_not_meant_finds_nothing(studies: tuple[BuiltStudy, BuiltStudy]) -> None:
    mine, other = studies
    links = Event.objects.count()
    nobody_s = [
        make_user("stranger"),
        make_user("super", is_superuser=True, may_create_studies=True),
        *by_role(other).values(),
    ]
    found = []
    for role, person in [*by_role(mine).items(), *((None, person) for person in nobody_s)]:
        client = logged_in(person)
        for view in [view for view, roles in VIEWS.items() if role not in roles]:
            response = ask(client, view, mine)
            if response.status_code != 404 or b"Study one" in response.content:
                found.append((view, str(person), response.status_code))
    assert found == []
    assert Event.objects.count() == links


def test_a_study_that_is_another_s_looks_like_one_that_does_not_exist(studies: tuple[BuiltStudy, BuiltStudy]) -> None:
    mine, other = studies
    client = logged_in(other.coordinator)
    theirs = {view: ask(client, view, mine) for view in VIEWS}
    mine.study.pk = uuid.UUID(int=9)
    for view, their in theirs.items():
        nobody_s = ask(client, view, mine)
        assert their.status_code == nobody_s.status_code == 404, view
        assert without_token(their.content) == without_token(nobody_s.content), view


def test_nobody_learns_anything_without_a_login(studies: tuple[BuiltStudy, BuiltStudy]) -> None:
    mine, _ = studies
    client = logged_in(None)
    for view in VIEWS:
        response = ask(client, view, mine)
        if response.status_code == 302:
            assert response.headers["Location"].startswith(reverse("accounts:login")), view
        else:
            assert response.status_code in (401, 403, 404), view
        assert b"Study one" not in response.content, view


def test_who_is_meant_finds_it(studies: tuple[BuiltStudy, BuiltStudy]) -> None:
    mine, _ = studies
    for role, person in by_role(mine).items():
        client = logged_in(person)
        for view in [view for view, roles in VIEWS.items() if role in roles]:
            if STUDY_ADDRESSES[view] == ["study_id"] and view not in POST_ONLY:
                assert ask(client, view, mine).status_code in (200, 302, 409), (role, view)


def test_a_closed_login_is_nobody(studies: tuple[BuiltStudy, BuiltStudy]) -> None:
    mine, _ = studies
    client = logged_in(mine.coordinator)
    mine.coordinator.is_active = False
    mine.coordinator.save()
    assert ask(client, "studies:design", mine).status_code == 302


def test_who_was_taken_out_finds_nothing_any_more(studies: tuple[BuiltStudy, BuiltStudy]) -> None:
    mine, _ = studies
    client = logged_in(mine.principal_investigator)
    assert ask(client, "studies:design", mine).status_code == 200
    Membership.objects.get(study=mine.study, user=mine.principal_investigator).delete()
    assert ask(client, "studies:design", mine).status_code == 404


def test_readers_have_no_staff_page_in_any_state(studies: tuple[BuiltStudy, BuiltStudy]) -> None:
    mine, _ = studies
    client = logged_in(mine.readers[0])
    for state in ("draft", "preparing", "reading", "locked", "unblinded"):
        to_state(mine, state)
        for view in VIEWS:
            if READER not in VIEWS[view]:
                assert ask(client, view, mine).status_code == 404, (state, view)


def test_each_person_s_list_has_the_own_studies_once(studies: tuple[BuiltStudy, BuiltStudy]) -> None:
    mine, _ = studies
    for person in mine.everybody:
        content = logged_in(person).get("/").content.decode()
        assert content.count("Study one") == 1
        assert "Study two" not in content
    content = logged_in(make_user("super", is_superuser=True)).get("/").content.decode()
    assert "Study one" not in content
    assert "Study two" not in content
