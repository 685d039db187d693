"""The protocol header of a Siemens twix measurement, read by an allow-list of encoding and timing.

twixtools' parser turns header text into dictionaries; the few numbers that matter are taken out of them here and the
dictionaries, which hold patient and institution fields, are dropped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from twixtools import twixprot

from recon_worker.data import InputFault
from recon_worker.rawdata.limits import MAX_HEADER_BYTES, check_extent

AGAIN = "Copy it from the scanner again."
MAX_BUFFERS = 64
MAX_INDEX_DIGITS = 4
"""twixtools fills lists up to the index that a header line names; five digits would only serve to exhaust memory."""


@dataclass(frozen=True)
class Regridding:
    """Shape of the readout gradient where samples were taken on its ramps (EPI), microseconds."""

    mode: int
    ramp_up: float
    flat_top: float
    ramp_down: float
    delay: float
    duration: float


@dataclass(frozen=True)
class SiemensProtocol:
    """What is kept of the header; lengths in mm, times in ms."""

    base_resolution: int
    phase_encoding_lines: int
    readout_oversampling: float
    phase_oversampling: float
    read_fov_mm: float
    phase_fov_mm: float
    slice_thickness_mm: float
    three_dimensional: bool
    cartesian: bool
    dwell_time_us: float
    timing: dict[str, float]
    regridding: Regridding | None
    numaris_x: bool
    """Software of the XA line (Numaris/X)."""


def read_protocol(file: BinaryIO, offset: int, length: int) -> SiemensProtocol:
    """The protocol of the measurement that starts at `offset` and whose header has `length` bytes.

    Raises
    ------
    InputFault
        If the header is too large, is no twix header or lacks matrix or field of view.
    """
    if not 48 < length <= MAX_HEADER_BYTES:
        raise InputFault("The Siemens header has an impossible length.", AGAIN)
    file.seek(offset)
    text = file.read(length)
    if len(text) < length:
        raise InputFault("The Siemens file ends within its header.", AGAIN)
    if re.search(rb"\[\d{%d,}\]" % (MAX_INDEX_DIGITS + 1), text):
        raise InputFault("The Siemens header is damaged.", AGAIN)
    if int(np.frombuffer(text, "<u4", 2)[1]) > MAX_BUFFERS:
        raise InputFault("The Siemens header is damaged.", AGAIN)
    try:
        buffers = {
            name: twixprot.parse_buffer(content)
            for name, content in _buffers(text).items()
            if name in ("MeasYaps", "Meas", "Dicom")
        }
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError):
        # The parser puts entries where their names say, also where a damaged name contradicts an earlier one.
        raise InputFault("The Siemens header is damaged.", AGAIN) from None
    if "MeasYaps" not in buffers:
        raise InputFault("The Siemens header holds no protocol.", AGAIN)
    try:
        return _protocol(buffers["MeasYaps"], buffers.get("Meas", {}), buffers.get("Dicom", {}))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        raise InputFault("The Siemens header lacks matrix or field of view.", AGAIN) from None


def _buffers(text: bytes) -> dict[str, str]:
    """Named parts of the header: name, NUL, length (uint32), content; as twixtools' `parse_twix_hdr` walks them."""
    found = {}
    position = 8
    for _ in range(int(np.frombuffer(text, "<u4", 2)[1])):
        match = re.compile(rb"(\w{4,})\x00(.{4})", re.DOTALL).search(text, position, position + 48)
        if match is None:
            break
        length = int.from_bytes(match.group(2), "little")
        start = position + len(match.group())
        found[match.group(1).decode("ascii", "replace")] = text[start : start + length].decode("latin1")
        position = start + length
    return found


def _protocol(yaps: Mapping[str, Any], meas: Mapping[str, Any], dicom: Mapping[str, Any]) -> SiemensProtocol:
    space, slices = yaps["sKSpace"], yaps["sSliceArray"]["asSlice"]
    first = slices[0]
    oversampling = _float(dicom.get("flReadoutOSFactor"), 2.0)
    timing = {}
    for key, name in (("alTR", "repetition_time_ms"), ("alTE", "echo_time_ms")):
        value = _first(yaps.get(key))
        if value is not None:
            timing[name] = value / 1000
    flip = _first(yaps.get("adFlipAngleDegree"))
    if flip is not None:
        timing["flip_angle_deg"] = flip
    dwell = _first(yaps.get("sRXSPEC", {}).get("alDwellTime"))
    protocol = SiemensProtocol(
        base_resolution=check_extent("readout samples", int(space["lBaseResolution"])),
        phase_encoding_lines=check_extent("phase-encode steps", int(space["lPhaseEncodingLines"])),
        readout_oversampling=oversampling if 1 <= oversampling <= 4 else 2.0,
        phase_oversampling=_float(space.get("dPhaseOversamplingForDialog"), 0.0),
        read_fov_mm=float(first["dReadoutFOV"]),
        phase_fov_mm=float(first["dPhaseFOV"]),
        slice_thickness_mm=float(first["dThickness"]),
        three_dimensional=int(space.get("ucDimension", 2)) == 4,
        cartesian=int(space.get("ucTrajectory", 1)) == 1,
        dwell_time_us=0.0 if dwell is None else dwell / 1000,
        timing=timing,
        regridding=_regridding(meas),
        numaris_x=_is_numaris_x(yaps, meas, dicom),
    )
    lengths = (protocol.read_fov_mm, protocol.phase_fov_mm, protocol.slice_thickness_mm)
    if not all(0 < length < 5000 for length in lengths) or not 0 <= protocol.phase_oversampling < 10:
        raise ValueError
    return protocol


def _is_numaris_x(*buffers: Mapping[str, Any]) -> bool:
    """By the software's name ("syngo MR XA30") or the protocol's baseline ("NXVA_...")."""
    said = []
    for buffer in buffers:
        consistency = buffer.get("sProtConsistencyInfo")
        for part in (buffer, consistency if isinstance(consistency, Mapping) else {}):
            said += [part.get(name) for name in ("SoftwareVersions", "tBaselineString", "tMeasuredBaselineString")]
    return any(isinstance(text, str) and re.search(r"\bX[A-Z]\d|\bNXV", text) for text in said)


def _regridding(meas: Mapping[str, Any]) -> Regridding | None:
    mode = _first(meas.get("alRegridMode"))
    if mode is None or mode < 2:
        return None
    names = ("alRegridRampupTime", "alRegridFlattopTime", "alRegridRampdownTime", "alRegridDelaySamplesTime")
    ramp_up, flat_top, ramp_down, delay = (_first(meas.get(name)) or 0.0 for name in names)
    duration = _first(meas.get("aflRegridADCDuration")) or 0.0
    return Regridding(int(mode), ramp_up, flat_top, ramp_down, delay, duration)


def _first(values: object) -> float | None:
    if isinstance(values, (list, tuple)) and values and isinstance(values[0], (int, float)):
        return float(values[0])
    return None


def _float(value: object, otherwise: float) -> float:
    if isinstance(value, (int, float)):
        return float(value)
    try:
        return float(value) if isinstance(value, str) and value.strip() else otherwise
    except ValueError:
        return otherwise
