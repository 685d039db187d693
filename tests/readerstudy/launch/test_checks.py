"""What must hold before the start, and the sentence where it does not."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from readerstudy.faults import Refusal
from readerstudy.launch import checks


def test_a_port_in_use_is_named_with_a_way_out():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Refusal, match=f"Port {port} on 127.0.0.1 is in use .* --port {port + 1}"):
            checks.port_is_free("127.0.0.1", port)


def test_a_full_disk_is_said_with_what_is_left(tmp_path):
    checks.disk_has_room(tmp_path, smallest=1)
    with pytest.raises(Refusal, match=r"MB left, and at least \d+ MB are needed"):
        checks.disk_has_room(tmp_path, smallest=1 << 60)


def test_the_front_end_must_be_built(tmp_path):
    with pytest.raises(Refusal, match="make frontend"):
        checks.front_end_is_built(tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    checks.front_end_is_built(tmp_path)


def test_a_state_folder_serves_one_application_at_a_time(tmp_path):
    first = checks.only_one(tmp_path)
    with pytest.raises(Refusal, match="already runs on the state folder"):
        checks.only_one(tmp_path)
    first.close()
    checks.only_one(tmp_path).close()


def test_there_is_no_such_port():
    with pytest.raises(Refusal, match="no port 99999"):
        checks.port_is_free("127.0.0.1", 99999)


def test_a_queue_server_must_answer():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nobody listens here
        with pytest.raises(Refusal, match="No queue server answers at REDIS_URL"):
            checks.queue_server_answers(f"redis://127.0.0.1:{closed.getsockname()[1]}/0")
    checks.queue_server_answers("redis+socket:///our/own")  # started by ourselves, and waited for


def test_the_storage_must_be_there(settings, tmp_path):
    settings.STORAGE_URL = f"file://{tmp_path / 'storage'}"
    checks.storage_answers()
    settings.STORAGE_URL = "nonsense://bucket"
    with pytest.raises(Refusal, match=r"STORAGE_URL cannot be used: .*nonsense"):
        checks.storage_answers()
    (tmp_path / "a-file").touch()
    settings.STORAGE_URL = f"file://{tmp_path / 'a-file' / 'storage'}"
    with pytest.raises(Refusal, match="STORAGE_URL cannot be used"):
        checks.storage_answers()


@pytest.mark.parametrize(
    ("environment", "says"),
    [({}, "The database is empty"), ({"DATABASE_URL": "nonsense"}, "DATABASE_URL is no address of a database")],
)
def test_a_command_without_its_database_says_so_in_one_sentence(tmp_path, environment, says):
    root = Path(__file__).parents[3]
    inherited = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    ran = subprocess.run(
        [sys.executable, str(root / "manage.py"), "verify_audit"],
        env={**inherited, "READERSTUDY_STATE": str(tmp_path), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert ran.stderr.startswith(says) and len(ran.stderr.splitlines()) == 1
