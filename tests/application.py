"""`manage.py up` as a user starts it: real processes, a state folder of its own."""

import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 120
DEVELOPMENT = "readerstudy.settings.development"


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def front_end_is_built(build: Path = ROOT / "frontend" / "dist") -> bool:
    """Whether `make frontend` has run, and built all that the pages use: an older build lacks newer entries."""
    manifest = build / "manifest.json"
    return manifest.exists() and entries_of_pages() <= json.loads(manifest.read_text()).keys()


def entries_of_pages() -> set[str]:
    """What the templates ask of the front end with `{% island "name" %}`, as its manifest names it."""
    pages = (ROOT / "readerstudy").rglob("*.html")
    names = {name for page in pages for name in re.findall(r'{% island "(\w+)" %}', page.read_text())}
    return {f"src/{name}/main.ts" for name in names}


class Application:
    """One run of `manage.py up` on a state folder."""

    def __init__(self, state: Path, port: int, **variables: str) -> None:
        self.state, self.port = state, port
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if name not in ("DATABASE_URL", "REDIS_URL", "STORAGE_URL", "READERSTUDY_TEST_STATE")
        }
        self.environment |= {"READERSTUDY_STATE": str(state), "DJANGO_SETTINGS_MODULE": DEVELOPMENT, **variables}
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "up", "--port", str(port)],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self.arrivals: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def address(self) -> str:
        """Root address, without a slash at the end."""
        return f"http://localhost:{self.port}"

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            self.arrivals.put(line)

    def wait_for(self, words: str) -> str:
        """Wait for a line with these words."""
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

    def wait_until_ready(self) -> None:
        """Wait for the line that gives the address."""
        self.wait_for(f"{self.address}/")

    def health(self) -> bytes:
        """What the health address answers."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5) as reply:
            return bytes(reply.read())

    def manage(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command of manage.py on the same state folder."""
        return subprocess.run(
            [sys.executable, "manage.py", *words], cwd=ROOT, env=self.environment, capture_output=True, text=True
        )

    def children(self) -> list[int]:
        """Process ids of the supervised processes."""
        return [
            int(status.parent.name)
            for status in Path("/proc").glob("[0-9]*/stat")
            if parent_of(status) == self.process.pid
        ]

    def stop(self) -> int:
        """Ctrl-C, and the exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


def parent_of(status: Path) -> int | None:
    """Parent of a process from its /proc/<id>/stat; None when it is gone."""
    try:
        return int(status.read_text().rsplit(")", 1)[1].split()[1])
    except (OSError, IndexError):
        return None


def runs(process_id: int) -> bool:
    """Whether a process runs; one that has ended and waits to be reaped by its parent does not."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def command_of(process_id: int) -> str:
    """Command line of a process."""
    return Path(f"/proc/{process_id}/cmdline").read_bytes().replace(b"\0", b" ").decode()
