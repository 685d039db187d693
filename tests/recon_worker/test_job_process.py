"""A job's process: what happens in it does not happen to the worker."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from recon_worker.job_process import JobProcess, JobStopped, failure_of, is_out_of_memory, memory_limit
from recon_worker.store import Store
from tests.recon_worker.orders import acquisition_order, files_below, storage
from tests.recon_worker.support import Protocol, simulate, write_scan


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return storage(tmp_path_factory.mktemp("jobs") / "storage")


@pytest.fixture(scope="module")
def shared(store: Store) -> Iterator[JobProcess]:
    process = JobProcess(store.url)
    yield process
    process.close()


@pytest.fixture
def process(shared: JobProcess) -> JobProcess:
    shared.start()
    return shared


def run(process: JobProcess, order, **options):
    said = []
    event, payload = process.run(
        "acquisition",
        order,
        on_progress=lambda stage, fraction: said.append((stage, fraction)),
        **{"seconds": 60.0, **options},
    )
    return event, payload, said


def child_of(process: JobProcess) -> int:
    assert process._child is not None
    return process._child.pid


def test_a_job_runs_in_another_process_and_reports_its_stages(process, store):
    event, payload, said = run(process, acquisition_order(store, "raw/fast"))
    assert event == "done", payload
    assert store.exists(payload["volumes"][0]["path"])
    assert said[0][0] == "checking" and said[-1] == ("storing", 1.0)


def test_it_stays_warm_from_job_to_job_also_when_a_file_was_at_fault(process, store):
    folder = Path(store.url.removeprefix("file://"))
    (folder / "raw/zeros").write_bytes(bytes(100_000))
    event, payload, _ = run(process, acquisition_order(store, "raw/zeros"))
    before = child_of(process)
    assert (event, payload["responsibility"], payload["detail"]) == ("failed", "file", "")
    event, _, _ = run(process, acquisition_order(store, "raw/standard"))
    assert event == "done"
    assert child_of(process) == before


def test_the_start_of_the_process_does_not_count_as_the_jobs_time(store):
    process = JobProcess(store.url)
    try:
        event, payload, _ = run(process, acquisition_order(store, "raw/fast"), seconds=1.0)
    finally:
        process.close()
    assert event == "done", payload


def test_a_silent_job_is_ended_at_its_time_limit(process, store):
    run(process, acquisition_order(store, "raw/fast"))  # its start does not count
    before = child_of(process)
    os.kill(before, signal.SIGSTOP)
    ticks = []
    event, payload, _ = run(
        process, acquisition_order(store, "raw/fast"), seconds=1.0, on_tick=lambda: ticks.append(time.monotonic())
    )
    assert (event, payload["responsibility"]) == ("failed", "ours")
    assert payload["message"].startswith("The job took longer than 1 s ")
    assert len(ticks) >= 4  # the heartbeat went on
    assert not Path(f"/proc/{before}").exists()


@pytest.mark.parametrize(
    ("number", "words"), [(signal.SIGKILL, "killed from outside"), (signal.SIGSEGV, "crashed (SIGSEGV")]
)
def test_a_crash_is_a_failure_in_words_and_the_next_job_runs(process, store, number, words):
    order = acquisition_order(store, "raw/fast")
    child = child_of(process)
    os.kill(child, signal.SIGSTOP)
    timers = [threading.Timer(0.5, os.kill, (child, number)), threading.Timer(0.6, os.kill, (child, signal.SIGCONT))]
    for timer in timers[: 1 if number == signal.SIGKILL else 2]:
        timer.start()
    event, payload, _ = run(process, order)
    assert event == "failed" and payload["responsibility"] == "ours" and words in payload["message"]
    event, _, _ = run(process, order)
    assert event == "done"


def test_a_stopping_worker_ends_the_job_and_leaves_nothing_of_it(process, store):
    folder = Path(store.url.removeprefix("file://"))
    before = files_below(folder)
    child = child_of(process)
    os.kill(child, signal.SIGSTOP)
    with pytest.raises(JobStopped):
        run(process, acquisition_order(store, "raw/fast"), should_stop=lambda: True)
    assert not Path(f"/proc/{child}").exists()
    assert files_below(folder) == before


def test_a_file_too_large_for_the_memory_is_said_so(store, monkeypatch):
    folder = Path(store.url.removeprefix("file://"))
    write_scan(folder / "raw/large", simulate(Protocol(n_slices=1, columns=512, rows=512, n_coils=8), noise_scan=False))
    monkeypatch.setenv("READERSTUDY_JOB_MEMORY_BYTES", str(1))  # nothing beyond what the imports took
    process = JobProcess(store.url)
    try:
        event, payload, _ = run(process, acquisition_order(store, "raw/large"))
    finally:
        process.close()
        (folder / "raw/large").unlink()
    assert event == "failed" and payload["responsibility"] == "ours", payload
    assert payload["message"].startswith("The file needs more memory than the worker may use"), payload


def test_the_memory_limit_follows_machine_and_environment(monkeypatch):
    monkeypatch.delenv("READERSTUDY_JOB_MEMORY_BYTES", raising=False)
    assert 0 < memory_limit() < os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    monkeypatch.setenv("READERSTUDY_JOB_MEMORY_BYTES", "0")
    assert memory_limit() == 0


def test_every_exception_becomes_a_sentence_and_an_action():
    def caught(error: BaseException) -> dict:
        try:
            raise error
        except BaseException as raised:
            return failure_of(raised)

    full = caught(OSError(28, "No space left on device"))
    assert (full["responsibility"], full["message"]) == ("ours", "The disk is full.")
    unknown = caught(ZeroDivisionError("division by zero"))
    assert "ZeroDivisionError" in unknown["detail"] and "division" not in unknown["message"]
    assert "memory" in caught(MemoryError())["message"]
    assert is_out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"))
    assert not is_out_of_memory(RuntimeError("shapes differ"))
