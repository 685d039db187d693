"""The tus protocol as a client sees it: nothing that was acknowledged is lost, nothing wrong is kept."""

import base64
import hashlib
import threading
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from readerstudy.accounts.models import User
from readerstudy.intake import folder, services
from readerstudy.intake.models import Upload
from readerstudy.studies.models import Acquisition, Membership, Study
from tests.readerstudy.processing.small_study import SmallStudy, messages, small_study, uuid_of

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def small(db) -> SmallStudy:
    return small_study()


@pytest.fixture
def client_of(client: Client, small: SmallStudy) -> Client:
    client.force_login(small.coordinator)
    return client


def metadata(small: SmallStudy, **changes: str) -> str:
    said = {
        "study": str(small.study.id),
        "subject": str(small.subjects[0].id),
        "sequence": str(small.sequences[0].id),
        "acquisition": str(small.standard.id),
        "filename": "S01_t1.h5",
    } | changes
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in said.items())


def create(client: Client, small: SmallStudy, length: int = len(CONTENT), **changes: str) -> Any:
    headers = {
        "Tus-Resumable": "1.0.0",
        "Upload-Length": str(length),
        "Upload-Metadata": metadata(small, **changes),
    }
    return client.post("/api/uploads/", headers=headers)


def patch(client: Client, location: str, offset: int, content: bytes, **headers: str) -> Any:
    return client.patch(
        location,
        data=content,
        content_type="application/offset+octet-stream",
        headers={"Tus-Resumable": "1.0.0", "Upload-Offset": str(offset), **headers},
    )


def head(client: Client, location: str) -> Any:
    return client.head(location, headers={"Tus-Resumable": "1.0.0"})


def sha256_header(content: bytes) -> str:
    return "sha256 " + base64.b64encode(hashlib.sha256(content).digest()).decode()


def test_options_name_version_and_extensions(client_of: Client):
    answer = client_of.options("/api/uploads/")
    assert answer.status_code == 204
    assert answer["Tus-Version"] == "1.0.0"
    assert set(answer["Tus-Extension"].split(",")) == {"creation", "checksum", "expiration", "termination"}
    assert answer["Tus-Checksum-Algorithm"] == "sha256"


def test_upload_goes_on_from_half(client_of: Client, small: SmallStudy, django_capture_on_commit_callbacks):
    messages("light")
    made = create(client_of, small)
    assert made.status_code == 201
    location = made["Location"]
    assert made["Upload-Expires"].endswith("GMT")
    half = len(CONTENT) // 2
    first = patch(client_of, location, 0, CONTENT[:half])
    assert (first.status_code, first["Upload-Offset"]) == (204, str(half))

    asked = head(client_of, location)
    assert (asked["Upload-Offset"], asked["Upload-Length"]) == (str(half), str(len(CONTENT)))
    assert asked["Cache-Control"] == "no-store"

    with django_capture_on_commit_callbacks(execute=True):
        second = patch(client_of, location, half, CONTENT[half:])
    assert (second.status_code, second["Upload-Offset"]) == (204, str(len(CONTENT)))
    upload = Upload.objects.get(id=uuid_of(location))
    assert upload.state == Upload.State.CHECKING
    assert folder.path_of(upload.id).read_bytes() == CONTENT
    sent = messages("light")
    assert [(each["name"], each["upload"]) for each in sent] == [("intake.accept", str(upload.id))]


def test_what_lies_on_the_disk_is_the_truth_after_a_crash(client_of: Client, small: SmallStudy):
    """Bytes arrived, the process died before the row followed: HEAD says what is there, PATCH goes on from it."""
    location = create(client_of, small)["Location"]
    folder.path_of(uuid_of(location)).write_bytes(CONTENT[:1000])
    assert head(client_of, location)["Upload-Offset"] == "1000"
    assert patch(client_of, location, 1000, CONTENT[1000:]).status_code == 204
    assert folder.path_of(uuid_of(location)).read_bytes() == CONTENT


def test_wrong_offset_is_a_conflict_and_loses_nothing(client_of: Client, small: SmallStudy):
    location = create(client_of, small)["Location"]
    patch(client_of, location, 0, CONTENT[:100])
    for offset in (0, 99, 101):
        answer = patch(client_of, location, offset, b"x" * 50)
        assert answer.status_code == 409
    assert folder.path_of(uuid_of(location)).read_bytes() == CONTENT[:100]


def test_changed_part_is_taken_back(client_of: Client, small: SmallStudy):
    location = create(client_of, small)["Location"]
    patch(client_of, location, 0, CONTENT[:100], **{"Upload-Checksum": sha256_header(CONTENT[:100])})
    wrong = patch(client_of, location, 100, b"x" * 50, **{"Upload-Checksum": sha256_header(CONTENT[100:150])})
    assert wrong.status_code == 460
    assert head(client_of, location)["Upload-Offset"] == "100"
    right = patch(client_of, location, 100, CONTENT[100:150], **{"Upload-Checksum": sha256_header(CONTENT[100:150])})
    assert right["Upload-Offset"] == "150"
    assert folder.path_of(uuid_of(location)).read_bytes() == CONTENT[:150]


def test_half_a_checked_part_does_not_count_after_a_crash(client_of: Client, small: SmallStudy):
    """Killed in the middle of a part with a checksum: nobody ever compared those bytes."""
    location = create(client_of, small)["Location"]
    patch(client_of, location, 0, CONTENT[:100])
    path = folder.path_of(uuid_of(location))
    path.write_bytes(CONTENT[:100] + b"never compared")
    path.with_name(path.name + folder.MARK_SUFFIX).write_text("100")
    assert head(client_of, location)["Upload-Offset"] == "100"
    assert patch(client_of, location, 100, CONTENT[100:]).status_code == 204
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "value", ["md5 AAAA", "sha256 not-base64!", "sha256 " + base64.b64encode(b"short").decode(), "sha256"]
)
def test_checksum_that_cannot_be_used_is_refused(client_of: Client, small: SmallStudy, value: str):
    location = create(client_of, small)["Location"]
    assert patch(client_of, location, 0, b"abc", **{"Upload-Checksum": value}).status_code == 400
    assert head(client_of, location)["Upload-Offset"] == "0"


def test_second_writer_waits(client_of: Client, small: SmallStudy):
    location = create(client_of, small)["Location"]
    inside, finish = threading.Event(), threading.Event()

    def slow_block(most: int) -> bytes:
        if inside.is_set():
            finish.wait(10)
            return b""
        inside.set()
        return CONTENT[:100]

    def first_writer() -> None:
        with folder.locked(uuid_of(location)) as arriving:
            arriving.append(slow_block, most=len(CONTENT))

    writer = threading.Thread(target=first_writer)
    writer.start()
    assert inside.wait(10)
    assert patch(client_of, location, 0, CONTENT).status_code == 423
    finish.set()
    writer.join()
    assert folder.path_of(uuid_of(location)).read_bytes() == CONTENT[:100]
    assert patch(client_of, location, 100, CONTENT[100:]).status_code == 204


def test_more_bytes_than_announced_are_refused(client_of: Client, small: SmallStudy):
    location = create(client_of, small, length=10)["Location"]
    assert patch(client_of, location, 0, b"x" * 11).status_code == 413
    assert head(client_of, location)["Upload-Offset"] == "0"


def test_terminated_upload_is_gone_with_its_bytes(
    client_of: Client, small: SmallStudy, django_capture_on_commit_callbacks
):
    location = create(client_of, small)["Location"]
    patch(client_of, location, 0, CONTENT[:100])
    with django_capture_on_commit_callbacks(execute=True):
        assert client_of.delete(location, headers={"Tus-Resumable": "1.0.0"}).status_code == 204
    assert not folder.path_of(uuid_of(location)).exists()
    assert head(client_of, location).status_code == 410
    assert patch(client_of, location, 100, CONTENT[100:]).status_code == 410
    assert client_of.delete(location, headers={"Tus-Resumable": "1.0.0"}).status_code == 410


def test_upload_that_nobody_goes_on_with_expires(
    client_of: Client, small: SmallStudy, django_capture_on_commit_callbacks
):
    location = create(client_of, small)["Location"]
    kept = create(client_of, small, acquisition=str(small.fast.id))["Location"]
    patch(client_of, location, 0, CONTENT[:100])
    Upload.objects.filter(id=uuid_of(location)).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert head(client_of, location).status_code == 410
    with django_capture_on_commit_callbacks(execute=True):
        assert services.expire_uploads() == 1
    assert not folder.path_of(uuid_of(location)).exists()
    assert Upload.objects.get(id=uuid_of(location)).state == Upload.State.EXPIRED
    assert head(client_of, location).status_code == 410
    assert head(client_of, kept).status_code == 200


def test_each_part_puts_the_expiry_off(client_of: Client, small: SmallStudy):
    location = create(client_of, small)["Location"]
    soon = timezone.now() + timedelta(minutes=5)
    Upload.objects.filter(id=uuid_of(location)).update(expires_at=soon)
    patch(client_of, location, 0, CONTENT[:100])
    assert Upload.objects.get(id=uuid_of(location)).expires_at > soon + timedelta(hours=1)


def test_newer_upload_for_the_same_place_ends_the_older(
    client_of: Client, small: SmallStudy, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        older = create(client_of, small)["Location"]
    with django_capture_on_commit_callbacks(execute=True):
        newer = create(client_of, small)["Location"]
    assert head(client_of, older).status_code == 410
    assert not folder.path_of(uuid_of(older)).exists()
    assert head(client_of, newer).status_code == 200


def test_orphaned_bytes_are_removed(small: SmallStudy):
    left = folder.path_of(UUID(int=7))
    folder.create(UUID(int=7))
    assert services.expire_uploads() == 0
    assert left.exists(), "it may be an upload that begins at this moment"
    import os

    os.utime(left, (0, 0))
    services.expire_uploads()
    assert not left.exists()


class TestRights:
    def test_logged_out(self, client: Client, small: SmallStudy):
        assert create(client, small).status_code == 401

    def test_somebody_elses_study_is_not_there(self, client: Client, client_of: Client, small: SmallStudy):
        location = create(client_of, small)["Location"]
        other = small_study(name="Other")
        client.force_login(other.coordinator)
        assert create(client, small).status_code == 404
        assert head(client, location).status_code == 404
        assert patch(client, location, 0, CONTENT).status_code == 404
        assert client.delete(location, headers={"Tus-Resumable": "1.0.0"}).status_code == 404
        # ... and a place of another study in one's own does not work either
        assert create(client, other, acquisition=str(small.standard.id)).status_code == 404

    @pytest.mark.parametrize("role", ["reader", "principal-investigator"])
    def test_other_roles_get_404(self, client: Client, small: SmallStudy, role: str):
        person = User.objects.create_user(username="person", password="four words in a row")
        Membership.objects.create(study=small.study, user=person, role=role)
        client.force_login(person)
        assert create(client, small).status_code == 404

    @pytest.mark.parametrize("state", ["reading", "locked", "unblinded"])
    def test_released_study_takes_no_file(self, client_of: Client, small: SmallStudy, state: str):
        location = create(client_of, small)["Location"]
        Study.objects.filter(id=small.study.id).update(state=state, plan_hash="0" * 64)
        assert create(client_of, small).status_code == 404
        assert patch(client_of, location, 0, CONTENT).status_code == 404

    def test_cross_site_request_is_refused(self, small: SmallStudy):
        client = Client(enforce_csrf_checks=True)
        client.force_login(small.coordinator)
        assert create(client, small).status_code == 403


class TestMalformed:
    @pytest.mark.parametrize("length", ["", "-1", "1.5", "nan", "9" * 30])
    def test_length(self, client_of: Client, small: SmallStudy, length: str):
        headers = {"Tus-Resumable": "1.0.0", "Upload-Length": length, "Upload-Metadata": metadata(small)}
        assert client_of.post("/api/uploads/", headers=headers).status_code == 400

    def test_version(self, client_of: Client, small: SmallStudy):
        headers = {"Upload-Length": "3", "Upload-Metadata": metadata(small)}
        assert client_of.post("/api/uploads/", headers=headers).status_code == 412

    def test_metadata(self, client_of: Client, small: SmallStudy):
        headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "3", "Upload-Metadata": "study no-base64"}
        assert client_of.post("/api/uploads/", headers=headers).status_code == 400

    @pytest.mark.parametrize("study", ["", "x", "00000000-0000-0000-0000-000000000000"])
    def test_unknown_study(self, client_of: Client, small: SmallStudy, study: str):
        assert create(client_of, small, study=study).status_code == 404

    def test_unknown_place(self, client_of: Client, small: SmallStudy):
        assert create(client_of, small, subject="x").status_code == 404

    def test_content_type(self, client_of: Client, small: SmallStudy):
        location = create(client_of, small)["Location"]
        headers = {"Tus-Resumable": "1.0.0", "Upload-Offset": "0"}
        answer = client_of.patch(location, data=b"abc", content_type="application/octet-stream", headers=headers)
        assert answer.status_code == 415


class TestSize:
    def test_empty_file(self, client_of: Client, small: SmallStudy):
        answer = create(client_of, small, length=0)
        assert answer.status_code == 422
        assert answer.json()["message"] == "S01_t1.h5 is empty (0 bytes)."
        assert not Upload.objects.exists()

    def test_larger_than_the_limit(self, client_of: Client, small: SmallStudy):
        answer = create(client_of, small, length=settings.UPLOAD_LIMIT_BYTES + 1)
        assert answer.status_code == 413
        assert "takes files up to" in answer.json()["message"]

    def test_larger_than_the_disk(self, client_of: Client, small: SmallStudy, settings):
        settings.UPLOAD_LIMIT_BYTES = 10**18
        answer = create(client_of, small, length=10**17)
        assert answer.status_code == 507
        assert "disk has room for" in answer.json()["message"]
        assert not Upload.objects.exists()


@pytest.mark.parametrize(
    ("said", "kept"),
    [("../../etc/passwd", "passwd"), ("C:\\data\\a.dat", "a.dat"), ("ä b.h5", "ä b.h5"), ("a\x00b\nc", "abc")],
)
def test_file_name_is_shown_and_never_a_path(client_of: Client, small: SmallStudy, said: str, kept: str):
    location = create(client_of, small, filename=said)["Location"]
    assert Upload.objects.get(id=uuid_of(location)).file_name == kept


def test_acquisition_of_another_study_is_not_a_place(client_of: Client, small: SmallStudy):
    stray = Acquisition.objects.create(study=Study.objects.create(name="x", plan={}), name="Stray", order=0)
    assert create(client_of, small, acquisition=str(stray.id)).status_code == 404
