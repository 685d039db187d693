"""BART (Debian package `bart`) as the independent reference: one function to run its commands on arrays."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

needs_bart = pytest.mark.skipif(shutil.which("bart") is None, reason="BART is not installed (Debian package bart)")


def write_cfl(path: Path, array: np.ndarray) -> Path:
    """Axes in BART's order (read, phase, z, coil), stored with the first axis fastest."""
    path.with_suffix(".hdr").write_text("# Dimensions\n" + " ".join(str(n) for n in array.shape) + "\n")
    array.astype(np.complex64).ravel(order="F").tofile(path.with_suffix(".cfl"))
    return path


def read_cfl(path: Path) -> np.ndarray:
    shape = [int(n) for n in path.with_suffix(".hdr").read_text().splitlines()[1].split()]
    return np.fromfile(path.with_suffix(".cfl"), np.complex64).reshape(shape, order="F").squeeze()


def bart(*arguments: object) -> None:
    subprocess.run(["bart", *(str(argument) for argument in arguments)], check=True, capture_output=True, text=True)
