"""`manage.py up` as a user starts it."""

import os
import signal
import time

from tests.application import START_SECONDS, Application, command_of, free_port, runs


def refused(state, port):
    run = Application(state, port)
    code = run.process.wait(START_SECONDS)
    time.sleep(0.2)
    return code, "".join(run.lines)


def test_starts_revives_stops_and_starts_again_as_it_was(tmp_path):
    state, port = tmp_path / "state", free_port()
    run = Application(state, port)
    children = []
    try:
        run.wait_until_ready()
        assert run.health() == b"ok"

        code, words = refused(state, free_port())
        assert code == 1
        assert "already runs on the state folder" in words
        assert "Traceback" not in words

        code, words = refused(tmp_path / "other", port)
        assert code == 1
        assert f"Port {port} on 127.0.0.1 is in use by another program." in words
        assert "Traceback" not in words

        person = run.manage("create_person", "kept", "--may-create-studies")
        assert person.returncode == 0, person.stderr
        assert "one-time password" in person.stdout

        queue_server = next(each for each in run.children() if "valkey-server" in command_of(each))
        os.kill(queue_server, signal.SIGKILL)
        run.wait_for("queue (Valkey) ended unexpectedly and is started again")

        children = run.children()
        assert len(children) == 4
    finally:
        code = run.stop()
    assert code == 0
    time.sleep(0.3)
    assert not any(runs(child) for child in children)
    assert "stopped; the next start finds everything" in "".join(run.lines)

    secret = (state / "secrets" / "django").read_text()
    again = Application(state, port)
    try:
        again.wait_until_ready()
        taken = again.manage("create_person", "kept")
        assert taken.returncode == 1
        assert "The login name kept is taken." in taken.stderr
        assert (state / "secrets" / "django").read_text() == secret
    finally:
        assert again.stop() == 0
