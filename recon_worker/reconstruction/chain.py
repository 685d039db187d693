"""The whole conventional reconstruction of one acquisition, slice by slice.

Order: mean of repeated lines, readout transform, removal of readout oversampling, whitening, coil maps, phase-encode
transform, matched-filter combination, partial Fourier, removal of phase oversampling. Averaging comes before whitening
because both are linear and averages are the larger data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from recon_worker.data import InputFault, KSpace, KSpaceHeader, KSpaceSlice, ReconstructionFault, Volume
from recon_worker.data.geometry import affine_from_planes
from recon_worker.reconstruction.averaging import Coverage, average_lines, coverage
from recon_worker.reconstruction.coils import CALIBRATION_STEPS, coil_maps, combine
from recon_worker.reconstruction.fourier import crop_centre, to_image
from recon_worker.reconstruction.noise import NoiseModel, noise_from_images, noise_from_scan, whitening_matrix
from recon_worker.reconstruction.partial_fourier import (
    ITERATIONS,
    fill_partial_fourier,
    noise_along_phase,
    noise_level,
)

Progress = Callable[[str, float], None]
CHAIN = "conventional"
CHAIN_VERSION = 1


def _silent(_stage: str, _fraction: float) -> None:
    """No progress wanted."""


@dataclass(frozen=True)
class Reconstruction:
    """What the chain hands on.

    Attributes
    ----------
    volume
        complex64 `[slice, row, column]` on the acquired grid, after partial Fourier, before intensity correction,
        zero filling and magnitude; `noise_std` filled. Scale: unit noise per real or imaginary part of a sample.
    lineage
        Every step with its parameters, plain JSON types.
    """

    volume: Volume
    lineage: dict[str, Any] = field(default_factory=dict)


def reconstruct(kspace: KSpace, *, progress: Progress = _silent, device: str = "cpu") -> Reconstruction:
    """Reconstruct an acquisition.

    Parameters
    ----------
    progress
        Called with the stage's name and its fraction done, 0 to 1.
    device
        A torch device; slices are moved there one at a time.

    Raises
    ------
    InputFault
        If the acquisition is undersampled, incomplete or without signal.
    ReconstructionFault
        If the chain itself fails.
    """
    header = kspace.header
    progress("measuring the noise", 0.0)
    model = noise_from_scan(header) or noise_from_images(header, _first_slice(kspace))
    whitening = torch.from_numpy(whitening_matrix(model.covariance)).to(device)
    progress("measuring the noise", 1.0)
    columns, rows = header.image_matrix
    array = np.zeros((header.n_slices, rows, columns), dtype=np.complex64)
    noise = np.zeros(array.shape, dtype=np.float32)
    coverages: list[Coverage] = []
    progress("reconstructing slices", 0.0)
    with torch.inference_mode():
        for piece in kspace.slices():
            covered = coverage(piece, header.ky_centre)
            image = _reconstruct_slice(header, piece, covered, whitening)
            array[piece.index] = image.cpu().numpy()
            noise[piece.index] = noise_level(covered) * np.sqrt(_readout_part(piece))
            coverages.append(covered)
            progress("reconstructing slices", len(coverages) / header.n_slices)
    if len(coverages) != header.n_slices:
        raise ReconstructionFault(f"{len(coverages)} of {header.n_slices} slices were read.")
    if not np.isfinite(array.view(np.float32)).all():
        raise ReconstructionFault("The reconstructed image holds values that are not numbers.")
    if not np.any(array):
        raise InputFault("All samples of the acquisition are zero.", "Export it again from the scanner.")
    volume = Volume(array, _affine(header), header.slice_thickness_mm, noise)
    return Reconstruction(volume, _lineage(header, model, whitening.shape[0], coverages))


def _first_slice(kspace: KSpace) -> KSpaceSlice:
    for piece in kspace.slices():
        return piece
    raise InputFault("The file holds no slices.")


def _reconstruct_slice(
    header: KSpaceHeader, piece: KSpaceSlice, covered: Coverage, whitening: torch.Tensor
) -> torch.Tensor:
    """Combined complex image `[row, column]` of one slice."""
    device = whitening.device
    columns, rows = header.image_matrix
    lines = average_lines(
        torch.from_numpy(piece.data).to(device), torch.from_numpy(np.ascontiguousarray(piece.acquired)).to(device)
    )
    hybrid = _white_columns(lines, columns, whitening)
    calibration, steps = hybrid, covered.symmetric
    if piece.calibration is not None:
        separate = torch.from_numpy(piece.calibration).to(device)
        held = np.flatnonzero(np.any(piece.calibration != 0, axis=(0, 2)))
        reach = min(header.ky_centre - int(held[0]), int(held[-1]) - header.ky_centre) if len(held) else 0
        if reach >= covered.symmetric:
            calibration, steps = _white_columns(separate, columns, whitening), reach
    steps = min(steps, CALIBRATION_STEPS // 2)
    maps = coil_maps(
        calibration,
        ky_centre=header.ky_centre,
        half_width_steps=steps,
        half_width_samples=steps * header.image_field_of_view_mm[0] / header.encoded_field_of_view_mm[1],
    )
    image = combine(to_image(hybrid, 1), maps)
    if covered.partial_fourier:
        image = fill_partial_fourier(image, covered)
    return crop_centre(image, 0, rows)


def _white_columns(lines: torch.Tensor, columns: int, whitening: torch.Tensor) -> torch.Tensor:
    """`[channel, ky, column]` from `[coil, ky, kx]`: readout transform, oversampling removed, whitened."""
    hybrid = crop_centre(to_image(lines, 2), 2, columns)
    return torch.tensordot(whitening, hybrid, dims=1)


def _readout_part(piece: KSpaceSlice) -> float:
    """Part of the readout grid that was acquired (less than 1 for asymmetric echoes); the rest adds no noise."""
    average, step = np.argwhere(piece.acquired)[0]
    return float(np.any(piece.data[average, :, step] != 0, axis=0).mean())


def _affine(header: KSpaceHeader) -> np.ndarray[Any, np.dtype[np.float64]]:
    columns, rows = header.image_matrix
    try:
        return affine_from_planes(
            list(header.planes),
            rows=rows,
            columns=columns,
            row_spacing_mm=header.encoded_field_of_view_mm[1] / header.encoded_matrix[1],
            column_spacing_mm=header.encoded_field_of_view_mm[0] / header.encoded_matrix[0],
            slice_thickness_mm=header.slice_thickness_mm,
        )
    except ValueError as error:
        raise InputFault(str(error), "Export one evenly spaced stack of slices per file.") from error


def _lineage(header: KSpaceHeader, model: NoiseModel, channels: int, coverages: list[Coverage]) -> dict[str, Any]:
    first = coverages[0]
    counts = np.concatenate([covered.counts[covered.counts > 0] for covered in coverages])
    partial = any(covered.partial_fourier for covered in coverages)
    return {
        "chain": CHAIN,
        "version": CHAIN_VERSION,
        "steps": [
            {
                "step": "noise whitening",
                "method": "Cholesky factor of the noise covariance",
                "source": model.source,
                "samples": model.samples,
                "bandwidth_ratio": header.noise_bandwidth_ratio if model.source == "noise scan" else 1.0,
                "coils": header.n_coils,
                "channels": channels,
            },
            {
                "step": "averaging",
                "method": "complex mean of each line by its own count",
                "averages_per_line": {"least": int(counts.min()), "most": int(counts.max())},
            },
            {
                "step": "readout oversampling removal",
                "samples": header.encoded_matrix[0],
                "columns": header.image_matrix[0],
            },
            {
                "step": "coil combination",
                "method": "matched filter; maps: windowed central block over its root sum of squares, coarser in air",
                "calibration_steps": 2 * min(first.symmetric, CALIBRATION_STEPS // 2) + 1,
            },
            {
                "step": "partial Fourier",
                "method": "POCS on the combined image" if partial else "none: all lines acquired",
                "iterations": ITERATIONS if partial else 0,
                "lines_acquired": first.last - first.first + 1,
                "lines_beyond_centre": first.symmetric,
                "noise_level": noise_level(first),
                "noise_level_along_phase": noise_along_phase(first),
            },
            {
                "step": "phase oversampling removal",
                "encoded_rows": header.encoded_matrix[1],
                "rows": header.image_matrix[1],
            },
        ],
    }
