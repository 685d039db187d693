"""The whole conventional reconstruction of one acquisition, slice by slice.

Order: mean of repeated lines, readout transform, removal of readout oversampling, whitening, coil maps, phase-encode
transform and matched-filter combination, or unfolding where lines between the outermost ones are missing, partial
Fourier, removal of phase oversampling. Averaging comes before whitening
because both are linear and averages are the larger data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from recon_worker.data import InputFault, KSpace, KSpaceHeader, KSpaceSlice, ReconstructionFault, Volume
from recon_worker.data.geometry import affine_from_planes
from recon_worker.reconstruction.averaging import Coverage, average_lines, coverage, reach_without_gap
from recon_worker.reconstruction.coils import CALIBRATION_STEPS, coil_maps, combine
from recon_worker.reconstruction.fourier import crop_centre, to_image
from recon_worker.reconstruction.noise import NoiseModel, noise_from_images, noise_from_scan, whitening_matrix
from recon_worker.reconstruction.partial_fourier import (
    ITERATIONS,
    fill_partial_fourier,
    noise_along_phase,
    noise_level,
)
from recon_worker.reconstruction.sense import noise_amplification, regularisation, unfold

Progress = Callable[[str, float], None]
CHAIN = "conventional"
CHAIN_VERSION = 2

MIN_CALIBRATION_REACH = 6
"""Calibration lines on both sides of the centre below which maps are too coarse to unfold with."""
MIN_RECOVERED = 0.25
"""Mean part of the missing lines that the coils must determine; with less the image would be mostly blur."""
WELL_SEEN = 5.0
"""Pixels this much brighter than their noise count for the median g-factor."""


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
    remarks
        Sentences on what the chain noticed, for the coordinator only.
    """

    volume: Volume
    lineage: dict[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class _SliceResult:
    """Image and noise of one slice `[row, column]`; for unit noise in a sample acquired once.

    `noise_levels` are medians: root mean square over the complex plane, and along the image's phase.
    """

    image: torch.Tensor
    noise_std: torch.Tensor | float
    noise_levels: tuple[float, float]
    coverage: Coverage
    calibration: tuple[str, int]
    unfolding: _Unfolding | None = None


@dataclass(frozen=True)
class _Unfolding:
    """What is told of one unfolded slice."""

    regularisation: float
    g_factor: float
    recovered: float


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
        If the acquisition is undersampled without a calibration block or more than its coils can unfold, incomplete or
        without signal.
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
    told: list[_SliceResult] = []
    progress("reconstructing slices", 0.0)
    with torch.inference_mode():
        for piece in kspace.slices():
            result = _reconstruct_slice(header, piece, coverage(piece, header.ky_centre), whitening)
            array[piece.index] = result.image.cpu().numpy()
            level = result.noise_std
            noise[piece.index] = level.cpu().numpy() if isinstance(level, torch.Tensor) else level
            noise[piece.index] *= np.sqrt(_readout_part(piece))
            # What is told of a slice needs no pixels.
            told.append(replace(result, image=torch.empty(0), noise_std=0.0))
            progress("reconstructing slices", len(told) / header.n_slices)
    if len(told) != header.n_slices:
        raise ReconstructionFault(f"{len(told)} of {header.n_slices} slices were read.")
    if not np.isfinite(array.view(np.float32)).all():
        raise ReconstructionFault("The reconstructed image holds values that are not numbers.")
    if not np.any(array):
        raise InputFault("All samples of the acquisition are zero.", "Export it again from the scanner.")
    volume = Volume(array, _affine(header), header.slice_thickness_mm, noise)
    return Reconstruction(volume, _lineage(header, model, whitening.shape[0], told), _remarks(told))


def _first_slice(kspace: KSpace) -> KSpaceSlice:
    for piece in kspace.slices():
        return piece
    raise InputFault("The file holds no slices.")


def _reconstruct_slice(
    header: KSpaceHeader, piece: KSpaceSlice, covered: Coverage, whitening: torch.Tensor
) -> _SliceResult:
    """Combined complex image of one slice and its noise."""
    device = whitening.device
    columns, rows = header.image_matrix
    lines = average_lines(
        torch.from_numpy(piece.data).to(device), torch.from_numpy(np.ascontiguousarray(piece.acquired)).to(device)
    )
    source, calibration, reach = _calibration(header, piece, covered, lines)
    if covered.undersampled and reach < MIN_CALIBRATION_REACH:
        raise InputFault(
            f"Slice {piece.index + 1} is undersampled: {covered.missing} of {covered.run_length} lines are missing, "
            f"and only {max(2 * reach + 1, 0)} lines in the middle of k-space are without gaps; coil sensitivities "
            f"need {2 * MIN_CALIBRATION_REACH + 1}.",
            "Export the acquisition with its calibration lines (reference scan).",
        )
    hybrid = _white_columns(lines, columns, whitening)
    steps = min(reach, CALIBRATION_STEPS // 2)
    maps = coil_maps(
        hybrid if calibration is lines else _white_columns(calibration, columns, whitening),
        ky_centre=header.ky_centre,
        half_width_steps=steps,
        half_width_samples=steps * header.image_field_of_view_mm[0] / header.encoded_field_of_view_mm[1],
    )
    if covered.undersampled:
        result = _unfold_slice(piece, hybrid, maps, covered, (source, steps))
    else:
        levels = noise_level(covered), noise_along_phase(covered)
        result = _SliceResult(combine(to_image(hybrid, 1), maps), levels[0], levels, covered, (source, steps))
    image, noise_std = result.image, result.noise_std
    if covered.partial_fourier:
        image = fill_partial_fourier(image, covered.unfolded())
    if isinstance(noise_std, torch.Tensor):
        noise_std = crop_centre(noise_std, 0, rows)
    return replace(result, image=crop_centre(image, 0, rows), noise_std=noise_std)


def _calibration(
    header: KSpaceHeader, piece: KSpaceSlice, covered: Coverage, lines: torch.Tensor
) -> tuple[str, torch.Tensor, int]:
    """Where the coil maps come from, in words and as `[coil, ky, kx]`, and its lines on both sides of the centre."""
    own = covered.fully_sampled_reach
    if piece.calibration is None:
        return "image lines", lines, own
    held = np.any(piece.calibration != 0, axis=(0, 2))
    separate = torch.from_numpy(piece.calibration).to(lines.device)
    alone = reach_without_gap(held, header.ky_centre)
    # Siemens marks lines that serve both purposes as image lines: then only both together have no gaps.
    together = reach_without_gap(held | (covered.counts > 0), header.ky_centre)
    if covered.undersampled and together > max(own, alone):
        chosen = torch.from_numpy(covered.counts > 0).to(lines.device)[:, None]
        return "separate and image lines", torch.where(chosen, lines, separate), together
    return ("separate lines", separate, alone) if alone >= max(own, 1) else ("image lines", lines, own)


def _unfold_slice(
    piece: KSpaceSlice, hybrid: torch.Tensor, maps: torch.Tensor, covered: Coverage, calibration: tuple[str, int]
) -> _SliceResult:
    """The unfolded image on the encoded grid, before partial Fourier; its noise is that after it."""
    strength = regularisation(hybrid, covered)
    unfolded = unfold(hybrid, maps, covered, strength)
    first, last = covered.run
    recovered = float(unfolded.recovered.cpu().numpy()[covered.counts[first : last + 1] == 0].mean())
    if recovered < MIN_RECOVERED:
        raise InputFault(
            f"Slice {piece.index + 1} lacks {covered.missing} of {covered.run_length} lines, and its coils determine "
            f"only {100 * recovered:.0f} % of what these would hold.",
            "The acquisition is incomplete, or undersampled by more than its coils can unfold; export it again.",
        )
    seen = unfolded.image.abs() > WELL_SEEN * unfolded.noise_std
    g_factor = noise_amplification(unfolded.noise_std, covered)
    median = float((g_factor[seen] if bool(seen.any()) else g_factor).median())
    levels = float(unfolded.noise_std.median()), float(unfolded.noise_along_phase.median())
    told = _Unfolding(strength, median, recovered)
    return _SliceResult(unfolded.image, unfolded.noise_std, levels, covered, calibration, told)


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


def _remarks(told: list[_SliceResult]) -> tuple[str, ...]:
    unfolded = [result for result in told if result.unfolding]
    if not unfolded:
        return ()
    step, first = _unfolding_step(unfolded), unfolded[0].coverage
    return (
        f"Undersampled: {first.missing} of {first.run_length} lines were filled in from the coil sensitivities "
        f"(SENSE), with {step['g_factor_median']:.2f} times the noise that the shorter scan alone brings; the coils "
        f"determine {100 * step['missing_lines_determined']:.0f} % of what these lines hold.",
    )


def _unfolding_step(unfolded: list[_SliceResult]) -> dict[str, Any]:
    first = unfolded[0].coverage
    details = [result.unfolding for result in unfolded if result.unfolding]
    missing = [result.coverage.missing for result in unfolded]
    strengths = [each.regularisation for each in details]
    return {
        "step": "unfolding",
        "method": "SENSE: regularised least squares, solved directly for every image column",
        "iterations": 0,
        "slices": len(unfolded),
        "widest_step": first.widest_step,
        "reduction_factor": first.run_length / (first.run_length - first.missing),
        "lines_missing": {"least": min(missing), "most": max(missing)},
        "regularisation": {"least": min(strengths), "most": max(strengths)},
        "regularisation_unit": "noise power of a sample acquired once",
        "g_factor_median": float(np.median([each.g_factor for each in details])),
        "missing_lines_determined": min(each.recovered for each in details),
    }


def _lineage(header: KSpaceHeader, model: NoiseModel, channels: int, told: list[_SliceResult]) -> dict[str, Any]:
    first = told[0].coverage
    counts = np.concatenate([result.coverage.counts[result.coverage.counts > 0] for result in told])
    partial = any(result.coverage.partial_fourier for result in told)
    unfolded = [result for result in told if result.unfolding]
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
                "calibration": told[0].calibration[0],
                "calibration_steps": 2 * told[0].calibration[1] + 1,
            },
            *([_unfolding_step(unfolded)] if unfolded else []),
            {
                "step": "partial Fourier",
                "method": "POCS on the combined image" if partial else "none: all lines acquired",
                "iterations": ITERATIONS if partial else 0,
                "lines_acquired": int(np.count_nonzero(first.counts)),
                "lines_beyond_centre": first.symmetric,
                "noise_level": told[0].noise_levels[0],
                "noise_level_along_phase": told[0].noise_levels[1],
            },
            {
                "step": "phase oversampling removal",
                "encoded_rows": header.encoded_matrix[1],
                "rows": header.image_matrix[1],
            },
        ],
    }
