"""A writer of small Siemens twix files (VB, VE, XA), for tests: only what a reader looks at.

Layouts are those of twixtools. VB: no table of measurements, one header of 128 bytes before each channel, numbers of
the kind `uc` in hexadecimal. XA: the layout of VE; the protocol's first line names its class and version, entries are
parted by tabulators, lists carry their length as an attribute, and the baseline is NXVA (siemens_to_ismrmrd).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.spatial.transform import Rotation
from twixtools import hdr_def, mdh_def

from tests.recon_worker.support import Protocol, Scan

Software = Literal["VB", "VE", "XA"]
SOFTWARE_NAMES = {"VB": "syngo MR B17", "VE": "syngo MR E11", "XA": "syngo MR XA30"}
BASELINES = {"VB": "N4_VB17A_LATEST_20090307", "VE": "N4_VE11C_LATEST_20160120", "XA": "NXVA_XA30A_LATEST"}


def scanner_directions(protocol: Protocol) -> Protocol:
    """With the phase direction turned over if need be: a twix quaternion is a rotation of (phase, read, slice), so
    (read, phase, slice) is left-handed."""
    read, phase, normal = (np.array(direction) for direction in protocol.directions)
    if np.dot(np.cross(read, phase), normal) < 0:
        return protocol
    return replace(protocol, directions=(tuple(read), tuple(-phase), tuple(normal)))


@dataclass
class TwixLine:
    samples: np.ndarray  # [coil, sample]
    lin: int = 0
    sli: int = 0
    ave: int = 0
    flags: tuple[str, ...] = ()
    eco: int = 0
    par: int = 0


def ascconv(protocol: Protocol, *, software: Software = "VE", **changes: object) -> str:
    values = {
        "sKSpace.lBaseResolution": protocol.columns,
        "sKSpace.lPhaseEncodingLines": protocol.rows,
        "sKSpace.ucDimension": "0x2" if software == "VB" else 2,
        "sKSpace.ucTrajectory": "0x1" if software == "VB" else 1,
        "sSliceArray.lSize": protocol.n_slices,
        "sSliceArray.asSlice[0].dReadoutFOV": protocol.read_mm,
        "sSliceArray.asSlice[0].dPhaseFOV": protocol.phase_mm,
        "sSliceArray.asSlice[0].dThickness": protocol.thickness_mm,
        "alTR[0]": 3000000,
        "alTE[0]": 67000,
        "sRXSPEC.alDwellTime[0]": 5000,
        "sProtConsistencyInfo.tBaselineString": f'"{BASELINES[software]}"',
        "tPatientName": '"SECRET^NAME"',
        **changes,
    }
    if software != "XA":
        lines = "".join(f"{key} = {value}\n" for key, value in values.items())
        return "### ASCCONV BEGIN ###\n" + lines + "\n### ASCCONV END ###"
    first = "object=MrProtDataImpl@MrProtocolData version=63010001 converter=%MEASCONST%/ConverterList/Converter.txt"
    values = {"sSliceArray.asSlice.__attribute__.size": protocol.n_slices, "alTR.__attribute__.size": 1, **values}
    lines = "".join(f"{key}\t = \t{value}\n".replace('"', '""') for key, value in values.items())
    return f"### ASCCONV BEGIN {first} ###\n" + lines + "\n### ASCCONV END ###"


def _header(text: str, software: Software) -> bytes:
    meas = b'<ParamString."tPatientName"> { "SECRET^NAME" }\n<ParamString."InstitutionName"> { "SECRET HOSPITAL" }\n'
    dicom = meas + (
        f'<ParamString."SoftwareVersions">  {{ "{SOFTWARE_NAMES[software]}"  }}\n'
        '<ParamString."PatientBirthDay">  { "19700101"  }\n'
        '<ParamDouble."flReadoutOSFactor">  { <Precision> 6  2.000000  }\n'
    ).encode("latin1")
    config = b'<ParamString."PatientID"> { "SECRET-ID" }\n' + b" " * 12000  # real headers have tens of kilobytes
    parts = ((b"Config", config), (b"Dicom", dicom), (b"Meas", meas), (b"MeasYaps", text.encode("latin1")))
    buffers = b"".join(name + b"\0" + len(data).to_bytes(4, "little") + data for name, data in parts)
    length = 8 + len(buffers)
    padding = -length % 32
    return (length + padding).to_bytes(4, "little") + len(parts).to_bytes(4, "little") + buffers + bytes(padding)


def _readout(line: TwixLine, protocol: Protocol, counter: int, software: Software) -> bytes:
    coils, samples = line.samples.shape
    head = mdh_def.VB17_header() if software == "VB" else mdh_def.Scan_header()
    head.ScanCounter = counter
    for flag in ("ONLINE", *line.flags):
        mdh_def.add_flag(head, flag)
    head.SamplesInScan, head.UsedChannels = samples, coils
    head.CenterCol, head.CenterLin = samples // 2, protocol.rows // 2
    head.Counter.Lin, head.Counter.Sli, head.Counter.Ave = line.lin, line.sli, line.ave
    head.Counter.Eco, head.Counter.Par = line.eco, line.par
    plane = protocol.plane(line.sli)
    head.SliceData.SlicePos.Sag, head.SliceData.SlicePos.Cor, head.SliceData.SlicePos.Tra = plane.centre_mm
    turn = np.stack([-np.array(plane.phase_direction), -np.array(plane.read_direction), plane.slice_direction], axis=1)
    x, y, z, w = Rotation.from_matrix(turn).as_quat()
    head.SliceData.Quaternion[:] = [w, x, y, z]
    if software == "VB":
        head.FlagsAndDMALength = coils * (len(bytes(head)) + 8 * samples)
        channels = []
        for coil, row in enumerate(line.samples):
            head.ChannelId = coil
            channels.append(bytes(head) + row.astype(np.complex64).tobytes())
        return b"".join(channels)
    channels = b"".join(bytes(mdh_def.Channel_header()) + row.astype(np.complex64).tobytes() for row in line.samples)
    head.FlagsAndDMALength = len(bytes(head)) + len(channels)
    return bytes(head) + channels


def _end(software: Software) -> bytes:
    head = mdh_def.VB17_header() if software == "VB" else mdh_def.Scan_header()
    mdh_def.add_flag(head, "ACQEND")
    head.FlagsAndDMALength = len(bytes(head)) + 160
    return bytes(head) + bytes(160)


def write_twix(
    path: Path, protocol: Protocol, lines: list[TwixLine], *, header: str | None = None, software: Software = "VE"
) -> Path:
    """One measurement, in a multi-measurement file unless `software` is VB."""
    body = _header(header or ascconv(protocol, software=software), software)
    body += b"".join(_readout(line, protocol, counter + 1, software) for counter, line in enumerate(lines))
    body += _end(software)
    if software == "VB":
        path.write_bytes(body)
        return path
    start = np.zeros(1, dtype=hdr_def.MultiRaidFileHeader)
    start[0]["hdr"]["count_"] = 1
    start[0]["entry"][0]["off_"], start[0]["entry"][0]["len_"] = 10240, len(body)
    start[0]["entry"][0]["patName_"] = b"SECRET^NAME"
    first = start.tobytes()
    path.write_bytes(first + bytes(10240 - len(first)) + body)
    return path


def twix_lines(scan: Scan) -> list[TwixLine]:
    lines = []
    if scan.noise is not None:
        lines += [TwixLine(block, flags=("NOISEADJSCAN",)) for block in np.split(scan.noise[:, :16384], 64, axis=1)]
    for average in range(scan.data.shape[1]):
        for ky in np.flatnonzero(scan.acquired[average]):
            for index in range(scan.data.shape[0]):
                lines.append(TwixLine(scan.data[index, average, :, ky], lin=int(ky), sli=index, ave=average))
    return lines
