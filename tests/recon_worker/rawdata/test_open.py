"""Files that are no raw data: one clear sentence, quickly, whatever their name."""

from __future__ import annotations

import gzip
import struct
import time
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from recon_worker.data import InputFault
from recon_worker.rawdata.open import open_kspace
from tests.recon_worker.support import Protocol, simulate, write_scan
from tests.recon_worker.twix import scanner_directions, twix_lines, write_twix


@pytest.fixture(scope="module")
def scan():
    return simulate(Protocol(n_slices=2), noise_level=0.02)


def _fault(path: Path) -> str:
    with pytest.raises(InputFault) as caught:
        for _piece in open_kspace(path).slices():
            pass
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert "Traceback" not in sentence
    assert str(path.parent) not in sentence
    return sentence


def test_formats_are_told_by_content_not_by_name(tmp_path: Path, scan):
    mislabelled = write_scan(tmp_path / "scan.dat", scan)
    assert open_kspace(mislabelled).header.format == "ismrmrd"
    twix = write_twix(tmp_path / "scan.h5", scanner_directions(scan.protocol), twix_lines(scan))
    assert open_kspace(twix).header.format == "siemens-twix"


def test_two_gigabytes_of_zeros_are_told_at_once(tmp_path: Path):
    path = tmp_path / "zeros.h5"
    with path.open("wb") as file:
        file.truncate(2 * 1024**3)
    began = time.monotonic()
    assert "zeros" in _fault(path)
    assert time.monotonic() - began < 1.0


def test_empty_missing_and_folder(tmp_path: Path):
    (tmp_path / "empty.dat").touch()
    assert "empty" in _fault(tmp_path / "empty.dat")
    assert "does not exist" in _fault(tmp_path / "nowhere.dat")
    (tmp_path / "folder").mkdir()
    assert "not a file" in _fault(tmp_path / "folder")


def test_an_hdf5_cut_off_anywhere_is_refused(tmp_path: Path, scan):
    whole = write_scan(tmp_path / "scan.h5", scan).read_bytes()
    for part in (0.01, 0.1, 0.5, 0.9, 0.999):
        path = tmp_path / "cut.h5"
        path.write_bytes(whole[: int(len(whole) * part)])
        assert "HDF5" in _fault(path)


def test_damaged_hdf5_never_ends_in_anything_but_words(tmp_path: Path, scan):
    whole = write_scan(tmp_path / "scan.h5", scan).read_bytes()
    random = np.random.default_rng(3)
    path = tmp_path / "damaged.h5"
    for _ in range(40):
        data = bytearray(whole)
        for _hit in range(3):
            start = int(random.integers(0, len(data) - 8))
            data[start : start + 8] = random.bytes(8)
        path.write_bytes(bytes(data))
        try:
            for _piece in open_kspace(path).slices():
                pass
        except InputFault:
            pass


def test_other_kinds_of_file_are_named(tmp_path: Path):
    path = tmp_path / "upload"

    def content(data: bytes) -> str:
        path.write_bytes(data)
        return _fault(path)

    assert "DICOM" in content(bytes(128) + b"DICM" + bytes(4000))
    assert "gzip" in content(gzip.compress(b"x" * 4000))
    assert "PDF" in content(b"%PDF-1.7\n" + bytes(4000))
    assert "text" in content(b"patient,score\n" * 400)
    assert "P-file" in content(struct.pack("<fi", 26.002, 150000) + bytes(400_000))
    assert "not raw data in a known format" in content(np.random.default_rng(0).bytes(20000))
    assert "not raw data in a known format" in content(b"\x07")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.dcm", "x")
    assert "zip" in _fault(path)


def test_other_hdf5_files_are_named(tmp_path: Path):
    path = tmp_path / "upload.h5"
    with h5py.File(path, "w") as file:
        file["kspace"] = np.zeros((2, 4, 8, 8), np.complex64)
    assert "fastMRI" in _fault(path)
    with h5py.File(path, "w") as file:
        file["DownloadData.xml"] = "<a/>"
        file.create_group("Acquisition")
    assert "ScanArchive" in _fault(path)
    with h5py.File(path, "w") as file:
        file["weather"] = np.arange(4)
    assert "known format" in _fault(path)


@pytest.mark.parametrize("names", [("kspace", "ismrmrd_header"), ("dataset/data", "dataset/xml")])
def test_pieces_that_hdf5_would_expand_beyond_memory_are_refused(tmp_path: Path, names: tuple[str, str]):
    """A compressed chunk of two gigabytes of zeros takes two megabytes of a file, and HDF5 expands it as a whole."""
    path = tmp_path / "upload.h5"
    with h5py.File(path, "w") as file:
        file[names[1]] = b"<ismrmrdHeader/>"
        shape = (1, 4, 8192, 8192) if names[0] == "kspace" else (64 * 8192 * 512,)
        file.create_dataset(names[0], shape, np.complex64, chunks=shape, compression="gzip")
    assert "pieces of" in _fault(path)
