"""What must hold before the start, and the sentence where it does not."""

import socket

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
