"""Jobs over a real queue: events in order and by contract, and nothing lost when a process is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from recon_worker import contracts
from recon_worker.store import Store
from tests.recon_worker.orders import acquisition_order, files_below, finishing_order, storage
from tests.recon_worker.queue_server import QueueServer, Web, Worker, wait_for


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return storage(tmp_path_factory.mktemp("tasks") / "storage")


@pytest.fixture(scope="module")
def folder(store: Store) -> Path:
    return Path(store.url.removeprefix("file://"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QueueServer]:
    server = QueueServer(tmp_path_factory.mktemp("queue") / "data")
    server.start()
    yield server
    server.close()


@pytest.fixture
def web(server: QueueServer) -> Iterator[Web]:
    web = Web(server.url)
    yield web
    web.close()


@pytest.fixture(scope="module")
def worker(server: QueueServer, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    worker = Worker(server.url, store.url, tmp_path_factory.mktemp("log") / "steady.log")
    yield worker
    worker.stop()


def new_job() -> str:
    return str(uuid.uuid4())


def test_importing_the_tasks_is_quick_and_touches_no_torch():
    said = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, recon_worker.tasks\nprint({'torch', 'numpy', 'scipy', 'h5py'} & set(sys.modules))",
        ],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": ""},
    )
    assert said.stdout == "set()\n"


def test_a_subject_goes_through_both_jobs(web, worker, store, folder):
    jobs = {name: new_job() for name in ("standard", "fast")}
    for name, job in jobs.items():
        web.send("acquisition", job, acquisition_order(store, f"raw/{name}", job=job))
    volumes = []
    for job in jobs.values():
        events = web.until("done", job)
        for event in events:
            contracts.check("event", event)
            assert event["attempt"] == 1
        assert next(event["event"] for event in events if event["job"] == job) == "started"
        volumes.append(events[-1]["payload"]["volumes"][0])

    job = new_job()
    web.send("finishing", job, finishing_order(volumes, acquisitions=[0, 1], job=job))
    done = web.until("done", job)[-1]
    contracts.check("event", done)
    for series in done["payload"]["series"]:
        for file in series["files"]:
            assert store.sha256(file["path"]) == file["sha256"]


def test_a_bad_file_fails_in_words_and_the_next_job_goes_on(web, worker, store, folder):
    (folder / "raw/broken").write_bytes((folder / "raw/fast").read_bytes()[:30_000])
    bad, good = new_job(), new_job()
    web.send("acquisition", bad, acquisition_order(store, "raw/broken", job=bad))
    web.send("acquisition", good, acquisition_order(store, "raw/fast", job=good))
    failed = web.until("failed", bad)[-1]
    contracts.check("event", failed)
    assert failed["payload"]["responsibility"] == "file"
    assert failed["payload"]["message"].endswith(".") and failed["payload"]["action"].endswith(".")
    web.until("done", good)
    assert not (folder / f"work/{bad}").exists()


def test_an_order_against_the_contract_is_our_failure(web, worker, store):
    job = new_job()
    order = acquisition_order(store, "raw/fast", job=job)
    order["raw"]["path"] = "../../etc/passwd"
    web.send("acquisition", job, order)
    failed = web.until("failed", job)[-1]
    contracts.check("event", failed)
    assert failed["payload"]["responsibility"] == "ours"
    assert "$.raw.path" in failed["payload"]["detail"]


def test_the_heartbeat_goes_on_while_a_job_is_silent_and_never_too_often(web, worker, store):
    job = new_job()
    child = worker.child()
    os.kill(child, signal.SIGSTOP)
    web.send("acquisition", job, acquisition_order(store, "raw/fast", job=job))
    web.until("started", job)
    began = time.monotonic()
    beat = web.until("progress", job, seconds=10)[-1]
    assert 0.4 < time.monotonic() - began < 10
    contracts.check("event", beat)
    os.kill(child, signal.SIGCONT)
    web.until("done", job)


def test_a_worker_that_is_told_to_stop_gives_its_job_back_at_once(web, worker, server, store, folder, tmp_path):
    """The other worker has it long before the visibility timeout (here eleven minutes)."""
    worker.stop()
    first = Worker(server.url, store.url, tmp_path / "first.log")
    os.kill(first.child(), signal.SIGSTOP)
    job = new_job()
    web.send("acquisition", job, acquisition_order(store, "raw/fast", job=job))
    web.until("started", job)
    began = time.monotonic()
    first.stop()
    assert time.monotonic() - began < 10
    second = Worker(server.url, store.url, tmp_path / "second.log")
    try:
        events = web.until("done", job)
        assert [event["event"] for event in events if event["event"] in ("started", "done")] == ["started", "done"]
    finally:
        second.stop()


def test_a_job_whose_worker_is_killed_is_delivered_again_and_done(web, server, store, folder, tmp_path):
    first = Worker(server.url, store.url, tmp_path / "killed.log", time_limit=4)
    child = first.child()
    os.kill(child, signal.SIGSTOP)  # in mid-task for as long as it lives
    job = new_job()
    before = files_below(folder)
    web.send("acquisition", job, acquisition_order(store, "raw/fast", job=job))
    web.until("started", job)
    first.kill()
    wait_for(lambda: not Path(f"/proc/{child}").exists() or "Z" in state(child), seconds=5)
    assert files_below(folder) == before

    second = Worker(server.url, store.url, tmp_path / "after.log", time_limit=4)
    try:
        events = web.until("done", job)
        assert [event["event"] for event in events].count("done") == 1
        assert store.exists(events[-1]["payload"]["volumes"][0]["path"])
    finally:
        second.stop()


def state(process: int) -> str:
    return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]


def test_queued_jobs_survive_the_death_of_the_queue(web, server, store, tmp_path):
    jobs = [new_job() for _ in range(3)]
    for job in jobs:
        web.send("acquisition", job, acquisition_order(store, "raw/fast", job=job))
    web.close()
    server.kill()
    server.start()
    worker = Worker(server.url, store.url, tmp_path / "survivor.log")
    again = Web(server.url)
    try:
        for job in jobs:
            again.until("done", job)
    finally:
        again.close()
        worker.stop()


def test_a_job_in_hand_is_reported_although_the_queue_died_meanwhile(web, server, store, tmp_path):
    worker = Worker(server.url, store.url, tmp_path / "patient.log")
    child = worker.child()
    os.kill(child, signal.SIGSTOP)
    job = new_job()
    web.send("acquisition", job, acquisition_order(store, "raw/fast", job=job))
    web.until("started", job)
    web.close()
    server.kill()
    os.kill(child, signal.SIGCONT)
    time.sleep(1)
    server.start()
    again = Web(server.url)
    try:
        again.until("done", job)
        another = new_job()
        again.send("acquisition", another, acquisition_order(store, "raw/fast", job=another))
        again.until("done", another)
    finally:
        again.close()
        worker.stop()


def test_a_worker_without_storage_says_so(server, tmp_path):
    environment = {**os.environ, "REDIS_URL": server.url}
    environment.pop("STORAGE_URL", None)
    said = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "recon_worker.tasks", "worker", "--pool", "solo"],
        capture_output=True,
        text=True,
        env=environment,
        timeout=30,
    )
    assert said.returncode != 0
    assert "STORAGE_URL is not set" in said.stderr
