"""Formats that store one array of samples without places in the patient: fastMRI, BART, GE P-files.

They share the stand-in for the unknown geometry and the way from whole slices to `KSpaceSlice`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from recon_worker.data import InputFault, KSpace, KSpaceHeader, KSpaceSlice, SlicePlane
from recon_worker.rawdata.limits import check_extent, check_slice_size
from recon_worker.rawdata.summary import summarise

Samples = npt.NDArray[np.complex64]
ReadSlices = Callable[[], Iterator[Samples]]
"""Yields `[average, coil, ky, kx]` of each slice in spatial order; afresh at every call."""

PLACE_UNKNOWN = (
    "The place of the slices in the patient is unknown: they are stacked as axial around zero, "
    "and left and right, front and back may be exchanged."
)
NO_NOISE_SCAN = "No noise scan; the noise is estimated from the imaging data."


def axial_stack(count: int, distance_mm: float) -> tuple[SlicePlane, ...]:
    """Stand-in planes for slices of unknown place: columns to the left, rows to posterior, slices to the head."""
    first = -(count - 1) / 2 * distance_mm
    return tuple(
        SlicePlane(
            centre_mm=(0.0, 0.0, first + index * distance_mm),
            read_direction=(1.0, 0.0, 0.0),
            phase_direction=(0.0, 1.0, 0.0),
            slice_direction=(0.0, 0.0, 1.0),
        )
        for index in range(count)
    )


def check_extents(*, slices: int, averages: int, coils: int, phase_encodes: int, samples: int) -> None:
    """Refuse extents that no acquisition has, or a slice too large for the worker's memory.

    Raises
    ------
    InputFault
        As `limits.check_extent` and `limits.check_slice_size`.
    """
    check_extent("readout samples", samples, smallest=8)
    check_extent("phase-encode steps", phase_encodes, smallest=8)
    check_extent("receive coils", coils)
    check_extent("averages", averages)
    check_extent("slices", slices)
    check_extent("lines", slices * averages * phase_encodes)
    check_slice_size(averages=averages, coils=coils, phase_encodes=phase_encodes, samples=samples)


def kspace_of_array(header: KSpaceHeader, acquired: npt.NDArray[np.bool_], read: ReadSlices) -> KSpace:
    """The acquisition; lines that were not acquired are set to zero, whatever the file holds there.

    Parameters
    ----------
    acquired
        `[slice, average, ky]`: which lines were acquired.

    Raises
    ------
    InputFault
        If the slices have no line in common; while slices are read, if samples are no numbers.
    """
    steps = header.encoded_matrix[1]

    def slices() -> Iterator[KSpaceSlice]:
        for index, samples in enumerate(read()):
            if not np.isfinite(samples.view(np.float32)).all():
                raise InputFault(
                    f"Slice {index + 1} holds samples that are not numbers.",
                    "The file is damaged; copy it from its source again.",
                )
            mine = acquired[index]
            samples[~np.broadcast_to(mine[:, None, :], samples.shape[:3])] = 0
            yield KSpaceSlice(
                index=index,
                data=samples,
                acquired=mine,
                echo=np.full(steps, -1, dtype=np.int16),
                reversed_readout=np.zeros_like(mine),
            )

    common = np.asarray(acquired.any(axis=1).all(axis=0), dtype=bool)
    return KSpace(header, slices, summarise(header, common))
