"""Starts the application's processes in order, keeps them alive, and stops them in the opposite order.

The supervisor stays one plain thread: a signal sets a flag, a loop looks at the children. Each child leads its own
process group, so that Ctrl-C in a terminal reaches the supervisor alone, and gets SIGTERM from the kernel should the
supervisor itself be killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from readerstudy.faults import Refusal
from readerstudy.launch import leftovers

START_SECONDS = 90
STOP_SECONDS = 20
QUICK_DEATH_SECONDS = 20
MOST_QUICK_DEATHS = 3
LOOK_SECONDS = 0.25
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def _follow_the_parent() -> None:
    """Run in the child before it starts: ask the kernel for SIGTERM when the supervisor dies (Linux)."""
    if hasattr(_libc, "prctl"):
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass
class Service:
    """One supervised process.

    `ready` is asked until it is true; it gets the text that the process has written to its log since it started.
    """

    name: str
    command: list[str]
    log: Path
    ready: Callable[[str], bool]
    environment: dict[str, str] = field(default_factory=dict)
    before_start: Callable[[], None] = lambda: None
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    log_start: int = 0
    quick_deaths: int = 0

    def start(self) -> None:
        """Start the process; its output goes to its log."""
        self.before_start()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.log_start = log.tell()
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment},
                start_new_session=True,
                preexec_fn=_follow_the_parent,
            )
        self.started_at = time.monotonic()

    def has_died(self) -> bool:
        """Whether the process was started and has ended."""
        return self.process is not None and self.process.poll() is not None

    def written(self) -> str:
        """What it wrote to its log since it started."""
        with self.log.open("rb") as log:
            log.seek(self.log_start)
            return log.read().decode(errors="replace")

    def last_words(self) -> str:
        """The last line of its log that says something, for a sentence on its death."""
        lines = [line.strip() for line in self.written().splitlines() if line.strip()]
        return lines[-1][-200:] if lines else "It wrote nothing."

    def stop(self, seconds: float = STOP_SECONDS) -> None:
        """End it kindly, then its whole group by force."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # whatever the group still holds
        self.process.wait()
        self.process = None


class Supervisor:
    """Runs services until it is told to stop.

    Parameters
    ----------
    services
        In the order of starting.
    say
        Receives one sentence for the person at the terminal.
    record
        File that keeps which processes run, for the next start should this supervisor be killed.
    """

    def __init__(self, services: list[Service], say: Callable[[str], None], record: Path | None = None) -> None:
        self.services = services
        self.say = say
        self.record = record
        self.stopping = False

    def _begin(self, service: Service) -> None:
        service.start()
        if self.record is not None:
            leftovers.note(self.record, [one.process.pid for one in self.services if one.process is not None])

    def take_signals(self) -> None:
        """SIGINT and SIGTERM ask for a clean stop."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask_to_stop)

    def _ask_to_stop(self, number: int, frame: object) -> None:
        self.stopping = True

    def start(self) -> None:
        """Start every service and wait until it is ready; Refusal (all stopped again) where one does not come up."""
        for service in self.services:
            self._begin(service)
        for service in self.services:
            if not self._wait_until_ready(service):
                words = service.last_words()
                self.stop()
                if self.stopping:
                    return
                raise Refusal(f"The {service.name} did not start: {words}", f"The whole log is {service.log}.")

    def _wait_until_ready(self, service: Service) -> bool:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and not self.stopping:
            if service.has_died():
                return False
            if service.ready(service.written()):
                self.say(f"{service.name} is ready")
                return True
            time.sleep(LOOK_SECONDS)
        return False

    def watch(self, meanwhile: Callable[[], bool] = lambda: False) -> None:
        """Keep all alive until a stop is asked for. `meanwhile` is called at every look; true ends the watch."""
        while not self.stopping:
            self.revive()
            if meanwhile():
                return
            time.sleep(LOOK_SECONDS)

    def revive(self) -> None:
        """Start again what has died. Raises Refusal (all stopped) for one that dies at once again and again."""
        for service in self.services:
            if not service.has_died():
                continue
            lived = time.monotonic() - service.started_at
            service.quick_deaths = service.quick_deaths + 1 if lived < QUICK_DEATH_SECONDS else 1
            if service.quick_deaths > MOST_QUICK_DEATHS:
                words = service.last_words()
                self.stop()
                raise Refusal(
                    f"The {service.name} ended {service.quick_deaths} times in a row: {words}",
                    f"The whole log is {service.log}.",
                )
            self._begin(service)
            self.say(f"{service.name} ended unexpectedly and is started again; its work is taken up where it was")

    def stop(self) -> None:
        """Stop all in the opposite order of starting."""
        for service in reversed(self.services):
            service.stop()
