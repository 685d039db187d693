"""Series of scanners and of our own, read as one volume: every voxel at its place, everything else refused in words."""

from __future__ import annotations

import secrets
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    UID,
    CTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    JPEGLSLossless,
    MRImageStorage,
    RLELossless,
    generate_uid,
)

from recon_worker.data import InputFault, Volume
from recon_worker.dicom.authoring import author_series
from recon_worker.dicom.series import read_image_series, read_series
from tests.recon_worker.dicom.test_authoring import AXIAL, OBLIQUE, SAGITTAL, make_volume


def write_vendor_series(
    folder: Path, volume: Volume, *, slope: float = 2.5, intercept: float = -7.0, numbered: bool = True
) -> list[Path]:
    """As a scanner sends it: names that say nothing, any order, signed pixels with a rescale slope, a patient."""
    folder.mkdir(parents=True, exist_ok=True)
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    paths = []
    for index in np.random.default_rng(3).permutation(volume.array.shape[0]):
        image = Dataset()
        image.SOPClassUID, image.SOPInstanceUID = MRImageStorage, generate_uid()
        image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = study, series, frame
        image.ImageType = ["ORIGINAL", "PRIMARY", "M"]
        image.PatientName, image.PatientID, image.PatientBirthDate = "Doe^Jane", "4711", "19700102"
        if numbered:
            image.InstanceNumber = index + 1
        image.Modality, image.ProtocolName = "MR", "SAG T1 DL75"
        image.SliceThickness = volume.slice_thickness_mm
        image.ImagePositionPatient = [float(f"{one:.6f}") for one in volume.position_mm((index, 0, 0))]
        image.ImageOrientationPatient = [float(f"{one:.9f}") for axis in (2, 1) for one in volume.direction(axis)]
        image.PixelSpacing = [float(f"{one:.8f}") for one in volume.spacing_mm[1:]]
        image.Rows, image.Columns = volume.array.shape[1:]
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 1
        image.RescaleSlope, image.RescaleIntercept = slope, intercept
        image.PixelData = volume.array[index].astype("<i2").tobytes()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.file_meta.MediaStorageSOPClassUID = MRImageStorage
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        path = folder / f"IM{secrets.token_hex(4)}"
        dcmwrite(path, image, enforce_file_format=True)
        paths.append(path)
    return paths


def change(path: Path, **values: object) -> None:
    image = pydicom.dcmread(path)
    for keyword, value in values.items():
        if value is None:
            delattr(image, keyword)
        else:
            setattr(image, keyword, value)
    image.save_as(path)


def same_place(one: Volume, other: Volume) -> None:
    np.testing.assert_allclose(one.affine, other.affine, atol=2e-6)
    np.testing.assert_allclose(one.array, other.array)


@pytest.mark.parametrize("directions", [SAGITTAL, AXIAL, OBLIQUE], ids=["sagittal", "axial", "oblique"])
def test_our_own_series_comes_back(tmp_path, directions):
    volume = make_volume(directions, slices=5)
    author_series(volume, uid_key=b"k" * 32, out=tmp_path)
    found = read_series(tmp_path)  # frames.u16, series.json and preview.png beside the images do no harm
    assert found.array.dtype == np.float32
    assert found.slice_thickness_mm == 4.0
    same_place(found, volume)


def test_a_scanner_s_series_is_sorted_and_rescaled(tmp_path):
    volume = make_volume(OBLIQUE, slices=7)
    paths = write_vendor_series(tmp_path, volume)
    (tmp_path / "README.txt").write_text("not DICOM")
    series = read_image_series(tmp_path)
    same_place(series.volume, volume.with_array(volume.array.astype(np.float32) * 2.5 - 7))
    by_uid = {str(pydicom.dcmread(path).SOPInstanceUID): pydicom.dcmread(path) for path in paths}
    for index, instance in enumerate(series.reference.instances):
        np.testing.assert_allclose(
            series.volume.position_mm((index, 0, 0)), by_uid[instance].ImagePositionPatient, atol=1e-5
        )


def test_slices_lie_as_they_are_numbered_else_along_the_normal(tmp_path):
    volume = make_volume(slices=4)
    for name, one in (("forwards", volume), ("backwards", volume.flipped(0))):
        write_vendor_series(tmp_path / name, one, slope=1, intercept=0)
        same_place(read_series(tmp_path / name), one)
    write_vendor_series(tmp_path / "one", volume, numbered=False)
    write_vendor_series(tmp_path / "other", volume.flipped(0), numbered=False)
    np.testing.assert_array_equal(read_series(tmp_path / "one").array, read_series(tmp_path / "other").array)


def test_bits_above_the_stored_ones_are_an_overlay(tmp_path):
    volume = make_volume(slices=3)
    author_series(volume, uid_key=b"k" * 32, out=tmp_path)
    path = tmp_path / "dicom" / "0002.dcm"
    image = pydicom.dcmread(path)
    pixels = np.frombuffer(image.PixelData, "<u2") | np.uint16(0x8000)
    image.PixelData = pixels.tobytes()
    image.save_as(path)
    same_place(read_series(tmp_path), volume)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless], ids=["RLE", "JPEG-LS"])
def test_compressed_images_are_read(tmp_path, syntax):
    volume = make_volume(slices=3)
    author_series(volume, uid_key=b"k" * 32, out=tmp_path)
    for path in sorted((tmp_path / "dicom").glob("*.dcm")):
        image = pydicom.dcmread(path)
        image.compress(syntax)
        image.save_as(path)
    same_place(read_series(tmp_path), volume)


def test_one_image_is_a_volume_of_one_slice(tmp_path):
    paths = write_vendor_series(tmp_path, make_volume(slices=3))
    found = read_series(paths[0])
    assert found.array.shape[0] == 1 and found.spacing_mm[0] == 4.0


def _localizer_of_another_series(folder, paths):
    write_vendor_series(folder / "more", make_volume(AXIAL, slices=3))


def _ct(folder, paths):
    for path in paths:
        image = pydicom.dcmread(path)
        image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = CTImageStorage
        image.save_as(path)


def _cut(folder, paths):
    paths[0].write_bytes(paths[0].read_bytes()[:-200])


def _enhanced(folder, paths):
    image = pydicom.dcmread(paths[0])
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    image.save_as(paths[0])


def _remove_all(folder, paths):
    for path in paths:
        path.write_bytes(b"PK\x03\x04 not an image")


FAULTS = {
    "two series": (_localizer_of_another_series, r"holds 2 series \(of 5, 3 images\)"),
    "localizer": (
        lambda _, paths: change(paths[2], ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), "holds a localizer"),
    "another plane": (
        lambda _, paths: change(paths[2], ImageOrientationPatient=[1, 0, 0, 0, 1, 0]), "not parallel"),
    "another size": (
        lambda _, paths: change(paths[2], Rows=12, PixelData=bytes(12 * 20 * 2)), "differ in size"),
    "another spacing": (lambda _, paths: change(paths[2], PixelSpacing=[1, 1]), "differ in pixel spacing"),
    "two echoes": (
        lambda _, paths: change(
            paths[2], ImagePositionPatient=pydicom.dcmread(paths[1]).ImagePositionPatient), "the same place"),
    "a gap": (
        lambda _, paths: sorted(
            paths, key=lambda path: pydicom.dcmread(path).ImagePositionPatient[0])[1].unlink(), "not evenly spaced"),
    "no number": (lambda _, paths: change(paths[1], RescaleSlope="nan"), "RescaleSlope"),
    "no position": (lambda _, paths: change(paths[1], ImagePositionPatient=None), "ImagePositionPatient"),
    "no spacing": (lambda _, paths: change(paths[1], PixelSpacing=[0, 1]), "not a length"),
    "skew": (lambda _, paths: change(paths[1], ImageOrientationPatient=[1, 0, 0, 1, 0, 0]), "right angles"),
    "cut file": (_cut, "cannot be read"),
    "CT": (_ct, "holds no MR images, but CT Image Storage"),
    "enhanced": (_enhanced, "many frames"),
    "the same image twice": (
        lambda folder, paths: (folder / "copy").write_bytes(paths[0].read_bytes()), "the same place"),
    "colour": (lambda _, paths: change(paths[0], SamplesPerPixel=3), "colour"),
    "not DICOM": (_remove_all, "holds no DICOM image"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_no_series_is_refused_in_words(tmp_path, fault):
    breaks, words = FAULTS[fault]
    paths = write_vendor_series(tmp_path, make_volume(slices=5))
    read_series(tmp_path)
    breaks(tmp_path, paths)
    with pytest.raises(InputFault, match=words):
        read_series(tmp_path)


def _all(paths, **values):
    for path in paths:
        change(path, **values)


NO_REFERENCE = {
    "letters in the study": (lambda paths: _all(paths, StudyInstanceUID="1.2.abc"), "StudyInstanceUID of the series"),
    "a name for the series": (
        lambda paths: _all(paths, SeriesInstanceUID="Doe^Jane"), "SeriesInstanceUID of the series"),
    "words for the frame": (
        lambda paths: _all(paths, FrameOfReferenceUID="Doe Jane"), "FrameOfReferenceUID of the series"),
    "a leading zero": (lambda paths: _all(paths, StudyInstanceUID="1.2.03"), "StudyInstanceUID"),
    "too long": (lambda paths: _all(paths, StudyInstanceUID="1." + 63 * "2"), "StudyInstanceUID"),
    "an image that has none": (lambda paths: change(paths[3], SOPInstanceUID="1..2"), "SOPInstanceUID of IM"),
    "two values": (lambda paths: change(paths[3], SOPInstanceUID=["1.2.3", "1.2.4"]), "SOPInstanceUID of IM"),
    "one for two images": (
        lambda paths: change(paths[3], SOPInstanceUID=str(pydicom.dcmread(paths[0]).SOPInstanceUID)), "the same"),
    "one for all images": (lambda paths: _all(paths, SOPInstanceUID="1.2.3"), "the same SOPInstanceUID"),
}  # fmt: skip


@pytest.mark.parametrize("fault", NO_REFERENCE)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_uids_that_nothing_can_refer_to_are_refused_where_they_are_copied_and_nowhere_quoted(tmp_path, fault):
    breaks, words = NO_REFERENCE[fault]
    paths = write_vendor_series(tmp_path, make_volume(slices=5))
    breaks(paths)
    with pytest.raises(InputFault) as told:
        read_image_series(tmp_path)
    assert words in told.value.what
    for path in paths:
        image = pydicom.dcmread(path)
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPInstanceUID"):
            assert str(image[keyword].value) not in str(told.value)
    assert read_series(tmp_path).array.shape[0] == 5  # pixels and places are good: whoever gives new UIDs may read them


def test_valid_uids_of_any_kind_are_referred_to_as_they_are(tmp_path):
    paths = write_vendor_series(tmp_path, make_volume(slices=5))
    for study, frame in (("0", "1.0.20"), ("2.25." + 39 * "9", "1." + 62 * "2")):
        _all(paths, StudyInstanceUID=study, FrameOfReferenceUID=frame)
        reference = read_image_series(tmp_path).reference
        assert (reference.study, reference.frame_of_reference) == (study, frame)
    _all(paths, FrameOfReferenceUID=None)
    found = read_image_series(tmp_path).reference.frame_of_reference
    assert UID(found).is_valid and len(found) == 44


def test_damaged_files_never_end_in_another_error(tmp_path):
    """Bytes turned round at random: a volume, or words."""
    draw = np.random.default_rng(5)
    paths = write_vendor_series(tmp_path, make_volume(slices=3))
    whole = paths[0].read_bytes()
    refused = 0
    for _ in range(150):
        damaged = bytearray(whole)
        for place in draw.integers(132, len(whole) - 960, 6):
            damaged[place] = int(draw.integers(256))
        paths[0].write_bytes(bytes(damaged))
        try:
            assert np.isfinite(read_series(tmp_path).array).all()
        except InputFault:
            refused += 1
    assert refused > 20
