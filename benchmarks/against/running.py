"""Runs a contender in a process of its own, its file in the cache, its threads limited."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from against.acquisition import Files

BENCHMARKS = Path(__file__).resolve().parents[1]
READ_AHEAD = 16 * 2**20


def run_child(module: str, files: Files, threads: int) -> tuple[dict[str, float], float]:
    """What a child process printed, and the peak memory in MB of the largest process under it."""
    warm(files.raw if module == "against.ours" else files.kspace.with_suffix(".cfl"))
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    environment = {
        **os.environ,
        **dict.fromkeys(names, str(threads)),
        "PYTHONPATH": f"{BENCHMARKS}{os.pathsep}{BENCHMARKS.parent}",
    }
    command = [sys.executable, "-m", module, str(files.folder), str(files.folder / "image.npy"), str(threads)]
    with tempfile.TemporaryFile("w+") as printed:
        child = subprocess.Popen(command, env=environment, stdout=printed)
        if child.wait():
            raise SystemExit(f"{module} failed.")
        printed.seek(0)
        measured = json.loads(printed.read())
        return measured, measured.pop("peak_mb", 0.0)


def warm(path: Path) -> None:
    """Read the file once, so that it lies in the cache."""
    with path.open("rb", buffering=0) as file:
        while file.read(READ_AHEAD):
            pass
