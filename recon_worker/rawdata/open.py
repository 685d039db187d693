"""Tells raw data formats apart by their content, never by the file's name."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recon_worker.data import InputFault, KSpace
from recon_worker.rawdata.bart import is_bart, open_bart
from recon_worker.rawdata.fastmri import is_fastmri, open_fastmri
from recon_worker.rawdata.ge_pfile import is_ge_pfile, open_ge_pfile
from recon_worker.rawdata.ge_scanarchive import is_scan_archive, open_scan_archive
from recon_worker.rawdata.hdf5 import SIGNATURE, open_hdf5
from recon_worker.rawdata.ismrmrd import find_dataset, open_ismrmrd
from recon_worker.rawdata.siemens import open_siemens
from recon_worker.rawdata.siemens_readouts import measurements

START_BYTES = 64 * 1024
TAKEN = "ISMRMRD (HDF5), Siemens twix, fastMRI, some GE P-files and ScanArchives are taken, BART pairs by hand."

_OTHERS: tuple[tuple[int, bytes, str], ...] = (
    (128, b"DICM", "This is a DICOM image, not raw data."),
    (0, b"PK\x03\x04", "This is a zip archive."),
    (0, b"\x1f\x8b", "This is a compressed (gzip) file."),
    (0, b"%PDF", "This is a PDF document."),
    (0, b"\x89PNG", "This is a PNG picture."),
    (0, b"\xff\xd8\xff", "This is a JPEG picture."),
    (0, b"\x93NUMPY", "This is a NumPy array, not raw data."),
    (0, b"MATLAB 5.0", "This is a MATLAB file."),
    (344, b"n+1\0", "This is a NIfTI image, not raw data."),
)


def open_kspace(path: Path) -> KSpace:
    """Recognise the format of a raw data file and read its headers; samples are read slice by slice later.

    Raises
    ------
    InputFault
        With one clear sentence if the file is not raw data, damaged, of a kind that cannot be read, or not an
        acquisition that can be reconstructed.
    """
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise InputFault("This is not a file.")
        with path.open("rb") as file:
            start = file.read(START_BYTES)
    except FileNotFoundError:
        raise InputFault("The file does not exist.", "Check its path.") from None
    except PermissionError:
        raise InputFault("The file may not be read.", "Check its permissions.") from None
    if size == 0:
        raise InputFault("The file is empty.", "Copy it from the scanner again.")
    if _is_hdf5(path, start):
        return _open_hdf5(path)
    if is_bart(path, start):
        return open_bart(path)
    with path.open("rb") as file:
        is_twix = measurements(file, size) is not None
    if is_twix:
        return open_siemens(path)
    if is_ge_pfile(start, size):
        return open_ge_pfile(path)
    raise InputFault(_what_it_is(start, size), TAKEN)


def _is_hdf5(path: Path, start: bytes) -> bool:
    # The signature lies at 0, or behind a user block at 512, 1024, 2048 ... (HDF5 file format, III.A).
    return any(start[offset : offset + 8] == SIGNATURE for offset in (0, 512, 1024, 2048, 4096, 8192, 16384))


def _open_hdf5(path: Path) -> KSpace:
    with open_hdf5(path) as file:
        names = set(file)
        found = find_dataset(file) is not None
        fastmri = is_fastmri(file)
        archive = is_scan_archive(file)
    if found:
        return open_ismrmrd(path)
    if fastmri:
        return open_fastmri(path)
    if archive:
        return open_scan_archive(path)
    if "kspace" in names:
        raise InputFault(
            'This HDF5 file holds k-space without the "ismrmrd_header" of fastMRI: its field of view is unknown.',
            "Bring the acquisition as ISMRMRD or Siemens twix.",
        )
    raise InputFault("This HDF5 file holds no raw data in a known format.", TAKEN)


def _what_it_is(start: bytes, size: int) -> str:
    if not any(start):
        return f"The file ({size / 1e6:,.0f} MB) begins with nothing but zeros and is no raw data."
    for offset, magic, sentence in _OTHERS:
        if start[offset : offset + len(magic)] == magic:
            return sentence
    head = start[:2048]
    printable = np.isin(np.frombuffer(head, np.uint8), np.frombuffer(bytes([9, 10, 13, *range(32, 127)]), np.uint8))
    if printable.mean() > 0.95:
        return "This is a text file, not raw data."
    return "The file is not raw data in a known format."
