"""Results of a small study of all arms, and the front end's manifest."""

import json

import pytest

from tests.readerstudy.results.graded_study import graded_study
from tests.readerstudy.results.measured_study import measure
from tests.readerstudy.statistics.measurement_tables import random_measurements
from tests.readerstudy.statistics.score_tables import random_scores


@pytest.fixture
def scores():
    return random_scores(21, patients=6, sequences=("SAG T2 FS", "AX T2"), arms=("Standard", "Fast", "Fast DL50"))


@pytest.fixture
def graded(db, scores):
    return graded_study(scores)


@pytest.fixture
def values(scores):
    return random_measurements(23, patients=6, arms=scores.arms)


@pytest.fixture
def measured(graded, values):
    """The graded study with measurements of SAG T2 FS."""
    measure(graded.study, values, "SAG T2 FS")
    return graded


@pytest.fixture
def front_end(settings, tmp_path):
    """A manifest as Vite writes it, so that pages can be made without the built front end."""
    entry = {f"src/{name}/main.ts": {"file": f"assets/{name}-1.js"} for name in ("results", "reading", "intake")}
    (tmp_path / "manifest.json").write_text(json.dumps(entry))
    settings.FRONTEND_BUILD = tmp_path
