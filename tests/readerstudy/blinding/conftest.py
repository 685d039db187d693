"""Studies that are ready to be released, and released ones."""

import json
from pathlib import Path
from typing import Any

import pytest

from readerstudy.blinding.services import release
from tests.readerstudy.reading.study_rows import Rows, make_study


@pytest.fixture(autouse=True)
def built_front_end(settings: Any, tmp_path: Path) -> None:
    """The pages name the built front end; these tests need its manifest alone, not the build."""
    entries = {f"src/{name}/main.ts": {"file": f"assets/{name}-0.js"} for name in ("reading", "intake", "results")}
    (tmp_path / "manifest.json").write_text(json.dumps(entries))
    settings.FRONTEND_BUILD = tmp_path


@pytest.fixture
def prepared(db: None) -> Rows:
    """A study in preparation with two subjects, two sequences, two arms, two readers, and all series."""
    return make_study()


@pytest.fixture
def rows(prepared: Rows) -> Rows:
    """The same, released."""
    release(study=prepared.study, actor=prepared.coordinator)
    return prepared
