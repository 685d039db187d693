"""What every contender's process does at its start and end."""

from __future__ import annotations

import argparse
import json
import resource
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from against.acquisition import Files


@dataclass(frozen=True)
class Task:
    """What a contender is asked: the acquisition, where its image goes, how many threads it may use."""

    files: Files
    out: Path
    threads: int


@dataclass(frozen=True)
class Clock:
    """Wall and processor seconds at the start; processor seconds count the process and its children."""

    wall: float
    processor: float


def read_task() -> Task:
    """From the command line: FOLDER OUT THREADS."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("threads", type=int)
    given = parser.parse_args()
    return Task(Files(given.folder), given.out, given.threads)


def start_clock() -> Clock:
    """After imports, before the file is opened."""
    return Clock(time.perf_counter(), _processor_seconds())


def finish(clock: Clock, task: Task, image: npt.NDArray[np.complexfloating]) -> None:
    """Stop the clock, print the measurement as JSON, then store the image `[slice, row, column]`."""
    measured = {"seconds": time.perf_counter() - clock.wall, "cpu_seconds": _processor_seconds() - clock.processor}
    measured["peak_mb"] = _peak_mb()
    np.save(task.out, image)
    print(json.dumps(measured))


def _peak_mb() -> float:
    """Peak memory in MB of the largest process: this one, or one that it started.

    Its own is read from the kernel's status: `ru_maxrss` begins with that of the process that started it.
    """
    status = Path("/proc/self/status").read_text().splitlines()
    own = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    return max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) * 1024 / 1e6


def _processor_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)
