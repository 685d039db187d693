"""Siemens twix: files of known content, and a real scanner's file where it is at hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import twixtools
from PIL import Image

from recon_worker.data import InputFault
from recon_worker.rawdata.inspection import inspect_file
from recon_worker.rawdata.open import open_kspace
from recon_worker.reconstruction.chain import reconstruct
from recon_worker.reconstruction.intensity import stored_pixels, stored_scale
from tests.recon_worker.support import Protocol, in_memory, oblique_directions, simulate
from tests.recon_worker.twix import Software, TwixLine, ascconv, scanner_directions, twix_lines, write_twix

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "raw"
PROTOCOL = scanner_directions(
    Protocol(columns=48, rows=40, n_slices=3, n_averages=2, directions=oblique_directions())
)
needs_shared = pytest.mark.skipif(
    not (SHARED / "twix_gre_skyra.dat").exists(), reason="the shared folder with real raw data is not here"
)


def test_samples_geometry_averages_and_noise_are_read(tmp_path: Path):
    scan = simulate(PROTOCOL, noise_level=0.02)
    kspace = open_kspace(write_twix(tmp_path / "scan.dat", PROTOCOL, twix_lines(scan)))
    header = kspace.header
    assert header.format == "siemens-twix"
    assert header.encoded_matrix == (96, 40)
    assert header.image_matrix == (48, 40)
    assert (header.n_slices, header.n_coils, header.n_averages) == (3, 4, 2)
    assert header.image_field_of_view_mm == pytest.approx((96.0, 100.0))
    assert header.encoded_field_of_view_mm == pytest.approx((192.0, 100.0))
    assert header.timing == {"repetition_time_ms": 3000.0, "echo_time_ms": 67.0}
    assert np.array_equal(header.noise, scan.noise[:, :16384])
    # 256 samples in 7680 us against 5 us a sample, less the receiver's filter.
    assert header.noise_bandwidth_ratio == pytest.approx(30.0 / 5.0 / 0.793, rel=1e-6)
    for index, piece in enumerate(kspace.slices()):
        assert np.array_equal(piece.data, scan.data[index])
        assert piece.acquired.all()
    for mine, truth in zip(header.planes, in_memory(scan).header.planes, strict=True):
        assert np.allclose(mine.centre_mm, truth.centre_mm, atol=1e-4)
        assert np.allclose(mine.read_direction, truth.read_direction, atol=1e-6)
        assert np.allclose(mine.phase_direction, truth.phase_direction, atol=1e-6)
        assert np.allclose(mine.slice_direction, truth.slice_direction, atol=1e-6)


@pytest.mark.parametrize(("software", "noise_time_us"), [("VB", 1e6 / 130 / 256), ("VE", 30.0), ("XA", 5.0)])
def test_every_software_line_is_read_alike(tmp_path: Path, software: Software, noise_time_us: float):
    """Constructed files: no real one of VB or XA was at hand, and the remark says so."""
    scan = simulate(PROTOCOL, noise_level=0.02)
    kspace = open_kspace(write_twix(tmp_path / "scan.dat", PROTOCOL, twix_lines(scan), software=software))
    header = kspace.header
    for index, piece in enumerate(kspace.slices()):
        assert np.array_equal(piece.data, scan.data[index])
    assert np.array_equal(header.noise, scan.noise[:, :16384])
    assert (header.encoded_matrix, header.image_matrix) == ((96, 40), (48, 40))
    assert header.timing == {"repetition_time_ms": 3000.0, "echo_time_ms": 67.0}
    expected = 1.0 if noise_time_us == 5.0 else noise_time_us / 5.0 / 0.793
    assert header.noise_bandwidth_ratio == pytest.approx(expected, rel=1e-6)
    for mine, truth in zip(header.planes, in_memory(scan).header.planes, strict=True):
        assert np.allclose(mine.centre_mm, truth.centre_mm, atol=1e-4)
        assert np.allclose(mine.phase_direction, truth.phase_direction, atol=1e-6)
    said = [remark for remark in header.remarks if "not checked on a real" in remark]
    assert [f"Siemens {software} file" in remark for remark in said] == ([] if software == "VE" else [True])
    assert "SECRET" not in repr(header) + json.dumps(inspect_file(tmp_path / "scan.dat"))


@pytest.mark.parametrize("software", ["VB", "VE", "XA"])
def test_twixtools_reads_the_constructed_files_too(tmp_path: Path, software: Software):
    """The writer's layout is not only ours: the package that documents it finds the same readouts."""
    protocol = replace(PROTOCOL, n_slices=1, n_averages=1)
    scan = simulate(protocol, noise_level=0.02)
    path = write_twix(tmp_path / "scan.dat", protocol, twix_lines(scan), software=software)
    read = twixtools.read_twix(str(path), verbose=False, parse_pmu=False, parse_geometry=False)[-1]
    assert read["hdr"]["MeasYaps"]["sKSpace"]["lBaseResolution"] == 48
    assert read["hdr"]["Dicom"]["flReadoutOSFactor"] == 2.0
    images = [mdb for mdb in read["mdb"] if mdb.is_image_scan()]
    assert len(images) == 40
    for mdb in images:
        assert np.array_equal(mdb.data, scan.data[0, 0, :, mdb.mdh.Counter.Lin])


def test_a_vb_file_cut_off_is_refused_wherever_it_is_cut(tmp_path: Path):
    whole = write_twix(tmp_path / "scan.dat", PROTOCOL, _scan_lines(), software="VB").read_bytes()
    for size in (40, 100, 8000, 13000, len(whole) // 2 + 3, len(whole) - 400):
        path = tmp_path / "cut.dat"
        path.write_bytes(whole[:size])
        with pytest.raises(InputFault):
            for _piece in open_kspace(path).slices():
                pass


def test_what_cannot_be_reconstructed_is_described_all_the_same(tmp_path: Path):
    lines = _scan_lines()[::2] + _scan_lines(flags=("REFLECT",))[1::2]
    lines += _scan_lines(flags=("PHASCOR",))[:3] + _scan_lines(flags=("NOISEADJSCAN",))[:2]
    protocol = replace(PROTOCOL, n_slices=1, n_averages=1)
    found = inspect_file(write_twix(tmp_path / "scan.dat", protocol, lines, software="XA"))
    assert found["reconstructable"] is False
    assert "echo-planar" in found["refused"]
    assert found["readouts"] == {
        "all": 45, "imaging": 40, "phase correction": 3, "noise": 2, "backwards": 20, "calibration": 0
    }  # fmt: skip
    assert (found["counters"]["lines"], found["n_coils"], found["samples"]) == (40, [4], [96])
    assert found["software"] == "XA"
    assert "45 readouts, 40 of them imaging" in found["words"]
    assert "3 phase correction" in found["words"]
    assert "SECRET" not in json.dumps(found)


def test_partial_fourier_lines_and_readouts_backwards(tmp_path: Path):
    protocol = replace(PROTOCOL, n_averages=1, n_slices=1)
    scan = simulate(protocol, noise_level=0.02, phase_lines=slice(12, None), noise_scan=False)
    lines = [replace(line, samples=line.samples[:, ::-1], flags=("REFLECT",)) for line in twix_lines(scan)]
    kspace = open_kspace(write_twix(tmp_path / "scan.dat", protocol, lines))
    piece = next(iter(kspace.slices()))
    assert np.array_equal(piece.data, scan.data[0])
    assert piece.reversed_readout[0].sum() == 28
    assert kspace.summary["partial_fourier"] is True
    assert kspace.summary["lines_acquired"] == 28


def test_nothing_of_the_patient_comes_out(tmp_path: Path):
    scan = simulate(PROTOCOL, noise_level=0.02)
    kspace = open_kspace(write_twix(tmp_path / "scan.dat", PROTOCOL, twix_lines(scan)))
    assert "SECRET" not in repr(kspace.header) + json.dumps(kspace.summary)


def _scan_lines(**changes: object) -> list[TwixLine]:
    scan = simulate(replace(PROTOCOL, n_slices=1, n_averages=1), noise_level=0.02, noise_scan=False)
    return [replace(line, **changes) for line in twix_lines(scan)]


@pytest.mark.parametrize(
    ("lines", "header", "words"),
    [
        (_scan_lines(flags=("NOISEADJSCAN",)), {}, "no imaging readouts"),
        ([], {}, "no imaging readouts"),
        (_scan_lines()[::2] + _scan_lines(flags=("REFLECT",))[1::2], {}, "echo-planar"),
        (_scan_lines() + _scan_lines(eco=1), {}, "several echo times"),
        (_scan_lines(par=1), {}, "3D"),
        (_scan_lines(), {"sKSpace.ucDimension": 4}, "3D"),
        (_scan_lines(), {"sKSpace.ucTrajectory": 2}, "not Cartesian"),
        (_scan_lines(), {"sKSpace.lBaseResolution": 100000}, "readout samples"),
        (_scan_lines(), {"sSliceArray.asSlice[0].dReadoutFOV": 0}, "lacks matrix"),
        (_scan_lines(), {"alTR[99999999]": 1}, "damaged"),
        (_scan_lines(), {"sKSpace.lBaseResolution": 20}, "do not fit"),
    ],
)
def test_other_files_are_refused_in_words(tmp_path: Path, lines: list[TwixLine], header: dict, words: str):
    protocol = replace(PROTOCOL, n_slices=1, n_averages=1)
    path = write_twix(tmp_path / "scan.dat", protocol, lines, header=ascconv(protocol, **header))
    with pytest.raises(InputFault, match=words):
        open_kspace(path)


def test_a_file_cut_off_is_refused_wherever_it_is_cut(tmp_path: Path):
    whole = write_twix(tmp_path / "scan.dat", PROTOCOL, _scan_lines()).read_bytes()
    for size in (10240, 10300, 11000, 20000, len(whole) - 100):
        path = tmp_path / "cut.dat"
        path.write_bytes(whole[:size])
        with pytest.raises(InputFault):
            open_kspace(path)


def test_damaged_bytes_never_end_in_anything_but_words(tmp_path: Path):
    """A file from nowhere must not crash the worker or keep it busy."""
    whole = write_twix(tmp_path / "scan.dat", PROTOCOL, _scan_lines()).read_bytes()
    random = np.random.default_rng(1)
    for _ in range(60):
        data = bytearray(whole)
        for place in random.integers(0, len(data), 12):
            data[place] = int(random.integers(0, 256))
        start = int(random.integers(0, 24000))
        data[start : start + 16] = random.bytes(16)
        path = tmp_path / "damaged.dat"
        path.write_bytes(bytes(data))
        try:
            for _piece in open_kspace(path).slices():
                pass
        except InputFault:
            pass


@needs_shared
def test_a_real_scanners_file_gives_the_phantoms_image():
    """ACR phantom on a Skyra: a disc of 190 mm cut by an air bubble on top, which lies to anterior."""
    kspace = open_kspace(SHARED / "twix_gre_skyra.dat")
    assert kspace.summary["image_matrix"] == [160, 160]
    assert kspace.summary["orientation"] == "axial"
    volume = reconstruct(kspace).volume
    magnitude = np.abs(volume.array)
    out = Path(__file__).resolve().parents[3] / "test-output"
    out.mkdir(exist_ok=True)
    pixels = stored_pixels(magnitude, stored_scale(magnitude))[0]
    Image.fromarray((pixels / 16).astype(np.uint8)).save(out / "twix_gre_skyra.png")
    body = magnitude[0] > 0.3 * np.percentile(magnitude, 95)
    rows, columns = np.flatnonzero(body.mean(axis=1) > 0.1), np.flatnonzero(body.mean(axis=0) > 0.1)
    assert (columns[-1] - columns[0]) * volume.spacing_mm[2] == pytest.approx(190, abs=6)
    # The air bubble cuts the disc at the end of increasing row index, and that way lies anterior (-y).
    top, bottom = body[rows[0] : rows[0] + 3].mean(), body[rows[-1] - 2 : rows[-1] + 1].mean()
    assert bottom > 2 * top
    assert volume.direction(1)[1] < -0.99
    assert volume.direction(2)[0] > 0.99
    centre = volume.position_mm((0, 80, 80))
    assert centre == pytest.approx((-2.5897, 53.9224, -53.9995), abs=0.01)
    # All four corners, a quarter beyond the phantom's radius: 400 pixels of one corner alone scatter by 2.5 %.
    rows, columns = np.indices(magnitude[0].shape)
    corners = np.hypot(rows - 80, columns - 80) * 1.25 > 1.25 * 95
    measured = np.sqrt((magnitude[0][corners] ** 2).mean() / 2)
    assert measured == pytest.approx(float(volume.noise_std[0, 0, 0]), rel=0.1)


@needs_shared
def test_the_real_echo_planar_file_is_refused_in_words_and_described():
    with pytest.raises(InputFault, match="echo-planar"):
        open_kspace(SHARED / "twix_epi_skyra.dat")
    found = inspect_file(SHARED / "twix_epi_skyra.dat")
    assert found["readouts"]["imaging"] == 80
    assert found["readouts"]["phase correction"] == 3
    assert (found["counters"]["lines"], found["n_coils"], found["matrix"]) == (80, [2], [80, 80])
    assert found["sampled_on_ramps"] is True
