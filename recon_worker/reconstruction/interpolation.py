"""After the chain: finer pixels by zero filling, and a mild filter against truncation ringing. One slice at a time.

Zero filling adds no information and takes none away: every acquired frequency keeps its value, so the image between
the pixels is the band-limited function that the samples describe (Bernstein et al., JMRI 14:270, 2001). The centre of
the field of view lies at index `n // 2` before and after, as everywhere in the chain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

from recon_worker.data import InputFault, Volume
from recon_worker.data.chain_choice import Apodization
from recon_worker.reconstruction.fourier import to_image, to_kspace

LARGEST_MATRIX = 2048
"""Stored pixels along one side."""
FERMI = {"mild": (0.8, 0.15)}
"""Where the Fermi window is a half, and over what it falls, in parts of the half axis of k-space. Of the Tukey, Fermi
and Hamming windows that widen an edge (10 to 90 %) by at most 1.35, this one leaves the least ringing near and far
together: the first overshoot falls from 9 to 5 %, ringing a dozen pixels away to a fifth."""


def zero_fill(volume: Volume, stored_matrix: tuple[int, int]) -> Volume:
    """`volume` on a grid of `stored_matrix` pixels (columns, rows), by zeros around each slice's k-space.

    Parameters
    ----------
    volume
        Complex `[slice, row, column]`; columns and rows as in its array, before any reorientation.

    Returns
    -------
    The same field of view (mm) with smaller pixels: each point of the patient keeps its position, a constant keeps its
    value, and so does the standard deviation of the noise, which is interpolated linearly where it varies. Noise of
    neighbouring pixels is correlated afterwards: there are more pixels than measurements.

    Raises
    ------
    InputFault
        If the matrix asked for is smaller than the acquired one, or larger than 2048.
    ValueError
        If the volume is not complex.
    """
    _, rows, columns = volume.array.shape
    stored_columns, stored_rows = stored_matrix
    if stored_columns < columns or stored_rows < rows:
        raise InputFault(
            f"The stored matrix of {stored_columns} x {stored_rows} is smaller than the acquired one of "
            f"{columns} x {rows}.",
            "Choose a stored matrix that is at least as large, or none.",
        )
    if max(stored_matrix) > LARGEST_MATRIX:
        raise InputFault(
            f"The stored matrix of {stored_columns} x {stored_rows} is too large.",
            f"Choose at most {LARGEST_MATRIX} pixels along a side.",
        )
    if (stored_columns, stored_rows) == (columns, rows):
        return volume
    # In orthonormal transforms a constant grows with the root of the number of pixels.
    gain = float(np.sqrt(stored_columns * stored_rows / (columns * rows)))
    row, column = stored_rows // 2 - rows // 2, stored_columns // 2 - columns // 2

    def fill(kspace: torch.Tensor) -> torch.Tensor:
        filled = torch.zeros((stored_rows, stored_columns), dtype=kspace.dtype)
        filled[row : row + rows, column : column + columns] = kspace * gain
        return filled

    affine = volume.affine.copy()
    affine[:3, 1] *= rows / stored_rows
    affine[:3, 2] *= columns / stored_columns
    centre = volume.position_mm((0, rows // 2, columns // 2))
    affine[:3, 3] = centre - affine[:3, 1] * (stored_rows // 2) - affine[:3, 2] * (stored_columns // 2)
    noise = None if volume.noise_std is None else _finer(volume.noise_std, stored_rows, stored_columns)
    return replace(
        volume, array=_in_kspace(volume, fill, (stored_rows, stored_columns)), affine=affine, noise_std=noise
    )


def apodize(
    volume: Volume,
    strength: Apodization,
    *,
    extent: tuple[float, float] = (1.0, 1.0),
    line_noise: npt.NDArray[np.float32] | None = None,
) -> Volume:
    """`volume` with the outer parts of k-space weighed down, along rows and columns: less ringing, wider edges.

    Not before a network that was trained on unfiltered images. The noise standard deviation falls by the root mean
    square of the window, weighted by the noise of the lines: exact for noise that varies slowly in the image and has
    the same colour everywhere.

    Parameters
    ----------
    volume
        Complex `[slice, row, column]`.
    strength
        "mild", or "none" for the volume as it is.
    extent
        Parts of the grid's k-space (along columns, along rows) that were acquired, around its centre; below 1 where
        zeros were filled in before.
    line_noise
        `[row]` variance of the noise by its frequency along the rows (`Reconstruction.line_noise`): not the same for
        all after partial Fourier or unfolding. By default equal for all acquired ones.

    Raises
    ------
    ValueError
        If the volume is not complex, an extent is not above 0 and at most 1, or the line noise not that of the rows.
    """
    if strength == "none":
        return volume
    if not all(0 < part <= 1 for part in extent):
        raise ValueError("The acquired extent is a part of k-space.")
    _, rows, columns = volume.array.shape
    along_columns, along_rows = (
        fermi_window(length, *FERMI[strength], part) for length, part in zip((columns, rows), extent, strict=True)
    )
    window = torch.from_numpy(np.outer(along_rows, along_columns).astype(np.float32))
    array = _in_kspace(volume, lambda kspace: kspace * window, (rows, columns))
    factor = noise_factor((columns, rows), strength, extent=extent, line_noise=line_noise)
    noise = None if volume.noise_std is None else (volume.noise_std * np.float32(factor)).astype(np.float32)
    return replace(volume, array=array, noise_std=noise)


def noise_factor(
    matrix: tuple[int, int],
    strength: Apodization,
    *,
    extent: tuple[float, float] = (1.0, 1.0),
    line_noise: npt.NDArray[np.float32] | None = None,
) -> float:
    """What `apodize` multiplies the noise of an image of `matrix` (columns, rows) with; its parameters."""
    columns, rows = matrix
    if line_noise is not None and line_noise.shape != (rows,):
        raise ValueError(f"The line noise has {len(line_noise)} values, the image {rows} rows.")
    along_columns, along_rows = (
        fermi_window(length, *FERMI[strength], part) for length, part in zip(matrix, extent, strict=True)
    )
    of_lines = _inside(rows, extent[1]) * (1.0 if line_noise is None else line_noise.astype(np.float64))
    in_rows = np.average(along_rows**2, weights=of_lines)
    in_columns = np.average(along_columns**2, weights=_inside(columns, extent[0]).astype(np.float64))
    return float(np.sqrt(in_rows * in_columns))


def apodization_step(
    matrix: tuple[int, int], strength: Apodization, line_noise: npt.NDArray[np.float32]
) -> dict[str, Any]:
    """The step of the lineage; parameters as in `apodize`."""
    half, fall = FERMI[strength]
    return {
        "step": "apodization",
        "method": "Fermi window along rows and columns",
        "half_at": half,
        "falls_over": fall,
        "unit": "parts of the half axis of k-space",
        "noise_factor": noise_factor(matrix, strength, line_noise=line_noise),
    }


def fermi_window(length: int, half: float, fall: float, extent: float = 1.0) -> npt.NDArray[np.float64]:
    """`[length]`: one in the centre (`length // 2`), a half at the part `half` of the acquired half axis, zero beyond
    the acquired extent (Bernstein, King and Zhou, Handbook of MRI Pulse Sequences, 2004, section 13.1)."""
    window = 1 / (1 + np.exp((_places(length) / extent - half) / fall))
    return np.asarray(window * (1 + np.exp(-half / fall)) * _inside(length, extent), dtype=np.float64)


def _places(length: int) -> npt.NDArray[np.float64]:
    """Distance of each sample from the centre of k-space; 1 is the end of the axis."""
    return np.abs(np.arange(length) - length // 2) / (length / 2)


def _inside(length: int, extent: float) -> npt.NDArray[np.bool_]:
    return np.asarray(_places(length) <= extent + 1e-9)


def _in_kspace(
    volume: Volume, change: Callable[[torch.Tensor], torch.Tensor], shape: tuple[int, int]
) -> npt.NDArray[np.complex64]:
    """Every slice `[row, column]` changed in k-space; complex64 `[slice, *shape]`."""
    if not np.iscomplexobj(volume.array):
        raise ValueError("Zero filling and apodization need the complex image, before magnitude.")
    result = np.empty((volume.array.shape[0], *shape), dtype=np.complex64)
    for index, picture in enumerate(volume.array):
        kspace = torch.from_numpy(np.ascontiguousarray(picture, dtype=np.complex64))
        for axis in (0, 1):
            kspace = to_kspace(kspace, axis)
        changed = change(kspace)
        for axis in (0, 1):
            changed = to_image(changed, axis)
        result[index] = changed.numpy()
    return result


def _finer(noise: npt.NDArray[np.float32], rows: int, columns: int) -> npt.NDArray[np.float32]:
    """`[slice, rows, columns]` by linear interpolation between the pixel centres, the ends carried on."""
    places = [
        (np.arange(fine) - fine // 2) * (coarse / fine) + coarse // 2
        for fine, coarse in zip((rows, columns), noise.shape[1:], strict=True)
    ]
    grid = np.meshgrid(*places, indexing="ij")
    return np.stack([
        ndimage.map_coordinates(one, grid, order=1, mode="nearest", output=np.float32) for one in noise
    ])  # fmt: skip
