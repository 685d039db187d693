"""One tiny study, written once, that the tests read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from recon_worker.phantom.simulate import simulate_study

SEED = 3


@pytest.fixture(scope="session")
def progress() -> list[float]:
    """Fractions that `study` reported."""
    return []


@pytest.fixture(scope="session")
def study(tmp_path_factory, progress) -> Path:
    """Folder of a study of one subject in tests' size."""
    out = tmp_path_factory.mktemp("study")
    return simulate_study(
        out, subjects=1, seed=SEED, size="tiny", progress=lambda _, fraction: progress.append(fraction)
    ).parent


@pytest.fixture(scope="session")
def files(study) -> dict[tuple[str, str], dict[str, Any]]:
    """Manifest entries by sequence and acquisition."""
    manifest = json.loads((study / "manifest.json").read_text())
    return {(file["sequence"], file["acquisition"]): file for file in manifest["files"]}
