"""`manage.py up` as a user starts it: real processes, a state folder of its own."""

import os
import queue
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent.parent
START_SECONDS = 120
DEVELOPMENT = "readerstudy.settings.development"

pytestmark = pytest.mark.skipif(
    not (ROOT / "frontend" / "dist" / "manifest.json").exists(), reason="the front end is not built (make frontend)"
)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Application:
    """One run of `manage.py up`."""

    def __init__(self, state, port):
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in ("DATABASE_URL", "REDIS_URL", "STORAGE_URL")
        }
        environment |= {"READERSTUDY_STATE": str(state), "DJANGO_SETTINGS_MODULE": DEVELOPMENT}
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "up", "--port", str(port)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.port = port
        self.lines = []
        self.arrivals = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line)
            self.arrivals.put(line)

    def wait_for(self, words):
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until:
            try:
                line = self.arrivals.get(timeout=1)
            except queue.Empty:
                assert self.process.poll() is None, "".join(self.lines)
                continue
            if words in line:
                return line
        raise AssertionError(f"{words!r} never came:\n{''.join(self.lines)}")

    def descendants(self):
        """Process ids of the supervised processes and theirs, by the state folder in their environment."""
        found = []
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                if int(status.read_text().rsplit(")", 1)[1].split()[1]) == self.process.pid:
                    found.append(int(status.parent.name))
            except (OSError, IndexError):
                continue
        return found

    def stop(self):
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


def runs(process_id):
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def command_of(process_id):
    return Path(f"/proc/{process_id}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def answer(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as reply:
        return reply.read()


def refused(state, port):
    run = Application(state, port)
    code = run.process.wait(START_SECONDS)
    time.sleep(0.2)
    return code, "".join(run.lines)


def test_starts_revives_stops_and_starts_again_as_it_was(tmp_path):
    state, port = tmp_path / "state", free_port()
    run = Application(state, port)
    try:
        run.wait_for(f"http://localhost:{port}/")
        assert answer(port) == b"ok"

        code, words = refused(state, free_port())
        assert code == 1
        assert "already runs on the state folder" in words
        assert "Traceback" not in words

        code, words = refused(tmp_path / "other", port)
        assert code == 1
        assert f"Port {port} on 127.0.0.1 is in use by another program." in words
        assert "Traceback" not in words

        queue_server = next(each for each in run.descendants() if "valkey-server" in command_of(each))
        os.kill(queue_server, signal.SIGKILL)
        run.wait_for("queue (Valkey) ended unexpectedly and is started again")

        children = run.descendants()
        assert len(children) == 4
    finally:
        code = run.stop()
    assert code == 0
    time.sleep(0.3)
    assert not any(runs(child) for child in children)
    assert "stopped; the next start finds everything" in "".join(run.lines)

    person = subprocess.run(
        [sys.executable, "manage.py", "create_person", "kept", "--may-create-studies"],
        cwd=ROOT,
        env={**os.environ, "READERSTUDY_STATE": str(state), "DJANGO_SETTINGS_MODULE": DEVELOPMENT},
        capture_output=True,
        text=True,
    )
    assert person.returncode == 0, person.stderr
    assert "one-time password" in person.stdout
    secret = (state / "secrets" / "django").read_text()
    again = Application(state, port)
    try:
        again.wait_for(f"http://localhost:{port}/")
        with sqlite3.connect(state / "readerstudy.sqlite3") as database:
            assert database.execute("SELECT count(*) FROM accounts_user WHERE username = 'kept'").fetchone() == (1,)
        assert (state / "secrets" / "django").read_text() == secret
    finally:
        assert again.stop() == 0
