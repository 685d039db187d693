"""One look for all series of a subject and sequence: one grid, one gain for each acquisition and chain, one intensity
map, one scale, one stored matrix."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from recon_worker.data import Volume
from recon_worker.dicom.orientation import to_reading_orientation
from recon_worker.reconstruction.grid import common_grid
from recon_worker.reconstruction.intensity import acquisition_gain, intensity_map, stored_pixels, stored_scale
from recon_worker.reconstruction.interpolation import zero_fill


def on_common_grid(volumes: list[Volume], reference: int) -> list[Volume]:
    """All on the reference's grid, in the given order; one geometry, to the last bit: what is written of it must not
    differ by series."""
    order = [reference, *(index for index in range(len(volumes)) if index != reference)]
    matched = dict(zip(order, common_grid([volumes[index] for index in order]), strict=True))
    first = matched[reference]
    return [
        replace(matched[index], affine=first.affine, slice_thickness_mm=first.slice_thickness_mm)
        for index in range(len(volumes))
    ]


def gains_of(
    volumes: list[Volume], reductions: list[float], acquisitions: list[int], reference: int
) -> dict[int, float]:
    """One gain for each number in `acquisitions`: 1 for the reference's; for the others measured on their least
    denoised series."""
    gains = {acquisitions[reference]: 1.0}
    for index in sorted(range(len(volumes)), key=lambda index: (reductions[index], index)):
        if acquisitions[index] not in gains:
            gains[acquisitions[index]] = acquisition_gain(volumes[reference], volumes[index])
    return gains


def one_look(
    volumes: list[Volume], gains: list[float], reference: int, stored_matrix: tuple[int, int] | None = None
) -> tuple[Iterator[Volume], float]:
    """Stored pixels of all series in reading orientation, made one at a time, and their common scale.

    Parameters
    ----------
    volumes, gains
        Complex `[slice, row, column]` on one grid, and the factor of each.
    reference
        Whose brightness gives the intensity map and the scale of all.
    stored_matrix
        Columns and rows (before reorientation) to which every slice is zero filled, or None.

    Raises
    ------
    InputFault
        If the stored matrix is smaller than the acquired one, or the reference holds no signal.
    """
    field = intensity_map(volumes[reference])
    finer: npt.NDArray[np.float32] | None = None

    def corrected(index: int) -> tuple[Volume, npt.NDArray[np.float32]]:
        nonlocal finer
        volume = volumes[index] if stored_matrix is None else zero_fill(volumes[index], stored_matrix)
        if finer is None:
            finer = on_grid_of(volume, field, volumes[reference])
        return volume, np.asarray(np.abs(volume.array) * finer * np.float32(gains[index]), dtype=np.float32)

    scale = stored_scale(corrected(reference)[1])

    def pictures() -> Iterator[Volume]:
        for index in range(len(volumes)):
            volume, magnitude = corrected(index)
            yield to_reading_orientation(volume.with_array(stored_pixels(magnitude, scale)))

    return pictures(), scale


def on_grid_of(finer: Volume, field: npt.NDArray[np.float32], coarse: Volume) -> npt.NDArray[np.float32]:
    """A smooth field on the grid of `coarse`, linearly interpolated in the slices to that of `finer`, whose slices and
    directions are the same; beyond the outermost pixel centres it goes on as it ends."""
    if finer.array.shape == coarse.array.shape:
        return field
    index = np.linalg.inv(coarse.affine) @ finer.affine
    result = field
    for axis in (1, 2):
        places = index[axis, axis] * np.arange(finer.array.shape[axis]) + index[axis, 3]
        places = np.clip(places, 0, field.shape[axis] - 1)
        lower = np.minimum(places.astype(int), max(field.shape[axis] - 2, 0))
        upper = np.minimum(lower + 1, field.shape[axis] - 1)
        weight = (places - lower).astype(np.float32).reshape((-1, 1) if axis == 1 else (-1,))
        result = (1 - weight) * np.take(result, lower, axis=axis) + weight * np.take(result, upper, axis=axis)
    return result.astype(np.float32)
