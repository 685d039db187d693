"""The supervisor with real, small processes."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from readerstudy.faults import Refusal
from readerstudy.launch.supervisor import MOST_QUICK_DEATHS, Service, Supervisor

LASTING = "import time; print('up', flush=True); time.sleep(600)"


def service(folder, name, program):
    return Service(
        name=name,
        command=[sys.executable, "-c", program],
        log=folder / f"{name}.log",
        ready=lambda written: "up" in written,
    )


def is_alive(process_id):
    """Whether the process runs; one that has ended and waits to be reaped by its parent does not."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def sentences():
    return []


def test_starts_all_and_stops_all_with_their_children(tmp_path, sentences):
    family = (
        "import subprocess, sys; child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
        "print('child', child.pid, 'up', flush=True); child.wait()"
    )
    supervisor = Supervisor([service(tmp_path, "a", LASTING), service(tmp_path, "b", family)], sentences.append)
    supervisor.start()
    child = int(supervisor.services[1].written().split()[1])
    processes = [one.process.pid for one in supervisor.services] + [child]
    assert all(is_alive(process) for process in processes)
    supervisor.stop()
    time.sleep(0.2)
    assert not any(is_alive(process) for process in processes)
    assert sentences == ["a is ready", "b is ready"]


def test_a_dead_process_is_started_again_and_said(tmp_path, sentences):
    supervisor = Supervisor([service(tmp_path, "worker", LASTING)], sentences.append)
    supervisor.start()
    first = supervisor.services[0].process.pid
    os.kill(first, signal.SIGKILL)
    supervisor.services[0].process.wait()
    supervisor.revive()
    assert supervisor.services[0].process.pid != first
    assert "worker ended unexpectedly" in sentences[-1]
    supervisor.stop()


def test_one_that_dies_again_and_again_is_given_up_with_its_last_words(tmp_path, sentences):
    dying = service(tmp_path, "worker", "print('no room for the model', flush=True)")
    supervisor = Supervisor([dying], sentences.append)
    dying.start()
    with pytest.raises(Refusal, match=r"worker ended .* times in a row: no room for the model"):
        for _ in range(MOST_QUICK_DEATHS + 1):
            dying.process.wait()
            supervisor.revive()


def test_one_that_does_not_come_up_stops_the_others(tmp_path, sentences):
    good, bad = service(tmp_path, "good", LASTING), service(tmp_path, "bad", "raise SystemExit('wrong address')")
    supervisor = Supervisor([good, bad], sentences.append)
    with pytest.raises(Refusal, match="bad did not start: wrong address"):
        supervisor.start()
    assert good.process is None
