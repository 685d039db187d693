"""Log in, log out, choose a password."""

import re
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from readerstudy.accounts.models import User
from readerstudy.accounts.services import change_own_password, create_user, one_time_password
from readerstudy.faults import Refusal
from tests.readerstudy.builders import PASSWORD, logged_in, make_user

pytestmark = pytest.mark.django_db


def test_login_leads_to_my_studies_and_logout_back():
    user = make_user()
    client = Client()
    assert client.get("/").headers["Location"] == "/login?next=/"
    response = client.post("/login", {"username": user.username, "password": PASSWORD})
    assert response.headers["Location"] == "/"
    assert "My studies" in client.get("/").content.decode()
    assert client.get("/login").headers["Location"] == "/"
    assert client.post("/logout").headers["Location"] == "/login"
    assert client.get("/").status_code == 302


def test_login_goes_where_the_person_wanted_to_and_nowhere_else():
    user = make_user()
    sent = {"username": user.username, "password": PASSWORD}
    assert Client().post("/login", {**sent, "next": "/password"}).headers["Location"] == "/password"
    assert Client().post("/login", {**sent, "next": "https://elsewhere.example/"}).headers["Location"] == "/"


def test_a_wrong_name_and_a_wrong_password_look_alike():
    user = make_user()
    pages = [
        Client().post("/login", {"username": name, "password": "wrong"}).content.decode()
        for name in (user.username, "nobody")
    ]
    pages = [re.sub(r'value="[^"]*"', "", page) for page in pages]
    assert "do not match" in pages[0]
    assert pages[0] == pages[1]


def test_logging_out_is_no_link():
    assert logged_in(make_user()).get("/logout").status_code == 405


@pytest.mark.parametrize(
    ("current", "new", "words"),
    [
        ("wrong", "a quiet green hill", "current password is not right"),
        (PASSWORD, PASSWORD, "is the current one"),
        (PASSWORD, "short", "too short"),
        (PASSWORD, "password123", "too common"),
    ],
)
def test_a_password_is_refused_in_words(current, new, words):
    user = make_user()
    with pytest.raises(Refusal, match=words):
        change_own_password(user=user, current=current, new=new)
    assert User.objects.get(pk=user.pk).check_password(PASSWORD)


def test_a_changed_password_keeps_this_session_and_ends_the_others():
    user = make_user()
    here, there = Client(), Client()
    for client in (here, there):
        client.post("/login", {"username": user.username, "password": PASSWORD})
    sent = {"current": PASSWORD, "new": "a quiet green hill", "again": "a quiet green hile"}
    assert here.post("/password", sent).status_code == 409
    sent["again"] = sent["new"]
    assert here.post("/password", sent).status_code == 302
    assert here.get("/").status_code == 200
    assert there.get("/").status_code == 302


def test_one_time_passwords_are_unmistakable_and_never_the_same():
    drawn = {one_time_password() for _ in range(200)}
    assert len(drawn) == 200
    assert all(re.fullmatch(r"([a-hjkmnp-z2-9]{4}-){3}[a-hjkmnp-z2-9]{4}", one) for one in drawn)


def test_a_login_name_is_taken_once_whatever_its_case():
    create_user(username="J.Lee", password="x")
    with pytest.raises(Refusal, match="is taken"):
        create_user(username="j.lee", password="x")


def test_nothing_is_shown_in_a_frame_and_scripts_come_from_here_alone():
    headers = Client().get("/login").headers
    assert "script-src 'self'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Frame-Options"] == "DENY"


def test_whoever_runs_the_server_makes_the_first_login_and_helps_with_a_lost_password():
    out = StringIO()
    call_command("create_person", "c.reyes", "--display-name", "Carla Reyes", "--may-create-studies", stdout=out)
    user = User.objects.get(username="c.reyes")
    assert (str(user), user.may_create_studies, user.must_change_password) == ("Carla Reyes", True, True)
    assert user.check_password(out.getvalue().split()[-1])
    out = StringIO()
    call_command("new_password", "c.reyes", stdout=out)
    user.refresh_from_db()
    assert user.check_password(out.getvalue().split()[-1])
    with pytest.raises(CommandError, match=r"c\.reyes is taken"):
        call_command("create_person", "c.reyes")
    with pytest.raises(CommandError, match="Nobody has the login name “nobody”") as refusal:
        call_command("new_password", "nobody")
    assert refusal.value.returncode == 1
