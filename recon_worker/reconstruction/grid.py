"""All acquisitions of a subject and sequence on one grid: that of the first, on the slices that all have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from recon_worker.data import InputFault, Volume

DIRECTION_TOLERANCE = 1e-3
SPACING_TOLERANCE = 1e-3
"""Relative."""
SLICE_TOLERANCE = 0.1
"""How far slices may lie apart and count as the same, in parts of their distance."""
PIXEL_TOLERANCE = 0.1
"""In-plane offset that is left as it is, in pixels; a larger one is shifted."""
LARGEST_SHIFT = 4.0
"""In-plane offset in pixels beyond which two acquisitions are no longer of one place."""


def common_grid(volumes: list[Volume]) -> list[Volume]:
    """The volumes on the first one's grid, cut to the slices that all of them have.

    A small in-plane offset (table or prescription moved by up to four pixels) is undone by a linear phase in k-space,
    which keeps noise and resolution. Slices are matched by position, never interpolated.

    Raises
    ------
    InputFault
        If matrix, pixel size, orientation or slice distance differ, or slices have no common positions.
    """
    if not volumes:
        return []
    reference = volumes[0]
    for other in volumes[1:]:
        _check_alike(reference, other)
    offsets = [_offset(reference, other) for other in volumes]
    first = max(round(float(offset[0])) for offset in offsets)
    last = min(
        round(float(offset[0])) + volume.array.shape[0] - 1 for offset, volume in zip(offsets, volumes, strict=True)
    )
    first = max(first, 0)
    if last < first:
        raise InputFault(
            "The acquisitions have no slice position in common.", "Check that both belong to this subject and sequence."
        )
    return [_onto(reference, volume, offset, first, last) for volume, offset in zip(volumes, offsets, strict=True)]


def _check_alike(reference: Volume, other: Volume) -> None:
    check = "Check that both files belong to this subject and sequence."
    if other.array.shape[1:] != reference.array.shape[1:]:
        mine, theirs = reference.array.shape, other.array.shape
        raise InputFault(
            f"The image matrix differs between the acquisitions: {mine[2]} x {mine[1]} and {theirs[2]} x {theirs[1]}.",
            check,
        )
    for axis in range(3):
        if not np.allclose(reference.direction(axis), other.direction(axis), atol=DIRECTION_TOLERANCE):
            raise InputFault("The orientation of the slices differs between the acquisitions.", check)
    for mine_mm, theirs_mm, what in zip(
        reference.spacing_mm, other.spacing_mm, ("slice distance", "pixel size", "pixel size"), strict=True
    ):
        single = what == "slice distance" and 1 in (reference.array.shape[0], other.array.shape[0])
        if not single and abs(mine_mm / theirs_mm - 1) > SPACING_TOLERANCE:
            raise InputFault(
                f"The {what} differs between the acquisitions: {mine_mm:.3f} mm and {theirs_mm:.3f} mm.", check
            )


def _offset(reference: Volume, other: Volume) -> npt.NDArray[np.float64]:
    """Where the other's voxel (0, 0, 0) lies in the reference's indices (slice, row, column)."""
    apart = other.affine[:3, 3] - reference.affine[:3, 3]
    offset = np.asarray(np.linalg.solve(reference.affine[:3, :3], apart), dtype=np.float64)
    check = "Check that both files belong to this subject and sequence."
    if abs(offset[0] - round(float(offset[0]))) > SLICE_TOLERANCE:
        raise InputFault("The slices of one acquisition lie between those of the other.", check)
    if np.abs(offset[1:]).max() > LARGEST_SHIFT:
        shift = np.abs(offset[1:] * np.array(reference.spacing_mm[1:])).max()
        raise InputFault(f"The fields of view of the acquisitions lie {shift:.1f} mm apart in the slice plane.", check)
    return offset


def _onto(reference: Volume, volume: Volume, offset: npt.NDArray[np.float64], first: int, last: int) -> Volume:
    start = first - round(float(offset[0]))
    stop = start + last - first + 1
    array = volume.array[start:stop]
    noise = None if volume.noise_std is None else volume.noise_std[start:stop]
    if np.abs(offset[1:]).max() > PIXEL_TOLERANCE:
        array = _shifted(array, float(offset[1]), float(offset[2]))
        noise = None if noise is None else _shifted_level(noise, float(offset[1]), float(offset[2]))
    affine = reference.affine.copy()
    affine[:3, 3] += first * affine[:3, 0]
    return replace(volume, array=array, affine=affine, noise_std=noise)


def _shifted(array: npt.NDArray[np.generic], rows: float, columns: float) -> npt.NDArray[np.generic]:
    """Content moved by (rows, columns) towards larger indices, by a linear phase in k-space."""
    phase_rows = np.exp(-2j * np.pi * rows * np.fft.fftfreq(array.shape[1]))[:, None]
    phase_columns = np.exp(-2j * np.pi * columns * np.fft.fftfreq(array.shape[2]))[None, :]
    moved = np.fft.ifft2(np.fft.fft2(array, axes=(1, 2)) * phase_rows * phase_columns, axes=(1, 2))
    if not np.iscomplexobj(array):
        return np.asarray(moved.real.astype(array.dtype))
    return np.asarray(moved.astype(np.complex64))


def _shifted_level(level: npt.NDArray[np.float32], rows: float, columns: float) -> npt.NDArray[np.float32]:
    """`[slice, row, column]` noise level moved like the image: linear between pixels, so that it stays positive, and
    round the ends, as a linear phase moves the image."""
    moved = ndimage.shift(level, (0, rows, columns), order=1, mode="grid-wrap")
    return np.asarray(moved, dtype=np.float32)
