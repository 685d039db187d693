"""Studies that are ready to be released, and released ones."""

import json
from collections.abc import Iterator

import pytest
from django.test import override_settings

from readerstudy.blinding.services import release
from tests.readerstudy.reading.study_rows import Rows, make_study


@pytest.fixture(scope="module", autouse=True)
def built_front_end(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The pages name the built front end; these tests need its manifest alone, not the build."""
    folder = tmp_path_factory.mktemp("build")
    entries = {f"src/{name}/main.ts": {"file": f"assets/{name}-0.js"} for name in ("reading", "intake", "results")}
    (folder / "manifest.json").write_text(json.dumps(entries))
    with override_settings(FRONTEND_BUILD=folder):
        yield


@pytest.fixture
def prepared(db: None) -> Rows:
    """A study in preparation with two subjects, two sequences, two arms, two readers, and all series."""
    return make_study()


@pytest.fixture
def rows(prepared: Rows) -> Rows:
    """The same, released."""
    release(study=prepared.study, actor=prepared.coordinator)
    return prepared
