"""Masks and contact sheets lie in storage beside the series; nothing of them reaches a reader's path or answer."""

import hashlib

import pytest
from django.test import Client

from readerstudy import storage
from readerstudy.blinding import checks
from readerstudy.blinding.services import release
from readerstudy.processing.models import MeasuredSeries, Series
from readerstudy.reading.models import Presentation
from readerstudy.studies.models import Study
from tests.readerstudy.reading.study_rows import make_study, overwrite

pytestmark = pytest.mark.django_db
NAMES = ("labels.npz", "overlay.png", "segmentation.dcm", "report.dcm")


def measure(series: Series) -> None:
    """What the worker leaves for a measured series; lengths and contents differ by arm."""
    for name in NAMES:
        folder = series.path.replace("/series/", "/measurements/")
        overwrite(f"{folder}/{name}", f"{name} of {series.arm.name}".encode())


def below(path: str) -> set[str]:
    system, root = storage.file_system()
    return {found.removeprefix(f"{root}/") for found in system.find(f"{root}/{path}")}


def test_a_release_neither_checks_nor_copies_them():
    rows = make_study(subjects=1, sequences=1, arms=3)
    for series in rows.series:
        measure(series)
        assert not any("measurements" in file["path"] for file in checks.reader_files(series).values())
        assert {f"{series.path.replace('/series/', '/measurements/')}/{name}" for name in NAMES} <= below("work")
    before = below("reading")
    release(study=rows.study, actor=rows.coordinator)
    copied = below("reading") - before
    assert len(copied) == 3 and all(path.endswith("/frames.u16") for path in copied)
    ours = {series.files[[file["path"].endswith("frames.u16") for file in series.files].index(True)]["sha256"]
            for series in rows.series}  # fmt: skip
    assert {hashlib.sha256(storage.open_file(path).read()).hexdigest() for path in copied} == ours


@pytest.mark.parametrize("role", ["reader", "stranger"])
def test_no_address_of_the_reading_api_leads_to_them(role):
    rows = make_study(subjects=1, sequences=1, arms=2)
    for series in rows.series:
        measure(series)
    release(study=rows.study, actor=rows.coordinator)
    client = Client(raise_request_exception=False)
    if role == "reader":
        client.force_login(rows.readers[0])
    token = Presentation.objects.filter(reader=rows.readers[0]).first().token
    base = f"/api/reading/{rows.study.pk}/presentations"
    job = rows.series[0].path.split("/series/")[0]
    for name in NAMES:
        for place in (
            f"{base}/{token}/{name}",
            f"{base}/{token}/frames/{name}",
            f"{base}/{token}/measurements/0/{name}",
            f"{base}/{token}/frames/..%2f..%2f..%2f{job}%2fmeasurements%2f0%2f{name}",
            f"{base}/{token}/frames/../../../../{job}/measurements/0/{name}",
            f"{base}/..%2f{job}%2fmeasurements%2f0/frames/0",
        ):
            answer = client.get(place)
            assert answer.status_code in (302, 403, 404), place
            assert b"overlay" not in answer.content and name.encode() + b" of" not in answer.content


@pytest.mark.parametrize("role", ["reader", "anonymous"])
@pytest.mark.parametrize("state", ["reading", "locked", "unblinded"])
def test_no_reader_gets_a_file_of_the_measurements_page(role, state):
    """The coordinator's own addresses, with the true number of a series that has them all."""
    rows = make_study(subjects=1, sequences=1, arms=2)
    for series in rows.series:
        measure(series)
        folder = series.path.replace("/series/", "/measurements/")
        files = [{"path": f"{folder}/{name}"} for name in NAMES]
        MeasuredSeries.objects.create(series=series, files=files, overlay=f"{folder}/overlay.png")
    release(study=rows.study, actor=rows.coordinator)
    Study.objects.filter(pk=rows.study.pk).update(state=state)
    coordinator, client = Client(), Client()
    coordinator.force_login(rows.coordinator)
    if role == "reader":
        client.force_login(rows.readers[0])
    for name in NAMES:
        address = f"/studies/{rows.study.pk}/measurements/{rows.series[0].pk}/{name}"
        assert coordinator.get(address).status_code == (404 if name == "labels.npz" else 200)
        answer = client.get(address)
        assert answer.status_code == (404 if role == "reader" else 302), name
        assert name.encode() + b" of" not in answer.content
