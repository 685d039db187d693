"""ISMRMRD (MRD 1) HDF5 files: headers of all readouts first, samples in blocks, one slice at a time.

The table `data` is one compound row a readout (head, trajectory, samples). Reading it through the ismrmrd package
makes one Python object a line and reads every line twice; here whole blocks of rows are read with h5py.

Conventions (ISMRMRD): the image is the inverse Fourier transform of the samples, with image columns along `read_dir`
and rows along `phase_dir`; positions and directions are DICOM LPS. Converters hand on Siemens directions unchanged,
which belong to the forward transform (mrpro, pull request 833; `rawdata.siemens`): where the header names Siemens as
the scanner's vendor, read and phase direction are turned over.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from recon_worker.data import InputFault, KSpace, KSpaceHeader, KSpaceSlice, SlicePlane
from recon_worker.rawdata.contents import UnsuitableAcquisition
from recon_worker.rawdata.hdf5 import (
    Places,
    check_variable_length,
    open_hdf5,
    own_member,
    read_column,
    read_value,
    read_values,
)
from recon_worker.rawdata.ismrmrd_header import Encoding, IsmrmrdHeader, parse_header
from recon_worker.rawdata.ismrmrd_lines import (
    CALIBRATION,
    CALIBRATION_AND_IMAGING,
    NEITHER,
    NOISE,
    REVERSE,
    Heads,
    by_coil,
    is_head,
    read_rows_through_hdf5,
    readout_contents,
)
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
from recon_worker.rawdata.summary import summarise

FORMAT = "ismrmrd"
AGAIN = "Convert the acquisition again with a current converter."
NOISE_SAMPLES = 2**18
"""Noise samples a coil that are kept; far more than a covariance needs."""


def find_dataset(file: h5py.File) -> h5py.Group | None:
    """The group that holds an ISMRMRD measurement (`xml` and `data`), or None if there is none.

    Raises
    ------
    InputFault
        If there are several and none bears the usual name "dataset".
    """
    found = []
    for name in file:
        member = own_member(file, name)
        if isinstance(member, h5py.Group) and "xml" in member and "data" in member:
            if name == "dataset":
                return member
            found.append(member)
    if len(found) > 1:
        raise InputFault("The file holds several measurements.", "Store one measurement per file.")
    return found[0] if found else None


def open_ismrmrd(path: Path) -> KSpace:
    """Read the headers of an ISMRMRD file; samples are read slice by slice afterwards.

    Raises
    ------
    InputFault
        For a damaged file, a measurement other than 2D Cartesian, or missing geometry.
    """
    with open_hdf5(path) as file:
        header, table = _members(file)
        heads, places = _read_heads(table, path.stat().st_size)
        noise = _read_noise(table, heads)
    try:
        return _acquisition(path, header, heads, places, noise)
    except InputFault as fault:
        raise UnsuitableAcquisition(fault, readout_contents(header, heads)) from None


def _members(file: h5py.File) -> tuple[IsmrmrdHeader, h5py.Dataset]:
    group = find_dataset(file)
    if group is None:
        raise InputFault("The HDF5 file holds no ISMRMRD measurement.", "Choose the raw data file of the acquisition.")
    xml, table = own_member(group, "xml"), own_member(group, "data")
    if not isinstance(xml, h5py.Dataset) or not isinstance(table, h5py.Dataset) or xml.size != 1:
        raise InputFault("The ISMRMRD measurement lacks its header or its data table.", AGAIN)
    check_variable_length(xml)
    text = xml[()] if xml.shape == () else xml[(0,) * xml.ndim]
    if not isinstance(text, (bytes, str)):
        raise InputFault("The ISMRMRD header is not text.", AGAIN)
    names = set(table.dtype.names or ())
    if table.ndim != 1 or not {"head", "data"} <= names or table.dtype["head"].names is None:
        raise InputFault("The ISMRMRD data table has another layout than the format defines.", AGAIN)
    if not is_head(table.dtype["head"]) or h5py.check_vlen_dtype(table.dtype["data"]) != np.dtype("<f4"):
        raise InputFault("The ISMRMRD data table has another layout than the format defines.", AGAIN)
    return parse_header(text.encode() if isinstance(text, str) else bytes(text)), table


def _read_heads(table: h5py.Dataset, file_size: int) -> tuple[Heads, Places | None]:
    """All headers, and where the samples of each lie in the file, if they do not lie there compressed."""
    count = int(table.shape[0])
    if count == 0:
        raise InputFault("The file holds no readouts.", "Check that the export from the scanner finished.")
    check_extent("lines", count)
    if not table.compression and table.id.get_storage_size() < count * table.dtype["head"].itemsize:
        raise InputFault(f"The file declares {count:,} readouts but is far too small for them.", AGAIN)
    names = [name for name in ("data", "traj") if name in (table.dtype.names or ())]
    places = check_variable_length(table, tuple(names))
    heads = read_column(table, "head")
    declared = int((heads["number_of_samples"].astype(np.int64) * heads["active_channels"]).sum()) * 8
    if declared > file_size:
        raise InputFault(
            f"The readouts declare {declared / 1e6:.1f} MB of samples, but the file has {file_size / 1e6:.1f} MB.",
            "It is incomplete or damaged; copy it from the scanner again.",
        )
    if places and (places[0][:, 1] > 2 * heads["number_of_samples"].astype(np.int64) * heads["active_channels"]).any():
        # Many readouts may name one large value: what is read at once must be bounded by what is declared.
        raise InputFault("Some readouts hold more samples than their headers declare.", AGAIN)
    return heads, places[0] if places and len(places[0]) == count else None


def _read_noise(table: h5py.Dataset, heads: Heads) -> tuple[Samples, float] | None:
    """`[coil, sample]` of all noise readouts and their sample time in us."""
    rows = np.flatnonzero(heads["flags"] & NOISE)
    if not len(rows):
        return None
    first = heads[rows[0]]
    rows = rows[
        (heads["active_channels"][rows] == first["active_channels"])
        & (heads["number_of_samples"][rows] > 0)
        & (heads["active_channels"][rows] > 0)
    ]
    if not len(rows):
        return None
    enough = int(np.searchsorted(np.cumsum(heads["number_of_samples"][rows]), NOISE_SAMPLES)) + 1
    rows = rows[:enough]
    lines = read_rows_through_hdf5(table, rows, heads["active_channels"][rows].astype(np.int64))
    noise = np.concatenate(lines, axis=1)
    if not np.isfinite(noise.view(np.float32)).all():
        raise InputFault("The noise scan holds samples that are not numbers.", AGAIN)
    return noise, float(first["sample_time_us"]) if "sample_time_us" in (heads.dtype.names or ()) else 0.0


def _acquisition(
    path: Path, header: IsmrmrdHeader, heads: Heads, places: Places | None, noise: tuple[Samples, float] | None
) -> KSpace:
    flags = heads["flags"]
    useful = (flags & (NEITHER | NOISE)) == 0
    if not useful.any():
        raise InputFault(
            "The file holds no imaging readouts.", "Choose the file of the imaging acquisition, not of an adjustment."
        )
    rows = np.flatnonzero(useful)
    lines = heads[rows]
    encoding = _encoding_of(header, lines)
    _refuse_other_dimensions(encoding, lines)
    remarks: list[str] = []
    coils = _one_value(lines["active_channels"], "numbers of receive coils")
    nx, ny = encoding.encoded.matrix[0], encoding.encoded.matrix[1]
    grid = Grid(samples=nx, phase_encodes=ny, coils=check_extent("receive coils", coils))
    table = _table(rows, lines, grid, encoding, remarks)
    averages = check_grid(table, grid)
    planes = _planes(lines, turned=header.siemens)
    check_extent("slices", len(planes))
    numbers, ordered = order_slices(planes)
    columns, read_mm = cropped(nx, encoding.encoded.field_of_view_mm[0], encoding.image.field_of_view_mm[0])
    image_rows, phase_mm = cropped(ny, encoding.encoded.field_of_view_mm[1], encoding.image.field_of_view_mm[1])
    wanted = encoding.image.matrix[:2]
    if wanted != (columns, image_rows):
        remarks.append(
            f"The header asks for {wanted[0]} x {wanted[1]} pixels; images are kept on the acquired grid of "
            f"{columns} x {image_rows}."
        )
    if noise is None:
        remarks.append("No noise scan; the noise is estimated from the imaging data.")
    elif noise[0].shape[0] != coils:
        remarks.append("The noise scan has another number of coils and is not used.")
        noise = None
    thickness = encoding.encoded.field_of_view_mm[2] or encoding.image.field_of_view_mm[2]
    if thickness <= 0:
        raise InputFault("The header does not say how thick the slices are.", AGAIN)
    ratio = 1.0
    if noise is not None:
        told = "sample_time_us" in (lines.dtype.names or ())
        imaging_time_us = float(lines["sample_time_us"][0]) if told else 0.0
        ratio = bandwidth_ratio(noise[1], imaging_time_us, header.noise_bandwidth or 1.0, remarks)
    result = KSpaceHeader(
        format=FORMAT,
        encoded_matrix=(nx, ny),
        image_matrix=(columns, image_rows),
        encoded_field_of_view_mm=encoding.encoded.field_of_view_mm[:2],
        image_field_of_view_mm=(read_mm, phase_mm),
        slice_thickness_mm=thickness,
        ky_centre=ny // 2,
        kx_centre=nx // 2,
        n_slices=len(ordered),
        n_coils=coils,
        n_averages=averages,
        planes=ordered,
        noise=None if noise is None else noise[0],
        noise_bandwidth_ratio=ratio,
        timing=header.timing,
        remarks=tuple(remarks),
    )

    def slices(*, averaged: bool = False) -> Iterator[KSpaceSlice]:
        with open_hdf5(path) as file, path.open("rb", buffering=0) as plain:
            data = _members(file)[1]

            def read_rows(wanted_rows: npt.NDArray[np.int64]) -> list[Samples]:
                if places is None:
                    return read_rows_through_hdf5(data, wanted_rows, np.full(len(wanted_rows), coils, dtype=np.int64))
                return [by_coil(values, coils) for values in read_values(plain, places[wanted_rows], "<f4")]

            def read_into(row: int, samples: Samples) -> bool:
                if places is None or places[row, 1] != 2 * samples.size:
                    return False
                read_value(plain, int(places[row, 0]), samples)
                return True

            yield from walk_slices(table, numbers, grid, averages, read_rows, read_into, averaged=averaged)

    acquired, calibration_lines = _coverage(table, numbers, ny)
    summary = summarise(result, acquired, calibration_lines=calibration_lines)
    return KSpace(result, slices, summary, partial(slices, averaged=True))


def _one_value(values: npt.NDArray[np.integer], what: str) -> int:
    if values.min() != values.max():
        raise InputFault(f"The imaging readouts have different {what}.", "Store one measurement per file.")
    return int(values[0])


def _encoding_of(header: IsmrmrdHeader, lines: Heads) -> Encoding:
    number = _one_value(lines["encoding_space_ref"], "encodings")
    if number >= len(header.encodings):
        raise InputFault("The readouts refer to an encoding that the header does not describe.", AGAIN)
    encoding = header.encodings[number]
    if encoding.trajectory not in ("cartesian", ""):
        raise InputFault(
            f'The trajectory is "{encoding.trajectory}"; only Cartesian acquisitions can be reconstructed.',
            "Choose a Cartesian acquisition.",
        )
    return encoding


def _refuse_other_dimensions(encoding: Encoding, lines: Heads) -> None:
    counters = lines["idx"]
    if encoding.encoded.matrix[2] > 1 or counters["kspace_encode_step_2"].max() > 0:
        raise InputFault("This is a 3D acquisition; only 2D multi-slice acquisitions can be reconstructed.")
    for name, what in (
        ("contrast", "echo times"),
        ("phase", "cardiac phases"),
        ("repetition", "repetitions"),
        ("set", "sets"),
    ):
        if counters[name].min() != counters[name].max():
            raise InputFault(
                f"The file holds several {what}; one image per slice is expected.", "Export one image series per file."
            )


def _table(
    rows: npt.NDArray[np.int64], lines: Heads, grid: Grid, encoding: Encoding, remarks: list[str]
) -> LineTable:
    flags, counters = lines["flags"], lines["idx"]
    table = np.zeros(len(lines), dtype=LINE)
    steps = counters["kspace_encode_step_1"].astype(np.int32)
    centre = encoding.phase_centre
    if centre is None or (centre == 0 and int(steps.max()) + 1 == grid.phase_encodes):
        centre = grid.phase_encodes // 2
        remarks.append("The header does not name the centre of k-space; the middle phase-encode step is taken.")
    table["row"] = rows
    table["slice"] = counters["slice"]
    table["ky"] = steps - centre + grid.phase_encodes // 2
    table["average"] = counters["average"]
    table["echo"] = counters["segment"] if counters["segment"].max() > 0 else -1
    table["samples"] = lines["number_of_samples"]
    table["reversed"] = (flags & REVERSE) != 0
    only_calibration = ((flags & CALIBRATION) != 0) & ((flags & CALIBRATION_AND_IMAGING) == 0)
    table["calibration"] = (flags & (CALIBRATION | CALIBRATION_AND_IMAGING)) != 0
    table["imaging"] = ~only_calibration
    table["kx_start"] = _readout_start(lines, table, grid, remarks)
    return number_averages(table)


def _readout_start(lines: Heads, table: LineTable, grid: Grid, remarks: list[str]) -> npt.NDArray[np.int32]:
    """Where the first sample (after turning round) lies, so that the centre sample is at `samples // 2`."""
    samples = lines["number_of_samples"].astype(np.int32)
    names = lines.dtype.names or ()
    discard = any(name in names and lines[name].any() for name in ("discard_pre", "discard_post"))
    if discard:
        remarks.append("Samples marked to be discarded at the ends of readouts are kept.")
    stated = lines["center_sample"].astype(np.int32) if "center_sample" in names else np.zeros_like(samples)
    middle = samples // 2
    # A header that leaves the centre at 0 does not mean a readout that starts at the centre of k-space.
    unstated = stated == 0
    # A reversed readout is turned round as a whole; converters state its centre either before or after that.
    centre = np.where(table["reversed"], samples - 1 - stated, stated)
    centre = np.where(table["reversed"] & (np.abs(stated - middle) <= 1), middle, centre)
    centre = np.where(unstated, middle, centre)
    if unstated.any() and (samples[unstated] < grid.samples).any():
        raise InputFault("The readouts do not say which sample is the centre of k-space.", AGAIN)
    if (samples < grid.samples).any():
        remarks.append(f"Readouts of {samples.min()} samples are filled to {grid.samples} with zeros.")
    return (grid.samples // 2 - centre).astype(np.int32)


def _planes(lines: Heads, *, turned: bool) -> dict[int, SlicePlane]:
    numbers = lines["idx"]["slice"].astype(np.int64)
    unique, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    planes = {}
    for name in ("position", "read_dir", "phase_dir", "slice_dir"):
        values = lines[name].astype(np.float64)
        if not np.isfinite(values).all():
            raise InputFault("The positions or directions of the slices are not numbers.", AGAIN)
        if np.abs(values - values[first][inverse]).max() > 1e-3:
            raise InputFault("Lines of one slice state different positions.", "Store one measurement per file.")
    for number, index in zip(unique, first, strict=True):
        line = lines[index]
        read, phase = _unit(line["read_dir"]), _unit(line["phase_dir"])
        normal = _unit(line["slice_dir"])
        if not np.any(normal):
            normal = np.cross(read, phase)
        planes[int(number)] = SlicePlane(
            centre_mm=_triple(line["position"]),
            read_direction=_triple(-read if turned else read),
            phase_direction=_triple(-phase if turned else phase),
            slice_direction=_triple(normal),
        )
    return planes


def _unit(direction: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    wide = direction.astype(np.float64)
    length = float(np.linalg.norm(wide))
    # A float32 direction is a unit vector to about 1e-7; more than rounding is not mended here.
    return wide / length if abs(length - 1) < 1e-3 else wide


def _triple(values: npt.NDArray[np.floating]) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])


def cropped(encoded: int, encoded_mm: float, image_mm: float) -> tuple[int, float]:
    """Pixels of the acquired size that cover the image's field of view, and the length that they cover exactly."""
    pixels = min(encoded, max(1, round(encoded * image_mm / encoded_mm)))
    return pixels, pixels * encoded_mm / encoded


def _coverage(table: LineTable, numbers: list[int], phase_encodes: int) -> tuple[npt.NDArray[np.bool_], int]:
    """`[ky]` lines acquired in every slice, and the number of separate calibration lines of a slice."""
    lines = np.ones(phase_encodes, dtype=bool)
    calibration = 0
    for number in numbers:
        mine = table[table["slice"] == number]
        acquired = np.zeros(phase_encodes, dtype=bool)
        acquired[mine["ky"][mine["imaging"]]] = True
        lines &= acquired
        calibration = max(calibration, len(np.unique(mine["ky"][mine["calibration"] & ~mine["imaging"]])))
    return lines, calibration
