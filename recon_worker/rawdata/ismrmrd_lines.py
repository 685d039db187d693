"""ISMRMRD readouts: their flags (which serve the image, how many there are of each kind) and their samples."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import h5py
import ismrmrd
import numpy as np
import numpy.typing as npt

from recon_worker.data import InputFault
from recon_worker.rawdata.contents import count_readouts
from recon_worker.rawdata.ismrmrd_header import IsmrmrdHeader
from recon_worker.rawdata.lines import Samples

Heads = npt.NDArray[np.void]


def _flag(number: int) -> np.uint64:
    return np.uint64(1) << np.uint64(number - 1)


NOISE = _flag(ismrmrd.ACQ_IS_NOISE_MEASUREMENT)
REVERSE = _flag(ismrmrd.ACQ_IS_REVERSE)
CALIBRATION = _flag(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)
CALIBRATION_AND_IMAGING = _flag(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING)
NEITHER = (
    _flag(ismrmrd.ACQ_IS_NAVIGATION_DATA)
    | _flag(ismrmrd.ACQ_IS_PHASECORR_DATA)
    | _flag(ismrmrd.ACQ_IS_HPFEEDBACK_DATA)
    | _flag(ismrmrd.ACQ_IS_DUMMYSCAN_DATA)
    | _flag(ismrmrd.ACQ_IS_RTFEEDBACK_DATA)
    | _flag(ismrmrd.ACQ_IS_SURFACECOILCORRECTIONSCAN_DATA)
    | _flag(ismrmrd.ACQ_IS_PHASE_STABILIZATION_REFERENCE)
    | _flag(ismrmrd.ACQ_IS_PHASE_STABILIZATION)
)
"""Readouts that are neither image, calibration nor noise."""
PHASE_CORRECTION = _flag(ismrmrd.ACQ_IS_PHASECORR_DATA)

WHOLE_NUMBERS = ("flags", "number_of_samples", "active_channels", "encoding_space_ref")
VECTORS = ("position", "read_dir", "phase_dir", "slice_dir")
COUNTERS = {
    "lines": "kspace_encode_step_1", "slices": "slice", "averages": "average", "partitions": "kspace_encode_step_2",
    "echo_times": "contrast", "cardiac_phases": "phase", "repetitions": "repetition", "sets": "set",
}  # fmt: skip


def is_head(layout: np.dtype[Any]) -> bool:
    """Whether a column of the data table has what is read of a readout's head, in kinds that can hold it."""

    def kinds(part: np.dtype[Any], names: Iterable[str], kind: str, shape: tuple[int, ...]) -> bool:
        held = part.names or ()
        return all(name in held and part[name].base.kind in kind and part[name].shape == shape for name in names)

    optional = [name for name in ("center_sample", "discard_pre", "discard_post") if name in (layout.names or ())]
    times = [name for name in ("sample_time_us",) if name in (layout.names or ())]
    return (
        kinds(layout, (*WHOLE_NUMBERS, *optional), "ui", ())
        and kinds(layout, VECTORS, "f", (3,))
        and kinds(layout, times, "f", ())
        and "idx" in (layout.names or ())
        and kinds(layout["idx"], (*COUNTERS.values(), "segment"), "ui", ())
    )


def readout_contents(header: IsmrmrdHeader, heads: Heads) -> dict[str, Any]:
    """What a measurement holds that cannot be reconstructed; plain JSON types, no patient fields."""
    flags, encoding = heads["flags"], header.encodings[0]
    kinds = {
        "imaging": (flags & (NEITHER | NOISE)) == 0,
        "phase correction": (flags & PHASE_CORRECTION) != 0,
        "noise": (flags & NOISE) != 0,
        "backwards": (flags & REVERSE) != 0,
        "calibration": (flags & (CALIBRATION | CALIBRATION_AND_IMAGING)) != 0,
    }
    counters = {name: heads["idx"][part] for name, part in COUNTERS.items()}
    known = ("cartesian", "epi", "radial", "goldenangle", "spiral", "")
    return {
        "format": "ismrmrd",
        "dimensions": 3 if encoding.encoded.matrix[2] > 1 else 2,
        # Free text of a header may be anything; only the format's own words are handed on.
        "trajectory": encoding.trajectory if encoding.trajectory in known else "other",
        "matrix": list(encoding.encoded.matrix[:2]),
        "field_of_view_mm": [round(length, 3) for length in encoding.encoded.field_of_view_mm[:2]],
        "slice_thickness_mm": round(encoding.encoded.field_of_view_mm[2], 3),
        **count_readouts(kinds, counters, coils=heads["active_channels"], samples=heads["number_of_samples"]),
        "timing": dict(header.timing),
    }


def read_rows_through_hdf5(
    table: h5py.Dataset, rows: npt.NDArray[np.int64], channels: npt.NDArray[np.int64]
) -> list[Samples]:
    """Runs of neighbouring rows are read at once; echo trains are stored together, so runs are long."""
    reader = table.fields("data")
    values: list[npt.NDArray[np.float32]] = []
    for run in np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1):
        values.extend(reader[int(run[0]) : int(run[-1]) + 1])
    return [by_coil(value, coils) for value, coils in zip(values, channels.tolist(), strict=True)]


def by_coil(values: npt.NDArray[np.float32], coils: int) -> Samples:
    """`[coil, sample]` of one readout as the table holds it."""
    if values.size % (2 * coils):
        raise InputFault("A readout is incomplete.", "The file is damaged; copy it from the scanner again.")
    return np.ascontiguousarray(values, dtype=np.float32).view(np.complex64).reshape(coils, -1)
