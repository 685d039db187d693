"""Parts through a real socket: streamed to the disk, kept when the line breaks."""

import http.client
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client

from readerstudy.intake import folder, services
from readerstudy.intake.models import Upload
from tests.readerstudy.processing.small_study import SmallStudy, small_study

LARGE = 64 * 1024**2
BLOCK = bytes(1024**2)
TOKEN = "a" * 32


@pytest.fixture
def small(transactional_db) -> SmallStudy:
    return small_study()


@pytest.fixture
def upload(small: SmallStudy) -> Iterator[Upload]:
    made = services.create_upload(
        study=small.study,
        subject=small.subjects[0],
        sequence=small.sequences[0],
        acquisition=small.standard,
        uploader=small.coordinator,
        file_name="large.h5",
        length=LARGE,
    )
    yield made
    folder.remove(made.id)


@pytest.fixture
def begin_patch(live_server, small: SmallStudy, upload: Upload, client: Client) -> Callable[[int], socket.socket]:
    """Opens a connection and sends the head of a PATCH; the test sends the body."""
    client.force_login(small.coordinator)
    session = client.cookies[settings.SESSION_COOKIE_NAME].value

    def begin(offset: int) -> socket.socket:
        line = socket.create_connection((live_server.thread.host, live_server.thread.port), timeout=30)
        line.sendall(
            (
                f"PATCH /api/uploads/{upload.id} HTTP/1.1\r\nHost: localhost\r\nTus-Resumable: 1.0.0\r\n"
                f"Upload-Offset: {offset}\r\nContent-Type: application/offset+octet-stream\r\n"
                f"Content-Length: {LARGE - offset}\r\nConnection: close\r\n"
                f"Cookie: {settings.SESSION_COOKIE_NAME}={session}; csrftoken={TOKEN}\r\nX-CSRFToken: {TOKEN}\r\n\r\n"
            ).encode()
        )
        return line

    return begin


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def status_of(line: socket.socket) -> int:
    answer = http.client.HTTPResponse(line)
    answer.begin()
    return answer.status


def wait_until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_large_part_stays_out_of_memory(upload: Upload, begin_patch):
    with begin_patch(0) as line:
        line.sendall(BLOCK)
        wait_until(lambda: folder.size(upload.id) >= len(BLOCK))
        before = most = resident_bytes()
        for _ in range(LARGE // len(BLOCK) - 1):
            line.sendall(BLOCK)
            most = max(most, resident_bytes())
        assert status_of(line) == 204
    assert folder.size(upload.id) == LARGE
    assert most - before < 8 * 1024**2
    upload.refresh_from_db()
    assert upload.state == Upload.State.CHECKING


def test_broken_line_keeps_what_arrived(upload: Upload, begin_patch):
    with begin_patch(0) as line:
        line.sendall(BLOCK * 3)
        wait_until(lambda: folder.size(upload.id) >= len(BLOCK))
        assert folder.is_busy(upload.id)
        with begin_patch(0) as second:
            assert status_of(second) == 423, "two writers at once"
    wait_until(lambda: not folder.is_busy(upload.id))
    arrived = folder.size(upload.id)
    assert len(BLOCK) <= arrived <= 3 * len(BLOCK)
    with begin_patch(arrived) as line:
        for start in range(arrived, LARGE, len(BLOCK)):
            line.sendall(BLOCK[: LARGE - start])
        assert status_of(line) == 204
    assert folder.size(upload.id) == LARGE
