"""Segmentations and reports: conform, open elsewhere, hold what was found, and tell nothing of patient or arm."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.sr.codedict import codes
from scipy.spatial import cKDTree

from recon_worker.data import Volume
from recon_worker.dicom.anatomy_codes import ANATOMY
from recon_worker.dicom.authoring import author_series
from recon_worker.dicom.derived import SeriesReference
from recon_worker.dicom.measurement_report import write_measurement_report
from recon_worker.dicom.segmentation_object import WrittenSegmentation, write_segmentation
from recon_worker.dicom.series import read_image_series
from recon_worker.morphometry.levels import level_name
from recon_worker.morphometry.structures import Structure
from tests.recon_worker.dicom.dcmqi import read_report, read_segmentation
from tests.recon_worker.dicom.test_authoring import OBLIQUE, SAGITTAL, make_volume
from tests.recon_worker.dicom.test_series import write_vendor_series

KEY = b"k" * 32


FLAG = "the lowest disc is much smaller than the others; transitional anatomy is possible: check the level"


def found(kind: str, level: int, state: str = "measured", *flags: str, **measures: float) -> Structure:
    return Structure(kind, level, level_name(kind, level), state, measures, (0.0, 0.0, 0.0), list(flags))


STRUCTURES = [
    found("body", 6, body_volume_cm3=30.512345),
    found("body", 7, "excluded"),
    found("disc", 5, "measured", FLAG, disc_height_mm=9.87654321, disc_mean_height_mm=8.0, disc_area_mm2=300.0),
    found("disc", 6, "cut"),
    found("disc", 1),  # named, but no voxel is left of it: no segment
]


def label_maps(volume: Volume) -> dict[str, np.ndarray]:
    """Ragged shapes, and one voxel that belongs to a disc and a body."""
    discs = np.zeros(volume.array.shape, np.uint8)
    bodies = discs.copy()
    draw = np.random.default_rng(2)
    discs[1:4, 4:6, 5:15], discs[1:4, 10:12, 5:15] = 5, 6
    bodies[0:4, 6:10, 5:15], bodies[2:5, 12:16, 5:15] = 6, 7
    discs[draw.random(discs.shape) < 0.2] = 0
    bodies[draw.random(bodies.shape) < 0.2] = 0
    discs[2, 7, 7], bodies[2, 7, 7] = 5, 6
    return {"disc": discs, "body": bodies}


def write(
    volume: Volume,
    out: Path,
    *,
    key: bytes = KEY,
    reference: SeriesReference | None = None,
    labels: dict[str, np.ndarray] | None = None,
) -> WrittenSegmentation:
    reference = reference or SeriesReference.of_authored(key, volume.array.shape[0])
    labels = labels or label_maps(volume)
    path = out / "segmentation.dcm"
    segmentation = write_segmentation(volume, labels, STRUCTURES, reference=reference, uid_key=key, path=path)
    write_measurement_report(
        volume, STRUCTURES, segmentation=segmentation, reference=reference, uid_key=key, path=out / "report.dcm"
    )
    return segmentation


@pytest.fixture(scope="module", params=["sagittal", "oblique"])
def written(request, tmp_path_factory):
    volume = make_volume({"sagittal": SAGITTAL, "oblique": OBLIQUE}[request.param], slices=5)
    out = tmp_path_factory.mktemp("derived")
    author_series(volume, uid_key=KEY, out=out / "series")
    return volume, out, write(volume, out)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (Debian package dicom3tools) is not installed")
def test_dciodvfy_finds_no_error(written):
    for name, iod in (("segmentation.dcm", "Segmentation"), ("report.dcm", "Comprehensive3DSR")):
        said = subprocess.run(["dciodvfy", "-new", written[1] / name], capture_output=True, text=True)
        lines = (said.stdout + said.stderr).splitlines()
        assert said.returncode == 0 and lines[0] == iod
        # The one thing remarked: that a coding scheme of our own is not in its list.
        assert [line for line in lines[1:] if "<99READERSTUDY>" not in line] == []


@pytest.mark.skipif(shutil.which("dcentvfy") is None, reason="dcentvfy (Debian package dicom3tools) is not installed")
def test_dcentvfy_finds_images_and_objects_of_one_study(written):
    files = [*sorted((written[1] / "series" / "dicom").glob("*.dcm")), written[1] / "segmentation.dcm",
             written[1] / "report.dcm"]  # fmt: skip
    said = subprocess.run(["dcentvfy", *files], capture_output=True, text=True)
    assert "Error" not in said.stdout + said.stderr and said.returncode == 0


def test_dcmqi_reads_equal_masks_at_equal_places(written, tmp_path):
    volume, out, segmentation = written
    read = read_segmentation(out / "segmentation.dcm", tmp_path / "dcmqi")
    assert len(read.masks) == 4
    labels = label_maps(volume)
    for (kind, level), number in segmentation.segments.items():
        seen, told = read.masks[number], read.attributes[number]
        ours = np.argwhere(labels[kind] == level) @ volume.affine[:3, :3].T + volume.affine[:3, 3]
        theirs = np.argwhere(seen.array > 0) @ seen.affine[:3, :3].T + seen.affine[:3, 3]
        apart, _ = cKDTree(theirs).query(ours)
        assert len(ours) == len(theirs) and apart.max() < 0.01
        assert told["SegmentLabel"] == ANATOMY[kind][level].label
        assert told["SegmentAlgorithmType"] == "AUTOMATIC"
        assert told["TrackingUniqueIdentifier"] == segmentation.tracking[kind, level]
        code = told["SegmentedPropertyTypeCodeSequence"]
        assert (code["CodeValue"], code["CodingSchemeDesignator"]) == (ANATOMY[kind][level].structure.value, "SCT")


def test_dcmqi_reads_the_measures(written, tmp_path):
    _, out, segmentation = written
    read = read_report(out / "report.dcm", tmp_path / "dcmqi")
    groups = {group["TrackingUniqueIdentifier"]: group for group in read["Measurements"]}
    assert len(groups) == 4
    for structure in STRUCTURES[:4]:
        place = (structure.kind, structure.level)
        group = groups[segmentation.tracking[place]]
        assert group["segmentationSOPInstanceUID"] == segmentation.instance_uid
        assert group["ReferencedSegment"] == segmentation.segments[place]
        values = [(float(item["value"]), item["units"]["CodeValue"]) for item in group["measurementItems"]]
        units = {"disc_height_mm": "mm", "disc_mean_height_mm": "mm", "disc_area_mm2": "mm2", "body_volume_cm3": "cm3"}
        assert values == [(pytest.approx(value, abs=5e-5), units[key]) for key, value in structure.measures.items()]


def test_highdicom_reads_equal_masks_at_equal_places(written):
    volume, out, segmentation = written
    read = highdicom.seg.segread(out / "segmentation.dcm")
    assert read.SegmentationType == "BINARY" and read.number_of_segments == 4
    labels = label_maps(volume)
    uids = [pydicom.dcmread(path).SOPInstanceUID for path in sorted((out / "series" / "dicom").glob("*.dcm"))]
    masks = read.get_pixels_by_source_instance(uids, assert_missing_frames_are_empty=True)
    for (kind, level), number in segmentation.segments.items():
        np.testing.assert_array_equal(masks[..., number - 1] > 0, labels[kind] == level)
        description = read.get_segment_description(number)
        assert description.segment_label == ANATOMY[kind][level].label
        assert description.segmented_property_type == ANATOMY[kind][level].structure
        assert description.tracking_uid == segmentation.tracking[kind, level]
    geometry = read.get_volume(combine_segments=False)
    np.testing.assert_allclose(geometry.spacing, volume.spacing_mm, atol=1e-6)
    place = volume.affine @ np.array([2, 7, 7, 1.0])
    for number in (1, 3):  # the voxel of both
        index = np.rint(geometry.map_reference_to_indices(place[None, :3]))[0].astype(int)
        assert geometry.array[(*index, number - 1)] == 1


def test_segments_are_tracked_apart(written):
    assert len(set(written[2].tracking.values())) == len(written[2].tracking) == 4


def test_the_report_holds_the_measures_and_points_at_the_segments(written):
    _, out, segmentation = written
    report = highdicom.sr.srread(out / "report.dcm")
    groups = report.content.get_volumetric_roi_measurement_groups()
    assert len(groups) == 4
    for structure in STRUCTURES[:4]:
        place = (structure.kind, structure.level)
        (group,) = [one for one in groups if one.tracking_uid == segmentation.tracking[place]]
        assert group.finding_type == ANATOMY[structure.kind][structure.level].structure
        pointer = group.referenced_segment
        assert pointer.referenced_sop_instance_uid == segmentation.instance_uid
        assert list(pointer.referenced_segment_numbers) == [segmentation.segments[place]]
        values = {
            (one.name.meaning, one.unit.value, one.derivation.meaning if one.derivation else ""): one.value
            for one in group.get_measurements()
        }
        expected = {
            "disc_height_mm": ("Height", "mm", ""), "disc_mean_height_mm": ("Height", "mm", "Mean"),
            "disc_area_mm2": ("Area", "mm2", ""), "body_volume_cm3": ("Volume", "cm3", ""),
        }  # fmt: skip
        assert values == {expected[key]: pytest.approx(value, abs=5e-5) for key, value in structure.measures.items()}
        methods = [one.method.meaning for one in group.get_measurements() if one.method]
        told = [text for text in methods if "sub-pixel outline" in text]
        assert len(told) == ("disc_height_mm" in structure.measures)
        assert all(len(text) <= 64 for text in methods)  # a longer meaning is no LO
        said = [one.value.meaning for one in group.get_qualitative_evaluations()][1:]  # the first: the category
        wanted = {"measured": [], "cut": ["Cut by the field of view, not measured"],
                  "excluded": ["Excluded, not measured"]}  # fmt: skip
        assert said == wanted[structure.state]


@pytest.mark.skipif(shutil.which("dsrdump") is None, reason="dsrdump (Debian package dcmtk) is not installed")
def test_dcmtk_renders_the_report_and_the_segmentation(written):
    said = subprocess.run(["dsrdump", "+Pl", written[1] / "report.dcm"], capture_output=True, text=True)
    assert said.returncode == 0
    assert '"Volume")="30.5123" (cm3,UCUM,"cubic centimeter")' in said.stdout
    assert '"Height")="9.8765" (mm,UCUM,"millimeter")' in said.stdout
    assert said.stdout.count("Comment") == 1 and FLAG in said.stdout
    said = subprocess.run(["dcmdump", "+P", "SegmentLabel", written[1] / "segmentation.dcm"], capture_output=True)
    assert said.stdout.decode().count("SegmentLabel") == 4


def test_equal_input_gives_equal_bytes_and_another_key_shares_no_uid(written, tmp_path):
    volume, out, _ = written
    write(volume, tmp_path / "again")
    write(volume, tmp_path / "other", key=b"o" * 32)
    uid = re.compile(rb"2\.25\.\d{39}")
    ours = {b"2.25.186183159206484382523920881276290851379"}
    for name in ("segmentation.dcm", "report.dcm"):
        content, other = (out / name).read_bytes(), (tmp_path / "other" / name).read_bytes()
        assert (tmp_path / "again" / name).read_bytes() == content
        assert set(uid.findall(content)) & set(uid.findall(other)) == ours
        assert uid.sub(b"", content) == uid.sub(b"", other)  # nothing else differs


def test_no_chance_and_no_clock_is_left(written):
    for name in ("segmentation.dcm", "report.dcm"):
        dataset = pydicom.dcmread(written[1] / name)
        for element in dataset.iterall():
            if element.VR in ("DA", "TM", "DT"):
                assert not element.value or set(str(element.value)) <= set("20000101")
            if element.VR == "UI" and not isinstance(element.value, (list, pydicom.multival.MultiValue)):
                assert str(element.value).startswith(("2.25.", "1.2.840.10008."))


def test_of_a_scanner_s_series_only_uids_and_geometry_are_taken(tmp_path):
    write_vendor_series(tmp_path / "scan", make_volume(slices=5))
    series = read_image_series(tmp_path / "scan")
    labels = label_maps(series.volume)
    write(series.volume, tmp_path / "out", reference=series.reference, labels=labels)
    read = highdicom.seg.segread(tmp_path / "out" / "segmentation.dcm")
    masks = read.get_pixels_by_source_instance(series.reference.instances, assert_missing_frames_are_empty=True)
    np.testing.assert_array_equal(masks[..., 0] > 0, labels["disc"] == 5)
    for name in ("segmentation.dcm", "report.dcm"):
        content = (tmp_path / "out" / name).read_bytes()
        without_uids = re.sub(rb"\d+(\.\d+){4,}", b"", content)
        assert not re.search(rb"Doe|Jane|4711|1970|SAG|DL75", without_uids)
        assert series.reference.series.encode() in content


def test_nothing_to_write_is_an_error(tmp_path):
    volume = make_volume()
    empty = np.zeros(volume.array.shape, np.uint8)
    with pytest.raises(ValueError, match="voxel"):
        write(volume, tmp_path, labels={"disc": empty, "body": empty})
    assert not list(tmp_path.iterdir())


def checks_out(number: str) -> bool:
    """The check digit of a SNOMED CT identifier (Verhoeff's, SNOMED CT Release File Specification 5.5.8)."""
    times = [[(a + b if a < 5 else a - b) % 5 + (0 if (a < 5) == (b < 5) else 5) for b in range(10)] for a in range(10)]
    turn = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]
    check = 0
    for place, digit in enumerate(reversed(number)):
        value = int(digit)
        for _ in range(place % 8):
            value = turn[value]
        check = times[check][value]
    return check == 0


def test_codes_are_those_of_the_standard():
    names = [f"{upper}{lower}Disc" for upper, lower in
             (("T12", "L1"), ("L1", "L2"), ("L2", "L3"), ("L3", "L4"), ("L4", "L5"), ("L5", "S1"))]  # fmt: skip
    for level, name in enumerate(names, start=1):
        assert ANATOMY["disc"][level].structure == getattr(codes.SCT, name)
    for level, name in enumerate(["T12", "L1", "L2", "L3", "L4", "L5"], start=1):
        assert ANATOMY["body"][level].region == getattr(codes.SCT, f"{name}Vertebra")
    every = [one.structure.value for kind in ANATOMY.values() for one in kind.values()]
    assert len(set(every)) == 13 and all(checks_out(number) for number in every)
    assert not checks_out("53983008")  # the check itself
