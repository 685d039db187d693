"""A writer of small GE P-files and ScanArchives, for tests: only what the readers look at."""

from __future__ import annotations

import base64
import struct
from pathlib import Path

import h5py
import numpy as np

from tests.recon_worker.support import Ellipse, Protocol, simulate

PROTOCOL = Protocol(
    columns=40, rows=40, oversampling=1, read_mm=100.0, phase_mm=100.0, thickness_mm=3.0, spacing_mm=5.0, n_slices=3
)
ACQUIRED_AS = (1, 3, 2)
"""Order of acquisition of the slices in space, counted from 1."""
SCALE = 2000.0
SHORT = {
    "control": 124, "type": 132, "format": 134, "passes": 140, "groups": 142, "slices": 144, "echoes": 146,
    "averages": 148, "views": 150, "overscan": 154, "frames": 156, "point": 158, "samples": 178, "rows": 180,
    "first": 264, "last": 266, "flip": 198180 + 1412,
}  # fmt: skip


def _quantised(data: np.ndarray) -> np.ndarray:
    """Integers in complex64, as the receiver stores them."""
    return (np.round(data.real * SCALE) + 1j * np.round(data.imag * SCALE)).astype(np.complex64)


def write_pfile(
    path: Path, data: np.ndarray, *, alternating: bool = True, wide: bool = False, **changes: object
) -> Path:
    """A P-file of `[slice, coil, ky, kx]`; `changes` are fields by name, `floats` and `tail`."""
    slices, coils, views, samples = data.shape
    values = {
        "control": 0, "type": 8 if alternating else 9, "format": 0, "passes": 1, "groups": 1, "slices": slices,
        "echoes": 1, "averages": 1, "views": views, "overscan": 0, "frames": samples, "point": 4 if wide else 2,
        "samples": samples, "rows": views + 1, "first": 0, "last": coils - 1, "flip": 10,
    }  # fmt: skip
    values |= {name: value for name, value in changes.items() if name in SHORT}
    head = bytearray(213684)
    struct.pack_into("<fi", head, 0, float(changes.get("revision", 26.002)), 213684)
    for name, place in SHORT.items():
        struct.pack_into("<h", head, place, values[name])
    head[195184 : 195184 + 11] = b"SECRET^NAME"
    image = 198180
    struct.pack_into("<ff", head, image + 304, 100.0, 100.0)
    struct.pack_into("<ff", head, image + 316, 3.0, float(changes.get("gap", 2.0)))
    struct.pack_into("<3i", head, image + 1056, 250000, 0, 5100)
    name = changes.get("sequence", b"2dfast")
    head[image + 1632 : image + 1632 + len(name)] = name
    for index in range(slices):
        y = 10.0 + 5.0 * index + (float(changes.get("bent", 0.0)) if index == 1 else 0.0)
        corners = [50.0, y, -50.0, 50.0, y, 50.0, -50.0, y, -50.0]
        slot = changes.get("slots", ACQUIRED_AS)[index]
        struct.pack_into("<hh9f", head, 36864 + 72 * index, 0, slot, *corners)
    stored = np.zeros((coils, slices, views + 1, samples, 2), "<i4" if wide else "<i2")
    signs = np.where(np.arange(views) % 2, -1, 1)[:, None] if alternating else 1
    for index in range(slices):
        block = np.asarray(data[index] * signs)
        stored[:, ACQUIRED_AS[index] - 1, 1:] = np.stack([block.real, block.imag], axis=-1)
    if changes.get("baseline"):
        stored[0, 0, 0, 5] = 7
    struct.pack_into("<q", head, 1540, stored.nbytes)
    content = bytes(head) + stored.tobytes() + b"\0" * int(changes.get("tail", 0))
    path.write_bytes(content[: len(content) + int(changes.get("cut", 0))])
    return path


def phantom() -> np.ndarray:
    """`[slice, coil, ky, kx]`: a larger object in every further slice."""
    objects = [Ellipse(10.0, -6.0, 15.0 + 5 * index, 20.0) for index in range(3)]
    scans = [simulate(PROTOCOL, noise_level=0.01, seed=index, shapes=(one,)) for index, one in enumerate(objects)]
    return _quantised(np.stack([scan.data[0, 0] for scan in scans]))


HEADER_BYTES = 213684
CONTROL_BYTES, FRAME_ENDS = 44, 48
SEGMENT = "ScanData_20200202_000000000_Block{block}_Segment{segment}"


def control_stream(slices: int, views: int) -> np.ndarray:
    """Control records `[record, word]` (uint16) with slices inside and views outside, and the scan's end."""
    words = np.zeros((slices * views + 1, CONTROL_BYTES // 2), "<u2")
    words[:, 0] = CONTROL_BYTES
    count = slices * views
    times = 1_000_000 + 36_000 * np.arange(count + 1, dtype="<u4")
    words[:, 2:4] = times.view("<u2").reshape(-1, 2)
    words[:, 4], words[:, 7] = 1, 1
    words[:-1, 8] = np.tile(np.arange(slices), views)
    words[:-1, 10] = np.repeat(np.arange(views), slices) + 1
    words[:, 20:22] = np.arange(count + 1, dtype="<u4").view("<u2").reshape(-1, 2)
    words[-1, 4:11] = (0x0C00, 0, 0, 0, 0, 0, 0)
    return words


def readouts(data: np.ndarray, words: np.ndarray, *, alternating: bool = True) -> np.ndarray:
    """`[record, byte]` of `data` `[slice in space, coil, ky, kx]` in the order of the control records."""
    _, coils, views, samples = data.shape
    signs = np.where(np.arange(views) % 2, -1, 1) if alternating else np.ones(views)
    place = {slot - 1: index for index, slot in enumerate(ACQUIRED_AS)}
    records = np.zeros((len(words) - 1, 2 * FRAME_ENDS + coils * samples * 4), np.uint8)
    heads = records[:, :FRAME_ENDS].view("<u4")
    heads[:, 0], heads[:, 1] = records.shape[1], words[:-1, 2:4].copy().view("<u4")[:, 0] + 9_000
    heads[:, 7], heads[:, 8], heads[:, 9] = 1, coils, samples
    heads[:, 10] = words[:-1, 20:22].copy().view("<u4")[:, 0]
    for record, word in zip(records, words[:-1], strict=True):
        line = data[place[int(word[8]) % 3], :, (int(word[10]) - 1) % views] * signs[(int(word[10]) - 1) % views]
        pairs = np.stack([line.real, line.imag], axis=-1).astype("<i2")
        record[FRAME_ENDS:-FRAME_ENDS] = np.frombuffer(pairs.tobytes(), np.uint8)
    return records


def write_archive(
    path: Path, data: np.ndarray, *, words: np.ndarray | None = None, frames: np.ndarray | None = None,
    counts: tuple[int, ...] | None = None, segments: int = 1, header: bytes | None = None, version: int = 1,
    expanded: int = 2**24,
) -> Path:
    """A ScanArchive of `[slice, coil, ky, kx]`; segments declare `expanded` bytes."""
    slices, _, views, _ = data.shape
    words = control_stream(slices, views) if words is None else words
    frames = readouts(data, words) if frames is None else frames
    counts = counts or (len(words), len(frames), 0)
    pool = write_pfile(path.with_suffix(".head"), data).read_bytes()[:HEADER_BYTES] if header is None else header
    items = "".join(
        f"<Name>{SEGMENT.format(block=block, segment=segment)}</Name><ElementCount>{count}</ElementCount>"
        for block, count in enumerate(counts)
        for segment in range(segments if block == 1 else 1)
    )
    versions = "".join(
        f"<{name}>{version}</{name}>" for name in ("ControlVersion", "FrameVersion", "StorageElementVersion")
    )
    texts = {
        "Header.xml": "<a><HospitalName>SECRET HOSPITAL</HospitalName></a>",
        "DownloadData.xml": f"<a><PoolHeaderBuffer object_id=\"_2\"><Size>{len(pool)}</Size><Data>"
        f"{base64.encodebytes(pool).decode()}</Data></PoolHeaderBuffer></a>",
        "Acquisition/StorageMetaData.xml": f"<a>{items}{versions}</a>",
    }
    with h5py.File(path, "w") as file:
        for name, text in texts.items():
            content = np.array([text.encode()])
            file.create_dataset(name, data=content, chunks=(1,), compression="gzip")
        for block, content in ((0, words.view(np.uint8)), (1, frames)):
            for segment in range(segments if block == 1 else 1):
                whole = np.zeros(expanded, np.uint8)
                whole[: content.size] = content.ravel()
                name = "Acquisition/" + SEGMENT.format(block=block, segment=segment)
                file.create_dataset(name, data=whole, chunks=(expanded,), compression="gzip", compression_opts=1)
    return path
