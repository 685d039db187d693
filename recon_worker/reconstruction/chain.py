"""The whole conventional reconstruction of one acquisition, slice by slice (`slice_chain` for what happens to each)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from recon_worker.data import ChainChoice, InputFault, KSpace, KSpaceHeader, KSpaceSlice, ReconstructionFault, Volume
from recon_worker.data.geometry import affine_from_planes
from recon_worker.reconstruction.chain_lineage import lineage, remarks
from recon_worker.reconstruction.noise import noise_from_images, noise_from_scan, noise_scan_remark, whitening_matrix
from recon_worker.reconstruction.side_by_side import side_by_side
from recon_worker.reconstruction.slice_chain import SliceChain, SliceResult
from recon_worker.reconstruction.undersampling import Dropped, undersample

Progress = Callable[[str, float], None]
LineNoise = npt.NDArray[np.float32]


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
    line_noise
        float32 `[row]`: variance of the complex image's noise by its frequency along the rows, relative to the mean,
        which is 1. Frequency zero at `row // 2`; mean over slices. All ones for a fully sampled scan; zero for
        frequencies that nothing was acquired of.
    line_noise_along_phase
        float32 `[row]`: the same for the part along the image's phase, which is what a magnitude image shows: of the
        real part once the image's low-resolution phase is taken off, hence symmetric about zero. Differs from
        `line_noise` after partial Fourier.
    """

    volume: Volume
    lineage: dict[str, Any] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    line_noise: LineNoise = field(default_factory=lambda: np.ones(0, dtype=np.float32))
    line_noise_along_phase: LineNoise = field(default_factory=lambda: np.ones(0, dtype=np.float32))


def reconstruct(
    kspace: KSpace, *, choice: ChainChoice | None = None, progress: Progress = _silent, device: str = "cpu"
) -> Reconstruction:
    """Reconstruct an acquisition.

    Parameters
    ----------
    choice
        What a study's arm chose of the chain; the paper's chain by default.
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
    header, choice = kspace.header, choice or ChainChoice()
    progress("measuring the noise", 0.0)
    model = noise_from_scan(header)
    if model is None:
        model = noise_from_images(header, undersample(_first_slice(kspace), header.ky_centre, choice)[0])
    whitening = torch.from_numpy(whitening_matrix(model.covariance)).to(device)
    progress("measuring the noise", 1.0)
    chain = SliceChain(header, choice, whitening)
    columns, rows = header.image_matrix
    array = np.zeros((header.n_slices, rows, columns), dtype=np.complex64)
    noise = np.zeros(array.shape, dtype=np.float32)
    told: list[SliceResult] = []
    dropped: Dropped | None = None
    progress("reconstructing slices", 0.0)

    def compute(whole: KSpaceSlice) -> tuple[int, SliceResult, Dropped | None]:
        piece, now_dropped = undersample(whole, header.ky_centre, choice)
        return piece.index, chain.reconstruct(piece), now_dropped

    for index, result, now_dropped in side_by_side(
        (kspace.averaged_slices or kspace.slices)(), compute, item_bytes=_slice_bytes(kspace), device=whitening.device
    ):
        dropped = dropped or now_dropped
        array[index] = result.image.cpu().numpy()
        level = result.noise_std
        noise[index] = level.cpu().numpy() if isinstance(level, torch.Tensor) else level
        told.append(result.without_pixels())
        progress("reconstructing slices", len(told) / header.n_slices)
    if len(told) != header.n_slices:
        raise ReconstructionFault(f"{len(told)} of {header.n_slices} slices were read.")
    if not np.isfinite(array.view(np.float32)).all():
        raise ReconstructionFault("The reconstructed image holds values that are not numbers.")
    if not np.any(array):
        raise InputFault("All samples of the acquisition are zero.", "Export it again from the scanner.")
    volume = Volume(array, _affine(header), header.slice_thickness_mm, noise)
    return Reconstruction(
        volume,
        lineage(header, choice, model, whitening.shape[0], told, dropped),
        (*noise_scan_remark(header, model), *remarks(told, choice, dropped)),
        _by_row([result.line_noise[0] for result in told], rows),
        _by_row([result.line_noise[1] for result in told], rows),
    )


def _first_slice(kspace: KSpace) -> KSpaceSlice:
    for piece in kspace.slices():
        return piece
    raise InputFault("The file holds no slices.")


def _slice_bytes(kspace: KSpace) -> int:
    """Of one slice with what is computed from it: the mean of its averages, coil images, maps."""
    header = kspace.header
    samples, steps = header.encoded_matrix
    held = 1 if kspace.averaged_slices else header.n_averages
    return (held + 3) * header.n_coils * steps * samples * np.dtype(np.complex64).itemsize


def _by_row(variances: Sequence[npt.NDArray[np.float64]], rows: int) -> LineNoise:
    """`[row]` mean over slices of variances by encoded phase-encode step, at the frequencies of the image's rows."""
    by_step = np.mean(variances, axis=0)
    steps = len(by_step)
    wanted = (np.arange(rows) - rows // 2) * steps / rows + steps // 2
    by_row = np.interp(wanted, np.arange(steps), by_step)
    return (by_row / max(by_row.mean(), np.finfo(np.float64).tiny)).astype(np.float32)


def _affine(header: KSpaceHeader) -> npt.NDArray[np.float64]:
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
