"""Processes of the running application die in the midst of their work: nothing is lost, nothing is recorded twice."""

import hashlib
import http.client
import os
import signal
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

from readerstudy.intake.folder import BLOCK_BYTES
from tests.acceptance.raw_files import RawPair
from tests.acceptance.running import (
    StudyAtWork,
    descendants,
    inside,
    processes,
    running,
    wait_until,
)
from tests.application import Application, free_port, runs

HEARTBEAT_SECONDS = 15
"""Silence after which a worker's job is queued again; the default is longer than a test should wait."""
VARIABLES = {"READERSTUDY_HEARTBEAT_TIMEOUT": str(HEARTBEAT_SECONDS)}


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    with running(tmp_path_factory.mktemp("faults") / "state", **VARIABLES) as started:
        yield started


def kill(process_ids: list[int]) -> None:
    """kill -9, as the kernel does it when memory runs out."""
    assert process_ids
    for process_id in process_ids:
        os.kill(process_id, signal.SIGKILL)


def stopped_in_mid_job(
    application: Application, raw: RawPair, *, also_fast: bool = True
) -> tuple[StudyAtWork, list[int]]:
    """A study of whose jobs the worker has taken the one of Standard, while that of Fast waits behind it, and the
    process that computes it, which is made to stand still: a small job would be over before anything could happen."""
    wait_until(lambda: processes(application, "job"), seconds=60, says="the process that computes")
    # One that stands still while it imports never takes a job.
    wait_until(
        lambda: all(waits_for_work(process_id) for process_id in processes(application, "job")),
        seconds=180,
        says="the process that computes, with all that it imports",
    )
    study = StudyAtWork(application, sequence=raw.sequence)
    computing = processes(application, "job")
    for process_id in computing:
        os.kill(process_id, signal.SIGSTOP)
    study.upload(raw.standard, "Standard")
    wait_until(lambda: study.is_running("Standard"), seconds=60, says="the job in its midst")
    if also_fast:
        # Only now: files are checked side by side, and of two that come together the smaller one is often first.
        study.upload(raw.fast, "Fast")
        wait_until(lambda: study.is_queued("Fast"), seconds=60, says="the other job, behind it")
    return study, computing


def waits_for_work(process_id: int) -> bool:
    """Whether a process has loaded torch and sleeps, using no processor time for a second."""
    folder = Path(f"/proc/{process_id}")

    def seen() -> tuple[str, str, str]:
        state, *numbers = (folder / "stat").read_text().rpartition(")")[2].split()
        return state, numbers[10], numbers[11]

    if "libtorch_cpu" not in (folder / "maps").read_text():
        return False
    before = seen()
    time.sleep(1)
    return before[0] == "S" and seen() == before


def nothing_waits(application: Application, study: StudyAtWork) -> bool:
    return inside(application, "state", study=study.id)["waiting"] == 0


def test_recon_worker_killed_in_mid_job(application: Application, raw: RawPair):
    study, computing = stopped_in_mid_job(application, raw)
    kill(processes(application, "recon worker"))
    application.wait_for("recon worker ended unexpectedly and is started again")
    assert not any(runs(process_id) for process_id in computing), "it ends with its worker"
    wait_until(study.finished, seconds=180, says="the series, by another attempt")
    jobs = study.check_recorded_once()
    assert {name: (job["attempt"], job["lost_attempts"]) for name, job in jobs.items()} == {
        "Standard": (2, 1),
        "Fast": (1, 0),
        "finishing": (1, 0),
    }
    assert nothing_waits(application, study)


def test_queue_killed_in_mid_job(application: Application, raw: RawPair):
    study, computing = stopped_in_mid_job(application, raw)
    kill(processes(application, "queue"))
    application.wait_for("queue (Valkey) ended unexpectedly and is started again")
    for process_id in computing:
        os.kill(process_id, signal.SIGCONT)
    wait_until(study.finished, seconds=180, says="the series")
    jobs = study.check_recorded_once()
    assert {job["lost_attempts"] for job in jobs.values()} == {0}, "the worker went on all the while"
    wait_until(lambda: nothing_waits(application, study), seconds=60, says="an empty queue")


def test_light_worker_killed_with_its_hands_full(application: Application, raw: RawPair):
    """It holds messages that nobody delivers again soon; what the database says is open is sent again."""
    study, computing = stopped_in_mid_job(application, raw, also_fast=False)
    light = processes(application, "light worker")
    for process_id in light:
        os.kill(process_id, signal.SIGSTOP)
    for process_id in computing:
        os.kill(process_id, signal.SIGCONT)
    study.upload(raw.fast, "Fast")
    kill(light)
    application.wait_for("light worker (records) ended unexpectedly and is started again")
    wait_until(study.finished, seconds=240, says="the series", every=1)
    study.check_recorded_once()
    wait_until(lambda: nothing_waits(application, study), seconds=60, says="an empty queue")


def half_an_upload(study: StudyAtWork, content: bytes) -> tuple[str, int, http.client.HTTPConnection]:
    """An upload whose connection holds still after about half; its address and the bytes that have arrived."""
    half = len(content) // 2 // BLOCK_BYTES * BLOCK_BYTES
    location = study.coordinator.begin_upload(study.metadata("Standard"), len(content))
    connection = http.client.HTTPConnection("localhost", study.application.port)
    connection.putrequest("PATCH", urllib.parse.urlparse(location).path)
    for name, value in study.coordinator.upload_headers(offset=0, length=len(content)).items():
        connection.putheader(name, value)
    connection.endheaders(content[:half])
    wait_until(lambda: study.coordinator.offset(location) == half, seconds=30, says="half of the file")
    return location, half, connection


def test_web_killed_in_mid_upload(application: Application, raw: RawPair):
    study = StudyAtWork(application, sequence=raw.sequence)
    content = raw.standard.read_bytes()
    location, half, connection = half_an_upload(study, content)
    kill(processes(application, "web"))
    application.wait_for("web server ended unexpectedly and is started again")
    wait_until(lambda: answers(application), seconds=60, says="the web server")
    connection.close()
    assert study.coordinator.offset(location) == half, "what had arrived is there, and the login still holds"
    study.coordinator.send_part(location, offset=half, body=content[half:])
    study.upload(raw.fast, "Fast")
    wait_until(study.finished, seconds=120, says="the series")
    study.check_recorded_once()
    received = inside(application, "received", study=study.id)
    assert received["Standard"] == hashlib.sha256(content).hexdigest()


def answers(application: Application) -> bool:
    try:
        return application.health() == b"ok"
    except OSError:
        return False


def test_everything_killed_and_started_again_at_once(tmp_path: Path, raw: RawPair):
    state = tmp_path / "state"
    first = Application(state, free_port(), **VARIABLES)
    first.wait_until_ready()
    study, _ = stopped_in_mid_job(first, raw)
    other = StudyAtWork(first, sequence=raw.sequence)
    content = raw.standard.read_bytes()
    location, half, connection = half_an_upload(other, content)
    left = descendants(first.process.pid)
    kill([first.process.pid])
    first.process.wait()

    second = Application(state, first.port, **VARIABLES)
    try:
        second.wait_until_ready()
        connection.close()
        assert not any(runs(process_id) for process_id in left), "nothing of the first run is left"
        assert other.coordinator.offset(location) == half
        other.coordinator.send_part(location, offset=half, body=content[half:])
        study.application = second
        wait_until(study.finished, seconds=180, says="the series, by another attempt")
        study.check_recorded_once()
        whole = {"Standard": hashlib.sha256(content).hexdigest()}
        wait_until(
            lambda: inside(second, "received", study=other.id) == whole, seconds=30, says="the other study's file"
        )
        wait_until(lambda: nothing_waits(second, study), seconds=60, says="an empty queue")
        assert len(processes(second, "recon worker")) == 1
        assert len(processes(second, "queue")) == 1
    finally:
        assert second.stop() == 0
