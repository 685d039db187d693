"""All tests of the web side that reach the database or the storage once more, on a real PostgreSQL and on S3."""

import os
import re
import subprocess
import sys

from tests.acceptance.conftest import Note
from tests.acceptance.servers import postgresql
from tests.application import ROOT
from tests.recon_worker.object_storage import object_storage

NEITHER_DATABASE_NOR_STORAGE = ("launch", "statistics")


def test_the_web_side_holds_on_postgresql_and_s3(note: Note):
    with postgresql("four_writers") as databases, object_storage() as storage:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "tests/readerstudy", "-m", "not acceptance", "-q"),
                *(f"--ignore=tests/readerstudy/{part}" for part in NEITHER_DATABASE_NOR_STORAGE),
            ],
            env={
                **os.environ,
                "DATABASE_URL": databases["postgres"],
                "FOUR_WRITERS_DATABASE_URL": databases["four_writers"],
                "STORAGE_URL": storage,
            },
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
    note(f"the web side's tests on PostgreSQL and S3: {done.stdout.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stdout[-12000:]
    counted = re.search(r"(\d+) passed", done.stdout)
    assert counted is not None
    assert int(counted[1]) > 500
    assert "TRUNCATE exists on PostgreSQL only" not in done.stdout, "that test runs here"
