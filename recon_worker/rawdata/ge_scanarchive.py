"""GE ScanArchives (HDF5), experimental: one 2D Cartesian image a slice, nothing else is guessed.

No description by the vendor is public. What is relied on was found in one archive and proven there: its samples, put in
the order that its control stream names, equal those of the P-file of the same scan to the last bit.

- `DownloadData.xml` holds the header of a P-file (base64), of which only an allow-list of numbers is looked at
  (`ge_header`).
- `Acquisition/..._Block0_Segment0` is the control stream: records of 44 bytes with the time in microseconds, an
  opcode, the slice (in order of acquisition, from 0), the view (from 1) and the running number; the last one ends the
  scan.
- `..._Block1_Segment0` are the readouts: 48 bytes with their own length, the time, coils, samples and the running
  number, then `[coil, sample]` pairs of int16, then 48 bytes more.

Every other value in a control record, a second segment, a third block in use, or a readout whose time does not lie
between those of its control record and the next, is refused. Segments declare hundreds of megabytes of zeros in one
piece, which HDF5 would expand as a whole: they are expanded here, only as far as there are records.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from recon_worker.data import InputFault, KSpace
from recon_worker.rawdata.arrays import Samples, kspace_of_array
from recon_worker.rawdata.ge_header import HEADER_BYTES, GeLayout, NotUnderstood, kspace_header, read_layout
from recon_worker.rawdata.ge_pfile import complex_samples
from recon_worker.rawdata.hdf5 import open_hdf5, own_member
from recon_worker.rawdata.limits import MAX_LINES, check_extent

FORMAT = "ge-scanarchive"
NAME = "ScanArchive"
AGAIN = "Copy it from the scanner again."
MAX_XML_BYTES = 4 * 1024**2
MAX_EXPANDED_BYTES = 512 * 1024**2
FRAME_ENDS = 48
"""Bytes before and after the samples of a readout."""
READOUT, SCAN_END = 1, 0x0C00
"""Opcodes that are understood."""

CONTROL = np.dtype({
    "names": ["length", "time_us", "opcode", "frames", "slice", "view", "number"],
    "formats": ["<u4", "<u4", "<u4", "<u2", "<u2", "<u2", "<u4"],
    "offsets": [0, 4, 8, 14, 16, 20, 40], "itemsize": 44,
})  # fmt: skip
FRAME = np.dtype({
    "names": ["length", "time_us", "frames", "coils", "samples", "number"],
    "formats": ["<u4", "<u4", "<u4", "<u4", "<u4", "<u4"],
    "offsets": [0, 4, 28, 32, 36, 40], "itemsize": FRAME_ENDS,
})  # fmt: skip
_NAMED = np.zeros(CONTROL.itemsize, dtype=bool)
for _name in CONTROL.names or ():
    _field = CONTROL.fields[_name]  # type: ignore[index]
    _NAMED[_field[1] : _field[1] + _field[0].itemsize] = True
"""Bytes of a control record that have a meaning here; all others must be zero."""


@dataclass(frozen=True)
class _Stream:
    """Which readout is which."""

    slices: npt.NDArray[np.int64]  # [readout], in order of acquisition, from 0
    views: npt.NDArray[np.int64]  # [readout], from 1
    times_us: npt.NDArray[np.int64]  # [readout + 1], with the end of the scan


def is_scan_archive(file: h5py.File) -> bool:
    """Whether the open HDF5 file is laid out as a ScanArchive, or as a part of one."""
    return bool(set(file) & {"DownloadData.xml", "DownloadMetaData"}) or (
        "Acquisition" in file and "Header.xml" in file
    )


def open_scan_archive(path: Path) -> KSpace:
    """Read header and control stream of a ScanArchive; readouts are expanded afterwards.

    Raises
    ------
    InputFault
        For everything in it that is not understood, and for a damaged file.
    """
    try:
        with open_hdf5(path) as file:
            layout = read_layout(_pool_header(file), held=None)
            stream = _control_stream(file, layout)
            _frames(file, layout)
    except NotUnderstood as reason:
        raise reason.as_fault(NAME) from None
    acquired = np.ones((layout.slices, 1, layout.views), dtype=bool)
    return kspace_of_array(
        kspace_header(layout, FORMAT, "ScanArchives"), acquired, lambda: _read_slices(path, layout, stream)
    )


def _pool_header(file: h5py.File) -> bytes:
    text = _text(file, "DownloadData.xml")
    found = re.search(rb"<PoolHeaderBuffer[^>]{0,200}>\s*<Size>(\d{1,9})</Size>\s*<Data>([^<]*)</Data>", text)
    if found is None:
        raise NotUnderstood("without the header that describes its acquisition")
    if int(found.group(1)) != HEADER_BYTES:
        raise NotUnderstood(f"with a header of {int(found.group(1)):,} bytes; only {HEADER_BYTES:,} can be read")
    try:
        head = base64.b64decode(found.group(2))
    except binascii.Error:
        head = b""
    if len(head) != HEADER_BYTES:
        raise InputFault("The header of the GE ScanArchive is damaged.", AGAIN)
    return head


def _text(file: h5py.File, name: str) -> bytes:
    table = own_member(file, name, expanded_here=False)
    if not isinstance(table, h5py.Dataset) or table.size != 1 or table.dtype.kind != "S":
        raise NotUnderstood(f"without {name.rsplit('/')[-1]}")
    if table.dtype.itemsize > MAX_XML_BYTES:
        raise InputFault("The GE ScanArchive declares an impossibly long header.", AGAIN)
    return _expanded(table, table.dtype.itemsize)


def _expanded(table: h5py.Dataset, wanted: int) -> bytes:
    """The first `wanted` bytes of a data set that is stored in one piece, without expanding the rest of it."""
    damaged = InputFault("The GE ScanArchive is damaged: a part of its data cannot be read.", AGAIN)
    plan = table.id.get_create_plist()
    stored, held = table.id.get_storage_size(), Path(table.file.filename).stat().st_size
    if not 0 < stored <= held:
        raise damaged
    if table.chunks is None:
        data = np.asarray(table[()]).tobytes()[:wanted] if table.nbytes <= held else b""
    elif plan.get_nfilters() == 1 and plan.get_filter(0)[0] == h5py.h5z.FILTER_DEFLATE and table.chunks == table.shape:
        mask, packed = table.id.read_direct_chunk((0,) * table.ndim)
        try:
            data = packed[:wanted] if mask else zlib.decompressobj().decompress(packed, wanted)
        except zlib.error:
            raise damaged from None
    else:
        raise NotUnderstood("whose parts are stored in another way than was seen")
    if len(data) < wanted:
        raise damaged
    return data


def _segments(file: h5py.File) -> tuple[h5py.Dataset, int, h5py.Dataset, int]:
    """Control stream and readouts, each with its number of records."""
    text = _text(file, "Acquisition/StorageMetaData.xml")
    for version in (b"ControlVersion", b"FrameVersion", b"StorageElementVersion"):
        if b"<%s>1</%s>" % (version, version) not in text:
            raise NotUnderstood("of another version than was seen")
    named = re.findall(rb"<Name>(\w{1,100}_Block(\d)_Segment(\d{1,4}))</Name>", text)
    counts = [int(count) for count in re.findall(rb"<ElementCount>(\d{1,9})</ElementCount>", text)]
    if len(named) != len(counts):
        raise NotUnderstood("whose parts are not those that were seen")
    tables: dict[bytes, tuple[h5py.Dataset, int]] = {}
    for (name, block, segment), count in zip(named, counts, strict=True):
        if count == 0:
            continue
        if segment != b"0" or block not in (b"0", b"1") or block in tables:
            raise NotUnderstood("with data in parts that are not understood (several segments or a third block)")
        table = own_member(file, "Acquisition/" + name.decode("ascii"), expanded_here=False)
        if not isinstance(table, h5py.Dataset) or table.dtype != np.uint8 or table.ndim != 1:
            raise InputFault("The GE ScanArchive lacks a part that its header names.", AGAIN)
        tables[block] = (table, check_extent("lines", min(count, MAX_LINES + 1)))
    members = own_member(file, "Acquisition")
    stored = 0 if members is None else sum("_Block" in name for name in members)
    if len(tables) != 2 or stored != 2:
        raise NotUnderstood("with data in parts that are not understood")
    return (*tables[b"0"], *tables[b"1"])


def _control_stream(file: h5py.File, layout: GeLayout) -> _Stream:
    table, count, _, frames = _segments(file)
    expected = layout.slices * layout.views
    if (count, frames) != (expected + 1, expected):
        raise NotUnderstood(
            f"with {frames:,} readouts and {count:,} control records, where {layout.slices} slices of {layout.views} "
            f"lines make {expected:,} and {expected + 1:,}"
        )
    raw = np.frombuffer(_expanded(table, count * CONTROL.itemsize), np.uint8).reshape(count, CONTROL.itemsize)
    records = raw.view(CONTROL)[:, 0]
    lines, end = records[:-1], records[-1]
    known = (
        (records["length"] == CONTROL.itemsize).all()
        and not raw[:, ~_NAMED].any()
        and np.array_equal(records["number"], np.arange(count))
        and (lines["opcode"] == READOUT).all()
        and (lines["frames"] == 1).all()
        and end["opcode"] == SCAN_END
        and not (end["frames"] or end["slice"] or end["view"])
    )
    times_us = records["time_us"].astype(np.int64)
    if not known or (np.diff(times_us) <= 0).any():
        raise NotUnderstood("whose control stream holds records that are not understood")
    slices, views = lines["slice"].astype(np.int64), lines["view"].astype(np.int64)
    if slices.max() >= layout.slices or views.min() < 1 or views.max() > layout.views:
        raise NotUnderstood("whose control stream names slices or lines that its header does not have")
    if len(np.unique(slices * (layout.views + 1) + views)) != expected:
        raise NotUnderstood("whose control stream names a line of a slice twice")
    return _Stream(slices, views, times_us)


def _frames(file: h5py.File, layout: GeLayout) -> tuple[h5py.Dataset, int, int]:
    """The readouts' data set, their number and the bytes of each."""
    if layout.point_bytes != 2:
        raise NotUnderstood("of an unusual format of samples")
    _, _, table, count = _segments(file)
    length = 2 * FRAME_ENDS + layout.coils * layout.samples * 4
    if count * length > min(table.shape[0], MAX_EXPANDED_BYTES):
        raise InputFault(
            f"The GE ScanArchive declares {count * length / 1e6:,.0f} MB of readouts, more than its segment holds or "
            f"than is taken ({MAX_EXPANDED_BYTES / 1e6:,.0f} MB).",
            AGAIN,
        )
    return table, count, length


def _read_slices(path: Path, layout: GeLayout, stream: _Stream) -> Iterator[Samples]:
    with open_hdf5(path) as file:
        table, count, length = _frames(file, layout)
        data = _expanded(table, count * length)
    record = np.dtype([
        ("head", FRAME), ("samples", "<i2", (layout.coils, layout.samples, 2)), ("tail", np.void, FRAME_ENDS),
    ])  # fmt: skip
    records = np.frombuffer(data, record, count)
    _check_frames(records["head"], layout, stream, length)
    for slot in layout.order:
        rows = np.flatnonzero(stream.slices == slot)
        rows = rows[np.argsort(stream.views[rows])]
        lines = np.empty((1, layout.coils, layout.views, layout.samples), dtype=np.complex64)
        for view, row in enumerate(rows):
            lines[0, :, view] = complex_samples(records["samples"][row])
        if layout.alternating:
            lines[:, :, 1::2] *= -1
        yield lines


def _check_frames(heads: npt.NDArray[np.void], layout: GeLayout, stream: _Stream, length: int) -> None:
    times_us = heads["time_us"].astype(np.int64)
    if not (
        (heads["length"] == length).all()
        and (heads["frames"] == 1).all()
        and (heads["coils"] == layout.coils).all()
        and (heads["samples"] == layout.samples).all()
        and np.array_equal(heads["number"], np.arange(len(heads)))
        and (stream.times_us[:-1] < times_us).all()
        and (times_us < stream.times_us[1:]).all()
    ):
        raise NotUnderstood("whose readouts do not follow its control stream").as_fault(NAME)
