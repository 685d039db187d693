"""Finishing jobs that measure: what they store and tell, and that a failed measurement is no failed job."""

from __future__ import annotations

import json
import shutil
import subprocess
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from PIL import Image

from recon_worker import contracts
from recon_worker.data import InputFault, ReconstructionFault, Volume
from recon_worker.measuring import FILES, NO_NAME
from recon_worker.morphometry.levels import level_name
from recon_worker.pipeline import run_finishing_job
from recon_worker.segmentation.segment import Progress, Segmentation
from recon_worker.store import Store
from recon_worker.stored_volume import save_volume
from tests.recon_worker.measured_spines import KnowsTheTruth, complex_volume
from tests.recon_worker.orders import file_of, files_below, finishing_order
from tests.recon_worker.segmentation.spines import labelled_spine

JOB = "11111111-2222-3333-4444-555555555555"
SERIES_FILES = {"frames.u16", "series.json", "preview.png", "dicom"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("measuring") / "storage"


@pytest.fixture(scope="module")
def store(folder: Path) -> Store:
    folder.mkdir()
    return Store(folder.as_uri())


def ordered(store: Store, folder: Path, noises: tuple[float, ...], *, reference: int = 0, measure: bool = True):
    """An order over one spine with other noise in each series."""
    files = []
    for seed, noise in enumerate(noises):
        path = f"work/{uuid.uuid4()}/1/reconstructed.npz"
        (folder / path).parent.mkdir(parents=True)
        save_volume(folder / path, complex_volume(labelled_spine(1), noise=noise, seed=seed), noise_reduction=0.0)
        files.append(file_of(store, path))
    order = finishing_order(files, acquisitions=[0] * len(files), reference=reference, measure=measure)
    contracts.check("finishing-work-order", order)
    return order


def event(payload: dict[str, Any]) -> dict[str, Any]:
    return {"job": JOB, "attempt": 1, "event": "done", "payload": json.loads(json.dumps(payload))}


@pytest.fixture(scope="module")
def finished(store: Store, folder: Path):
    order = ordered(store, folder, (2.0, 6.0), reference=1)
    said: list[tuple[str, float]] = []
    payload = run_finishing_job(
        order, store=store, report=lambda *one: said.append(one), segmenter=KnowsTheTruth(labelled_spine(1))
    )
    return order, payload, said


def test_the_event_follows_its_contract(finished):
    _, payload, _ = finished
    contracts.check("event", event(payload))
    assert [one["index"] for one in payload["measurements"]] == [0, 1]
    for one in payload["measurements"]:
        assert one["fault"] is None and len(one["structures"]) == 13
        assert {structure["matched_level"] for structure in one["structures"]} == {None}


def test_measurements_lie_beside_the_series_and_never_in_it(finished, folder):
    order, payload, _ = finished
    output = folder / order["output"]
    assert {path.name for path in output.iterdir()} == {"series", "measurements"}
    for index, one in enumerate(payload["measurements"]):
        place = f"{order['output']}/measurements/{index}"
        assert [file["path"] for file in one["files"]] == [f"{place}/{name}" for name in FILES]
        assert (one["overlay"], one["labels"]) == (f"{place}/overlay.png", f"{place}/labels.npz")
        with Image.open(folder / one["overlay"]) as sheet:
            assert one["sheet"]["size"] == list(sheet.size)
        assert {path.name for path in (output / "series" / str(index)).iterdir()} == SERIES_FILES
        assert not any("measurements" in file["path"] for file in payload["series"][index]["files"])
    assert {path.name for path in (output / "measurements").rglob("*") if path.is_file()} == set(FILES)


def test_the_series_are_the_same_with_and_without_measuring(finished, store):
    """What readers get does not know of the measurement."""
    order, payload, _ = finished
    plain = {**order, "measure": False, "output": "work/plain/1"}
    other = run_finishing_job(plain, store=store, report=lambda *_: None)
    assert other["measurements"] is None
    contracts.check("event", event(other))
    for one, two in zip(payload["series"], other["series"], strict=True):
        assert [file["sha256"] for file in one["files"]] == [file["sha256"] for file in two["files"]]


def test_what_is_stored_is_what_was_measured(finished, folder):
    """Label maps, segments and values against the truth of the spine."""
    _, payload, _ = finished
    spine = labelled_spine(1)
    for one, series in zip(payload["measurements"], payload["series"], strict=True):
        with np.load(folder / one["labels"], allow_pickle=False) as arrays:
            discs, bodies = arrays["discs"], arrays["bodies"]
        assert discs.dtype == bodies.dtype == np.uint8
        assert discs.shape == (series["slices"], series["rows"], series["columns"])
        # The truth's rows, columns and slices may lie otherwise; volumes and counts cannot.
        for labels, true in ((discs, spine.discs), (bodies, spine.bodies)):
            for level in np.unique(true)[1:]:
                overlap = 2 * min((labels == level).sum(), (true == level).sum())
                assert overlap > 0.9 * ((labels == level).sum() + (true == level).sum())
        for structure in one["structures"]:
            assert structure["state"] == "measured"
            if structure["kind"] == "body":
                true_value = spine.true["body_volume_cm3", structure["level"]]
                assert structure["measures"]["body_volume_cm3"] == pytest.approx(true_value, rel=0.08)
            else:
                true_value = spine.true["disc_height_mm", structure["level"]]
                assert structure["measures"]["disc_height_mm"] == pytest.approx(true_value, abs=1.5)
        written = highdicom.seg.segread(folder / one["files"][2]["path"])
        images = [pydicom.dcmread(path) for path in sorted((folder / series["path"] / "dicom").glob("*.dcm"))]
        assert {image.StudyInstanceUID for image in images} == {written.StudyInstanceUID}
        masks = written.get_pixels_by_source_instance(
            [image.SOPInstanceUID for image in images], assert_missing_frames_are_empty=True
        )
        for number in range(1, written.number_of_segments + 1):
            label = written.get_segment_description(number).segment_label
            kind, name = ("disc", label.removeprefix("Disc ")) if label[0] == "D" else ("body", label.split()[-1])
            (level,) = [level for level in range(1, 8 - (kind == "disc")) if level_name(kind, level) == name]
            np.testing.assert_array_equal(masks[..., number - 1] > 0, {"disc": discs, "body": bodies}[kind] == level)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (Debian package dicom3tools) is not installed")
def test_the_objects_conform(finished, folder):
    _, payload, _ = finished
    for one in payload["measurements"]:
        for file in one["files"][2:]:
            said = subprocess.run(["dciodvfy", "-new", folder / file["path"]], capture_output=True, text=True)
            assert said.returncode == 0 and "Error" not in said.stdout + said.stderr


def test_lineage_names_what_was_measured_and_every_file(finished):
    order, payload, _ = finished
    lineage = payload["lineage"]
    assert [one["step"] for one in lineage["parameters"]["measurements"]] == ["segmentation"] * 2
    outputs = {file["path"] for file in lineage["outputs"]}
    assert {file["path"] for one in payload["measurements"] for file in one["files"]} <= outputs
    assert not any(series["uid_key"] in json.dumps(payload) for series in order["series"])


def test_progress_goes_forward_and_names_no_arm(finished):
    fractions = [fraction for _, fraction in finished[2]]
    assert fractions == sorted(fractions) and fractions[-1] == 1
    stages = list(dict.fromkeys(stage for stage, _ in finished[2]))
    assert stages[-4:] == ["authoring", "measuring 1 of 2", "measuring 2 of 2", "storing"]


def test_the_same_order_gives_the_same_bytes(finished, store):
    order, payload, _ = finished
    again = run_finishing_job(
        {**order, "output": "work/again/1"}, store=store, report=lambda *_: None,
        segmenter=KnowsTheTruth(labelled_spine(1)),
    )  # fmt: skip
    for one, two in zip(payload["measurements"], again["measurements"], strict=True):
        assert [file["sha256"] for file in one["files"]] == [file["sha256"] for file in two["files"]]


class Fails(KnowsTheTruth):
    """Knows the truth but for one series."""

    def __init__(self, error: Exception) -> None:
        super().__init__(labelled_spine(1))
        self._error = error

    def __call__(self, volume: Volume, *, progress: Progress, device: str) -> Segmentation:
        if self.calls == 1:
            self.calls += 1
            raise self._error
        return super().__call__(volume, progress=progress, device=device)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (InputFault("No lumbar spine was found in the series.", "Measure it by hand."), "No lumbar spine was found"),
        (ReconstructionFault("The weights are damaged."), "The weights are damaged."),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "needs more memory"),
        (ZeroDivisionError("never told"), r"The measurement broke \(ZeroDivisionError\)"),
    ],
)
def test_a_series_that_cannot_be_measured_is_finished_and_says_why(store, folder, error, message):
    order = ordered(store, folder, (2.0, 2.0))
    payload = run_finishing_job(order, store=store, report=lambda *_: None, segmenter=Fails(error))
    contracts.check("event", event(payload))
    assert len(payload["series"]) == 2
    first, second = payload["measurements"]
    assert first["fault"] is None and len(first["structures"]) == 13
    assert second["structures"] == second["files"] == []
    assert second["overlay"] is second["labels"] is second["sheet"] is None
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(second["fault"]["message"])
    assert second["fault"]["action"] and "never told" not in json.dumps(payload)
    assert not (folder / order["output"] / "measurements" / "1").exists()
    assert payload["lineage"]["parameters"]["measurements"][1] is None


def test_a_fault_of_the_reference_leaves_the_others_as_named(store, folder):
    order = ordered(store, folder, (2.0, 2.0), reference=1)
    payload = run_finishing_job(order, store=store, report=lambda *_: None, segmenter=Fails(RuntimeError("broken")))
    assert {structure["matched_level"] for structure in payload["measurements"][0]["structures"]} == {None}


class CountsFromTheWrongLevel(KnowsTheTruth):
    """In the second series every level is one too low by number: L5 is taken for the sacrum's first."""

    def __call__(self, volume: Volume, *, progress: Progress, device: str) -> Segmentation:
        found = super().__call__(volume, progress=progress, device=device)
        if self.calls != 2:
            return found
        kept = [one for one in found.structures if one.level > 1]
        renamed = [replace(one, level=one.level - 1, name=level_name(one.kind, one.level - 1)) for one in kept]
        discs, bodies = (np.where(labels > 0, labels - 1, 0).astype(np.uint8) for labels in (found.discs, found.bodies))
        return replace(found, structures=renamed, discs=discs, bodies=bodies)


def test_an_arm_counted_from_another_level_is_matched_by_place(store, folder):
    order = ordered(store, folder, (2.0, 2.0))
    payload = run_finishing_job(
        order, store=store, report=lambda *_: None, segmenter=CountsFromTheWrongLevel(labelled_spine(1))
    )
    contracts.check("event", event(payload))
    assert all(one["matched_level"] == one["level"] + 1 for one in payload["measurements"][1]["structures"])
    assert len(payload["measurements"][1]["structures"]) == 11


def test_what_lies_above_the_reference_s_names_is_left_out_and_the_coordinator_is_told(store, folder):
    """The reference is the second series, in which L1 is called T12: the first one's T12 has no name in its count."""
    order = ordered(store, folder, (2.0, 2.0), reference=1)
    payload = run_finishing_job(
        order, store=store, report=lambda *_: None, segmenter=CountsFromTheWrongLevel(labelled_spine(1))
    )
    contracts.check("event", event(payload))
    first, second = payload["measurements"]
    assert {one["matched_level"] for one in second["structures"]} == {None}
    assert all(one["matched_level"] == one["level"] - 1 for one in first["structures"])
    assert [(one["kind"], one["level"]) for one in first["structures"]] == [
        *(("disc", level) for level in range(2, 7)),
        *(("body", level) for level in range(2, 8)),
    ]
    told = [remark for remark in first["remarks"] if remark.startswith(NO_NAME)]
    assert len(told) == 1 and told[0].endswith(": T12-L1, T12, as named in this series.")
    assert not [remark for remark in second["remarks"] if remark.startswith(NO_NAME)]
    # What is stored of the series keeps it, under the series' own name.
    with np.load(folder / first["labels"], allow_pickle=False) as arrays:
        assert 1 in arrays["discs"] and 1 in arrays["bodies"]


class LiesElsewhere(KnowsTheTruth):
    """In the second series the patient lies 20 mm further down the table: half a level and more."""

    def __call__(self, volume: Volume, *, progress: Progress, device: str) -> Segmentation:
        found = super().__call__(volume, progress=progress, device=device)
        if self.calls != 2:
            return found
        moved = [
            replace(one, centroid_mm=(one.centroid_mm[0], one.centroid_mm[1], one.centroid_mm[2] - 20.0))
            for one in found.structures
        ]
        return replace(found, structures=moved)


def test_a_patient_who_moved_by_half_a_level_keeps_the_names_and_the_coordinator_is_told(store, folder):
    order = ordered(store, folder, (2.0, 2.0))
    payload = run_finishing_job(order, store=store, report=lambda *_: None, segmenter=LiesElsewhere(labelled_spine(1)))
    contracts.check("event", event(payload))
    first, second = payload["measurements"]
    assert {one["matched_level"] for one in second["structures"]} == {None}
    assert [remark for remark in second["remarks"] if remark.startswith("All structures lie 20 mm from")]
    assert not [remark for remark in first["remarks"] if remark.startswith("All structures")]


def test_a_job_that_fails_later_leaves_no_measurement(store, folder, monkeypatch):
    order = ordered(store, folder, (2.0, 2.0))
    before = files_below(folder)

    def full(local: Path, path: str) -> Any:
        if "/measurements/1/" in path:
            raise OSError(28, "No space left on device")
        return put(local, path)

    put = store.put
    monkeypatch.setattr(store, "put", full)
    with pytest.raises(OSError, match="No space"):
        run_finishing_job(order, store=store, report=lambda *_: None, segmenter=KnowsTheTruth(labelled_spine(1)))
    assert files_below(folder) == before
