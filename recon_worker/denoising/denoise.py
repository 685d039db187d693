"""Takes the asked part of the noise out of a reconstructed volume, and sharpens it.

y = x + s - g n for each slice: n is the network's noise, s its sharpening and ringing correction, g the calibrated
share (`calibration`), different for the parts along the object's phase and across it, so that both the complex image
and its magnitude keep the asked part of the noise. One pass of the network serves all factors.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from recon_worker.data import InputFault, ReconstructionFault, Volume
from recon_worker.denoising.calibration import Blend, features, smoothed
from recon_worker.denoising.colour import LineNoise
from recon_worker.denoising.passes import SnrSlice, predict, to_snr
from recon_worker.denoising.weights import Weights, load_weights

Progress = Callable[[str, float], None]
STAGE = "removing noise"
TISSUE_SNR = 5.0
"""Smoothed signal over noise from which a pixel counts for the noise reduction reached."""
TISSUE_SMOOTHING = 2.0
CLAMPED = 0.01
"""Difference between asked and reached from which it is told."""


def _silent(_stage: str, _fraction: float) -> None:
    """No progress wanted."""


@dataclass(frozen=True)
class Denoised:
    """What the denoiser hands on.

    Attributes
    ----------
    volumes
        By factor: complex64 `[slice, row, column]` in the scale of the input, with the noise that is left in
        `noise_std`.
    reached
        By factor: the part of the noise removed in tissue (root mean square over tissue). Less than the factor where
        the network's own limit is lower.
    lineage
        Network, weights, calibration and per factor what was reached, plain JSON types.
    """

    volumes: dict[float, Volume]
    reached: dict[float, float]
    lineage: dict[str, Any] = field(default_factory=dict)


def denoise(
    volume: Volume,
    factors: Sequence[float],
    *,
    line_noise: LineNoise | None = None,
    sharpening: bool = True,
    progress: Progress = _silent,
    device: str = "cpu",
    weights: Weights | None = None,
) -> Denoised:
    """Denoise a complex volume on its acquired grid.

    Parameters
    ----------
    volume
        complex64 `[slice, row (phase encoding), column (readout)]` with `noise_std`.
    factors
        Parts of the noise to remove, 0 to 1. 0 with `sharpening` off gives the input back; 1 takes out all that the
        network can.
    line_noise
        Colour of the noise after partial Fourier (`colour.line_noise`); None: white.
    sharpening
        Whether the sharpening and ringing correction is added; it is the same for all factors.
    progress
        Called with the stage's name and its fraction done, 0 to 1.
    device
        A torch device; slices are moved there one at a time.
    weights
        Other weights than the installed ones.

    Raises
    ------
    InputFault
        If a factor is outside 0 to 1, or no factor is asked.
    ReconstructionFault
        If the noise map is missing or impossible, the image holds values that are no numbers, or the weights are not
        those of their card.
    """
    _check(volume, factors)
    asked = sorted({float(factor) for factor in factors})
    ready = weights or load_weights(device=device)
    noise_map = _noise_map(volume)
    results = {factor: np.empty(volume.array.shape, dtype=np.complex64) for factor in asked}
    left = {factor: np.empty(volume.array.shape, dtype=np.float32) for factor in asked}
    tally = {factor: np.zeros(2) for factor in asked}
    colour = line_noise or LineNoise()
    count = volume.array.shape[0]
    progress(STAGE, 0.0)
    # Full single precision on GPUs too: with TF32 they would differ from CPUs by more than a thousandth.
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        for index in range(count):
            image = torch.from_numpy(np.ascontiguousarray(volume.array[index], dtype=np.complex64)).to(device)
            units = to_snr(image, torch.from_numpy(noise_map[index]).to(device))
            noise, correction = predict(
                ready.network, units.image[None], colour=colour.conditions, suppression=ready.calibration.suppression
            )
            found = features(noise[0], units.image, colour.spread)
            tissue = _tissue(units)
            blends = ready.calibration.blends(found, asked, colour.missing_part)
            for factor, blend in zip(asked, blends, strict=True):
                change = -blend.gain * noise[0]
                if sharpening:
                    change = change + correction[0]
                results[factor][index] = (image + units.back(change)).cpu().numpy()
                part = _left(blend, colour)
                left[factor][index] = (part * torch.from_numpy(noise_map[index]).to(device)).cpu().numpy()
                tally[factor] += _sums(part, tissue)
            progress(STAGE, (index + 1) / count)
    volumes = {
        factor: Volume(results[factor], volume.affine, volume.slice_thickness_mm, left[factor]) for factor in asked
    }
    reached = {factor: _reached(factor, tally[factor]) for factor in asked}
    return Denoised(volumes, reached, _lineage(ready, asked, reached, sharpening, colour))


def _check(volume: Volume, factors: Sequence[float]) -> None:
    if not len(factors):
        raise InputFault("No noise reduction was named.", "Name one or more between 0 and 1.")
    for factor in factors:
        if not 0 <= factor <= 1:
            raise InputFault(
                f"A noise reduction of {factor:g} is not possible.", "Choose a value between 0 and 1 (0.5: half)."
            )
    if volume.noise_std is None:
        raise ReconstructionFault("The reconstructed volume has no noise map, so its noise cannot be removed.")
    if not np.iscomplexobj(volume.array):
        raise ReconstructionFault("The volume is not complex: noise is removed before the magnitude is taken.")
    if not np.isfinite(volume.array).all():
        raise ReconstructionFault("The reconstructed volume holds values that are not numbers.")
    if not np.isfinite(volume.noise_std).all() or (volume.noise_std < 0).any():
        raise ReconstructionFault("The noise map holds values that no noise can have.")


def _noise_map(volume: Volume) -> np.ndarray:
    """The noise map `[slice, row, column]`, positive everywhere: where nothing was measured, the slice's median."""
    assert volume.noise_std is not None
    noise_map = np.array(volume.noise_std, dtype=np.float32)
    for index, one in enumerate(noise_map):
        known = one[one > 0]
        if not known.size:
            raise ReconstructionFault(f"The noise map of slice {index + 1} is zero everywhere.")
        one[one <= 0] = np.median(known)
    return noise_map


def _tissue(units: SnrSlice) -> torch.Tensor:
    """Where there is signal `[row, column]`; everywhere if there is none anywhere."""
    mask = smoothed(units.image[:1], TISSUE_SMOOTHING)[0] > TISSUE_SNR
    return mask if bool(mask.any()) else torch.ones_like(mask)


def _left(blend: Blend, colour: LineNoise) -> torch.Tensor:
    """Part of the noise left `[row, column]`, root mean square over both parts of a pixel."""
    along, across = (spread**2 for spread in colour.spread)
    return ((blend.left[0] ** 2 * along + blend.left[1] ** 2 * across) / (along + across)).sqrt()


def _sums(part: torch.Tensor, tissue: torch.Tensor) -> np.ndarray:
    chosen = part[tissue]
    return np.array([float((chosen**2).sum(dtype=torch.float64)), float(chosen.numel())])


def _reached(factor: float, sums: np.ndarray) -> float:
    return round(min(factor, 1 - float(np.sqrt(sums[0] / sums[1]))), 4)


def _lineage(
    ready: Weights, asked: list[float], reached: dict[float, float], sharpening: bool, colour: LineNoise
) -> dict[str, Any]:
    return {
        "step": "denoising",
        "method": "y = x + s - g n with a residual U-Net in SNR units; g calibrated on replicas, local, at most 1",
        "network": {"architecture": ready.network.architecture.as_json(), "parameters": ready.card.get("parameters")},
        "weights_sha256": ready.sha256,
        "sharpening": sharpening,
        "suppression": ready.calibration.suppression,
        "noise_colour": {"along_over_mean": colour.along_over_mean, "missing_part": colour.missing_part},
        "factors": [
            {
                "noise_reduction": factor,
                "noise_reduction_reached": reached[factor],
                "limited": factor - reached[factor] > CLAMPED,
            }
            for factor in asked
        ],
    }
