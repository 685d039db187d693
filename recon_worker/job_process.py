"""Jobs run in a child process: what a hostile or merely large file does to it, it does not do to the worker.

The child (`python -m recon_worker.job_process`) is a fresh interpreter, never a fork (a forked torch hangs), with a
limit on its memory; the worker watches the clock, keeps the heartbeat going while the child computes, and lives on if
the child crashes. It stays warm from job to job, since importing torch takes seconds. Lines of JSON go both ways:
`{"kind", "order", "storage"}` in; `{"ready": true}` once, then `{"progress": [stage, fraction]}` and last
`{"done": ...}` or `{"failed": ...}` out.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import selectors
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

Kind = Literal["acquisition", "finishing"]

JOBS_BEFORE_RENEWAL = 100
START_SECONDS = 180.0
"""The child's imports may take this long (a cold disk, a busy machine); they do not count as the job's time."""
MEMORY_SHARE = 0.85
LARGEST_DETAIL = 4000
POLL_SECONDS = 0.2
OUR_ACTION = "Start the job again; if it fails again, report it with the job's number."


class JobStopped(Exception):
    """The worker was told to stop while the job ran; nothing of it is left."""


def memory_limit() -> int:
    """Bytes that a job may allocate: `READERSTUDY_JOB_MEMORY_BYTES`, else 85 % of what the machine (or the
    container) has. 0 means no limit."""
    if told := os.environ.get("READERSTUDY_JOB_MEMORY_BYTES"):
        return int(told)
    have = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            have = min(have, int(Path(path).read_text()))
        except (OSError, ValueError):  # not in a container, or "max"
            continue
    return int(MEMORY_SHARE * have)


class JobProcess:
    """The worker's end: starts the child when needed, gives it one job at a time, ends it when it misbehaves."""

    def __init__(self, storage_url: str) -> None:
        self._storage_url = storage_url
        self._child: subprocess.Popen[bytes] | None = None
        self._jobs = 0
        self._is_ready = False

    def start(self) -> None:
        """Start the child if there is none; it begins at once to import what the jobs need."""
        if self._child is not None and self._child.poll() is None:
            return
        environment = dict(os.environ)
        root = str(Path(__file__).resolve().parent.parent)
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [root, environment.get("PYTHONPATH", "")]))
        self._jobs = 0
        self._is_ready = False
        self._child = subprocess.Popen(
            [sys.executable, "-m", "recon_worker.job_process", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # a Ctrl-C in the terminal is for the worker, which ends the child itself
        )

    def close(self) -> None:
        """End the child, whatever it does."""
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()

    def run(
        self,
        kind: Kind,
        order: dict[str, Any],
        *,
        seconds: float,
        on_progress: Callable[[str, float], None],
        on_tick: Callable[[], None] = lambda: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> tuple[Literal["done", "failed"], dict[str, Any]]:
        """Run one job and return its final event and payload.

        Parameters
        ----------
        seconds
            Time limit; a job that takes longer is ended and has failed.
        on_progress
            Called with (stage, fraction) as the job goes on.
        on_tick
            Called about five times a second, also while the job is silent.
        should_stop
            Asked as often; True ends the child.

        Raises
        ------
        JobStopped
            If `should_stop` said so.
        """
        self.start()
        child = self._child
        assert child is not None and child.stdin is not None and child.stdout is not None
        self._jobs += 1
        stage = "starting"
        deadline = time.monotonic() + (seconds if self._is_ready else START_SECONDS)
        message = json.dumps({"kind": kind, "order": order, "storage": self._storage_url})
        try:
            child.stdin.write(message.encode() + b"\n")
            child.stdin.flush()
        except BrokenPipeError:
            return self._crashed(stage)
        pending = b""
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            while True:
                if should_stop():
                    self.close()
                    raise JobStopped
                on_tick()
                if time.monotonic() > deadline:
                    is_ready = self._is_ready
                    self.close()
                    return "failed", failure(
                        "ours",
                        f"The job took longer than {_duration(seconds if is_ready else START_SECONDS)} "
                        f"and was ended (stage: {stage}).",
                        "Start it again, or raise READERSTUDY_TASK_TIME_LIMIT.",
                    )
                if not selector.select(POLL_SECONDS):
                    continue
                received = os.read(child.stdout.fileno(), 1 << 16)
                if not received:
                    return self._crashed(stage)
                *lines, pending = (pending + received).split(b"\n")
                for line in lines:
                    answer = json.loads(line)
                    if "ready" in answer:
                        self._is_ready = True
                        deadline = time.monotonic() + seconds
                    elif "progress" in answer:
                        stage, fraction = answer["progress"]
                        on_progress(stage, fraction)
                    elif "done" in answer:
                        if self._jobs >= JOBS_BEFORE_RENEWAL:
                            self.close()
                        return "done", answer["done"]
                    elif "failed" in answer:
                        if answer["failed"]["responsibility"] == "ours":
                            self.close()  # whatever went wrong in there, the next job begins clean
                        return "failed", answer["failed"]

    def _crashed(self, stage: str) -> tuple[Literal["failed"], dict[str, Any]]:
        child = self._child
        assert child is not None
        code = child.wait()
        self.close()
        if -code == signal.SIGKILL:
            return "failed", failure(
                "ours",
                f"The job's process was killed from outside (stage: {stage}); most likely memory ran out.",
                "Give the worker more memory, then start the job again.",
            )
        how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        if stage == "reading":
            return "failed", failure(
                "file",
                f"The file made its reader crash ({how}); it is damaged or was made to do so.",
                "Copy it from the scanner again.",
            )
        return "failed", failure("ours", f"The job's process crashed ({how}, stage: {stage}).", OUR_ACTION, how)


def failure(responsibility: Literal["file", "ours"], message: str, action: str, detail: str = "") -> dict[str, Any]:
    """The payload of the event "failed"."""
    return {"responsibility": responsibility, "message": message, "action": action, "detail": detail}


def failure_of(error: BaseException) -> dict[str, Any]:
    """Whose failure an exception is and what to say about it: the payload of the event "failed"."""
    from recon_worker.data import InputFault, ReconstructionFault
    from recon_worker.store import StorageFault, storage_fault

    if isinstance(error, InputFault):
        return failure("file", error.what, error.action)
    detail = "".join(traceback.format_exception(error))[-LARGEST_DETAIL:]
    if is_out_of_memory(error):
        limit = memory_limit()
        return failure(
            "ours",
            "The file needs more memory than the worker may use" + (f" ({limit / 1e9:.1f} GB)." if limit else "."),
            "Run the worker on a machine with more memory, or raise READERSTUDY_JOB_MEMORY_BYTES.",
            detail,
        )
    if isinstance(error, OSError):
        error = storage_fault(error)
    if isinstance(error, ReconstructionFault | StorageFault):
        return failure("ours", error.what, error.action, detail)
    return failure("ours", f"A step of the job broke ({type(error).__name__}).", OUR_ACTION, detail)


def is_out_of_memory(error: BaseException | None) -> bool:
    """Whether an exception, or one that caused it, is a failed allocation (numpy, torch and HDF5 differ)."""
    while error is not None:
        text = str(error)
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == 12):
            return True
        if isinstance(error, RuntimeError | OSError) and ("allocate memory" in text or "out of memory" in text):
            return True
        error = error.__cause__ or error.__context__
    return False


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:g} s"


def _die_with(parent: int) -> None:
    """Ask the kernel to end this process when the worker ends, however that happens (Linux)."""
    with_death_signal = 1  # PR_SET_PDEATHSIG
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(with_death_signal, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before we asked
        sys.exit()


def main() -> None:
    """The child's end: read orders, run them, answer, until the worker closes the pipe."""
    _die_with(int(sys.argv[1]))
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever a library prints goes to the log and never between our lines

    def answer(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message).encode() + b"\n")

    from recon_worker import pipeline
    from recon_worker.store import Store

    if limit := memory_limit():  # after the imports: what they need is not the job's
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    answer({"ready": True})
    for line in sys.stdin.buffer:
        message = json.loads(line)
        run = {"acquisition": pipeline.run_acquisition_job, "finishing": pipeline.run_finishing_job}[message["kind"]]
        try:
            done = run(
                message["order"],
                store=Store(message["storage"]),
                report=lambda stage, fraction: answer({"progress": [stage, fraction]}),
            )
        except Exception as error:
            answer({"failed": failure_of(error)})
        else:
            answer({"done": done})


if __name__ == "__main__":
    main()
