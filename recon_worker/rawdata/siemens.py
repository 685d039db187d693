"""Siemens twix files (VB, VD/VE, XA): the readouts' headers are walked once, samples are read slice by slice.

Geometry: the quaternion of a readout turns (phase, read, slice) into the patient's axes, which are DICOM LPS (sagittal
to the left, coronal to posterior, transversal to the head). With the inverse Fourier transform as image, pixels run
against the first two of them (twixtools, `geometry.prs2sct_mdb`; confirmed on a phantom with an air bubble).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from recon_worker.data import InputFault, KSpace, KSpaceHeader, KSpaceSlice, SlicePlane
from recon_worker.rawdata.contents import UnsuitableAcquisition
from recon_worker.rawdata.limits import check_extent
from recon_worker.rawdata.lines import (
    LINE,
    Grid,
    LineTable,
    Samples,
    bandwidth_ratio,
    check_grid,
    number_averages,
    order_slices,
    walk_slices,
)
from recon_worker.rawdata.siemens_contents import FORMAT, UNCHECKED, readout_contents, software_line
from recon_worker.rawdata.siemens_header import SiemensProtocol, read_protocol
from recon_worker.rawdata.siemens_readouts import (
    AGAIN,
    NOT_IMAGING,
    Readouts,
    flag_bits,
    header_length,
    measurements,
    read_rows,
    walk_readouts,
)
from recon_worker.rawdata.summary import summarise

RECEIVER_NOISE_BANDWIDTH = 0.793
"""Part of the nominal bandwidth that the receiver passes in a Siemens noise adjustment (siemens_to_ismrmrd)."""
NOISE_SCAN_MICROSECONDS = {"VB": 1e6 / 130, "VD/VE": 7680.0}
"""Duration of a readout of the noise adjustment (siemens_to_ismrmrd)."""
NUMARIS_X_NOISE_MICROSECONDS = 5.0
"""Duration of one noise sample in XA (siemens_to_ismrmrd)."""
NOISE_SAMPLES = 2**18

def open_siemens(path: Path) -> KSpace:
    """Read the headers of the last measurement of a twix file (earlier ones are adjustments).

    Raises
    ------
    InputFault
        For a damaged or incomplete file, one without images, or a measurement other than 2D Cartesian.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        found = measurements(file, size)
        if found is None:
            raise InputFault("This is no Siemens raw data file.")
        entries, is_ve = found
        for offset, length in entries:
            if offset + length > size:
                raise InputFault(
                    f"The Siemens file is incomplete: {size / 1e6:.1f} of at least {(offset + length) / 1e6:.1f} MB.",
                    AGAIN,
                )
        walked = [walk_readouts(file, offset, offset + length, is_ve) for offset, length in entries]
        imaging = walked[-1]
        protocol = read_protocol(file, entries[-1][0], header_length(file, entries[-1][0]))
        noise = _noise(file, walked, imaging)
    try:
        return _acquisition(path, protocol, imaging, noise)
    except InputFault as fault:
        raise UnsuitableAcquisition(fault, readout_contents(protocol, imaging, len(walked))) from None


def _noise(file: BinaryIO, walked: list[Readouts], imaging: Readouts) -> tuple[Samples, int] | None:
    """`[coil, sample]` of the noise adjustment with the imaging readouts' coils, and the samples of one readout."""
    image_rows = np.flatnonzero(~imaging.has(NOT_IMAGING))
    if not len(image_rows):
        return None
    coils = imaging.heads["UsedChannels"][image_rows[0]]
    for readouts in reversed(walked):
        rows = np.flatnonzero(readouts.has(flag_bits("NOISEADJSCAN")) & (readouts.heads["UsedChannels"] == coils))
        rows = rows[readouts.heads["SamplesInScan"][rows] > 0]
        if not len(rows):
            continue
        samples = readouts.heads["SamplesInScan"][rows].astype(np.int64)
        enough = int(np.searchsorted(np.cumsum(samples), NOISE_SAMPLES)) + 1
        noise = np.concatenate(read_rows(file, readouts, rows[:enough]), axis=1)
        if not np.isfinite(noise.view(np.float32)).all():
            raise InputFault("The noise scan holds samples that are not numbers.", AGAIN)
        return noise, int(samples[0])
    return None


def _acquisition(
    path: Path, protocol: SiemensProtocol, readouts: Readouts, noise: tuple[Samples, int] | None
) -> KSpace:
    rows = np.flatnonzero(~readouts.has(NOT_IMAGING))
    if not len(rows):
        raise InputFault(
            "The Siemens file holds no imaging readouts, only adjustments.",
            "Choose the file of the imaging acquisition.",
        )
    lines = readouts.heads[rows]
    _refuse_others(protocol, lines, readouts)
    coils = _one_value(lines["UsedChannels"], "numbers of receive coils")
    nx = check_extent("readout samples", round(protocol.base_resolution * protocol.readout_oversampling))
    centre = int(lines["CenterLin"][0])
    last = int(lines["Counter"]["Lin"].max())
    ny = max(protocol.phase_encoding_lines, 2 * max(centre, last - centre + 1) if centre else 0)
    grid = Grid(samples=nx, phase_encodes=check_extent("phase-encode steps", ny), coils=coils)
    remarks: list[str] = []
    table = _table(rows, lines, grid, centre or ny // 2, remarks)
    averages = check_grid(table, grid)
    planes = _planes(lines)
    check_extent("slices", len(planes))
    numbers, ordered = order_slices(planes)
    encoded_phase_mm = protocol.phase_fov_mm * (1 + protocol.phase_oversampling)
    image_rows = min(ny, max(1, round(ny / (1 + protocol.phase_oversampling))))
    software = software_line(protocol, readouts)
    if software in UNCHECKED:
        remarks.append(UNCHECKED[software])
    if noise is None:
        remarks.append("No noise scan; the noise is estimated from the imaging data.")
    if not readouts.ended:
        remarks.append("The measurement has no end mark; it may have been stopped early.")
    ratio = 1.0 if noise is None else bandwidth_ratio(
        NUMARIS_X_NOISE_MICROSECONDS if software == "XA" else NOISE_SCAN_MICROSECONDS[software] / noise[1],
        protocol.dwell_time_us,
        RECEIVER_NOISE_BANDWIDTH,
        remarks,
    )
    header = KSpaceHeader(
        format=FORMAT,
        encoded_matrix=(nx, ny),
        image_matrix=(protocol.base_resolution, image_rows),
        encoded_field_of_view_mm=(protocol.read_fov_mm * nx / protocol.base_resolution, encoded_phase_mm),
        image_field_of_view_mm=(protocol.read_fov_mm, encoded_phase_mm * image_rows / ny),
        slice_thickness_mm=protocol.slice_thickness_mm,
        ky_centre=ny // 2,
        kx_centre=nx // 2,
        n_slices=len(ordered),
        n_coils=coils,
        n_averages=averages,
        planes=ordered,
        noise=None if noise is None else noise[0],
        noise_bandwidth_ratio=ratio,
        timing=protocol.timing,
        remarks=tuple(remarks),
    )

    def slices(*, averaged: bool = False) -> Iterator[KSpaceSlice]:
        with path.open("rb") as file:

            def rows(wanted: npt.NDArray[np.int64]) -> list[Samples]:
                return read_rows(file, readouts, wanted)

            yield from walk_slices(table, numbers, grid, averages, rows, averaged=averaged)

    acquired = np.ones(ny, dtype=bool)
    for number in numbers:
        present = np.zeros(ny, dtype=bool)
        present[table["ky"][(table["slice"] == number) & table["imaging"]]] = True
        acquired &= present
    separate = table["calibration"] & ~table["imaging"]
    calibration_lines = len(np.unique(table["ky"][separate]))
    summary = summarise(header, acquired, calibration_lines=calibration_lines)
    return KSpace(header, slices, summary, partial(slices, averaged=True))


def _one_value(values: npt.NDArray[np.integer], what: str) -> int:
    if values.min() != values.max():
        raise InputFault(f"The imaging readouts have different {what}.", "Export one image series per file.")
    return int(values[0])


def _refuse_others(protocol: SiemensProtocol, lines: npt.NDArray[np.void], readouts: Readouts) -> None:
    if not protocol.cartesian:
        raise InputFault(
            "The trajectory is not Cartesian; only Cartesian acquisitions can be reconstructed.",
            "Choose a Cartesian acquisition.",
        )
    counters = lines["Counter"]
    if protocol.three_dimensional or counters["Par"].max() > 0:
        raise InputFault("This is a 3D acquisition; only 2D multi-slice acquisitions can be reconstructed.")
    for name, what in (("Eco", "echo times"), ("Phs", "cardiac phases"), ("Rep", "repetitions"), ("Set", "sets")):
        if counters[name].min() != counters[name].max():
            raise InputFault(
                f"The file holds several {what}; one image per slice is expected.", "Export one image series per file."
            )
    turned = (lines["EvalInfoMask"] & flag_bits("REFLECT")) != 0
    if (turned.any() and not turned.all()) or protocol.regridding is not None:
        raise InputFault(
            "This is an echo-planar acquisition (readouts in both directions or on gradient ramps), "
            "which cannot be reconstructed.",
            "Choose a spin-echo or gradient-echo acquisition with one line per echo.",
        )
    _one_value(lines["CenterLin"], "centres of k-space")


def _table(
    rows: npt.NDArray[np.int64], lines: npt.NDArray[np.void], grid: Grid, centre: int, remarks: list[str]
) -> LineTable:
    flags, counters = lines["EvalInfoMask"], lines["Counter"]
    table = np.zeros(len(rows), dtype=LINE)
    table["row"] = rows
    table["slice"] = counters["Sli"]
    table["ky"] = counters["Lin"].astype(np.int32) - centre + grid.phase_encodes // 2
    table["average"] = counters["Ave"]
    table["echo"] = counters["Seg"] if counters["Seg"].max() > 0 else -1
    table["samples"] = lines["SamplesInScan"]
    table["reversed"] = (flags & flag_bits("REFLECT")) != 0
    only_reference = ((flags & flag_bits("PATREFSCAN")) != 0) & ((flags & flag_bits("PATREFANDIMASCAN")) == 0)
    table["calibration"] = (flags & flag_bits("PATREFSCAN", "PATREFANDIMASCAN")) != 0
    table["imaging"] = ~only_reference
    samples = table["samples"]
    centre_sample = lines["CenterCol"].astype(np.int32)
    table["kx_start"] = grid.samples // 2 - np.where(table["reversed"], samples - centre_sample, centre_sample)
    if (samples < grid.samples).any():
        remarks.append(f"Readouts of {samples.min()} samples are filled to {grid.samples} with zeros.")
    return number_averages(table)


def _planes(lines: npt.NDArray[np.void]) -> dict[int, SlicePlane]:
    planes = {}
    unique, first = np.unique(lines["Counter"]["Sli"], return_index=True)
    for number, index in zip(unique, first, strict=True):
        place = lines["SliceData"][index]
        centre = place["SlicePos"]
        phase, read, normal = _rotation(place["Quaternion"].astype(np.float64)).T
        planes[int(number)] = SlicePlane(
            centre_mm=(float(centre["Sag"]), float(centre["Cor"]), float(centre["Tra"])),
            read_direction=_triple(-read),
            phase_direction=_triple(-phase),
            slice_direction=_triple(normal),
        )
    return planes


def _rotation(quaternion: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Rotation matrix `[patient axis, (phase, read, slice)]` of a quaternion (scalar first)."""
    length = float(np.linalg.norm(quaternion))
    if not abs(length - 1) < 1e-2:
        raise InputFault("The slice orientation in the Siemens file is damaged.", AGAIN)
    w, x, y, z = quaternion / length
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def _triple(values: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])
