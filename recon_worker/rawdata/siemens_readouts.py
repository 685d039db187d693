"""The readouts of a Siemens twix file: headers are walked once without samples, samples are read by their places.

twixtools 0.24 gives the layout of the headers; its own reader keeps a Python object per channel and readout and runs
on for ever in a damaged file, so the walk is done here. VB files begin with the one measurement's header and repeat the
readout's header (128 bytes) before every channel; VD, VE and XA files begin with a table of measurements, and a readout
has one header (192 bytes) and a short one (32 bytes) for each channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from twixtools import hdr_def, mdh_def

from recon_worker.data import InputFault
from recon_worker.rawdata.limits import MAX_LINES, check_extent
from recon_worker.rawdata.lines import Samples

AGAIN = "Copy it from the scanner again."

_VE_HEADER = np.dtype(mdh_def.Scan_header)
_VB_HEADER = np.dtype(mdh_def.VB17_header)
_VE_CHANNEL_BYTES = np.dtype(mdh_def.Channel_header).itemsize


def flag_bits(*names: str) -> np.uint64:
    return np.uint64(sum(1 << mdh_def.mask_dict[name] for name in names))


NOT_SAMPLES = flag_bits("ACQEND", "SYNCDATA")
NOT_IMAGING = flag_bits(
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


def header_length(file: BinaryIO, offset: int) -> int:
    file.seek(offset)
    return int.from_bytes(file.read(4), "little")


def walk_readouts(file: BinaryIO, offset: int, end: int, is_ve: bool) -> Readouts:
    """All headers of one measurement, without reading any samples."""
    layout = _VE_HEADER if is_ve else _VB_HEADER
    position = offset + header_length(file, offset)
    heads: list[bytes] = []
    positions: list[int] = []
    ended = False
    while position + layout.itemsize <= end:
        file.seek(position)
        raw = file.read(layout.itemsize)
        if len(raw) < layout.itemsize:
            break
        head = np.frombuffer(raw, layout, 1)[0]
        if head["EvalInfoMask"] & flag_bits("ACQEND"):
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


def read_rows(file: BinaryIO, readouts: Readouts, rows: npt.NDArray[np.int64]) -> list[Samples]:
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
