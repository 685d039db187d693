"""From a table of readouts to the slices of an acquisition; shared by all Cartesian formats.

Every format describes its readouts by one row of `LINE` each; this module orders slices in space, numbers the
averages, puts samples on the full grid and turns reversed readouts round.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recon_worker.data import InputFault, KSpaceSlice, SlicePlane
from recon_worker.rawdata.limits import check_extent, check_slice_size

Samples = npt.NDArray[np.complex64]
LineTable = npt.NDArray[np.void]

LINE = np.dtype(
    [
        ("row", np.int64),  # where the format finds the readout again
        ("slice", np.int32),  # the format's own slice number
        ("ky", np.int32),  # index on the full phase-encode grid
        ("average", np.int32),
        ("echo", np.int16),  # -1 where unknown
        ("samples", np.int32),
        ("kx_start", np.int32),  # where the first sample (after turning round) lies on the readout grid
        ("reversed", np.bool_),
        ("calibration", np.bool_),  # serves coil calibration
        ("imaging", np.bool_),
    ]
)
"""One readout."""

ReadRows = Callable[[npt.NDArray[np.int64]], list[Samples]]
"""Reads the readouts with these `row` values, in this order: a list of `[coil, sample]` complex64."""

ReadInto = Callable[[int, Samples], bool]
"""Reads the readout with this `row` into `[coil, sample]`; False if it has another size or must be read otherwise."""

UNKNOWN_DWELL_TIME = (
    "The dwell time of the noise scan or of the imaging readouts is missing or impossible; both are taken to have the "
    "same bandwidth, and the noise level may be wrong."
)
POSITION_TOLERANCE_MM = 0.01
BLOCK_BYTES = 8 * 2**20
"""Samples that are read at once: small enough to stay in a processor's cache until they are in their place."""


@dataclass(frozen=True)
class Grid:
    """Extents of one slice on the full grid."""

    samples: int
    phase_encodes: int
    coils: int


def bandwidth_ratio(
    noise_time_us: float, imaging_time_us: float, receiver_bandwidth: float, remarks: list[str]
) -> float:
    """Noise variance of an imaging sample over that of a noise-scan sample: variance goes with the bandwidth.

    Where both were sampled equally fast the ratio is 1. Otherwise the noise scan's variance is also lowered by the
    receiver filter (ISMRMRD: relativeReceiverNoiseBandwidth), which the slower imaging readout does not feel. A missing
    or impossible dwell time gives 1, and a remark.
    """
    if noise_time_us > 0 and imaging_time_us > 0:
        if abs(noise_time_us / imaging_time_us - 1) < 1e-3:
            return 1.0
        ratio = noise_time_us / imaging_time_us / receiver_bandwidth
        if 1e-3 < ratio < 1e3:
            return ratio
    remarks.append(UNKNOWN_DWELL_TIME)
    return 1.0


def order_slices(
    planes: dict[int, SlicePlane],
) -> tuple[list[int], tuple[SlicePlane, ...]]:
    """The format's slice numbers and their planes, sorted along the slice direction.

    Raises
    ------
    InputFault
        If directions are no right-angled unit vectors, slices are not parallel, two share a place, or distances differ.
    """
    again = "Export the acquisition again with its slice positions."
    numbers = sorted(planes)
    for number in numbers:
        if not planes[number].is_orthonormal():
            raise InputFault(
                f"The readout, phase and slice directions of slice {number + 1} are not unit vectors at right angles, "
                "so its place in the patient is unknown.",
                again,
            )
    normal = np.asarray(planes[numbers[0]].slice_direction)
    for number in numbers[1:]:
        for mine, first in (
            (planes[number].slice_direction, planes[numbers[0]].slice_direction),
            (planes[number].read_direction, planes[numbers[0]].read_direction),
        ):
            if not np.allclose(mine, first, atol=1e-3):
                raise InputFault(
                    "The slices are not parallel to each other (slice groups of several angles in one file).",
                    "Only one stack of parallel slices per file can be read; export the groups one by one.",
                )
    numbers.sort(key=lambda number: float(np.dot(planes[number].centre_mm, normal)))
    ordered = tuple(planes[number] for number in numbers)
    centres = np.array([plane.centre_mm for plane in ordered], dtype=np.float64)
    if len(ordered) > 1:
        steps = np.diff(centres, axis=0)
        if np.min(np.linalg.norm(steps, axis=1)) < POSITION_TOLERANCE_MM:
            raise InputFault("Two slices lie at the same place.", again)
        step = (centres[-1] - centres[0]) / (len(ordered) - 1)
        if not np.allclose(centres, centres[0] + np.arange(len(ordered))[:, None] * step, atol=POSITION_TOLERANCE_MM):
            raise InputFault(
                "The slices are not evenly spaced along one line.",
                "Only one evenly spaced stack per file can be read; export the groups one by one.",
            )
    return numbers, ordered


def number_averages(table: LineTable) -> LineTable:
    """The table with `average` renumbered per line: the how-many-eth acquisition of (slice, ky, purpose) it is.

    A line that a scanner repeats under one average number (re-acquired, or counted otherwise) is thereby an average
    of its own, and numbers that begin at 1 or have gaps do no harm.
    """
    table = table.copy()
    order = np.lexsort((table["row"], table["average"], table["imaging"], table["ky"], table["slice"]))
    ordered = table[order]
    starts = np.ones(len(ordered), dtype=bool)
    starts[1:] = (
        (ordered["slice"][1:] != ordered["slice"][:-1])
        | (ordered["ky"][1:] != ordered["ky"][:-1])
        | (ordered["imaging"][1:] != ordered["imaging"][:-1])
    )
    index = np.arange(len(ordered))
    first = np.maximum.accumulate(np.where(starts, index, 0))
    table["average"][order] = index - first
    return table


def check_grid(table: LineTable, grid: Grid) -> int:
    """Check that every line lies on the grid; returns the number of averages.

    Raises
    ------
    InputFault
        For lines or samples off the grid, no imaging lines, or a slice too large.
    """
    imaging = table[table["imaging"]]
    if not len(imaging):
        raise InputFault(
            "The file holds no imaging readouts.", "Choose the file of the imaging acquisition, not of an adjustment."
        )
    check_extent("readout samples", grid.samples, smallest=8)
    check_extent("phase-encode steps", grid.phase_encodes, smallest=8)
    check_extent("receive coils", grid.coils)
    if table["ky"].min() < 0 or table["ky"].max() >= grid.phase_encodes:
        raise InputFault(
            f"Some lines lie outside the {grid.phase_encodes} phase-encode steps that the header declares.",
            "Header and data do not belong together; export the acquisition again.",
        )
    if table["kx_start"].min() < 0 or (table["kx_start"] + table["samples"]).max() > grid.samples:
        raise InputFault(
            f"Some readouts do not fit the {grid.samples} samples that the header declares.",
            "Header and data do not belong together; export the acquisition again.",
        )
    averages = check_extent("averages", int(imaging["average"].max()) + 1)
    check_slice_size(
        averages=averages, coils=grid.coils, phase_encodes=grid.phase_encodes, samples=grid.samples
    )
    return averages


def walk_slices(
    table: LineTable,
    numbers: list[int],
    grid: Grid,
    averages: int,
    read_rows: ReadRows,
    read_into: ReadInto | None = None,
    *,
    averaged: bool = False,
) -> Iterator[KSpaceSlice]:
    """The slices in spatial order, one at a time. Whole readouts are read straight into their place by `read_into`,
    where the format has it. `averaged`: the mean of repeated lines is all that is kept of them.

    Raises
    ------
    InputFault
        If a readout has other extents than declared or holds values that are no numbers.
    """
    order = np.argsort(table["slice"], kind="stable")
    ordered = table[order]
    bounds = np.searchsorted(ordered["slice"], [[number, number + 1] for number in numbers])
    for index, (start, stop) in enumerate(bounds):
        lines = np.sort(ordered[start:stop], order="row")
        yield _assemble(index, lines, grid, averages, read_rows, read_into, averaged=averaged and averages > 1)


def _assemble(
    index: int,
    lines: LineTable,
    grid: Grid,
    averages: int,
    read_rows: ReadRows,
    read_into: ReadInto | None,
    *,
    averaged: bool,
) -> KSpaceSlice:
    shape = (grid.coils, grid.phase_encodes, grid.samples)
    # A readout of all coils lies together in memory, as in the files.
    kept = 1 if averaged else averages
    data = np.zeros((kept, grid.phase_encodes, grid.coils, grid.samples), dtype=np.complex64).transpose(0, 2, 1, 3)
    acquired = np.zeros((averages, grid.phase_encodes), dtype=bool)
    turned = np.zeros((averages, grid.phase_encodes), dtype=bool)
    echo = np.full(grid.phase_encodes, -1, dtype=np.int16)
    told = lines[lines["imaging"] & (lines["echo"] >= 0)]
    echo[told["ky"]] = told["echo"]
    # A line whose averages were other echoes belongs to none.
    echo[told["ky"][echo[told["ky"]] != told["echo"]]] = -1
    separate = lines["calibration"] & ~lines["imaging"]
    calibration = np.zeros(shape, dtype=np.complex64) if separate.any() else None
    calibration_counts = np.zeros(grid.phase_encodes, dtype=np.int32)
    weights = np.ones(grid.phase_encodes, dtype=np.float32)
    if averaged:
        counts = np.bincount(lines["ky"][lines["imaging"]], minlength=grid.phase_encodes)
        weights = (1 / np.maximum(counts, 1)).astype(np.float32)
        # Line by line, so that a sum is still in the processor's cache when the next readout is added to it.
        lines = lines[np.argsort(lines["ky"], kind="stable")]
    if read_into is not None:
        another = np.empty((grid.coils, grid.samples), dtype=np.complex64)
        straight = lines["imaging"] & ~lines["reversed"] & (lines["samples"] == grid.samples)
        done = np.zeros(len(lines), dtype=bool)
        for number in np.flatnonzero(straight):
            line = lines[number]
            average, ky = int(line["average"]), int(line["ky"])
            own = data[0 if averaged else average, :, ky]
            repeated = averaged and acquired[:, ky].any()
            readout = another if repeated else own
            if not read_into(int(line["row"]), readout):
                continue
            _check_finite(readout, index)
            if weights[ky] != 1:
                readout *= weights[ky]
            if repeated:
                own += readout
            acquired[average, ky] = done[number] = True
        lines = lines[~done]
    block = max(1, BLOCK_BYTES // (grid.coils * grid.samples * 8))
    for begin in range(0, len(lines), block):
        some = lines[begin : begin + block]
        for line, samples in zip(some, read_rows(some["row"]), strict=True):
            if samples.shape != (grid.coils, line["samples"]):
                raise InputFault(
                    f"A readout of slice {index + 1} holds {samples.size:,} samples where its header declares "
                    f"{grid.coils} coils x {line['samples']}.",
                    "The file is damaged; copy it from the scanner again.",
                )
            _check_finite(samples, index)
            if line["reversed"]:
                samples = samples[:, ::-1]
            ky = int(line["ky"])
            place = slice(int(line["kx_start"]), int(line["kx_start"]) + int(line["samples"]))
            if line["imaging"]:
                average = int(line["average"])
                if averaged:
                    data[0, :, ky, place] += samples * weights[ky]
                else:
                    data[average, :, ky, place] = samples
                acquired[average, ky] = True
                turned[average, ky] = line["reversed"]
            elif calibration is not None:
                calibration[:, ky, place] += samples
                calibration_counts[ky] += 1
    if calibration is not None:
        calibration /= np.maximum(calibration_counts, 1)[:, None]
    return KSpaceSlice(
        index=index,
        data=data,
        acquired=acquired,
        echo=echo,
        reversed_readout=turned,
        calibration=calibration,
        averaged=averaged,
    )


def _check_finite(samples: Samples, index: int) -> None:
    parts = samples.view(np.float32).ravel()
    # A sum of squares is finite only if every part is; it may overflow where none is infinite.
    with np.errstate(over="ignore", invalid="ignore"):
        finite = bool(np.isfinite(np.dot(parts, parts))) or bool(np.isfinite(parts).all())
    if not finite:
        raise InputFault(
            f"Slice {index + 1} holds samples that are not numbers.",
            "The file is damaged; copy it from the scanner again.",
        )
