"""Siemens twix files (VB, VD/VE): the readouts' headers are walked once, samples are read slice by slice.

twixtools 0.24 gives the layout of the headers; its own reader keeps a Python object per channel and readout and runs
on for ever in a damaged file, so the walk is done here.

Geometry: the quaternion of a readout turns (phase, read, slice) into the patient's axes, which are DICOM LPS (sagittal
to the left, coronal to posterior, transversal to the head). With the inverse Fourier transform as image, pixels run
against the first two of them (twixtools, `geometry.prs2sct_mdb`; confirmed on a phantom with an air bubble).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from twixtools import hdr_def, mdh_def

from recon_worker.data import InputFault, KSpace, KSpaceHeader, KSpaceSlice, SlicePlane
from recon_worker.rawdata.limits import MAX_LINES, check_extent
from recon_worker.rawdata.lines import (
    LINE,
    Grid,
    LineTable,
    Samples,
    check_grid,
    number_averages,
    order_slices,
    walk_slices,
)
from recon_worker.rawdata.siemens_header import SiemensProtocol, read_protocol
from recon_worker.rawdata.summary import summarise

FORMAT = "siemens-twix"
AGAIN = "Copy it from the scanner again."
RECEIVER_NOISE_BANDWIDTH = 0.793
"""Part of the nominal bandwidth that the receiver passes in a Siemens noise adjustment (siemens_to_ismrmrd)."""
NOISE_SCAN_MICROSECONDS = 7680.0
"""Duration of a readout of the VD/VE noise adjustment (siemens_to_ismrmrd)."""
NOISE_SAMPLES = 2**18

_VE_HEADER = np.dtype(mdh_def.Scan_header)
_VB_HEADER = np.dtype(mdh_def.VB17_header)
_VE_CHANNEL_BYTES = np.dtype(mdh_def.Channel_header).itemsize


def _bits(*names: str) -> np.uint64:
    return np.uint64(sum(1 << mdh_def.mask_dict[name] for name in names))


NOT_SAMPLES = _bits("ACQEND", "SYNCDATA")
NOT_IMAGING = _bits(
    "ACQEND", "RTFEEDBACK", "HPFEEDBACK", "SYNCDATA", "REFPHASESTABSCAN", "PHASESTABSCAN", "PHASCOR", "NOISEADJSCAN",
    "noname60", "RETRO_DUMMYSCAN", "B1_CONTROLLOOP", "SLICE_ACCEL_REFSCAN", "SLICE_ACCEL_PHASCOR", "CT_NORMALIZE",
)


@dataclass(frozen=True)
class Readouts:
    """All readouts of one measurement: headers as a structured array, and where each begins in the file."""

    heads: npt.NDArray[np.void]
    positions: npt.NDArray[np.int64]
    is_ve: bool
    ended: bool

    def has(self, bits: np.uint64) -> npt.NDArray[np.bool_]:
        """Which readouts have any of these flags."""
        return np.asarray((self.heads["EvalInfoMask"] & bits) != 0)


def measurements(file: BinaryIO, size: int) -> tuple[list[tuple[int, int]], bool] | None:
    """`[(offset, length)]` of the measurements and whether the layout is VD/VE; None if this is no twix file."""
    file.seek(0)
    start = file.read(hdr_def.MultiRaidFileHeader.itemsize)
    if len(start) < 48:
        return None
    first, second = (int(value) for value in np.frombuffer(start, "<u4", 2))
    if first < 10000 and 1 <= second <= 64 and len(start) == hdr_def.MultiRaidFileHeader.itemsize:
        entries = np.frombuffer(start, hdr_def.MultiRaidFileHeader, 1)[0]["entry"][:second]
        found = [(int(entry["off_"]), int(entry["len_"]) or size - int(entry["off_"])) for entry in entries]
        looks_right = all(_is_measurement(file, offset, size) for offset, _ in found[:1])
        return (found, True) if looks_right else None
    return ([(0, size)], False) if _is_measurement(file, 0, size) else None


def _is_measurement(file: BinaryIO, offset: int, size: int) -> bool:
    if not 0 <= offset < size - 48:
        return False
    file.seek(offset)
    start = file.read(48)
    length, buffers = (int(value) for value in np.frombuffer(start, "<u4", 2))
    name = start[8:].split(b"\0", 1)[0]
    return length > 48 and 1 <= buffers <= 64 and len(name) >= 4 and name.isalnum()


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
        walked = [_walk(file, offset, offset + length, is_ve) for offset, length in entries]
        imaging = walked[-1]
        header_length = _header_length(file, entries[-1][0])
        protocol = read_protocol(file, entries[-1][0], header_length)
        noise = _noise(file, walked, imaging)
    return _acquisition(path, protocol, imaging, noise)


def _header_length(file: BinaryIO, offset: int) -> int:
    file.seek(offset)
    return int.from_bytes(file.read(4), "little")


def _walk(file: BinaryIO, offset: int, end: int, is_ve: bool) -> Readouts:
    """All headers of one measurement, without reading any samples."""
    layout = _VE_HEADER if is_ve else _VB_HEADER
    position = offset + _header_length(file, offset)
    heads: list[bytes] = []
    positions: list[int] = []
    ended = False
    while position + layout.itemsize <= end:
        file.seek(position)
        raw = file.read(layout.itemsize)
        if len(raw) < layout.itemsize:
            break
        head = np.frombuffer(raw, layout, 1)[0]
        if head["EvalInfoMask"] & _bits("ACQEND"):
            ended = True
            break
        length = _length(head, is_ve)
        if length < layout.itemsize or (not head["EvalInfoMask"] & NOT_SAMPLES and position + length > end):
            raise InputFault("The Siemens file ends in the middle of a readout.", AGAIN)
        if not head["EvalInfoMask"] & NOT_SAMPLES:
            heads.append(raw)
            positions.append(position)
            if len(heads) > MAX_LINES:
                check_extent("lines", len(heads))
        position += length
    return Readouts(np.frombuffer(b"".join(heads), layout), np.array(positions, dtype=np.int64), is_ve, ended)


def _length(head: np.void, is_ve: bool) -> int:
    if head["EvalInfoMask"] & NOT_SAMPLES:
        return int(head["FlagsAndDMALength"]) % 2**25
    # The stored length is wrong where the pack bit is set (twixtools, Mdb._get_dma_len).
    channel = 8 * int(head["SamplesInScan"]) + (_VE_CHANNEL_BYTES if is_ve else _VB_HEADER.itemsize)
    return int(head["UsedChannels"]) * channel + (_VE_HEADER.itemsize if is_ve else 0)


def _read_rows(file: BinaryIO, readouts: Readouts, rows: npt.NDArray[np.int64]) -> list[Samples]:
    out: list[Samples] = []
    for row in rows:
        head = readouts.heads[row]
        coils, samples = int(head["UsedChannels"]), int(head["SamplesInScan"])
        file.seek(int(readouts.positions[row]))
        raw = file.read(_length(head, readouts.is_ve))
        skip = _VE_HEADER.itemsize if readouts.is_ve else 0
        before = _VE_CHANNEL_BYTES if readouts.is_ve else _VB_HEADER.itemsize
        layout = np.dtype([("head", np.void, before), ("samples", np.complex64, (samples,))])
        if len(raw) < skip + coils * layout.itemsize:
            raise InputFault("The Siemens file ends in the middle of a readout.", AGAIN)
        out.append(np.ascontiguousarray(np.frombuffer(raw, layout, coils, skip)["samples"]))
    return out


def _noise(file: BinaryIO, walked: list[Readouts], imaging: Readouts) -> tuple[Samples, float] | None:
    """`[coil, sample]` of the noise adjustment with the imaging readouts' coils, and its sample time in us."""
    image_rows = np.flatnonzero(~imaging.has(NOT_IMAGING))
    if not len(image_rows):
        return None
    coils = imaging.heads["UsedChannels"][image_rows[0]]
    for readouts in reversed(walked):
        rows = np.flatnonzero(readouts.has(_bits("NOISEADJSCAN")) & (readouts.heads["UsedChannels"] == coils))
        rows = rows[readouts.heads["SamplesInScan"][rows] > 0]
        if not len(rows):
            continue
        samples = readouts.heads["SamplesInScan"][rows].astype(np.int64)
        enough = int(np.searchsorted(np.cumsum(samples), NOISE_SAMPLES)) + 1
        noise = np.concatenate(_read_rows(file, readouts, rows[:enough]), axis=1)
        if not np.isfinite(noise.view(np.float32)).all():
            raise InputFault("The noise scan holds samples that are not numbers.", AGAIN)
        time_us = NOISE_SCAN_MICROSECONDS / float(samples[0]) if readouts.is_ve else 0.0
        return noise, time_us
    return None


def _acquisition(
    path: Path, protocol: SiemensProtocol, readouts: Readouts, noise: tuple[Samples, float] | None
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
    if noise is None:
        remarks.append("No noise scan; the noise is estimated from the imaging data.")
    if not readouts.ended:
        remarks.append("The measurement has no end mark; it may have been stopped early.")
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
        noise_bandwidth_ratio=1.0 if noise is None else _bandwidth_ratio(noise[1], protocol.dwell_time_us),
        timing=protocol.timing,
        remarks=tuple(remarks),
    )

    def slices() -> Iterator[KSpaceSlice]:
        with path.open("rb") as file:
            yield from walk_slices(table, numbers, grid, averages, lambda wanted: _read_rows(file, readouts, wanted))

    acquired = np.ones(ny, dtype=bool)
    for number in numbers:
        present = np.zeros(ny, dtype=bool)
        present[table["ky"][(table["slice"] == number) & table["imaging"]]] = True
        acquired &= present
    separate = table["calibration"] & ~table["imaging"]
    calibration_lines = len(np.unique(table["ky"][separate]))
    return KSpace(header, slices, summarise(header, acquired, calibration_lines=calibration_lines))


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
    turned = (lines["EvalInfoMask"] & _bits("REFLECT")) != 0
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
    table["reversed"] = (flags & _bits("REFLECT")) != 0
    only_reference = ((flags & _bits("PATREFSCAN")) != 0) & ((flags & _bits("PATREFANDIMASCAN")) == 0)
    table["calibration"] = (flags & _bits("PATREFSCAN", "PATREFANDIMASCAN")) != 0
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


def _bandwidth_ratio(noise_time_us: float, imaging_time_us: float) -> float:
    """Noise variance of an imaging sample over that of a noise-scan sample (variance goes with the bandwidth)."""
    if noise_time_us <= 0 or imaging_time_us <= 0 or abs(noise_time_us / imaging_time_us - 1) < 1e-3:
        return 1.0
    ratio = noise_time_us / imaging_time_us / RECEIVER_NOISE_BANDWIDTH
    return ratio if 1e-3 < ratio < 1e3 else 1.0
