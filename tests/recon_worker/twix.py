"""A writer of small Siemens VE twix files, for tests: only what a reader looks at, from the layouts of twixtools."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation
from twixtools import hdr_def, mdh_def

from tests.recon_worker.support import Protocol, Scan


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


def ascconv(protocol: Protocol, **changes: object) -> str:
    values = {
        "sKSpace.lBaseResolution": protocol.columns,
        "sKSpace.lPhaseEncodingLines": protocol.rows,
        "sKSpace.ucDimension": 2,
        "sKSpace.ucTrajectory": 1,
        "sSliceArray.lSize": protocol.n_slices,
        "sSliceArray.asSlice[0].dReadoutFOV": protocol.read_mm,
        "sSliceArray.asSlice[0].dPhaseFOV": protocol.phase_mm,
        "sSliceArray.asSlice[0].dThickness": protocol.thickness_mm,
        "alTR[0]": 3000000,
        "alTE[0]": 67000,
        "sRXSPEC.alDwellTime[0]": 5000,
        "tPatientName": '"SECRET^NAME"',
        **changes,
    }
    return "### ASCCONV BEGIN ###\n" + "".join(f"{k} = {v}\n" for k, v in values.items()) + "\n### ASCCONV END ###"


def _header(text: str) -> bytes:
    content = text.encode("latin1")
    meas = b'<ParamString."tPatientName"> { "SECRET^NAME" }\n<ParamString."InstitutionName"> { "SECRET HOSPITAL" }\n'
    parts = ((b"Meas", meas), (b"MeasYaps", content))
    buffers = b"".join(name + b"\0" + len(data).to_bytes(4, "little") + data for name, data in parts)
    length = 8 + len(buffers)
    padding = -length % 32
    return (length + padding).to_bytes(4, "little") + (2).to_bytes(4, "little") + buffers + bytes(padding)


def _readout(line: TwixLine, protocol: Protocol, counter: int) -> bytes:
    coils, samples = line.samples.shape
    head = mdh_def.Scan_header()
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
    channels = b"".join(bytes(mdh_def.Channel_header()) + row.astype(np.complex64).tobytes() for row in line.samples)
    head.FlagsAndDMALength = len(bytes(head)) + len(channels)
    return bytes(head) + channels


def _end() -> bytes:
    head = mdh_def.Scan_header()
    mdh_def.add_flag(head, "ACQEND")
    head.FlagsAndDMALength = len(bytes(head)) + 160
    return bytes(head) + bytes(160)


def write_twix(path: Path, protocol: Protocol, lines: list[TwixLine], *, header: str | None = None) -> Path:
    """One measurement in a multi-measurement (VD/VE) file."""
    body = _header(header or ascconv(protocol))
    body += b"".join(_readout(line, protocol, counter + 1) for counter, line in enumerate(lines)) + _end()
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
