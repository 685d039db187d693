"""A raw acquisition: a header and an iterator of slices, so that no file is ever whole in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from recon_worker.data.geometry import SlicePlane

ComplexArray = npt.NDArray[np.complex64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class KSpaceHeader:
    """What is known of an acquisition before its samples are read. Nothing in it names a patient.

    Attributes
    ----------
    format
        "ismrmrd", "siemens-twix", "fastmri", "bart", "ge-pfile" or "ge-scanarchive".
    encoded_matrix
        `(kx, ky)`: readout samples (with oversampling) and phase-encode steps of the full grid.
    image_matrix
        `(columns, rows)` of the reconstructed slice: along readout, along phase encoding.
    encoded_field_of_view_mm
        `(read, phase)` of the encoded grid; readout oversampling makes the first larger than the image's.
    image_field_of_view_mm
        `(read, phase)` of the reconstructed slice.
    slice_thickness_mm
        Nominal thickness. The distance of slices follows from `planes`.
    ky_centre
        Phase-encode step that holds the centre of k-space.
    kx_centre
        Readout sample that holds the centre of k-space.
    n_slices, n_coils, n_averages
        Extents; `n_averages` is the largest number of acquisitions of any line.
    planes
        One prescribed plane a slice, in spatial order along `slice_direction`, the order in which slices are yielded.
    noise
        `[coil, sample]` complex64 samples without signal, or None if the file has none.
    noise_bandwidth_ratio
        Noise variance of an imaging sample over that of a noise-scan sample (receiver bandwidths and
        dwell times), 1.0 where both are equal or unknown.
    timing
        Repetition time, echo time (ms) and the like; for the coordinator only.
    remarks
        Sentences on what was noticed while reading ("No noise scan."). For the coordinator only.
    """

    format: str
    encoded_matrix: tuple[int, int]
    image_matrix: tuple[int, int]
    encoded_field_of_view_mm: tuple[float, float]
    image_field_of_view_mm: tuple[float, float]
    slice_thickness_mm: float
    ky_centre: int
    kx_centre: int
    n_slices: int
    n_coils: int
    n_averages: int
    planes: tuple[SlicePlane, ...]
    noise: ComplexArray | None = None
    noise_bandwidth_ratio: float = 1.0
    timing: dict[str, float] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class KSpaceSlice:
    """The samples of one slice.

    Attributes
    ----------
    index
        Position of the slice in `KSpaceHeader.planes`.
    data
        `[average, coil, ky, kx]` complex64 on the full grid, zero where nothing was acquired, every readout
        already in forward direction. Where `averaged`, one entry: the mean of the lines that were acquired.
    acquired
        `[average, ky]`: which lines were acquired, also where `averaged`.
    echo
        `[ky]` int16: echo number in the train, -1 where unknown.
    reversed_readout
        `[average, ky]`: lines that were acquired backwards (already turned round in `data`).
    calibration
        `[coil, ky, kx]` separately acquired calibration lines, or None (the imaging lines serve).
    averaged
        Whether `data` holds the mean over averages, every line divided by its own count.
    """

    index: int
    data: ComplexArray
    acquired: BoolArray
    echo: npt.NDArray[np.int16]
    reversed_readout: BoolArray
    calibration: ComplexArray | None = None
    averaged: bool = False


@dataclass(frozen=True)
class KSpace:
    """A header and a way to walk through the slices; `slices()` may be called again and starts afresh.

    `summary` is what `inspect` prints: plain JSON types, in the vocabulary of the field, no patient fields.
    `averaged_slices` yields the same slices with repeated lines averaged while they are read, which takes less memory
    and time; None where a format has no such way.
    """

    header: KSpaceHeader
    slices: Callable[[], Iterator[KSpaceSlice]]
    summary: dict[str, Any] = field(default_factory=dict)
    averaged_slices: Callable[[], Iterator[KSpaceSlice]] | None = None
