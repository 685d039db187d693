"""One small file of every raw format, with patient fields planted wherever the format has room for them."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from tests.recon_worker.ge_files import phantom, write_archive, write_pfile
from tests.recon_worker.reconstruction.bart import write_cfl
from tests.recon_worker.support import Protocol, Scan, oblique_directions, simulate, write_scan, xml_header
from tests.recon_worker.twix import scanner_directions, twix_lines, write_twix

FORMATS = (
    "ismrmrd", "ismrmrd-gzip", "twix-vb", "twix-ve", "twix-xa", "fastmri", "bart", "ge-pfile", "ge-scanarchive",
)  # fmt: skip
PLANTED = "SECRET"
"""In every planted field. Birth dates and the like are planted as 1970-01-01 and 19700101."""


def small_scan() -> Scan:
    """Two slices, double oblique, two averages."""
    protocol = Protocol(columns=24, rows=20, n_slices=2, n_averages=2, n_coils=2, directions=oblique_directions())
    return simulate(scanner_directions(protocol), noise_level=0.02)


def write_format(folder: Path, name: str, scan: Scan | None = None) -> Path:
    """The file (for BART the header's path) of the format `name` in `folder`."""
    if name == "ge-pfile":
        return write_pfile(folder / "P00001.7", phantom())
    if name == "ge-scanarchive":
        return write_archive(folder / "archive.h5", phantom(), expanded=2**20)
    scan = scan or small_scan()
    if name.startswith("ismrmrd"):
        path = write_scan(folder / "scan.h5", scan)
        return _compressed(path) if name.endswith("gzip") else path
    if name.startswith("twix-"):
        software = {"twix-vb": "VB", "twix-ve": "VE", "twix-xa": "XA"}[name]
        return write_twix(folder / f"{name}.dat", scan.protocol, twix_lines(scan), software=software)
    if name == "fastmri":
        return _write_fastmri(folder / "fastmri.h5", scan)
    return _write_bart(folder / "bart", scan)


def _compressed(path: Path) -> Path:
    with h5py.File(path, "a") as file:
        rows = file["dataset/data"][:]
        del file["dataset/data"]
        file["dataset"].create_dataset("data", data=rows, chunks=(16,), compression="gzip", shuffle=True)
    return path


def _write_fastmri(path: Path, scan: Scan) -> Path:
    with h5py.File(path, "w") as file:
        file["kspace"] = np.ascontiguousarray(np.swapaxes(scan.data[:, 0], 2, 3))
        file["ismrmrd_header"] = xml_header(scan.protocol)
        file.attrs["patient_id"] = f"{PLANTED}-PATIENT"
        file.attrs["acquisition"] = f"{PLANTED}-ACQUISITION"
    return path


def _write_bart(path: Path, scan: Scan) -> Path:
    axes = np.transpose(scan.data, (4, 3, 2, 0, 1))
    samples, steps, coils, slices, averages = axes.shape
    header = write_cfl(path, axes.reshape(samples, steps, 1, coils, *[1] * 9, slices, averages, 1)).with_suffix(".hdr")
    header.write_text(header.read_text() + f"# Command\ntwixread {PLANTED}^NAME_19700101.dat\n# Files\n >{PLANTED}\n")
    return header
