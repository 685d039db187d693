"""`python -m recon_worker segment SERIES OUT`: what it writes, and one sentence for what it cannot segment."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from PIL import Image

from recon_worker.__main__ import main
from recon_worker.by_hand import segment_to_folder
from recon_worker.data import InputFault, Volume
from recon_worker.dicom.authoring import author_series
from recon_worker.dicom.orientation import to_reading_orientation
from recon_worker.dicom.series import read_series
from recon_worker.segmentation.segment import Progress, Segmentation
from tests.recon_worker.dicom.test_authoring import AXIAL, CORONAL, make_volume
from tests.recon_worker.dicom.test_series import change, write_vendor_series
from tests.recon_worker.measured_spines import KnowsTheTruth
from tests.recon_worker.segmentation.spines import labelled_spine

ROOT = Path(__file__).resolve().parent.parent.parent
WRITTEN = {"labels.npz", "measurements.csv", "structures.json", "overlay.png", "segmentation.dcm", "report.dcm"}


@pytest.fixture(scope="module")
def spine() -> Volume:
    """Stored pixels in reading orientation."""
    volume = labelled_spine(1).volume
    return to_reading_orientation(volume.with_array(np.asarray(volume.array * 10, dtype=np.uint16)))


@pytest.fixture(scope="module")
def segmented(spine, tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("segmented")
    author_series(spine, uid_key=b"k" * 32, out=folder / "series")
    segment_to_folder(folder / "series", folder / "out", segmenter=KnowsTheTruth(labelled_spine(1)))
    return folder / "series", folder / "out"


def test_writes_what_it_says(segmented):
    assert {path.name for path in segmented[1].iterdir()} == WRITTEN


def test_label_maps_lie_on_the_grid_of_the_series(segmented, spine):
    with np.load(segmented[1] / "labels.npz", allow_pickle=False) as arrays:
        discs, bodies, affine = arrays["discs"], arrays["bodies"], arrays["affine"]
        assert arrays["spacing_mm"] == pytest.approx(spine.spacing_mm, abs=1e-5)
    assert discs.dtype == bodies.dtype == np.uint8 and discs.shape == bodies.shape == spine.array.shape
    np.testing.assert_allclose(affine, spine.affine, atol=1e-5)
    truth = labelled_spine(1)
    for labels, true in ((discs, truth.discs), (bodies, truth.bodies)):
        shown = to_reading_orientation(truth.volume.with_array(true)).array
        for level in np.unique(true)[1:]:
            both = ((labels == level) & (shown == level)).sum()
            assert 2 * both > 0.9 * ((labels == level).sum() + (shown == level).sum())


def test_the_table_holds_what_was_measured(segmented):
    with (segmented[1] / "measurements.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["quantity", "level", "value"]
    found = {(row["quantity"], int(row["level"])): float(row["value"]) for row in rows}
    true = labelled_spine(1).true
    assert set(found) == {("disc_height_mm", level) for level in range(1, 7)} | {
        ("body_volume_cm3", level) for level in range(1, 8)
    }
    for key, value in found.items():
        assert value == pytest.approx(true[key], **({"abs": 1.5} if key[0] == "disc_height_mm" else {"rel": 0.08}))
    described = json.loads((segmented[1] / "structures.json").read_text())
    assert len(described["structures"]) == 13 and described["lineage"]["code"]["name"] == "recon_worker"


def test_the_lineage_tells_every_image_that_was_read_and_every_file_that_was_written(segmented):
    series, out = segmented
    lineage = json.loads((out / "structures.json").read_text())["lineage"]
    contents = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (series / "dicom").glob("*.dcm")}
    assert {one["sha256"] for one in lineage["inputs"]} == contents
    assert [one["path"] for one in lineage["inputs"]] == [f"slice {n}" for n in range(1, len(contents) + 1)]
    written = {one["path"]: one["sha256"] for one in lineage["outputs"]}
    assert written == {
        name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in WRITTEN - {"structures.json"}
    }


def test_the_objects_open_and_refer_to_the_series(segmented):
    series, out = segmented
    image = pydicom.dcmread(series / "dicom" / "0001.dcm")
    segmentation = highdicom.seg.segread(out / "segmentation.dcm")
    report = highdicom.sr.srread(out / "report.dcm")
    for one in (segmentation, report):
        assert one.StudyInstanceUID == image.StudyInstanceUID
    assert segmentation.FrameOfReferenceUID == image.FrameOfReferenceUID
    assert len(report.content.get_volumetric_roi_measurement_groups()) == 13
    with np.load(out / "labels.npz") as arrays:
        assert (
            segmentation.get_volume(segment_numbers=[1], combine_segments=True).array.sum()
            == (arrays["discs"] == 1).sum()
        )


def test_the_contact_sheet_shows_discs_and_bodies_in_their_colours(segmented):
    with Image.open(segmented[1] / "overlay.png") as sheet:
        assert sheet.format == "PNG"
        pixels = np.asarray(sheet.convert("RGB"), dtype=int)
    assert 800 < pixels.shape[1] < 2000 and 400 < pixels.shape[0] < 2500
    warm = (pixels[..., 0] - pixels[..., 2] > 100).sum()
    cold = (pixels[..., 2] - pixels[..., 0] > 100).sum()
    assert warm > 2000 and cold > 2000


class Cut(KnowsTheTruth):
    """The highest body leaves the picture, the lowest disc holds metal."""

    def __call__(self, volume: Volume, *, progress: Progress, device: str) -> Segmentation:
        from dataclasses import replace

        found = super().__call__(volume, progress=progress, device=device)
        states = {("body", 1): "cut", ("disc", 6): "excluded"}
        structures = [
            replace(one, state=states[one.kind, one.level], measures={}) if (one.kind, one.level) in states else one
            for one in found.structures
        ]
        return replace(found, structures=structures, remarks=["Cut by the field of view and not measured: T12."])


def test_what_was_not_measured_is_told_and_not_in_the_table(segmented, tmp_path):
    remarks = segment_to_folder(segmented[0], tmp_path / "out", segmenter=Cut(labelled_spine(1)))
    assert remarks == ["Cut by the field of view and not measured: T12."]
    rows = (tmp_path / "out" / "measurements.csv").read_text().splitlines()
    assert not any(row.startswith(("disc_height_mm,6", "body_volume_cm3,1,")) for row in rows) and len(rows) == 12
    structures = json.loads((tmp_path / "out" / "structures.json").read_text())["structures"]
    assert {(one["name"], one["state"]) for one in structures if one["state"] != "measured"} == {
        ("T12", "cut"), ("L5-S1", "excluded")
    }  # fmt: skip


def test_a_scanner_s_series_in_any_order(spine, tmp_path):
    write_vendor_series(tmp_path / "scan", spine, slope=0.5, intercept=3.0)
    segment_to_folder(tmp_path / "scan", tmp_path / "out", segmenter=KnowsTheTruth(labelled_spine(1)))
    with np.load(tmp_path / "out" / "labels.npz") as arrays:
        assert len(np.unique(arrays["bodies"])) == 8


def _axial(folder: Path) -> None:
    author_series(make_volume(AXIAL, slices=4), uid_key=b"k" * 32, out=folder)


def _coronal(folder: Path) -> None:
    author_series(make_volume(CORONAL, slices=4), uid_key=b"k" * 32, out=folder)


def _one_slice(folder: Path) -> None:
    author_series(make_volume(slices=1), uid_key=b"k" * 32, out=folder)


def _empty(folder: Path) -> None:
    volume = make_volume(slices=4)
    author_series(volume.with_array(np.zeros_like(volume.array)), uid_key=b"k" * 32, out=folder)


def _no_numbers(folder: Path) -> None:
    write_vendor_series(folder, make_volume(slices=4), slope=float("nan"))


def _overflowing(folder: Path) -> None:
    write_vendor_series(folder, make_volume(slices=4), slope=1e36)


def _not_dicom(folder: Path) -> None:
    folder.mkdir()
    (folder / "scan.nii.gz").write_bytes(b"\x1f\x8b" + bytes(400))


def _mixed(folder: Path) -> None:
    write_vendor_series(folder / "sagittal", make_volume(slices=4))
    write_vendor_series(folder / "localizer", make_volume(AXIAL, slices=3))


def _coarse(folder: Path) -> None:
    volume = make_volume(slices=4)
    affine = volume.affine.copy()
    affine[:3, 1:3] *= 8
    write_vendor_series(folder, Volume(volume.array, affine, 4.0))


def _changed(folder: Path, **values: object) -> None:
    for path in write_vendor_series(folder, make_volume(slices=4)):
        change(path, **values)


def _no_uid_of_the_study(folder: Path) -> None:
    _changed(folder, StudyInstanceUID="1.2.abc")


def _a_name_for_the_frame(folder: Path) -> None:
    _changed(folder, FrameOfReferenceUID="patient name")


def _one_uid_for_all(folder: Path) -> None:
    _changed(folder, SOPInstanceUID="1.2.3")


REFUSED = {
    "axial": (_axial, "not sagittal"),
    "coronal": (_coronal, "not sagittal"),
    "one slice": (_one_slice, "one slice"),
    "coarse pixels": (_coarse, "pixels of 5.833 mm"),
    "empty pictures": (_empty, "is empty"),
    "no numbers": (_no_numbers, "RescaleSlope"),
    "overflow": (_overflowing, "not numbers"),
    "not DICOM": (_not_dicom, "holds no DICOM image"),
    "localizer mixed in": (_mixed, "holds 2 series"),
    "no UID of the study": (_no_uid_of_the_study, "The StudyInstanceUID of the series is no UID"),
    "a name for the frame of reference": (_a_name_for_the_frame, "The FrameOfReferenceUID of the series is no UID"),
    "one UID for all images": (_one_uid_for_all, "the same SOPInstanceUID"),
    "not there": (lambda folder: None, "is not there"),
}


@pytest.mark.parametrize("fault", REFUSED)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_cannot_be_segmented_is_said_in_one_sentence(tmp_path, capsys, fault):
    makes, words = REFUSED[fault]
    makes(tmp_path / "series")
    assert main(["segment", str(tmp_path / "series"), str(tmp_path / "out")]) == 1
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert said.out == "" and len(lines) == 1 and words in lines[0] and lines[0].endswith("."), said.err
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_over(segmented, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    assert main(["segment", str(segmented[0]), str(tmp_path / "out")]) == 1
    assert "is not empty" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["notes.txt"]


class Breaks(KnowsTheTruth):
    def __call__(self, volume: Volume, *, progress: Progress, device: str) -> Segmentation:
        raise InputFault("No lumbar spine was found in the series.", "Measure it by hand.")


def test_nothing_half_written_is_left(segmented, tmp_path):
    with pytest.raises(InputFault):
        segment_to_folder(segmented[0], tmp_path / "new" / "out", segmenter=Breaks(labelled_spine(1)))
    assert not (tmp_path / "new").exists()


def test_progress_ends_at_one(segmented, tmp_path):
    said: list[tuple[str, float]] = []
    segment_to_folder(
        segmented[0], tmp_path / "out", segmenter=KnowsTheTruth(labelled_spine(1)), report=lambda *one: said.append(one)
    )
    fractions = [fraction for _, fraction in said]
    assert fractions == sorted(fractions) and fractions[0] == 0 and fractions[-1] == 1


def test_help_and_wrong_usage():
    def command(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "recon_worker", "segment", *words], capture_output=True, text=True,
                              cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=120)  # fmt: skip

    helped = command("--help")
    assert helped.returncode == 0 and all(word in helped.stdout for word in ("SERIES", "OUT", "measurements.csv"))
    assert command().returncode == 2


def test_the_series_is_read_as_it_was_written(segmented, spine):
    np.testing.assert_array_equal(read_series(segmented[0]).array, spine.array)
