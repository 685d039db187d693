"""Noise covariance of the receive coils and the matrix that whitens them.

Source: Roemer et al., MRM 16:192 (1990); Pruessmann et al., MRM 46:638 (2001), appendix (noise decorrelation by the
Cholesky factor of the receiver noise matrix).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import stats

from recon_worker.data import InputFault, KSpaceHeader, KSpaceSlice
from recon_worker.reconstruction.fourier import crop_centre, to_image

ComplexMatrix = npt.NDArray[np.complex128]

SAMPLES_PER_COIL = 8
"""Fewer noise samples than this per coil give no usable covariance."""
LOW_QUANTILE = 0.1
DEAD_COIL = 1e-6
"""A coil with less than this part of the median noise variance carries no signal and is left out."""


def parameters() -> dict[str, Any]:
    """Constants of the estimate, for the lineage."""
    return {"samples_per_coil": SAMPLES_PER_COIL, "low_quantile": LOW_QUANTILE, "dead_coil": DEAD_COIL}


@dataclass(frozen=True)
class NoiseModel:
    """Noise of one imaging sample.

    Attributes
    ----------
    covariance
        `[coil, coil]` E[n n^H] of the complex noise of one sample (real and imaginary part together).
    source
        Where it comes from: "noise scan", "outer readout field of view" or "outer k-space".
    samples
        Number of samples it was estimated from.
    """

    covariance: ComplexMatrix
    source: str
    samples: int


def sample_covariance(samples: npt.NDArray[np.complexfloating[Any, Any]]) -> ComplexMatrix:
    """`[coil, coil]` mean of n n^H over `samples` `[coil, sample]`; noise has zero mean by nature."""
    wide = samples.astype(np.complex128)
    return np.asarray(wide @ wide.conj().T / wide.shape[1], dtype=np.complex128)


def noise_from_scan(header: KSpaceHeader) -> NoiseModel | None:
    """Covariance from the noise scan, in the scale of an imaging sample; None without a usable scan."""
    noise = header.noise
    if noise is None or noise.shape[1] < SAMPLES_PER_COIL * noise.shape[0] or not np.any(noise):
        return None
    return NoiseModel(sample_covariance(noise) * header.noise_bandwidth_ratio, "noise scan", noise.shape[1])


def noise_scan_remark(header: KSpaceHeader, model: NoiseModel) -> list[str]:
    """One sentence where the file has a noise scan that `model` could not be made of."""
    if header.noise is None or model.source == "noise scan":
        return []
    return [
        f"The noise scan holds {header.noise.shape[1]} samples of {header.noise.shape[0]} coils, too few or all zero; "
        f"the noise was estimated from the {model.source.split(',')[0]}, and its level is uncertain by 5 to 10 %."
    ]


def noise_from_images(header: KSpaceHeader, piece: KSpaceSlice) -> NoiseModel:
    """Covariance estimated where an acquisition holds hardly any signal, from one slice.

    How coils correlate is taken from the quieter of two places: the outer readout field of view that oversampling
    adds, in lines far from the centre, or the corners of k-space. Receivers attenuate towards the rim of the
    oversampled field of view (measured on a Siemens Skyra: to 0.7 of the variance inside the image), so the size is
    then scaled to what the quietest tenth of the image's own columns holds in the farthest lines: columns beside the
    body.

    Raises
    ------
    InputFault
        If there are too few such samples.
    """
    candidates = [_outer_field_of_view(header, piece), _corners(header, piece)]
    usable = [model for model in candidates if model is not None]
    if not usable:
        raise InputFault(
            "The file has no noise scan, and too few samples far from the centre of k-space to estimate the noise.",
            "Export the acquisition with its noise scan.",
        )
    quietest = min(usable, key=lambda model: float(np.trace(model.covariance).real))
    scale = _level_in_image(header, piece, quietest)
    return NoiseModel(quietest.covariance * scale, f"{quietest.source}, scaled by {scale:.3f}", quietest.samples)


def _level_in_image(header: KSpaceHeader, piece: KSpaceSlice, model: NoiseModel) -> float:
    """Noise variance within the image's columns over that of `model`, from the farthest lines."""
    lines = _far_lines(header, piece, 0.25)
    image = crop_centre(to_image(torch.from_numpy(np.ascontiguousarray(lines)), 2), 2, header.image_matrix[0])
    whitening = torch.from_numpy(whitening_matrix(model.covariance))
    power = torch.tensordot(whitening, image, dims=1).abs().square().sum(dim=(0, 1)).numpy()
    present = float(np.any(lines[0] != 0, axis=0).mean())
    parts = 2 * whitening.shape[0] * lines.shape[1]
    return float(np.quantile(power, LOW_QUANTILE)) / (float(stats.chi2.ppf(LOW_QUANTILE, parts)) * present)


def _far_lines(header: KSpaceHeader, piece: KSpaceSlice, part: float) -> npt.NDArray[np.complex64]:
    """`[coil, line, kx]`: the acquired lines in the outer `part` of k-space."""
    averages, steps = np.nonzero(piece.acquired)
    distance = np.abs(steps - header.ky_centre)
    far = distance >= np.quantile(distance, 1 - part)
    return piece.data[averages[far], :, steps[far], :].transpose(1, 0, 2)


def _model(samples: npt.NDArray[np.complex64], source: str) -> NoiseModel | None:
    coils = samples.shape[0]
    flat = samples.reshape(coils, -1)
    flat = flat[:, np.any(flat != 0, axis=0)]
    if flat.shape[1] < SAMPLES_PER_COIL * coils:
        return None
    return NoiseModel(sample_covariance(flat), source, flat.shape[1])


def _outer_field_of_view(header: KSpaceHeader, piece: KSpaceSlice) -> NoiseModel | None:
    lines = _far_lines(header, piece, 0.5)
    columns = lines.shape[2]
    outside = (columns - header.image_matrix[0]) // 2
    rim = columns // 16
    if outside - rim < 4 or not np.any(lines[:, :, 0]) or not np.any(lines[:, :, -1]):
        return None
    image = to_image(torch.from_numpy(np.ascontiguousarray(lines)), 2).numpy()
    chosen = np.concatenate([image[:, :, rim:outside], image[:, :, columns - outside : columns - rim]], axis=2)
    return _model(chosen, "outer readout field of view")


def _corners(header: KSpaceHeader, piece: KSpaceSlice) -> NoiseModel | None:
    lines = _far_lines(header, piece, 0.25)
    width = lines.shape[2] // 8
    if width < 1:
        return None
    return _model(np.concatenate([lines[:, :, :width], lines[:, :, -width:]], axis=2), "outer k-space")


def whitening_matrix(covariance: ComplexMatrix) -> npt.NDArray[np.complex64]:
    """Matrix `[white channel, coil]` after which noise is uncorrelated with unit variance per real and imaginary part.

    Coils without noise (unplugged) are left out, so there may be fewer white channels than coils.

    Raises
    ------
    InputFault
        If no coil has any noise.
    """
    variance = np.diag(covariance).real
    alive = variance > DEAD_COIL * np.median(variance[variance > 0]) if np.any(variance > 0) else variance > 0
    if not alive.any():
        raise InputFault("All noise samples are zero.", "Export the acquisition again with its noise scan.")
    living = covariance[np.ix_(alive, alive)] / 2
    try:
        factor = np.linalg.cholesky(living)
    except np.linalg.LinAlgError:
        # Channels that repeat each other: a thousandth of the mean variance makes the matrix definite.
        factor = np.linalg.cholesky(living + np.eye(len(living)) * np.trace(living).real / len(living) * 1e-3)
    matrix = np.zeros((len(living), len(covariance)), dtype=np.complex128)
    matrix[:, alive] = np.linalg.inv(factor)
    return matrix.astype(np.complex64)
