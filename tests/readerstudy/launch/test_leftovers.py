"""What a killed supervisor left is ended by the next start, and nothing else is."""

import subprocess
import sys

from readerstudy.launch import leftovers
from tests.application import runs

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
)
LASTING = "import time; print('up', flush=True); time.sleep(600)"


def started(program):
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout.readline() == b"up\n"
    return process


def test_processes_of_an_earlier_run_are_ended_by_force_if_need_be(tmp_path):
    record, sentences = tmp_path / "processes.json", []
    processes = [started(LASTING), started(STUBBORN)]
    bystander = started(LASTING)
    leftovers.note(record, [one.pid for one in processes])
    leftovers.end(record, sentences.append, patience=0.5)
    assert not any(runs(one.pid) for one in processes)
    assert runs(bystander.pid)
    assert sentences == ["ending what an earlier run left behind"]
    for one in [*processes, bystander]:
        one.kill()
        one.communicate()


def test_a_process_that_only_has_the_same_id_is_left_alone(tmp_path):
    record, other = tmp_path / "processes.json", started(LASTING)
    record.write_text(f'{{"{other.pid}": "1"}}')
    leftovers.end(record, lambda sentence: None, patience=0.1)
    assert runs(other.pid)
    other.kill()
    other.communicate()


def test_nothing_is_said_where_nothing_is_left(tmp_path):
    sentences = []
    leftovers.end(tmp_path / "processes.json", sentences.append)
    (tmp_path / "processes.json").write_text("no JSON")
    leftovers.end(tmp_path / "processes.json", sentences.append)
    assert sentences == []
