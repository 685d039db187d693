"""A study made from the preset of parallel imaging, from raw files to series, with the real worker's jobs."""

import json
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings

from readerstudy import storage
from readerstudy.blinding import checks
from readerstudy.intake import services as intake
from readerstudy.processing import selectors, services
from readerstudy.processing.models import Job, Series
from recon_worker import contracts
from recon_worker.pipeline import run_acquisition_job, run_finishing_job
from recon_worker.store import Store
from tests.readerstudy.builders import BuiltStudy, logged_in, make_study, to_preparing
from tests.readerstudy.processing.small_study import STARTED, messages
from tests.recon_worker.support import Protocol, simulate, write_scan

PRESET = "lumbar-spine-parallel-imaging"
ACQUIRED = {
    "Standard": (Protocol(rows=72, n_coils=8, n_slices=2, n_averages=2), 1),
    "Fast": (Protocol(rows=72, n_coils=8, n_slices=2), 2),
}


def work(job: Job) -> None:
    """What the worker does with a job, between the two tasks."""
    contracts.check(f"{job.kind}-work-order", job.work_order)
    services.record(job_id=job.id, attempt=job.attempt, event="started", payload=STARTED)
    run = {Job.Kind.ACQUISITION: run_acquisition_job, Job.Kind.FINISHING: run_finishing_job}[Job.Kind(job.kind)]
    payload = json.loads(json.dumps(run(job.work_order, store=Store(settings.STORAGE_URL), report=lambda *_: None)))
    assert services.record(job_id=job.id, attempt=job.attempt, event="done", payload=payload)
    job.refresh_from_db()
    assert job.status == Job.Status.DONE, job.failure_message


@pytest.fixture
def built(db, tmp_path: Path) -> BuiltStudy:
    """One subject, its first sequence with all series."""
    messages("recon")
    built = to_preparing(make_study(subjects=1, preset=PRESET))
    sequence = built.study.sequences.first()
    assert sequence is not None
    for name, (protocol, seed) in ACQUIRED.items():
        path = write_scan(tmp_path / f"{name}.h5", simulate(protocol, noise_level=0.01, seed=seed))
        upload = intake.take_in(
            study=built.study,
            subject=built.subjects[0],
            sequence=sequence,
            acquisition=built.study.acquisitions.get(name=name),
            uploader=built.coordinator,
            path=path,
        )
        raw_file = intake.accept(upload_id=upload.id)
        assert raw_file is not None
        job = services.start_acquisition_job(raw_file_id=raw_file.id)
        assert job is not None
        work(job)
    work(Job.objects.get(kind=Job.Kind.FINISHING))
    return built


def test_from_raw_files_to_series_that_differ_in_pixels_alone(built):
    study = built.study
    series = {one.arm.name: one for one in Series.objects.filter(study=study, is_current=True)}
    assert set(series) == {arm.name for arm in study.arms.all()} and len(series) == 5
    pictures = {}
    for name, one in series.items():
        with storage.open_file(f"{one.path}/frames.u16") as file:
            pictures[name] = np.frombuffer(file.read(), "<u2").astype(float)
    assert len({picture.tobytes() for picture in pictures.values()}) == 5
    tissue = pictures["Standard"] > 1000
    for name, picture in pictures.items():
        assert np.median(picture[tissue] / pictures["Standard"][tissue]) == pytest.approx(1, abs=0.05), name
        error = np.linalg.norm(picture - pictures["Standard"]) / np.linalg.norm(pictures["Standard"])
        assert error < 0.2, (name, error)
    for check in (checks.same_geometry, checks.same_lengths, checks.frames_whole, checks.same_headers, checks.no_words):
        assert check(study) == [], check
    assert not [
        problem for problem in selectors.problems(study) if "not finished" in problem and "SAG T2 FS" in problem
    ]


def test_the_coordinator_sees_each_chain_and_its_lineage(built):
    client = logged_in(built.coordinator)
    page = client.get(f"/studies/{built.study.pk}/processing").content.decode()
    assert "L1-wavelet, one of 3 lines at random, 24 calibration lines" in page
    one = Series.objects.get(study=built.study, arm__name="Fast GRAPPA 2", is_current=True)
    lineage = json.loads(
        client.get(f"/studies/{built.study.pk}/processing/series/{one.pk}/lineage?format=json").content
    )
    assert lineage["series"]["chain"]["parallel_imaging"] == "GRAPPA"
    [fast] = [each for each in lineage["acquisitions"] if each["acquisition"] == "Fast"]
    chains = fast["lineage"]["parameters"]["chains"]
    assert [each["chain"]["parallel_imaging"] for each in chains].count("SENSE") == 2
    assert all(each["reconstruction"]["steps"] for each in chains)
