"""The reader's API as a browser meets it."""

import json
import uuid

import numpy as np
import pytest
from django.test import Client

from readerstudy import storage
from readerstudy.accounts.models import User
from readerstudy.blinding.models import Seal
from readerstudy.reading import services
from readerstudy.reading.models import Grade, Presentation, Session
from tests.readerstudy.reading.study_rows import grade_all, make_study, read_everything


def logged_in(user: User | None) -> Client:
    client = Client(raise_request_exception=False)
    if user is not None:
        client.force_login(user)
    return client


def address(rows, path: str) -> str:
    return f"/api/reading/{rows.study.pk}/{path}"


def post(client: Client, url: str, content: object):
    return client.post(url, json.dumps(content), content_type="application/json")


def test_study_holds_the_allow_list_and_nothing_else(rows):
    content = logged_in(rows.readers[0]).get(address(rows, "study")).json()
    assert list(content) == [
        "study", "criteria", "keys", "rules", "length", "sequences", "presentations", "seconds_per_series",
    ]  # fmt: skip
    assert {key for one in content["criteria"] for key in one} == {"id", "name", "minimum", "maximum", "anchors"}
    assert {key for one in content["presentations"] for key in one} == {"token", "position", "sequence", "signed_off"}
    assert {key for one in content["sequences"] for key in one} == {"name", "length", "signed_off"}
    assert content["rules"] == {"allow_back": True}
    assert content["length"] == 8
    assert [one["position"] for one in content["presentations"]] == list(range(1, 9))
    assert content["seconds_per_series"] is None


def test_presentation_holds_the_allow_list_and_nothing_else(rows):
    presentation = rows.presentations(rows.readers[0])[0]
    content = logged_in(rows.readers[0]).get(address(rows, f"presentations/{presentation.token}")).json()
    assert list(content) == [
        "token", "rows", "columns", "slices", "spacing_mm", "window", "edges", "sequence", "position", "length",
        "grades", "comment", "signed_off",
    ]  # fmt: skip
    assert len(content["spacing_mm"]) == 2
    assert list(content["edges"]) == ["left", "right", "top", "bottom"]


def test_frames_are_the_pixels_that_were_made_and_exactly_their_bytes(rows):
    client = logged_in(rows.readers[0])
    presentation = rows.presentations(rows.readers[0])[0]
    series = Seal.objects.get(readable=presentation.series).series
    with storage.open_file(f"{series.path}/frames.u16") as file:
        made = np.frombuffer(file.read(), "<u2").reshape(series.slices, series.rows, series.columns)
    for number in range(series.slices):
        answer = client.get(address(rows, f"presentations/{presentation.token}/frames/{number}"))
        assert answer.status_code == 200
        assert answer["Content-Type"] == "application/octet-stream"
        assert len(answer.content) == series.rows * series.columns * 2 == int(answer["Content-Length"])
        assert np.array_equal(np.frombuffer(answer.content, "<u2").reshape(series.rows, series.columns), made[number])
    for outside in (series.slices, series.slices + 1, 10**9, 10**30):
        assert client.get(address(rows, f"presentations/{presentation.token}/frames/{outside}")).status_code == 404
    assert client.get(address(rows, f"presentations/{presentation.token}/frames/-1")).status_code == 404


def test_headers_of_every_answer_forbid_keeping_and_tell_nothing(rows):
    client = logged_in(rows.readers[0])
    token = rows.presentations(rows.readers[0])[0].token
    paths = ["study", f"presentations/{token}", f"presentations/{token}/frames/0", f"presentations/{token}/frames/99",
             "presentations/unknown", "presentations/unknown/frames/0"]  # fmt: skip
    for path in paths:
        answer = client.get(
            address(rows, path), HTTP_ACCEPT_ENCODING="gzip, br, zstd", HTTP_IF_NONE_MATCH="*", HTTP_RANGE="bytes=0-9"
        )
        assert answer["Cache-Control"] == "private, no-store"
        for header in ("ETag", "Last-Modified", "Content-Encoding", "Content-Disposition", "Accept-Ranges"):
            assert header not in answer
    for page in ("start", "read"):
        answer = client.get(f"/studies/{rows.study.pk}/{page}")
        assert "no-store" in answer["Cache-Control"]
        assert "ETag" not in answer


def test_a_whole_read_through_the_api(rows):
    reader = rows.readers[0]
    client = logged_in(reader)
    post(client, address(rows, "sessions"), {"display": {"rendering": "cpu"}})
    assert Session.objects.get().display == {"rendering": "cpu"}
    assert post(client, address(rows, "sessions"), {"display": {"browser": "a\x00b"}}).status_code == 400
    token = client.get(address(rows, "study")).json()["presentations"][0]["token"]
    seen = []
    while token:
        seen.append(token)
        base = address(rows, f"presentations/{token}")
        assert client.get(base).status_code == 200
        for criterion in rows.criteria:
            grade = {"id": str(uuid.uuid4()), "criterion": str(criterion.pk), "value": 1, "cannot_grade": "",
                     "reason": ""}  # fmt: skip
            first = post(client, f"{base}/grades", grade)
            assert (first.status_code, first.json()) == (201, {"saved": True})
            again = post(client, f"{base}/grades", grade)
            assert (again.status_code, again.json()) == (200, {"saved": True})
        assert post(client, f"{base}/comment", {"text": "fine"}).status_code == 201
        token = post(client, f"{base}/sign-off", {}).json()["next"]
    assert seen == [one.token for one in rows.presentations(reader)]
    assert Grade.objects.filter(presentation__reader=reader).count() == len(seen) * len(rows.criteria)
    assert client.get(address(rows, "study")).json()["seconds_per_series"] is not None


def test_series_ahead_are_loaded_but_not_opened_and_later_ones_are_not_even_loaded(rows):
    client = logged_in(rows.readers[0])
    tokens = [one.token for one in rows.presentations(rows.readers[0])]
    status = [client.get(address(rows, f"presentations/{token}")).status_code for token in tokens]
    frames = [client.get(address(rows, f"presentations/{token}/frames/0")).status_code for token in tokens]
    assert status == frames == [200, 200, 200, 200, 409, 409, 409, 409]
    opened = Presentation.objects.filter(first_opened_at__isnull=False)
    assert [one.token for one in opened] == tokens[:1]
    assert post(client, address(rows, f"presentations/{tokens[1]}/open"), {}).status_code == 409
    answer = client.get(address(rows, f"presentations/{tokens[4]}")).json()
    assert set(answer) == {"message", "action"}


def test_a_signed_off_series_is_opened_again(rows):
    client = logged_in(rows.readers[0])
    presentation = rows.presentations(rows.readers[0])[0]
    grade_all(presentation, rows.criteria)
    services.sign_off(presentation=presentation)
    content = client.get(address(rows, f"presentations/{presentation.token}")).json()
    assert content["signed_off"] is True
    assert len(content["grades"]) == 3


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"id": "no uuid", "criterion": "no uuid", "value": "no number"},
        {"id": str(uuid.uuid4()), "criterion": str(uuid.uuid4()), "value": 3.5},
        {"id": str(uuid.uuid4()), "criterion": str(uuid.uuid4()), "value": 10**30},
        {"id": str(uuid.uuid4()), "criterion": str(uuid.uuid4()), "value": 3, "cannot_grade": "<b>"},
        [],
        "text",
    ],
)
def test_malformed_requests_get_400_in_one_form_without_an_echo(rows, content):
    client = logged_in(rows.readers[0])
    token = rows.presentations(rows.readers[0])[0].token
    answer = post(client, address(rows, f"presentations/{token}/grades"), content)
    assert answer.status_code == 400
    assert {"message", "action"} <= set(answer.json())
    assert b"<b>" not in answer.content and b"no uuid" not in answer.content
    assert not Grade.objects.exists()


def test_what_is_no_json_gets_400(rows):
    client = logged_in(rows.readers[0])
    token = rows.presentations(rows.readers[0])[0].token
    for body, kind in ((b"{", "application/json"), (b"value=3", "application/x-www-form-urlencoded")):
        answer = client.post(address(rows, f"presentations/{token}/grades"), body, content_type=kind)
        assert answer.status_code == 400
        assert {"message", "action"} <= set(answer.json())


def test_options_describe_nothing(rows):
    client = logged_in(rows.readers[0])
    presentations = rows.presentations(rows.readers[0])
    answers = {
        (answer.status_code, answer.content)
        for token in (presentations[0].token, presentations[-1].token, "unknown")
        for answer in [client.options(address(rows, f"presentations/{token}"))]
    }
    assert len(answers) == 1
    assert answers.pop()[0] == 405


def test_unknown_query_parameters_change_nothing(rows):
    client = logged_in(rows.readers[0])
    plain = client.get(address(rows, "study")).content
    for query in ("ordering=token", "arm=Fast", "format=api", "page=2", "search=x", "fields=arm", "limit=1"):
        assert client.get(address(rows, f"study?{query}")).content == plain


def test_cross_site_posts_are_refused(rows):
    client = Client(enforce_csrf_checks=True)
    client.force_login(rows.readers[0])
    token = rows.presentations(rows.readers[0])[0].token
    answer = post(client, address(rows, f"presentations/{token}/sign-off"), {})
    assert answer.status_code == 403
    assert "CSRF" in answer.json()["message"]


def every_address(rows, token: str) -> list[tuple[str, str, object]]:
    base = f"presentations/{token}"
    grade = {"id": str(uuid.uuid4()), "criterion": str(rows.criteria[0].pk), "value": 3}
    return [
        ("get", "study", None),
        ("post", "sessions", {"display": {}}),
        ("get", base, None),
        ("get", f"{base}/frames/0", None),
        ("post", f"{base}/open", {}),
        ("post", f"{base}/grades", grade),
        ("post", f"{base}/comment", {"text": "x"}),
        ("post", f"{base}/sign-off", {}),
    ]


@pytest.mark.parametrize("who", ["coordinator", "investigator", "reader elsewhere", "superuser", "stranger"])
def test_what_is_not_theirs_is_not_there(rows, who):
    other = make_study(series=False)
    user = {
        "coordinator": rows.coordinator,
        "investigator": rows.investigator,
        "reader elsewhere": other.readers[0],
        "superuser": User.objects.create_superuser(username="root", password="-"),
        "stranger": User.objects.create_user(username="stranger", password="-"),
    }[who]
    client = logged_in(user)
    for method, path, content in every_address(rows, rows.presentations(rows.readers[0])[0].token):
        url = address(rows, path)
        answer = client.get(url) if method == "get" else post(client, url, content)
        missing = f"/api/reading/{uuid.uuid4()}/{path}"
        nowhere = client.get(missing) if method == "get" else post(client, missing, content)
        assert answer.status_code == 404, path
        assert answer.content == nowhere.content, "a study that exists and one that does not look the same"
    for page in ("start", "read"):
        assert client.get(f"/studies/{rows.study.pk}/{page}").status_code == 404
    assert not Grade.objects.exists() and not Session.objects.exists()


def test_readers_see_nothing_of_each_other(rows):
    client = logged_in(rows.readers[1])
    for method, path, content in every_address(rows, rows.presentations(rows.readers[0])[0].token)[2:]:
        url = address(rows, path)
        answer = client.get(url) if method == "get" else post(client, url, content)
        unknown = address(rows, path.replace(path.split("/")[1], "A" * 43))
        nowhere = client.get(unknown) if method == "get" else post(client, unknown, content)
        assert answer.status_code == nowhere.status_code == 404
        assert answer.content == nowhere.content
    own = client.get(address(rows, "study")).json()["presentations"]
    theirs = {one.token for one in rows.presentations(rows.readers[0])}
    assert not theirs & {one["token"] for one in own}


def test_the_series_token_is_no_address(rows):
    """A series' own token is equal for all readers; only the presentation's token opens anything."""
    client = logged_in(rows.readers[0])
    for presentation in rows.presentations(rows.readers[0])[:3]:
        assert client.get(address(rows, f"presentations/{presentation.series_id}")).status_code == 404
        assert client.get(address(rows, f"presentations/{presentation.series_id}/frames/0")).status_code == 404


def test_without_a_session_every_address_answers_the_same(rows):
    client = logged_in(None)
    for method, path, content in every_address(rows, rows.presentations(rows.readers[0])[0].token):
        for url in (address(rows, path), f"/api/reading/{uuid.uuid4()}/{path}"):
            answer = client.get(url) if method == "get" else post(client, url, content)
            assert answer.status_code == 401
            assert "Log in again" in answer.json()["message"]
            assert answer["Cache-Control"] == "private, no-store"
    for page in ("start", "read", "readers", "release", "lock", "unblind"):
        assert client.get(f"/studies/{rows.study.pk}/{page}").status_code == 302


def test_readers_have_no_staff_page(rows):
    client = logged_in(rows.readers[0])
    for page in ("readers", "release", "lock", "unblind"):
        assert client.get(f"/studies/{rows.study.pk}/{page}").status_code == 404
        if page != "readers":
            assert client.post(f"/studies/{rows.study.pk}/{page}").status_code == 404


def test_a_deactivated_reader_is_out(rows):
    client = logged_in(rows.readers[0])
    User.objects.filter(pk=rows.readers[0].pk).update(is_active=False)
    assert client.get(address(rows, "study")).status_code == 401


def test_after_the_lock_no_image_is_served(rows):
    token = rows.presentations(rows.readers[0])[0].token
    read_everything(rows)
    services.lock(study=rows.study, actor=rows.investigator)
    client = logged_in(rows.readers[0])
    for path in (f"presentations/{token}", f"presentations/{token}/frames/0"):
        assert client.get(address(rows, path)).status_code == 409


def test_lost_frames_are_said_in_words(rows):
    presentation = rows.presentations(rows.readers[0])[0]
    storage.remove(f"reading/{presentation.series_id}")
    answer = logged_in(rows.readers[0]).get(address(rows, f"presentations/{presentation.token}/frames/0"))
    assert answer.status_code == 409
    assert answer.json()["message"] == "The images cannot be loaded at the moment."
