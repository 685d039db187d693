"""The rules of the house that a machine can hold: imports, models and migrations, no way around the blinding."""

import subprocess
import sys
from pathlib import Path

from django.conf import settings
from django.core.management import call_command

ROOT = Path(__file__).resolve().parents[1]
LONGEST_FILE = 400


def test_imports_go_down_only() -> None:
    """Every import contract of pyproject.toml; the answer names file and line of what breaks one."""
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([str(program), "--no-cache"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


def test_models_and_migrations_agree(db: None) -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


def test_no_back_door_by_the_admin_site() -> None:
    """There is no admin site; where one is added, blinding, reading and audit must never be registered in it."""
    assert "django.contrib.admin" not in settings.INSTALLED_APPS


def test_nothing_compresses_or_tags_answers() -> None:
    """The length of a compressed frame and a tag made of its content would tell the noise level, and so the arm."""
    assert not [name for name in settings.MIDDLEWARE if "GZip" in name or "ConditionalGet" in name]


def test_files_are_short_enough_to_be_read() -> None:
    files = [*ROOT.glob("readerstudy/**/*.py"), *ROOT.glob("recon_worker/**/*.py")]
    long = {
        str(path.relative_to(ROOT)): lines
        for path in files
        if (lines := len(path.read_text().splitlines())) > LONGEST_FILE
    }
    assert long == {}
