"""Simulated raw files, made in a process of their own so that the tests stay small."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.application import ROOT

SEQUENCE = "SAG T1"
PROGRAM = """
import json, pathlib, sys
from recon_worker.phantom.simulate import simulate_acquisition
simulate_acquisition(pathlib.Path(sys.argv[1]), **json.loads(sys.argv[2]))
"""


@dataclass(frozen=True)
class RawPair:
    """Files of one subject and sequence."""

    sequence: str
    standard: Path
    fast: Path


def simulate(path: Path, **arguments: Any) -> Path:
    """One raw file; `arguments` are those of `recon_worker.phantom.simulate.simulate_acquisition`."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path), json.dumps(arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return path


def simulate_pair(folder: Path, *, size: str, number: int = 1, **scan: Any) -> RawPair:
    """Standard and Fast of subject `number`; `scan` changes slices or coils."""
    paths = {}
    for name in ("Standard", "Fast"):
        path = folder / f"S{number:02d}-{name.lower()}.h5"
        paths[name] = simulate(path, sequence=SEQUENCE, acquisition=name, size=size, number=number, **scan)
    return RawPair(SEQUENCE, paths["Standard"], paths["Fast"])
