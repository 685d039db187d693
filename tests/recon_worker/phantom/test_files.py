"""What is written: ISMRMRD that others read, a manifest, equal data for equal seeds; and faults."""

from __future__ import annotations

import json
from pathlib import Path

import ismrmrd
import ismrmrd.xsd
import numpy as np
import pytest
import yaml

from recon_worker.data import InputFault
from recon_worker.data.geometry import affine_from_planes
from recon_worker.phantom.fixtures import FIXTURES, make_fixtures
from recon_worker.phantom.protocol import scan_of
from recon_worker.phantom.simulate import protocol_of, simulate_acquisition, simulate_study
from recon_worker.rawdata.open import open_kspace

REPOSITORY = Path(__file__).resolve().parents[3]


def test_the_ismrmrd_package_reads_every_line(study, files):
    path = study / files["SAG T1", "Fast"]["path"]
    kspace = {one.index: one for one in open_kspace(path).slices()}
    dataset = ismrmrd.Dataset(str(path), "dataset", False)
    header = ismrmrd.xsd.CreateFromDocument(dataset.read_xml_header())
    encoding = header.encoding[0]
    scan = scan_of("SAG T1", size="tiny")
    assert (encoding.encodedSpace.matrixSize.x, encoding.encodedSpace.matrixSize.y) == (176, 72)
    assert (encoding.reconSpace.matrixSize.x, encoding.reconSpace.matrixSize.y) == (88, 72)
    assert encoding.encodedSpace.fieldOfView_mm.x == 2 * encoding.reconSpace.fieldOfView_mm.x == 520
    limits = encoding.encodingLimits.kspace_encoding_step_1
    assert (limits.minimum, limits.maximum, limits.center) == (28, 71, 36)
    assert encoding.trajectory.value == "cartesian" and encoding.echoTrainLength == 4
    assert header.sequenceParameters.TR == [700] and header.sequenceParameters.TE == [8]
    assert header.subjectInformation is None and header.studyInformation is None

    noise, lines = 0, []
    for number in range(dataset.number_of_acquisitions()):
        line = dataset.read_acquisition(number)
        if line.is_flag_set(ismrmrd.ACQ_IS_NOISE_MEASUREMENT):
            noise += 1
            continue
        counter = line.idx
        lines.append((counter.slice, counter.average, counter.kspace_encode_step_1))
        assert line.data.shape == (4, 176) and line.center_sample == 88
        assert np.array_equal(line.data, kspace[counter.slice].data[0, :, counter.kspace_encode_step_1])
    assert noise == 16
    assert lines == [(s, 0, ky) for s in range(scan.n_slices) for ky in range(28, 72)]
    assert line.is_flag_set(ismrmrd.ACQ_LAST_IN_MEASUREMENT)
    dataset.close()


def test_the_readers_geometry_is_the_truths(study, files):
    for sequence in ("SAG T2 FS", "AX T2"):
        file = files[sequence, "Standard"]
        header = open_kspace(study / file["path"]).header
        columns, rows = header.image_matrix
        affine = affine_from_planes(
            list(header.planes),
            rows=rows,
            columns=columns,
            row_spacing_mm=header.image_field_of_view_mm[1] / rows,
            column_spacing_mm=header.image_field_of_view_mm[0] / columns,
            slice_thickness_mm=header.slice_thickness_mm,
        )
        truth = np.load(study / file["truth"])
        assert np.allclose(affine, truth["affine"], atol=1e-3)
        assert truth["image"].shape == truth["discs"].shape == truth["bodies"].shape
        assert truth["image"].shape == (header.n_slices, rows, columns)


def test_the_manifest_names_every_file(study):
    manifest = json.loads((study / "manifest.json").read_text())
    found = {str(path.relative_to(study)) for path in study.rglob("*.h5")}
    assert {file["path"] for file in manifest["files"]} == found and len(found) == 6
    nex = {(file["sequence"], file["acquisition"]): file["nex"] for file in manifest["files"]}
    assert nex == {
        ("SAG T2 FS", "Standard"): 2,
        ("SAG T2 FS", "Fast"): 1,
        ("SAG T1", "Standard"): 2,
        ("SAG T1", "Fast"): 0.5,
        ("AX T2", "Standard"): 1,
        ("AX T2", "Fast"): 0.5,
    }
    for file in manifest["files"]:
        assert file["subject"] == "S01" and file["protocol"] == protocol_of(1) == "MSK"
        assert open_kspace(study / file["path"]).header.n_averages == max(1, int(file["nex"]))
        with np.load(study / file["truth"]) as truth:
            assert {"image", "discs", "bodies", "affine", "spacing_mm"} <= set(truth.files)


def test_full_size_scans_are_the_papers_table():
    """Table 1: TE, TR, field of view, thickness, slices, echo train, matrix, bandwidth, NEX."""
    table = {
        ("MSK", "SAG T2 FS"): (67, 5000, 260, 3, 16, (392, 224), 83.3, (2, 1)),
        ("MSK", "SAG T1"): (8, 700, 260, 3, 4, (352, 224), 83.3, (2, 0.5)),
        ("MSK", "AX T2"): (60, 6000, 180, 4, 16, (256, 192), 83.3, (1, 0.5)),
        ("neuroradiology", "SAG T2 FS"): (78, 5000, 260, 3, 16, (384, 224), 100, (2, 1)),
        ("neuroradiology", "SAG T1"): (8, 700, 260, 3, 4, (352, 192), 100, (2, 0.5)),
        ("neuroradiology", "AX T2"): (96, 6000, 180, 4, 18, (292, 192), 100, (1, 0.5)),
    }
    for (protocol, sequence), expected in table.items():
        scan = scan_of(sequence, protocol=protocol)
        weighting = scan.weighting
        row = (weighting.te_ms, weighting.tr_ms, scan.field_of_view_mm, scan.thickness_mm, scan.echo_train_length)
        assert (*row, scan.matrix, scan.bandwidth_khz, scan.nex) == expected
        assert 20 <= scan.n_slices <= 32 if scan.sagittal else 45 <= scan.n_slices <= 84
        assert scan.n_coils == 32
    assert len(scan_of("AX T2").lines("Fast")) == 192 // 2 + 16
    assert len(scan_of("SAG T1").lines("Fast")) == 224 // 2 + 16


def test_full_size_scans_are_those_that_the_preset_expects():
    """The study's preset is written from Table 1 by other hands."""
    preset = yaml.safe_load((REPOSITORY / "fixtures" / "presets" / "lumbar-spine-fast.yaml").read_text())
    seen = 0
    for protocol in preset["protocols"]:
        for sequence, expected in protocol["sequences"].items():
            scan = scan_of(sequence, protocol=protocol["name"])
            assert [scan.weighting.te_ms, scan.weighting.tr_ms] == [expected["te_ms"], expected["tr_ms"]]
            assert scan.field_of_view_mm == expected["fov_mm"]
            assert scan.thickness_mm == expected["slice_thickness_mm"]
            assert expected["slices"][0] <= scan.n_slices <= expected["slices"][1]
            assert scan.echo_train_length == expected["echo_train_length"]
            assert list(scan.matrix) == expected["matrix"]
            assert scan.bandwidth_khz == float(expected["bandwidth_khz"])
            assert {name: float(nex) for name, nex in expected["nex"].items()} == {
                acquisition: scan.nex_of(acquisition) for acquisition in ("Standard", "Fast")
            }
            seen += 1
    assert seen == 6


def test_equal_seeds_give_equal_data_and_other_seeds_do_not(tmp_path):
    def data(name, **settings):
        truth = simulate_acquisition(
            tmp_path / name, sequence="AX T2", acquisition="Fast", slices=1, **{"seed": 3, **settings}
        )
        return next(open_kspace(tmp_path / name).slices()).data, np.load(truth)["image"]

    first, again = data("a.h5"), data("b.h5")
    assert np.array_equal(first[0], again[0]) and np.array_equal(first[1], again[1])
    for other in (data("c.h5", seed=4), data("d.h5", number=2)):
        difference = np.linalg.norm(np.abs(other[1]) - np.abs(first[1])) / np.linalg.norm(first[1])
        assert difference > 0.2


def test_fixtures_are_what_the_code_makes(tmp_path):
    made = make_fixtures(tmp_path)
    assert len(made) == len(FIXTURES)
    for path in made:
        kept = REPOSITORY / "fixtures" / "raw" / path.name
        assert kept.stat().st_size < 2_000_000
        for one, other in zip(open_kspace(path).slices(), open_kspace(kept).slices(), strict=True):
            assert np.linalg.norm(one.data - other.data) < 1e-3 * np.linalg.norm(other.data)
        with (
            np.load(path.with_suffix(".truth.npz")) as new,
            np.load(kept.with_suffix(".truth.npz")) as old,
        ):
            assert (new["bodies"] != old["bodies"]).mean() < 1e-3 and (new["discs"] != old["discs"]).mean() < 1e-3


@pytest.mark.parametrize("settings", [{"size": "huge"}, {"subjects": 0}, {"seed": -1}])
def test_what_cannot_be_simulated_is_refused_in_a_sentence(tmp_path, settings):
    with pytest.raises(InputFault) as fault:
        simulate_study(tmp_path / "out", **{"subjects": 1, "seed": 0, "size": "tiny", **settings})
    assert fault.value.what.endswith(".") and fault.value.action.endswith(".")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputFault, match="cannot be written"):
        simulate_study(tmp_path / "file" / "out", subjects=1, seed=0, size="tiny")


def test_an_interrupted_sequence_leaves_nothing_half_written(tmp_path):
    def stop(stage, fraction):
        if stage == "S01 SAG T1" and fraction > 1 / 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate_study(tmp_path / "out", subjects=1, seed=0, size="tiny", progress=stop)
    assert [path.name for path in (tmp_path / "out" / "S01").iterdir()] == ["sag-t2-fs"]
    assert not (tmp_path / "out" / "manifest.json").exists()


def test_progress_rises_to_one(study, progress):
    assert progress == sorted(progress) and progress[0] == 0 and progress[-1] == 1
