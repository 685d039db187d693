"""Four real processes write to one database at once: nobody is told that it is locked, and nothing gets lost.

On SQLite it is WAL with transactions begun IMMEDIATE that makes this so; on PostgreSQL an advisory lock a chain.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WRITERS = 4
ROUNDS = 15

PREPARE = """
import django; django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from readerstudy.accounts.services import create_user
from readerstudy.studies.services import create_study_from_preset
coordinator = create_user(username="coordinator", password="x", may_create_studies=True)
study = create_study_from_preset(name="Four writers", preset="lumbar-spine-fast", actor=coordinator)
print(study.pk)
"""

WRITE = """
import sys, time
import django; django.setup()
from readerstudy.accounts.models import User
from readerstudy.audit.services import record
from readerstudy.studies.models import Study
from readerstudy.studies.services import add_subject
study, writer, rounds = Study.objects.get(pk=sys.argv[1]), sys.argv[2], int(sys.argv[3])
coordinator = User.objects.get(username="coordinator")
protocol = study.protocols.first()
print("ready", flush=True)
sys.stdin.readline()
for number in range(rounds):
    # A read, then a write that depends on it: what fails with "database is locked" unless begun IMMEDIATE.
    add_subject(study=study, code=f"W{writer}-{number}", protocol=protocol, actor=coordinator)
    record(study=study.pk, actor=None, action="studies.test", details={"writer": writer, "number": number})
print("done")
"""

CHECK = """
import sys
import django; django.setup()
from django.db import connection
from readerstudy.audit.models import Event
from readerstudy.audit.services import first_broken_link
from readerstudy.studies.models import Subject
print(connection.vendor, Subject.objects.filter(study=sys.argv[1]).count(),
      Event.objects.filter(study=sys.argv[1]).count(), first_broken_link(__import__("uuid").UUID(sys.argv[1])))
if connection.vendor == "sqlite":
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode")
        print(cursor.fetchone()[0])
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A database of its own, on disk; DATABASE_URL in the environment names another server."""
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "readerstudy.settings.testing",
        "READERSTUDY_TEST_STATE": str(tmp_path),
        "DATABASE_URL": os.environ.get("FOUR_WRITERS_DATABASE_URL") or f"sqlite:///{tmp_path / 'four.sqlite3'}",
    }


def run(program: str, environment: dict[str, str], *arguments: str) -> str:
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_four_processes_write_at_once(environment: dict[str, str]) -> None:
    study = run(PREPARE, environment)
    links_before = int(run(CHECK, environment, study).split()[2])
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITE, study, str(number), str(ROUNDS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
        )
        for number in range(WRITERS)
    ]
    try:
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write("go\n")
            writer.stdin.flush()
        answers = [writer.communicate(timeout=120) for writer in writers]
    finally:
        for writer in writers:
            writer.kill()
    for writer, (out, error) in zip(writers, answers, strict=True):
        assert "locked" not in error
        assert (writer.returncode, out) == (0, "done\n"), error

    vendor, subjects, links, broken = run(CHECK, environment, study).split("\n")[0].split()
    assert int(subjects) == WRITERS * ROUNDS
    assert int(links) - links_before == 2 * WRITERS * ROUNDS
    assert broken == "None"
    if vendor == "sqlite":
        assert run(CHECK, environment, study).split("\n")[1] == "wal"
