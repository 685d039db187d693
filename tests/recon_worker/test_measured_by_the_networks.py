"""From raw k-space to measurements with the installed networks: job, command, and a series without a spine."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recon_worker import contracts
from recon_worker.__main__ import main
from recon_worker.data import Volume
from recon_worker.dicom.authoring import author_series
from recon_worker.dicom.orientation import to_reading_orientation
from recon_worker.dicom.series import read_series
from recon_worker.morphometry.structures import Structure
from recon_worker.phantom.anatomy import draw_subject
from recon_worker.phantom.simulate import simulate_acquisition
from recon_worker.phantom.truth import measure
from recon_worker.pipeline import run_acquisition_job, run_finishing_job
from recon_worker.segmentation.segment import Segmentation, segment
from recon_worker.segmentation.weights import read_card
from recon_worker.store import Store
from tests.recon_worker.dicom.test_authoring import make_volume
from tests.recon_worker.orders import acquisition_order, finishing_order

JOB = "11111111-2222-3333-4444-555555555555"
SEED = 7
LEAST_DICE = 0.6
"""At 2 mm pixels, which discs of 9 mm hardly survive: enough to see that every structure is where it is named. How good
the masks are is told by `make evaluate-segmentation`."""


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], Any]:
    """Storage, event and truth of one simulated sagittal T1 acquisition."""
    folder = tmp_path_factory.mktemp("networks") / "storage"
    (folder / "raw").mkdir(parents=True)
    truth = simulate_acquisition(
        folder / "raw" / "scan.h5", sequence="SAG T1", acquisition="Standard", size="small", coils=(2, 1), seed=SEED
    )
    store = Store(folder.as_uri())
    acquired = run_acquisition_job(acquisition_order(store, "raw/scan.h5"), store=store, report=lambda *_: None)
    order = finishing_order(acquired["volumes"], acquisitions=[0], measure=True)
    payload = run_finishing_job(order, store=store, report=lambda *_: None)
    with np.load(truth) as arrays:
        labels = {
            kind: to_reading_orientation(Volume(arrays[name], arrays["affine"], 5.0)).array
            for kind, name in (("disc", "discs"), ("body", "bodies"))
        }
    return folder, payload, labels


def test_every_level_is_found_where_it_is(measured):
    folder, payload, labels = measured
    contracts.check("event", {"job": JOB, "attempt": 1, "event": "done", "payload": json.loads(json.dumps(payload))})
    (one,) = payload["measurements"]
    assert one["fault"] is None
    with np.load(folder / one["labels"]) as arrays:
        found = {"disc": arrays["discs"], "body": arrays["bodies"]}
    for kind, levels in (("disc", range(1, 7)), ("body", range(1, 7))):
        for level in levels:
            ours, true = found[kind] == level, labels[kind] == level
            assert 2 * (ours & true).sum() > LEAST_DICE * (ours.sum() + true.sum()), (kind, level)


def test_values_are_near_the_truth(measured):
    """Coarse pixels of 2 mm and slices every 6.5 mm: heights to 2.5 mm and volumes to a fifth, by a wide margin."""
    _, payload, _ = measured
    true = {(one.quantity, one.level): one.value for one in measure(draw_subject(SEED, 1).spine)}
    structures = payload["measurements"][0]["structures"]
    assert sum(one["state"] == "measured" for one in structures) >= 11
    for one in structures:
        for quantity, tolerance in (("disc_height_mm", {"abs": 2.5}), ("body_volume_cm3", {"rel": 0.2})):
            if quantity in one["measures"] and one["name"] != "S1":
                assert one["measures"][quantity] == pytest.approx(true[quantity, one["level"]], **tolerance)


def test_coarse_pixels_are_remarked_on_once(measured):
    told = [text for text in measured[1]["measurements"][0]["remarks"] if "ixels" in text]
    assert len(told) == 1 and re.match(r"Pixels of 2\.\d mm: heights and volumes are less exact", told[0])


def test_lineage_names_the_weights(measured):
    lineage = measured[1]["lineage"]["parameters"]["measurements"][0]
    assert lineage["weights"] == {name: read_card(name)["sha256"] for name in ("discs", "bodies")}


def test_the_command_finds_the_same(measured, tmp_path, capsys):
    folder, payload, _ = measured
    series = folder / payload["series"][0]["path"]
    assert main(["segment", str(series), str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "out")
    with np.load(folder / payload["measurements"][0]["labels"]) as ours, np.load(tmp_path / "out/labels.npz") as other:
        np.testing.assert_array_equal(ours["discs"], other["discs"])
        np.testing.assert_array_equal(ours["bodies"], other["bodies"])
    found = json.loads((tmp_path / "out" / "structures.json").read_text())["structures"]
    for one, told in zip(found, payload["measurements"][0]["structures"], strict=True):
        for name in ("kind", "level", "name", "state", "flags"):
            assert one[name] == told[name]
        # Geometry went through DICOM's decimal strings: a column on the rectangle's edge may count or not.
        assert one["measures"] == pytest.approx(told["measures"], rel=0.01)
        assert one["centroid_mm"] == pytest.approx(told["centroid_mm"], abs=0.02)


@pytest.fixture(scope="module")
def series(measured: tuple[Path, dict[str, Any], Any]) -> tuple[Volume, dict[str, Any]]:
    """The finished series as it is stored, and the true labels on its grid."""
    folder, payload, labels = measured
    return read_series(folder / payload["series"][0]["path"]), labels


def _apart(one: Structure, other: Structure) -> float:
    """Millimetres between two structures of a kind along the spine."""
    return abs(one.centroid_mm[2] - other.centroid_mm[2]) if one.kind == other.kind else np.inf


def by_name(found: Segmentation) -> dict[str, Structure]:
    return {one.name: one for one in found.structures}


def test_a_body_with_metal_in_it_is_not_measured_and_the_others_stay_as_they_are(series):
    """A rod of 16 mm through the middle of L4, from the back to its front wall: what the networks make of it."""
    volume, labels = series
    plane, row, column = np.median(np.argwhere(labels["body"] == 5), axis=0)
    slices, rows, columns = np.indices(volume.array.shape)
    rod = (abs(rows - row) * volume.spacing_mm[1] < 8) & ((column - columns) * volume.spacing_mm[2] < 14)
    shown = np.where(rod & (abs(slices - plane) <= 2), 0, volume.array)
    found = segment(volume.with_array(shown))
    named = by_name(found)
    assert "L4" not in named or not named["L4"].measures
    assert re.search(r"\bL4[,.]", " ".join(found.remarks))
    whole = by_name(segment(volume))
    for name in ("L1", "L2", "L3", "L1-L2", "L2-L3"):
        assert named[name].measures == pytest.approx(whole[name].measures, rel=0.1)


def test_a_picture_that_ends_in_the_last_lumbar_body_is_told(series):
    volume, labels = series
    end = int(np.median(np.argwhere(labels["body"] == 6)[:, 1]))
    whole = by_name(segment(volume))
    for shown in (volume.array[:, :end], np.where(np.arange(volume.array.shape[1])[:, None] < end, volume.array, 0)):
        found = segment(volume.with_array(shown))
        assert all(any("sacrum" in flag for flag in one.flags) for one in found.structures)
        # What lies beside the edge has no number: the body of which a half is seen, and the disc above it.
        for one in found.structures:
            if one.measures:
                assert min(_apart(one, whole[name]) for name in ("L5", "S1", "L4-L5", "L5-S1")) > 10


def test_a_picture_that_begins_in_a_body_does_not_measure_it(series):
    volume, labels = series
    begin = int(np.median(np.argwhere(labels["body"] == 3)[:, 1]))
    moved = volume.affine.copy()
    moved[:3, 3] += moved[:3, 1] * begin
    named = by_name(segment(Volume(volume.array[:, begin:], moved, volume.slice_thickness_mm)))
    for name in ("L2", "L2-L3"):
        assert name not in named or (named[name].state == "cut" and not named[name].measures)
    assert named["L3"].measures and named["L4-L5"].measures


def test_no_spine_no_measurement(tmp_path, capsys):
    """Noise, and a ball in noise."""
    volume = make_volume(slices=5)
    rows, columns = np.indices((96, 80))
    ball = 2000 * ((rows - 48) ** 2 + (columns - 40) ** 2 < 30**2)
    noise = np.random.default_rng(1).normal(300, 60, (5, 96, 80))
    for name, pictures in (("noise", noise), ("ball", noise + ball)):
        shown = Volume(np.clip(pictures, 0, 4095).astype(np.uint16), volume.affine, 4.0)
        author_series(shown, uid_key=b"k" * 32, out=tmp_path / name)
        assert main(["segment", str(tmp_path / name), str(tmp_path / f"{name}-out")]) == 1
        said = capsys.readouterr()
        assert len(said.err.splitlines()) == 1 and "No lumbar spine" in said.err
        assert not (tmp_path / f"{name}-out").exists()
