"""What the images install is a part of what was tested, and the web needs no more than its part."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


def pins(name: str) -> set[str]:
    lines = (ROOT / name).read_text().splitlines()
    return {line.strip() for line in lines if line.strip() and not line.startswith(("#", "-r"))}


@pytest.mark.parametrize("name", ["requirements-web.txt", "requirements-recon.txt"])
def test_is_a_subset_with_equal_pins(name):
    assert pins(name)
    assert pins(name) <= pins("requirements.txt")


def test_the_web_part_has_no_torch_and_the_recon_part_no_django():
    assert not any(pin.startswith(("torch", "scikit-image", "scipy")) for pin in pins("requirements-web.txt"))
    assert not any(pin.lower().startswith("django") for pin in pins("requirements-recon.txt"))
    assert "torch==2.13.0" in pins("requirements.txt")


def test_everything_is_pinned():
    assert all("==" in pin for pin in pins("requirements.txt") | pins("requirements-test.txt"))


HEAVY = ["torch", "scipy", "skimage", "h5py", "ismrmrd", "twixtools", "pydicom", "recon_worker"]


def test_importing_the_whole_web_side_loads_nothing_of_the_recon_side():
    program = f"""
import importlib, os, pkgutil, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "readerstudy.settings.testing"
import django; django.setup()
import readerstudy
for module in pkgutil.walk_packages(readerstudy.__path__, "readerstudy."):
    if ".migrations." not in module.name and not module.name.endswith("settings.production"):
        importlib.import_module(module.name)
print(sorted(name for name in {HEAVY!r} if name in sys.modules))
"""
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip() == "[]"


def test_the_recon_worker_starts_without_django_and_without_torch():
    program = """
import sys
sys.modules["django"] = None
import recon_worker.tasks
print("torch" in sys.modules)
"""
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip() == "False"
