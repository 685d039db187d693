"""Authored series: conform, say nothing but geometry, and are alike to the byte except UIDs and pixels."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from recon_worker.data import Volume
from recon_worker.dicom.authoring import (
    IMPLEMENTATION_CLASS_UID,
    allowed_keywords,
    author_series,
    cosine_text,
    length_text,
    position_text,
)
from recon_worker.dicom.orientation import to_reading_orientation

SAGITTAL = np.array([[1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]])
AXIAL = np.array([[0, 0, -1.0], [0, 1.0, 0], [1.0, 0, 0]])
CORONAL = np.array([[0, 1.0, 0], [0, 0, -1.0], [1.0, 0, 0]])
OBLIQUE = AXIAL @ Rotation.from_euler("xyz", [18.0, -7.0, 3.0], degrees=True).as_matrix().T


def make_volume(directions: np.ndarray = SAGITTAL, *, seed: int = 0, slices: int = 3) -> Volume:
    affine = np.eye(4)
    affine[:3, :3] = (directions * np.array([4.4, 0.7291667, 0.6510417])[:, None]).T
    affine[:3, 3] = (-23.456789, 101.1, -345.67)
    pixels = np.random.default_rng(seed).integers(0, 4096, (slices, 24, 20)).astype(np.uint16)
    return to_reading_orientation(Volume(pixels, affine, 4.0))


def header_bytes(path: Path) -> bytes:
    """The file up to the value of its pixel data."""
    content = path.read_bytes()
    return content[: content.index(b"\xe0\x7f\x10\x00OW") + 8]


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (Debian package dicom3tools) is not installed")
@pytest.mark.parametrize(
    "directions", [SAGITTAL, AXIAL, CORONAL, OBLIQUE], ids=["sagittal", "axial", "coronal", "oblique"]
)
def test_dciodvfy_finds_neither_error_nor_warning(tmp_path, directions):
    author_series(make_volume(directions), uid_key=b"k" * 32, out=tmp_path)
    for path in sorted(tmp_path.glob("dicom/*.dcm")):
        said = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True)
        assert said.returncode == 0
        assert (said.stdout + said.stderr).split() == ["MRImage"]


@pytest.mark.skipif(shutil.which("dcmdump") is None, reason="dcmdump (Debian package dcmtk) is not installed")
def test_an_independent_parser_reads_the_same_pixels_and_every_element(tmp_path):
    volume = make_volume()
    author_series(volume, uid_key=b"k" * 32, out=tmp_path / "series")
    for index in range(3):
        path = tmp_path / f"series/dicom/{index + 1:04d}.dcm"
        said = subprocess.run(["dcmdump", "--write-pixel", tmp_path, path], capture_output=True, text=True, check=True)
        assert said.stderr == ""
        assert len(re.findall(r"^\([0-9a-f]{4},[0-9a-f]{4}\)", said.stdout, re.MULTILINE)) == len(
            pydicom.dcmread(path)
        ) + len(pydicom.dcmread(path).file_meta)
        raw = np.fromfile(tmp_path / f"{path.name}.0.raw", dtype="<u2").reshape(24, 20)
        np.testing.assert_array_equal(raw, volume.array[index])


@pytest.mark.parametrize(
    "directions", [SAGITTAL, AXIAL, CORONAL, OBLIQUE], ids=["sagittal", "axial", "coronal", "oblique"]
)
def test_geometry_read_back_places_every_corner_within_a_hundredth_of_a_millimetre(tmp_path, directions):
    volume = make_volume(directions)
    author_series(volume, uid_key=b"k" * 32, out=tmp_path)
    for index, path in enumerate(sorted(tmp_path.glob("dicom/*.dcm"))):
        read = pydicom.dcmread(path)
        cosines = np.array(read.ImageOrientationPatient, dtype=float).reshape(2, 3)
        position = np.array(read.ImagePositionPatient, dtype=float)
        row_mm, column_mm = (float(value) for value in read.PixelSpacing)
        for row in (0, read.Rows - 1):
            for column in (0, read.Columns - 1):
                # DICOM PS3.3 C.7.6.2.1.1, equation C.7.6.2.1-1
                place = position + cosines[0] * column_mm * column + cosines[1] * row_mm * row
                np.testing.assert_allclose(place, volume.position_mm((index, row, column)), atol=0.01)
        assert float(read.SpacingBetweenSlices) == pytest.approx(4.4, abs=1e-6)
        assert float(read.SliceThickness) == 4.0
        assert read.InstanceNumber == index + 1
        np.testing.assert_array_equal(read.pixel_array, volume.array[index])


def test_headers_of_two_arms_differ_in_uids_alone(tmp_path):
    one = author_series(make_volume(seed=1), uid_key=b"1" * 32, out=tmp_path / "one")
    two = author_series(make_volume(seed=2), uid_key=b"2" * 32, out=tmp_path / "two")
    assert [(file.path, file.bytes) for file in one.files[:-1]] == [(file.path, file.bytes) for file in two.files[:-1]]
    assert (tmp_path / "one/series.json").read_bytes() == (tmp_path / "two/series.json").read_bytes()
    uid = re.compile(rb"2\.25\.[0-9]{39}")
    for name in ("0001.dcm", "0002.dcm", "0003.dcm"):
        first, second = header_bytes(tmp_path / "one/dicom" / name), header_bytes(tmp_path / "two/dicom" / name)
        assert uid.sub(b"?", first) == uid.sub(b"?", second)
        ours = IMPLEMENTATION_CLASS_UID.encode()
        assert not (set(uid.findall(first)) & set(uid.findall(second))) - {ours}


def test_headers_of_two_slices_differ_in_instance_uid_number_and_position_alone(tmp_path):
    author_series(make_volume(OBLIQUE), uid_key=b"1" * 32, out=tmp_path)
    first, second = (pydicom.dcmread(tmp_path / "dicom" / name) for name in ("0001.dcm", "0002.dcm"))
    differing = {element.keyword for element in first if element != second[element.tag]}
    assert differing == {"SOPInstanceUID", "InstanceNumber", "ImagePositionPatient", "PixelData"}
    assert len(header_bytes(tmp_path / "dicom/0001.dcm")) == len(header_bytes(tmp_path / "dicom/0002.dcm"))


def test_an_instance_holds_the_allow_list_and_nothing_else(tmp_path):
    author_series(make_volume(), uid_key=b"1" * 32, out=tmp_path)
    read = pydicom.dcmread(tmp_path / "dicom/0001.dcm")
    assert {element.keyword for element in read} == set(allowed_keywords())
    assert not any(element.tag.is_private for element in read)
    for empty in ("RepetitionTime", "EchoTime", "EchoTrainLength", "ScanOptions", "AccessionNumber", "Manufacturer"):
        assert read.data_element(empty).is_empty
    for absent in ("NumberOfAverages", "SeriesDescription", "ContentTime", "AcquisitionDuration", "SequenceName"):
        assert absent not in read
    assert read.preamble == b"\0" * 128
    assert read.file_meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert "PYDICOM" not in read.file_meta.ImplementationVersionName


def test_a_series_has_its_own_study_and_frame_of_reference(tmp_path):
    for name in ("one", "two"):
        author_series(make_volume(), uid_key=name[0].encode() * 32, out=tmp_path / name)
    one, two = (
        [pydicom.dcmread(path) for path in sorted((tmp_path / name / "dicom").iterdir())] for name in ("one", "two")
    )
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        assert len({read[keyword].value for read in one}) == 1
        assert one[0][keyword].value != two[0][keyword].value
    assert len({read.SOPInstanceUID for read in one + two}) == 6
    assert all(read.file_meta.MediaStorageSOPInstanceUID == read.SOPInstanceUID for read in one + two)


def test_frames_are_the_pixels_of_the_instances(tmp_path):
    series = author_series(make_volume(AXIAL), uid_key=b"1" * 32, out=tmp_path)
    description = json.loads((tmp_path / "series.json").read_text())
    shape = (description["slices"], description["rows"], description["columns"])
    assert shape == (series.slices, series.rows, series.columns)
    content = (tmp_path / "frames.u16").read_bytes()
    assert len(content) == 2 * int(np.prod(shape))
    stride = 2 * shape[1] * shape[2]
    for index, path in enumerate(sorted(tmp_path.glob("dicom/*.dcm"))):
        frame = np.frombuffer(content[index * stride : (index + 1) * stride], dtype="<u2").reshape(shape[1:])
        np.testing.assert_array_equal(frame, pydicom.dcmread(path).pixel_array)
    assert description["edges"] == {"left": "R", "right": "L", "top": "A", "bottom": "P"}
    assert description["window"] == [1750, 3500]


def test_the_preview_shows_the_middle_slice_with_square_pixels(tmp_path):
    volume = make_volume()
    author_series(volume, uid_key=b"1" * 32, out=tmp_path)
    with Image.open(io.BytesIO((tmp_path / "preview.png").read_bytes())) as picture:
        assert picture.mode == "L"
        shown = np.asarray(picture).astype(float)
    _, row_mm, column_mm = volume.spacing_mm
    rows, columns = volume.array.shape[1:]
    assert shown.shape[0] / shown.shape[1] == pytest.approx(rows * row_mm / (columns * column_mm), rel=0.05)
    expected = np.clip(volume.array[1] * (255 / 3500), 0, 255)
    axis, fine = (0, column_mm) if row_mm > column_mm else (1, row_mm)
    coarse = max(row_mm, column_mm)
    source = ((np.arange(shown.shape[axis]) + 0.5) * fine / coarse).astype(int).clip(max=expected.shape[axis] - 1)
    np.testing.assert_allclose(shown, np.take(expected, source, axis), atol=0.51)


def test_the_listed_files_are_all_files_with_their_hashes(tmp_path):
    series = author_series(make_volume(), uid_key=b"1" * 32, out=tmp_path)
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert {file.path for file in series.files} == written
    for file in series.files:
        content = (tmp_path / file.path).read_bytes()
        assert (file.bytes, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_equal_input_gives_equal_bytes(tmp_path):
    first = author_series(make_volume(), uid_key=b"1" * 32, out=tmp_path / "first")
    second = author_series(make_volume(), uid_key=b"1" * 32, out=tmp_path / "second")
    assert first.files == second.files


@pytest.mark.parametrize("value", [0.0, -0.0, 1e-12, -1e-12, 1234.5678901, -999.999999499, 12.5])
def test_numbers_have_one_width_and_no_negative_zero(value):
    text = position_text(value)
    assert len(text) == 12 and float(text) == pytest.approx(value, abs=5e-7)
    assert text != "-0000.000000"


def test_geometry_that_has_no_fixed_width_is_refused():
    with pytest.raises(ValueError):
        position_text(12345.6)
    with pytest.raises(ValueError):
        position_text(float("nan"))
    with pytest.raises(ValueError):
        length_text(0.0)
    assert (cosine_text(-1.0), len(length_text(999.99))) == ("-1.000000000", 12)


def test_pixels_beyond_twelve_bits_are_refused(tmp_path):
    volume = make_volume()
    too_bright = volume.array.copy()
    too_bright[0, 0, 0] = 4096
    with pytest.raises(ValueError, match="12 bits"):
        author_series(volume.with_array(too_bright), uid_key=b"1" * 32, out=tmp_path)
