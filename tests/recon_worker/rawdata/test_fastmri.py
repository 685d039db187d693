"""fastMRI files: the samples, the acquired lines and the field of view are read; places are said to be unknown."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from recon_worker.data import InputFault
from recon_worker.rawdata.open import open_kspace
from recon_worker.reconstruction.chain import reconstruct
from tests.recon_worker.support import Protocol, in_memory, simulate, write_scan, xml_header

PROTOCOL = Protocol(n_slices=3)


def _write(
    path: Path, kspace: np.ndarray, *, protocol: Protocol = PROTOCOL, mask: np.ndarray | None = None, **header: object
) -> Path:
    with h5py.File(path, "w") as file:
        file["kspace"] = kspace
        file["ismrmrd_header"] = xml_header(protocol, **header)
        file["reconstruction_rss"] = np.zeros((1, 4, 4), np.float32)
        file.attrs["patient_id"] = "SECRET-PATIENT"
        if mask is not None:
            file["mask"] = mask
    return path


def _as_fastmri(data: np.ndarray) -> np.ndarray:
    """`[slice, coil, kx, ky]` of a scan's `[slice, average, coil, ky, kx]`."""
    return np.ascontiguousarray(np.swapaxes(data[:, 0], 2, 3))


def test_samples_and_field_of_view_are_read_and_unknown_places_are_said(tmp_path: Path):
    scan = simulate(PROTOCOL, noise_level=0.02)
    kspace = open_kspace(_write(tmp_path / "scan.h5", _as_fastmri(scan.data)))
    header = kspace.header
    assert header.format == "fastmri"
    assert (header.encoded_matrix, header.image_matrix) == ((96, 40), (48, 40))
    assert header.encoded_field_of_view_mm == pytest.approx((192.0, 100.0))
    assert header.image_field_of_view_mm == pytest.approx((96.0, 100.0))
    assert (header.n_slices, header.n_coils, header.n_averages) == (3, 4, 1)
    assert header.timing == {"repetition_time_ms": 3000.0, "echo_time_ms": 67.0}
    for index, piece in enumerate(kspace.slices()):
        assert np.array_equal(piece.data, scan.data[index])
        assert piece.acquired.all()
    assert kspace.summary["orientation"] == "axial"
    assert kspace.summary["slice_spacing_mm"] == PROTOCOL.thickness_mm
    remarks = " ".join(kspace.summary["remarks"])
    assert "place of the slices in the patient is unknown" in remarks
    assert "distance of the slices is unknown" in remarks
    assert "No noise scan" in remarks
    assert "SECRET" not in repr(header) + json.dumps(kspace.summary)


def test_the_image_is_that_of_the_same_scan_as_ismrmrd(tmp_path: Path):
    scan = simulate(PROTOCOL, noise_level=0.02, noise_scan=False)
    mine = reconstruct(open_kspace(_write(tmp_path / "scan.h5", _as_fastmri(scan.data)))).volume
    other = reconstruct(open_kspace(write_scan(tmp_path / "ismrmrd.h5", scan))).volume
    assert np.allclose(mine.array, other.array, atol=1e-4 * np.abs(other.array).max())
    assert mine.spacing_mm == pytest.approx((4.0, 2.5, 2.0))


def test_one_coil_without_a_coil_axis(tmp_path: Path):
    scan = simulate(replace(PROTOCOL, n_coils=1), noise_level=0.02)
    kspace = open_kspace(_write(tmp_path / "scan.h5", _as_fastmri(scan.data)[:, 0]))
    assert kspace.header.n_coils == 1
    for index, piece in enumerate(kspace.slices()):
        assert np.array_equal(piece.data, scan.data[index])


@pytest.mark.parametrize("marked", [True, False])
def test_lines_left_out_are_known_from_the_mask_or_from_zeros(tmp_path: Path, marked: bool):
    scan = simulate(PROTOCOL, noise_level=0.02)
    lines = np.zeros(40, dtype=bool)
    lines[::2] = lines[14:26] = True
    stored = _as_fastmri(scan.data)
    kspace = open_kspace(
        _write(tmp_path / "scan.h5", stored, mask=lines)
        if marked
        else _write(tmp_path / "scan.h5", np.where(lines, stored, 0))
    )
    assert kspace.summary["undersampled"] is True
    assert kspace.summary["lines_acquired"] == lines.sum()
    for index, piece in enumerate(kspace.slices()):
        assert np.array_equal(piece.acquired, lines[None])
        assert np.array_equal(piece.data, scan.data[index] * lines[None, None, :, None])


def test_partial_fourier_is_seen_and_reconstructed(tmp_path: Path):
    scan = simulate(PROTOCOL, noise_level=0.002, phase_lines=slice(12, None), noise_scan=False)
    kspace = open_kspace(_write(tmp_path / "scan.h5", _as_fastmri(scan.data)))
    assert kspace.summary["partial_fourier"] is True
    assert kspace.summary["undersampled"] is False
    mine, other = reconstruct(kspace).volume.array, reconstruct(in_memory(scan, noise=None)).volume.array
    assert np.allclose(mine, other, atol=1e-4 * np.abs(other).max())


def _without_header(file: h5py.File) -> None:
    del file["ismrmrd_header"]


def _other_kind(file: h5py.File) -> None:
    values = file["kspace"][()]
    del file["kspace"]
    file["kspace"] = values.real


def _binary_header(file: h5py.File) -> None:
    del file["ismrmrd_header"]
    file["ismrmrd_header"] = np.arange(4)


def _elsewhere(file: h5py.File) -> None:
    del file["kspace"]
    file["kspace"] = h5py.ExternalLink("/etc/hostname", "/kspace")


def _short_mask(file: h5py.File) -> None:
    file["mask"] = np.ones(7)


def _declared_only(file: h5py.File) -> None:
    del file["kspace"]
    file.create_dataset("kspace", (2000, 200, 96, 40), np.complex64, chunks=(1, 1, 96, 40), compression="gzip")


def _not_numbers(file: h5py.File) -> None:
    file["kspace"][1, 2, 3, 4] = np.nan


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_without_header, "field of view is unknown"),
        (_other_kind, "complex64"),
        (_binary_header, "not text"),
        (_elsewhere, "outside itself"),
        (_short_mask, "mask"),
        (_declared_only, "declares"),
        (_not_numbers, "not numbers"),
    ],
)
def test_other_layouts_are_refused_in_words(tmp_path: Path, change: Callable[[h5py.File], None], words: str):
    path = _write(tmp_path / "scan.h5", _as_fastmri(simulate(PROTOCOL, noise_level=0.02).data))
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(InputFault, match=words):
        for _piece in open_kspace(path).slices():
            pass


@pytest.mark.parametrize(
    ("header", "words"),
    [({"encoded_rows": 44}, "96 x 44"), ({"depth": 8}, "2D Cartesian"), ({"trajectory": "radial"}, "2D Cartesian")],
)
def test_a_header_of_another_acquisition_is_refused(tmp_path: Path, header: dict, words: str):
    path = _write(tmp_path / "scan.h5", _as_fastmri(simulate(PROTOCOL, noise_level=0.02).data), **header)
    with pytest.raises(InputFault, match=words):
        open_kspace(path)


def test_damaged_bytes_never_end_in_anything_but_words(tmp_path: Path):
    path = _write(tmp_path / "scan.h5", _as_fastmri(simulate(PROTOCOL, noise_level=0.02).data))
    whole, random = path.read_bytes(), np.random.default_rng(5)
    for _ in range(40):
        data = bytearray(whole)
        for start in random.integers(0, 6000, 3):
            data[start : start + 8] = random.bytes(8)
        path.write_bytes(bytes(data))
        try:
            for _piece in open_kspace(path).slices():
                pass
        except InputFault:
            pass
