"""The coordinator's pages do what they say, in plain forms, and say what is wrong where it is wrong."""

import re

import pytest
from django.urls import reverse

from readerstudy.accounts.models import User
from readerstudy.studies.models import Study
from readerstudy.studies.selectors import next_step
from tests.readerstudy.builders import logged_in, make_study, make_user, to_state

pytestmark = pytest.mark.django_db


@pytest.fixture
def built():
    return make_study(subjects=0)


@pytest.fixture
def client(built):
    return logged_in(built.coordinator)


def address(name, built, *more):
    return reverse(f"studies:{name}", args=[built.study.pk, *more])


def test_a_study_is_created_from_the_preset():
    coordinator = make_user(may_create_studies=True)
    client = logged_in(coordinator)
    assert "lumbar-spine-fast" in client.get("/studies/new").content.decode()
    response = client.post("/studies/new", {"name": "Knee", "preset": "lumbar-spine-fast"}, follow=True)
    study = Study.objects.get(name="Knee")
    assert response.redirect_chain[-1][0] == f"/studies/{study.pk}/"
    assert study.memberships.get().user == coordinator
    refused = client.post("/studies/new", {"name": "Hip", "preset": "nothing"})
    assert refused.status_code == 409
    assert "There is no preset “nothing”." in refused.content.decode()
    assert 'value="Hip"' in refused.content.decode()


def test_creating_is_not_there_for_others():
    for person in (make_user(), make_user(is_superuser=True)):
        client = logged_in(person)
        assert client.get("/studies/new").status_code == 404
        assert client.post("/studies/new", {"name": "Knee", "preset": "lumbar-spine-fast"}).status_code == 404
        assert "/studies/new" not in client.get("/").content.decode()
    assert not Study.objects.exists()


def test_subjects_from_a_range_to_preparing(built, client):
    page = client.get(address("design", built)).content.decode()
    assert "Before preparing: it has no subject." in page
    refused = client.post(address("add-subjects", built), {"codes": "S01-S03, S02", "protocol": ""})
    assert refused.status_code == 409
    assert "The code S02 is given twice." in refused.content.decode()
    assert 'value="S01-S03, S02"' in refused.content.decode()
    protocol = built.study.protocols.get(name="neuroradiology")
    client.post(address("add-subjects", built), {"codes": "S01-S03", "protocol": protocol.pk})
    assert [(one.code, one.protocol) for one in built.study.subjects.all()] == [
        ("S01", protocol), ("S02", protocol), ("S03", protocol),
    ]  # fmt: skip
    client.post(address("remove-subject", built, built.study.subjects.get(code="S02").pk))
    assert built.study.subjects.count() == 2
    client.post(address("begin-preparing", built))
    assert Study.objects.get(pk=built.study.pk).state == "preparing"


def test_another_study_s_subject_and_person_are_not_there(built, client):
    other = make_study(name="Another")
    assert client.post(address("remove-subject", built, other.subjects[0].pk)).status_code == 404
    theirs = other.study.memberships.first()
    assert client.post(address("remove-person", built, theirs.pk)).status_code == 404
    assert other.study.subjects.count() == 2
    assert other.study.memberships.filter(pk=theirs.pk).exists()


def fields(page):
    """What a browser would send for the inputs of a page."""
    inputs = re.findall(r'<input[^>]*name="(criterion-[^"]+)"[^>]*value="([^"]*)"', page)
    return dict(inputs)


def test_criteria_are_edited_and_what_was_entered_stays_on_refusal(built, client):
    sent = fields(client.get(address("criteria", built)).content.decode())
    assert len(sent) == 5 * 4 + 2 + 5
    snr = built.study.criteria.get(name="Apparent SNR")
    sent[f"criterion-{snr.pk}-5"] = "As good as it gets"
    sent[f"criterion-{snr.pk}-margin"] = "0.5"
    refused = client.post(address("criteria", built), sent)
    assert refused.status_code == 409
    assert fields(refused.content.decode())[f"criterion-{snr.pk}-5"] == "As good as it gets"
    sent[f"criterion-{snr.pk}-margin"] = "-0.3"
    assert client.post(address("criteria", built), sent).status_code == 302
    snr.refresh_from_db()
    assert (snr.margin, snr.anchors["5"]) == ("-0.3", "As good as it gets")
    page = client.get(address("design", built)).content.decode()
    assert "As good as it gets" in page
    assert "−0.3" in page


@pytest.mark.parametrize(
    ("sent", "attribute", "expected"),
    [
        ({"part": "name", "name": "Knee"}, "name", "Knee"),
        (
            {"part": "rules", "order": "blocked", "minimum_distance": "4"},
            "reader_rules",
            {"order": "blocked", "allow_back": False, "minimum_distance": 4},
        ),
        (
            {"part": "rules", "order": "simple", "minimum_distance": "", "allow_back": "yes"},
            "reader_rules",
            {"order": "simple", "allow_back": True},
        ),
    ],
)
def test_settings_are_saved(built, client, sent, attribute, expected):
    assert client.post(address("settings", built), sent).status_code == 302
    assert getattr(Study.objects.get(pk=built.study.pk), attribute) == expected


def test_the_plan_is_saved_or_refused_in_words(built, client):
    sent = {"part": "plan", "alpha": "0,025", "family": "all", "missing": "complete"}
    sent["cannot_grade_image_quality"] = "missing"
    assert client.post(address("settings", built), sent).status_code == 302
    plan = Study.objects.get(pk=built.study.pk).plan
    assert {key: plan[key] for key in ("alpha", "family", "missing")} == {
        "alpha": "0.025", "family": "all", "missing": "complete",
    }  # fmt: skip
    refused = client.post(address("settings", built), {**sent, "alpha": "2"})
    assert refused.status_code == 409
    assert "alpha of the analysis plan is not between 0 and 0.5" in refused.content.decode()
    refused = client.post(address("settings", built), {"part": "rules", "order": "simple", "minimum_distance": "far"})
    assert "The distance is not a whole number." in refused.content.decode()


def test_after_the_release_there_is_nothing_to_edit(built, client):
    to_state(built, "reading")
    page = client.get(address("design", built)).content.decode()
    for word in ("Edit", "Remove", "Add</button>", "Begin preparing"):
        assert word not in page
    assert client.get(address("criteria", built)).status_code == 404
    assert client.get(address("settings", built)).status_code == 404
    refused = client.post(address("add-subjects", built), {"codes": "S09"})
    assert refused.status_code == 409
    assert not built.study.subjects.exists()


def test_people_are_added_and_removed(built, client):
    person = make_user()
    client.post(address("add-person", built), {"username": person.username, "role": "reader"})
    membership = built.study.memberships.get(user=person)
    assert membership.role == "reader"
    refused = client.post(address("add-person", built), {"username": person.username, "role": "coordinator"})
    assert refused.status_code == 409
    assert "is a reader of this study already." in refused.content.decode()
    client.post(address("remove-person", built, membership.pk))
    assert not built.study.memberships.filter(user=person).exists()


def test_the_one_time_password_is_shown_once_and_must_be_changed(built, client):
    sent = {"username": "j.lee", "display_name": "Dr. Lee", "role": "reader"}
    response = client.post(address("create-login", built), sent)
    password = re.search(r"password\">([a-z2-9-]{19})<", response.content.decode())[1]
    assert "no-store" in response.headers["Cache-Control"]
    assert password not in client.get(address("people", built)).content.decode()

    reader = logged_in(None)
    reader.post("/login", {"username": "j.lee", "password": password})
    assert reader.get("/").headers["Location"] == "/password"
    assert reader.get(f"/studies/{built.study.pk}/start").headers["Location"] == "/password"
    assert reader.get(f"/api/reading/{built.study.pk}/study").status_code == 403
    sent = {"current": password, "new": "a quiet green hill", "again": "a quiet green hill"}
    assert reader.post("/password", sent).headers["Location"] == "/"
    assert "A study" in reader.get("/").content.decode()
    assert not User.objects.get(username="j.lee").must_change_password


@pytest.mark.parametrize("state", ["draft", "preparing", "reading", "locked", "unblinded"])
def test_every_page_shows_where_the_study_is_and_what_is_next(built, state):
    to_state(built, state)
    for person in (built.coordinator, built.principal_investigator):
        page = logged_in(person).get(address("people", built)).content.decode()
        assert f'aria-current="step">{state}</li>' in page
        assert re.search(r'class="next"><span class="mute">[^<]{10,}\.</span>', page)


def test_where_files_come_in_the_next_step_is_the_release(built):
    to_state(built, "preparing")
    membership = built.study.memberships.get(user=built.coordinator)
    assert next_step(built.study, membership).address.endswith("/processing")
    assert next_step(built.study, membership, "processing").address == reverse(
        "blinding:release", args=[built.study.pk]
    )


def test_the_tabs_are_those_of_the_role(built):
    def tabs(person):
        page = logged_in(person).get(address("design", built)).content.decode()
        return re.findall(r">(\w+)</a>", page[page.index("<nav") : page.index("</nav>")])

    assert tabs(built.coordinator) == ["Design", "People", "Processing", "Measurements", "Readers", "Results"]
    assert tabs(built.principal_investigator) == ["Design", "People", "Readers", "Results"]
    Study.objects.filter(pk=built.study.pk).update(state=Study.State.UNBLINDED, plan_hash="0" * 64)
    assert "Measurements" in tabs(built.principal_investigator)


def test_simulated_grades_are_labelled_everywhere(built, client):
    from readerstudy.studies.services import mark_grades_simulated

    assert "simulated readers" not in client.get("/").content.decode()
    mark_grades_simulated(study=built.study, actor=built.coordinator)
    for page in ("/", address("design", built), address("people", built)):
        assert "simulated readers" in client.get(page).content.decode()
    assert "simulated readers" in logged_in(built.readers[0]).get("/").content.decode()


def test_no_page_has_inline_scripts_or_handlers(built, client):
    for name in ("design", "criteria", "settings", "people"):
        page = client.get(address(name, built)).content.decode()
        assert "<script" not in page
        assert not re.search(r"\son\w+=", page)


def test_what_people_enter_is_shown_as_text(built, client):
    sent = {"username": "j.lee", "display_name": "<b>Lee</b>", "role": "reader"}
    page = client.post(address("create-login", built), sent).content.decode()
    assert "<b>Lee</b>" not in page
    assert "&lt;b&gt;Lee&lt;/b&gt;" in page
