"""ISMRMRD files of known content: samples, geometry, averages, noise, and what is refused."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import ismrmrd
import numpy as np
import pytest

from recon_worker.data import InputFault, SlicePlane
from recon_worker.rawdata.open import open_kspace
from recon_worker.reconstruction.chain import reconstruct
from tests.recon_worker.support import (
    Line,
    Protocol,
    in_memory,
    oblique_directions,
    scan_lines,
    simulate,
    write_ismrmrd,
    write_scan,
    xml_header,
)
from tests.recon_worker.twix import scanner_directions, twix_lines, write_twix

PROTOCOL = Protocol(n_slices=3, n_averages=2, directions=oblique_directions())


def test_samples_geometry_averages_and_noise_are_read(tmp_path: Path):
    scan = simulate(PROTOCOL, noise_level=0.02)
    kspace = open_kspace(write_scan(tmp_path / "scan.h5", scan))
    header = kspace.header
    assert header.format == "ismrmrd"
    assert header.encoded_matrix == (96, 40)
    assert header.image_matrix == (48, 40)
    assert header.encoded_field_of_view_mm == (192.0, 100.0)
    assert header.image_field_of_view_mm == (96.0, 100.0)
    assert (header.n_slices, header.n_coils, header.n_averages) == (3, 4, 2)
    assert (header.kx_centre, header.ky_centre) == (48, 20)
    assert header.slice_thickness_mm == 4.0
    assert header.timing == {"repetition_time_ms": 3000.0, "echo_time_ms": 67.0}
    assert header.noise_bandwidth_ratio == 1.0
    assert np.array_equal(header.noise, scan.noise)
    for _twice in range(2):
        pieces = list(kspace.slices())
        assert [piece.index for piece in pieces] == [0, 1, 2]
        assert all(np.array_equal(piece.data, scan.data[index]) for index, piece in enumerate(pieces))
        assert all(piece.acquired.all() and not piece.reversed_readout.any() for piece in pieces)
    in_file, by_hand = reconstruct(kspace).volume, reconstruct(in_memory(scan)).volume
    assert np.array_equal(in_file.array, by_hand.array)
    assert np.allclose(in_file.affine, by_hand.affine, atol=1e-5)


def test_geometry_of_an_oblique_file_to_a_hundredth_of_a_millimetre(tmp_path: Path):
    """Positions computed here from the prescription alone."""
    volume = reconstruct(open_kspace(write_scan(tmp_path / "scan.h5", simulate(PROTOCOL, noise_level=0.02)))).volume
    read, phase, normal = (np.array(direction) for direction in PROTOCOL.directions)
    for index in range(3):
        for row, column in ((0, 0), (20, 24), (39, 47)):
            truth = np.array(PROTOCOL.first_centre_mm) + index * 4.4 * normal
            truth = truth + (row - 20) * 2.5 * phase + (column - 24) * 2.0 * read
            assert volume.position_mm((index, row, column)) == pytest.approx(truth, abs=0.01)


def test_directions_of_a_siemens_scanner_belong_to_the_other_transform(tmp_path: Path):
    """A twix file and its conversion must show the patient the same way round."""
    protocol = scanner_directions(replace(PROTOCOL, n_averages=1))
    scan = simulate(protocol, noise_level=0.02)
    twix = open_kspace(write_twix(tmp_path / "scan.dat", protocol, twix_lines(scan)))
    # siemens_to_ismrmrd writes the columns of the quaternion's matrix as they are.
    planes = [
        replace(plane, read_direction=tuple(-np.array(plane.read_direction)),
                phase_direction=tuple(-np.array(plane.phase_direction)))
        for plane in (protocol.plane(index) for index in range(3))
    ]  # fmt: skip
    converted = open_kspace(
        write_ismrmrd(tmp_path / "scan.h5", protocol, scan_lines(scan), planes=planes,
                      xml=xml_header(protocol, vendor="SIEMENS"))
    )  # fmt: skip
    mine, truth = reconstruct(converted).volume, reconstruct(twix).volume
    assert np.allclose(mine.affine, truth.affine, atol=1e-3)
    assert converted.header.planes[0].read_direction == pytest.approx(protocol.directions[0], abs=1e-6)


def test_written_by_the_ismrmrd_package_line_by_line(tmp_path: Path):
    """The format's own writer as the second implementation."""
    protocol = Protocol(n_slices=2)
    scan = simulate(protocol, noise_level=0.02)
    with ismrmrd.Dataset(str(tmp_path / "scan.h5"), create_if_needed=True) as dataset:
        dataset.write_xml_header(xml_header(protocol).encode())
        for line in scan_lines(scan):
            plane = protocol.plane(line.slice)
            acquisition = ismrmrd.Acquisition.from_array(line.samples)
            acquisition.center_sample = line.samples.shape[1] // 2
            acquisition.sample_time_us = 5.0
            acquisition.idx.kspace_encode_step_1, acquisition.idx.slice = line.ky, line.slice
            acquisition.position[:], acquisition.read_dir[:] = plane.centre_mm, plane.read_direction
            acquisition.phase_dir[:], acquisition.slice_dir[:] = plane.phase_direction, plane.slice_direction
            if "noise" in line.flags:
                acquisition.setFlag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
            dataset.append_acquisition(acquisition)
    kspace = open_kspace(tmp_path / "scan.h5")
    assert np.array_equal(kspace.header.noise, scan.noise)
    for index, piece in enumerate(kspace.slices()):
        assert np.array_equal(piece.data, scan.data[index])


def test_nothing_of_the_patient_comes_out(tmp_path: Path):
    kspace = open_kspace(write_scan(tmp_path / "scan.h5", simulate(PROTOCOL, noise_level=0.02)))
    assert json.loads(json.dumps(kspace.summary)) == kspace.summary
    shown = repr(kspace.header) + json.dumps(kspace.summary)
    assert "SECRET" not in shown
    assert "1970" not in shown
    assert set(kspace.summary) == {
        "format", "orientation", "image_matrix", "encoded_matrix", "n_slices", "n_coils", "n_averages",
        "field_of_view_mm", "slice_thickness_mm", "slice_spacing_mm", "partial_fourier", "undersampled",
        "lines_acquired", "calibration_lines", "noise_scan", "timing", "remarks",
    }  # fmt: skip


def test_slices_acquired_in_any_order_come_out_in_space(tmp_path: Path):
    """Interleaved acquisition: the file's slice number is when, not where."""
    protocol = Protocol(n_slices=5)
    scan = simulate(protocol, noise_level=0.02)
    order = [0, 2, 4, 1, 3]
    lines = [replace(line, slice=order.index(line.slice)) for line in scan_lines(scan)]
    planes = [protocol.plane(place) for place in order]
    kspace = open_kspace(write_ismrmrd(tmp_path / "scan.h5", protocol, lines, planes=planes))
    for index, piece in enumerate(kspace.slices()):
        assert np.array_equal(piece.data, scan.data[index])
        assert np.allclose(kspace.header.planes[index].centre_mm, protocol.plane(index).centre_mm, atol=1e-4)


@pytest.mark.parametrize("centre_is_turned_too", [False, True])
def test_reversed_readouts_are_turned_round(tmp_path: Path, centre_is_turned_too: bool):
    scan = simulate(replace(PROTOCOL, n_slices=1), noise_level=0.02)
    lines = []
    for line in scan_lines(scan):
        if not line.flags and line.ky % 2:
            centre = 95 - 48 if centre_is_turned_too else 48
            line = replace(line, samples=line.samples[:, ::-1], flags=("reverse",), centre_sample=centre)
        lines.append(line)
    piece = next(iter(open_kspace(write_ismrmrd(tmp_path / "scan.h5", scan.protocol, lines)).slices()))
    assert np.array_equal(piece.data, scan.data[0])
    assert piece.reversed_readout[:, 1::2].all()
    assert not piece.reversed_readout[:, ::2].any()


def test_partial_fourier_is_placed_by_the_headers_centre(tmp_path: Path):
    """A converter may count steps from the first acquired line; the centre then has a small number."""
    protocol = Protocol(n_slices=1)
    scan = simulate(protocol, noise_level=0.02, phase_lines=slice(12, None))
    counted_from_first = [replace(line, ky=line.ky - 12) if not line.flags else line for line in scan_lines(scan)]
    kspace = open_kspace(
        write_ismrmrd(tmp_path / "scan.h5", protocol, counted_from_first, xml=xml_header(protocol, centre=8))
    )
    assert kspace.summary["partial_fourier"] is True
    assert kspace.summary["lines_acquired"] == 28
    assert np.array_equal(next(iter(kspace.slices())).data, scan.data[0])


def test_an_undersampled_acquisition_is_no_partial_fourier(tmp_path: Path):
    """Every second line of 40: 20 steps below the centre, 18 above."""
    scan = simulate(Protocol(n_slices=1), noise_level=0.02, phase_lines=slice(None, None, 2))
    summary = open_kspace(write_scan(tmp_path / "scan.h5", scan)).summary
    assert (summary["undersampled"], summary["partial_fourier"], summary["lines_acquired"]) == (True, False, 20)


def test_an_asymmetric_echo_is_placed_by_its_centre_sample(tmp_path: Path):
    protocol = Protocol(n_slices=1)
    scan = simulate(protocol, noise_level=0.02)
    lines = [
        replace(line, samples=line.samples[:, 16:], centre_sample=32) if not line.flags else line
        for line in scan_lines(scan)
    ]
    kspace = open_kspace(write_ismrmrd(tmp_path / "scan.h5", protocol, lines))
    data = next(iter(kspace.slices())).data
    assert np.array_equal(data[..., 16:], scan.data[0][..., 16:])
    assert not data[..., :16].any()
    assert reconstruct(kspace).volume.noise_std[0, 0, 0] == pytest.approx(np.sqrt(80 / 96), rel=1e-6)
    assert any("filled" in remark for remark in kspace.header.remarks)


def test_calibration_lines_are_kept_apart_from_imaging_lines(tmp_path: Path):
    protocol = Protocol(n_slices=2)
    scan = simulate(protocol, noise_level=0.02)
    extra = [
        Line(scan.data[index, 0, :, ky] * 2, ky=ky, slice=index, flags=("calibration",))
        for ky in range(14, 27)
        for index in range(2)
    ]
    lines = [
        replace(line, flags=("calibration and imaging",)) if not line.flags and line.ky == 20 else line
        for line in scan_lines(scan)
    ]
    kspace = open_kspace(write_ismrmrd(tmp_path / "scan.h5", protocol, lines + extra))
    assert kspace.summary["calibration_lines"] == 13
    piece = list(kspace.slices())[1]
    assert np.array_equal(piece.data, scan.data[1])
    assert np.array_equal(piece.calibration[:, 14:27], 2 * scan.data[1, 0, :, 14:27])
    assert not piece.calibration[:, :14].any()


def test_a_line_acquired_again_is_an_average(tmp_path: Path):
    protocol = Protocol(n_slices=1)
    scan = simulate(protocol, noise_level=0.02)
    again = [Line(scan.data[0, 0, :, 7] * 3, ky=7), Line(scan.data[0, 0, :, 8], ky=8, average=4)]
    kspace = open_kspace(write_ismrmrd(tmp_path / "scan.h5", protocol, scan_lines(scan) + again))
    piece = next(iter(kspace.slices()))
    assert kspace.header.n_averages == 2
    assert piece.acquired.sum(axis=0).tolist() == [2 if ky in (7, 8) else 1 for ky in range(40)]
    assert np.array_equal(piece.data[1, :, 7], 3 * scan.data[0, 0, :, 7])


def test_repeated_lines_are_averaged_while_they_are_read(tmp_path: Path):
    """Once, twice, three times, backwards and with fewer samples: the mean of each line by its own count."""
    scan = simulate(PROTOCOL, noise_level=0.02)
    lines = []
    for line in scan_lines(scan):
        if not line.flags and line.average and line.ky == 3:
            continue
        if not line.flags and line.average and line.ky % 4 == 1:
            line = replace(line, samples=line.samples[:, ::-1], flags=("reverse",), centre_sample=48)
        elif not line.flags and line.average and line.ky % 4 == 2:
            line = replace(line, samples=line.samples[:, 16:], centre_sample=32)
        lines.append(line)
    lines += [Line(scan.data[index, 0, :, 7] * 3, ky=7, slice=index, average=2) for index in range(3)]
    kspace = open_kspace(write_ismrmrd(tmp_path / "scan.h5", PROTOCOL, lines))
    assert kspace.averaged_slices is not None
    for whole, mean in zip(kspace.slices(), kspace.averaged_slices(), strict=True):
        assert (whole.averaged, mean.averaged, mean.data.shape) == (False, True, (1, *whole.data.shape[1:]))
        assert sorted(set(whole.acquired.sum(axis=0))) == [1, 2, 3]
        assert np.array_equal(mean.acquired, whole.acquired)
        assert np.array_equal(mean.reversed_readout, whole.reversed_readout)
        expected = whole.data.sum(axis=0) / whole.acquired.sum(axis=0)[:, None]
        assert np.allclose(mean.data[0], expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())
    in_full = reconstruct(replace(kspace, averaged_slices=None)).volume
    assert np.allclose(reconstruct(kspace).volume.array, in_full.array, atol=1e-6 * np.abs(in_full.array).max())
    assert np.array_equal(reconstruct(kspace).volume.noise_std, in_full.noise_std)


def test_readouts_that_are_no_image_are_left_out(tmp_path: Path):
    protocol = Protocol(n_slices=1)
    scan = simulate(protocol, noise_level=0.02)
    navigators = [Line(np.full((4, 32), 1e6 + 0j, np.complex64), ky=20, flags=("navigation",)) for _ in range(5)]
    kspace = open_kspace(write_ismrmrd(tmp_path / "scan.h5", protocol, navigators + scan_lines(scan)))
    assert np.array_equal(next(iter(kspace.slices())).data, scan.data[0])


def test_noise_scan_of_another_bandwidth(tmp_path: Path):
    scan = simulate(Protocol(n_slices=1), noise_level=0.02)
    lines = [replace(line, sample_time_us=2.5) if line.flags else line for line in scan_lines(scan)]
    header = open_kspace(write_ismrmrd(tmp_path / "scan.h5", scan.protocol, lines)).header
    assert header.noise_bandwidth_ratio == pytest.approx(2.5 / 5.0 / 0.79, rel=1e-6)


def test_without_a_noise_scan_the_coordinator_is_told(tmp_path: Path):
    scan = simulate(Protocol(n_slices=1), noise_level=0.02, noise_scan=False)
    kspace = open_kspace(write_scan(tmp_path / "scan.h5", scan))
    assert kspace.header.noise is None
    assert kspace.summary["noise_scan"] is False
    assert any("noise" in remark.lower() for remark in kspace.summary["remarks"])


def test_another_group_name_is_found_and_two_measurements_are_refused(tmp_path: Path):
    scan = simulate(Protocol(n_slices=1), noise_level=0.02)
    path = write_ismrmrd(tmp_path / "scan.h5", scan.protocol, scan_lines(scan), group="measurement_7")
    assert open_kspace(path).header.n_slices == 1
    with h5py.File(path, "a") as file:
        file.copy("measurement_7", "measurement_8")
    with pytest.raises(InputFault, match="several measurements"):
        open_kspace(path)


def _lines(**changes: object) -> list[Line]:
    scan = simulate(Protocol(n_slices=2), noise_level=0.02, noise_scan=False)
    return [replace(line, **changes) for line in scan_lines(scan)]


def _tilted(index: int) -> SlicePlane:
    plane = Protocol().plane(index)
    return replace(plane, read_direction=oblique_directions()[0], phase_direction=oblique_directions()[1],
                   slice_direction=oblique_directions()[2])  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "header", "planes", "words"),
    [
        (_lines(flags=("noise",)), {}, None, "no imaging readouts"),
        (_lines(), {"trajectory": "spiral"}, None, "spiral"),
        (_lines(), {"depth": 16}, None, "3D"),
        (_lines() + _lines(counters={"contrast": 1}), {}, None, "echo times"),
        (_lines() + _lines(counters={"repetition": 1}), {}, None, "repetitions"),
        (_lines(), {"encoded_rows": 32}, None, "outside the 32"),
        (_lines(), {"encoded_samples": 64}, None, "do not fit the 64"),
        (_lines(), {"encoded_rows": 10**8}, None, "phase-encode steps"),
        (_lines(), {"encoded_rows": 0}, None, "0 phase-encode steps"),
        (_lines(), {"image_phase_mm": -3}, None, "not a usable length"),
        (_lines(), {"encoded_phase_mm": "nan"}, None, "not a usable"),
        (_lines(), {}, [Protocol().plane(0), Protocol().plane(0)], "same place"),
        (_lines(), {}, [Protocol().plane(0), _tilted(1)], "not parallel"),
        (_lines(), {}, [replace(Protocol().plane(0), read_direction=(0.0, 0.0, 0.0)), Protocol().plane(1)],
         "not unit vectors"),
        ([*_lines()[:-3], Line(np.full((4, 96), np.nan, np.complex64), ky=39, slice=1)], {}, None, "not numbers"),
        ([*_lines(), Line(np.ones((3, 96), np.complex64))], {}, None, "receive coils"),
    ],
)  # fmt: skip
def test_other_measurements_are_refused_in_words(
    tmp_path: Path, lines: list[Line], header: dict, planes: list[SlicePlane] | None, words: str
):
    protocol = Protocol(n_slices=2)
    path = write_ismrmrd(tmp_path / "scan.h5", protocol, lines, xml=xml_header(protocol, **header), planes=planes)
    with pytest.raises(InputFault, match=words):
        list(open_kspace(path).slices())


def test_uneven_slices_are_refused(tmp_path: Path):
    protocol = Protocol(n_slices=3)
    scan = simulate(protocol, noise_level=0.02)
    planes = [protocol.plane(0), protocol.plane(1), protocol.plane(3)]
    path = write_ismrmrd(tmp_path / "scan.h5", protocol, scan_lines(scan), planes=planes)
    with pytest.raises(InputFault, match="evenly spaced"):
        open_kspace(path)


@pytest.mark.parametrize(
    ("xml", "words"),
    [
        ("<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'c'>]><ismrmrdHeader/>", "document type"),
        ("<ismrmrdHeader><encoding>", "not readable XML"),
        ("\x01\x02\x03", "not readable XML"),
        ("<ismrmrdHeader/>", "no encoding"),
        ("<ismrmrdHeader><encoding/></ismrmrdHeader>", "lacks matrix"),
    ],
)
def test_headers_that_cannot_be_read_are_refused(tmp_path: Path, xml: str, words: str):
    path = write_ismrmrd(tmp_path / "scan.h5", Protocol(n_slices=2), _lines(), xml=xml)
    with pytest.raises(InputFault, match=words):
        open_kspace(path)


def test_a_readout_that_declares_more_than_it_holds(tmp_path: Path):
    path = write_ismrmrd(tmp_path / "scan.h5", Protocol(n_slices=2), _lines())
    with h5py.File(path, "a") as file:
        row = file["dataset/data"][5]
        row["data"] = np.zeros(10, np.float32)
        file["dataset/data"][5] = row
    with pytest.raises(InputFault, match="readout"):
        list(open_kspace(path).slices())


def test_readouts_that_hold_more_than_they_declare_are_refused_before_reading(tmp_path: Path):
    path = write_ismrmrd(tmp_path / "scan.h5", Protocol(n_slices=2), _lines())
    with h5py.File(path, "a") as file:
        row = file["dataset/data"][5]
        row["data"] = np.zeros(100_000, np.float32)
        file["dataset/data"][5] = row
    with pytest.raises(InputFault, match="hold more samples"):
        open_kspace(path)


def test_declared_samples_beyond_the_files_size_are_refused_before_reading(tmp_path: Path):
    lines = _lines()
    path = write_ismrmrd(tmp_path / "scan.h5", Protocol(n_slices=2), lines)
    with h5py.File(path, "a") as file:
        table = file["dataset/data"][:]
        for row in table:
            row["head"]["number_of_samples"], row["head"]["active_channels"] = 60000, 200
        file["dataset/data"][:] = table
    with pytest.raises(InputFault, match="declare"):
        open_kspace(path)


def test_a_table_of_terabytes_that_is_not_there_is_refused_at_once(tmp_path: Path):
    """A chunked table costs nothing until it is written: rows can be declared without end."""
    path = tmp_path / "scan.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("dataset")
        group.create_dataset("xml", (1,), dtype=h5py.special_dtype(vlen=bytes))[0] = xml_header(Protocol()).encode()
        group.create_dataset("data", (10**12,), dtype=ismrmrd.hdf5.acquisition_dtype, chunks=(1024,))
    with pytest.raises(InputFault, match="lines"):
        open_kspace(path)
    with h5py.File(path, "a") as file:
        del file["dataset/data"]
        file["dataset"].create_dataset("data", (400_000,), dtype=ismrmrd.hdf5.acquisition_dtype, chunks=(1024,))
    with pytest.raises(InputFault, match="far too small"):
        open_kspace(path)


def test_links_out_of_the_file_are_not_followed(tmp_path: Path):
    """An uploaded file must not make the worker read other files of its machine."""
    scan = simulate(Protocol(n_slices=1), noise_level=0.02)
    other = write_scan(tmp_path / "other.h5", scan)
    linked = tmp_path / "linked.h5"
    with h5py.File(linked, "w") as file:
        file["dataset"] = h5py.ExternalLink(str(other), "/dataset")
    with pytest.raises(InputFault, match="outside itself"):
        open_kspace(linked)
    with h5py.File(linked, "w") as file:
        file.create_group("dataset")
        file["dataset/xml"] = h5py.ExternalLink(str(other), "/dataset/xml")
        file["dataset/data"] = h5py.ExternalLink(str(other), "/dataset/data")
    with pytest.raises(InputFault, match="outside itself"):
        open_kspace(linked)


def test_opening_reads_headers_only(tmp_path: Path):
    """HDF5 keeps the samples in memory for ever if it is asked for the headers' column; 60 MB would show."""
    protocol = Protocol(columns=256, rows=200, n_coils=16, n_slices=4)
    random = np.random.default_rng(0).standard_normal((16, 1024)).astype(np.float32)
    samples = np.ascontiguousarray(random.view(np.complex64))
    lines = [Line(samples, ky=ky, slice=index) for ky in range(200) for index in range(4)]
    path = write_ismrmrd(tmp_path / "scan.h5", protocol, lines)
    assert path.stat().st_size > 50e6
    script = (
        "import sys; from pathlib import Path; from recon_worker.rawdata.open import open_kspace\n"
        # Not ru_maxrss, which begins with that of the process that started this one.
        "status = lambda: Path('/proc/self/status').read_text().splitlines()\n"
        "peak = lambda: next(int(line.split()[1]) for line in status() if line.startswith('VmHWM'))\n"
        "before = peak(); open_kspace(Path(sys.argv[1])); print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 15_000  # kilobytes


@pytest.mark.parametrize("storage", [{}, {"chunks": (7,)}, {"chunks": (64,), "compression": "gzip", "shuffle": True}])
def test_tables_stored_in_any_way_are_read_alike(tmp_path: Path, storage: dict):
    """In one piece, in odd blocks, compressed."""
    scan = simulate(Protocol(n_slices=2), noise_level=0.02)
    path = write_scan(tmp_path / "scan.h5", scan)
    other = tmp_path / "other.h5"
    with h5py.File(path) as source, h5py.File(other, "w", userblock_size=512) as file:
        group = file.create_group("dataset")
        group.create_dataset("xml", data=source["dataset/xml"][:], dtype=h5py.special_dtype(vlen=bytes))
        group.create_dataset("data", data=source["dataset/data"][:], **storage)
    kspace = open_kspace(other)
    assert np.array_equal(kspace.header.noise, scan.noise)
    for index, piece in enumerate(kspace.slices()):
        assert np.array_equal(piece.data, scan.data[index])


@pytest.mark.parametrize("collection", [0, -1])
@pytest.mark.parametrize("storage", [{}, {"compression": "gzip"}, {"compression": "gzip", "shuffle": True}])
def test_a_damaged_heap_is_told_before_hdf5_walks_it(tmp_path: Path, storage: dict, collection: int):
    """HDF5 2.0 does not come back from a collection whose object sizes are damaged."""
    path = write_scan(tmp_path / "scan.h5", simulate(Protocol(n_slices=2), noise_level=0.02))
    if storage:
        with h5py.File(path, "a") as file:
            rows = file["dataset/data"][:]
            del file["dataset/data"]
            file["dataset"].create_dataset("data", data=rows, chunks=(64,), **storage)
    data = bytearray(path.read_bytes())
    # The first collection holds the XML header, a later one samples.
    place = [match.start() for match in re.finditer(b"GCOL", bytes(data))][collection]
    for size in (0, 1, 2**40, 2**63, 2**64 - 16, 2**64 - 1):
        data[place + 24 : place + 32] = size.to_bytes(8, "little")  # size of the collection's first object
        path.write_bytes(bytes(data))
        with pytest.raises(InputFault, match="damaged"):
            open_kspace(path)
