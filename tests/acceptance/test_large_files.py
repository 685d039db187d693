"""Files of gigabytes: memory stays bounded in every process, a file that is none is refused in words, others go on."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from readerstudy.intake.sizes import in_words
from tests.acceptance.conftest import Note
from tests.acceptance.raw_files import RawPair, simulate
from tests.acceptance.running import (
    StudyAtWork,
    forget_peaks,
    inside,
    peak_megabytes,
    processes,
    running,
    wait_until,
)
from tests.application import Application

GIGABYTE = 1000**3
ZEROS_BYTES = 2 * GIGABYTE
WEB_MEGABYTES = 300
MORE_WITH_ZEROS_MEGABYTES = 100
"""Of the process that computes, than for the same small study without them (libraries and networks take the most)."""
JOB_MEGABYTES = 1500


@pytest.fixture
def roomy(tmp_path: Path) -> Iterator[Path]:
    """A folder that does not stay: pytest would keep its gigabytes for three runs."""
    yield tmp_path
    shutil.rmtree(tmp_path)


def peaks(application: Application, note: Note, what: str) -> dict[str, int]:
    """Peaks of resident memory by process, kept for the report."""
    found = {
        name: peak_megabytes(application, name) for name in ("web", "light worker", "recon worker", "job", "queue")
    }
    note(f"{what}, peak memory in MB: " + ", ".join(f"{name} {peak}" for name, peak in found.items()))
    return found


def test_two_gigabytes_of_zeros(roomy: Path, raw: RawPair, note: Note):
    zeros = roomy / "zeros.h5"
    with zeros.open("wb") as file:
        file.truncate(ZEROS_BYTES)
    with running(roomy / "state") as application:
        wait_until(lambda: processes(application, "job"), seconds=60, says="the process that computes")
        before = StudyAtWork(application, sequence=raw.sequence)
        before.upload(raw.standard, "Standard")
        before.upload(raw.fast, "Fast")
        wait_until(before.finished, seconds=240, says="the series without anything beside them")
        without = peaks(application, note, "a small study alone")["job"]
        study = StudyAtWork(application, sequence=raw.sequence)
        beside = StudyAtWork(application, sequence=raw.sequence)
        forget_peaks(application)
        sending = threading.Thread(target=study.upload, args=(zeros, "Standard"))
        sending.start()
        beside.upload(raw.standard, "Standard")
        beside.upload(raw.fast, "Fast")
        wait_until(beside.finished, seconds=240, says="the other study's series")
        beside.check_recorded_once()
        sending.join(300)
        assert not sending.is_alive()
        wait_until(lambda: study.row("Standard")["kind"] == "bad", seconds=180, says="the refusal of the zeros")

        row = study.row("Standard")
        note(f"{in_words(ZEROS_BYTES)} of zeros: {row['stage']} {row['action']}")
        for sentence in (row["stage"], row["action"]):
            assert sentence.endswith(".")
            assert sentence.count(". ") == 0
            assert "Traceback" not in sentence
            assert "Error" not in sentence
        found = peaks(application, note, "2 GB of zeros")
        for name in ("web", "light worker", "recon worker", "queue"):
            assert found[name] < WEB_MEGABYTES, name
        assert found["job"] < min(without + MORE_WITH_ZEROS_MEGABYTES, JOB_MEGABYTES)
        assert list((application.state / "uploads").iterdir()) == [], "the upload's bytes have moved to the storage"
        [job] = study.jobs()
        assert inside(application, "stored", below=f"work/{job['id']}") == [], "nothing half-written"

        # The right file in its place.
        study.upload(raw.standard, "Standard")
        study.upload(raw.fast, "Fast")
        wait_until(study.finished, seconds=120, says="the series of the right files")


def test_a_scan_of_full_size(roomy: Path, note: Note):
    """Sagittal T2 FS with two averages and 32 coils, as in the paper's Table 1."""
    scan = simulate(roomy / "scan.h5", sequence="SAG T2 FS", acquisition="Standard", size="full")
    length = scan.stat().st_size
    assert length > GIGABYTE
    with running(roomy / "state") as application:
        wait_until(lambda: processes(application, "job"), seconds=60, says="the process that computes")
        study = StudyAtWork(application, sequence="SAG T2 FS")
        forget_peaks(application)
        study.upload(scan, "Standard")
        scan.unlink()
        wait_until(lambda: study.row("Standard")["kind"] == "done", seconds=400, says="the reconstruction", every=1)
        [job] = study.jobs()
        note(f"full-size scan of {in_words(length)}: reconstructed in {job['seconds']:.0f} s")
        found = peaks(application, note, "full-size scan")
        assert found["job"] < JOB_MEGABYTES
        for name in ("web", "light worker", "recon worker", "queue"):
            assert found[name] < WEB_MEGABYTES, name
