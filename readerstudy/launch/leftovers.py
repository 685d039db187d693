"""What an earlier run left behind. A supervisor that is killed cannot stop its processes; the kernel asks them to end,
but an upload or a job may keep them for a while, and with them the port and the queue's socket."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

PATIENCE_SECONDS = 10.0
LOOK_SECONDS = 0.1


def note(record: Path, process_ids: Iterable[int]) -> None:
    """Keep which processes lead the groups of this run, each with its time of start: ids are used again."""
    content = {str(each): started for each in process_ids if (started := _started(each)) is not None}
    temporary = record.with_suffix(".new")
    temporary.write_text(json.dumps(content))
    temporary.replace(record)


def end(record: Path, say: Callable[[str], None], patience: float = PATIENCE_SECONDS) -> None:
    """Wait for the processes of an earlier run to end, then end them with their groups. For who holds the state
    folder's lock: nobody else may still need them."""
    if not _living(record):
        return
    say("ending what an earlier run left behind")
    for process_id in _living(record):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process_id, signal.SIGTERM)
    until = time.monotonic() + patience
    while _living(record) and time.monotonic() < until:
        time.sleep(LOOK_SECONDS)
    for process_id in _living(record):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process_id, signal.SIGKILL)
    while _living(record):
        time.sleep(LOOK_SECONDS)


def _living(record: Path) -> list[int]:
    try:
        noted = json.loads(record.read_text())
    except (OSError, ValueError):
        return []
    return [int(each) for each, started in noted.items() if _started(int(each)) == started]


def _started(process_id: int) -> str | None:
    """When a process started, in the kernel's ticks; None if it does not run, or where there is no /proc."""
    try:
        state, *fields = Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if state == "Z" else fields[18]
