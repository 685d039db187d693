"""Measures, on replicas, how predicted noise and real noise go together: the denoiser's calibration tables."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from recon_worker.denoising.calibration import GRIDS, Calibration, Features, corners, features
from recon_worker.denoising.network import NoiseNetwork
from recon_worker.denoising.passes import predict, to_snr
from recon_worker.training.images import CleanImage
from recon_worker.training.replicas import Scene, smooth_random_phase

POWER = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.15)
STEEPNESS = (0.0, 0.2, 0.4, 0.7, 1.0, 1.4, 1.8, 2.3, 2.8, 3.4, 4.0, 5.0)
SURROUNDINGS = (0.0, 0.3, 0.6, 1.0, 1.5, 2.0, 2.7, 3.5)
DRAWS = 6
SCENES = 132
WINDOW = 192
NOISE_RANGE = (0.01, 0.15)
PARTIAL_FOURIER = (0.54, 0.64)
PRIOR = 0.003
FEWEST = 400.0
"""Weight below which a table's cell is taken from its neighbours instead."""


def calibrate(
    network: NoiseNetwork,
    images: list[CleanImage],
    *,
    suppression: float,
    report: Callable[[str, float], None],
    scenes: int = SCENES,
    seed: int = 3,
) -> Calibration:
    """Tables of regression and variance from `scenes` random scenes of `images` (none of them trained on)."""
    rng = np.random.default_rng(seed)
    grids = [torch.tensor(grid) for grid in (POWER, STEEPNESS, SURROUNDINGS)]
    sums = np.zeros((2, 3, 2, *map(len, grids)))
    for number in range(scenes):
        report("calibrating", number / scenes)
        coloured = number % 3 == 2
        scene = random_scene(images[number % len(images)], rng, coloured)
        for noise, predicted, found in _draws(network, scene, suppression, rng):
            _add(sums[int(coloured)], noise, predicted, found, grids)
    # What no scene of partial Fourier showed is taken from the white ones.
    sums[1] += PRIOR * sums[0]
    regression = np.clip(np.stack([_filled(each[1], each[0]) for each in sums]), 0.0, 1.2)
    variance = np.maximum(np.stack([_filled(each[2], each[0]) for each in sums]), regression**2 + 1e-4)
    return Calibration(
        grids[0],
        grids[1],
        grids[2],
        torch.tensor(regression, dtype=torch.float32),
        torch.tensor(variance, dtype=torch.float32),
        suppression,
    )


def random_scene(image: CleanImage, rng: np.random.Generator, coloured: bool) -> Scene:
    """A window of `image` at a random noise level; `coloured`: with partial Fourier."""
    native = image.native()
    top = int(rng.integers(0, max(native.shape[0] - WINDOW, 0) + 1))
    left = int(rng.integers(0, max(native.shape[1] - WINDOW, 0) + 1))
    window = native[top : top + WINDOW, left : left + WINDOW]
    sigma = float(np.exp(rng.uniform(*np.log(NOISE_RANGE))))
    part = float(rng.uniform(*PARTIAL_FOURIER)) if coloured else 1.0
    return Scene(np.ascontiguousarray(window), smooth_random_phase(window.shape, rng), sigma, part)


def _draws(
    network: NoiseNetwork, scene: Scene, suppression: float, rng: np.random.Generator
) -> list[tuple[torch.Tensor, torch.Tensor, Features]]:
    """Of each draw: noise and prediction without their means `[component, row, column]`, and the features."""
    spread = torch.tensor(scene.line_noise.spread)[:, None, None]
    drawn = []
    with torch.inference_mode():
        for _ in range(DRAWS):
            image = torch.from_numpy(scene.draw(rng))
            units = to_snr(image, torch.full(image.shape, scene.noise_std))
            noise, _ = predict(network, units.image[None], colour=scene.line_noise.conditions, suppression=suppression)
            # The clean image turned back by the noisy image's phase: what is left is the noise that the network saw.
            clean = torch.from_numpy(scene.noiseless) / units.turn
            true = units.image - torch.stack([clean.real, clean.imag])
            found = features(noise[0], units.image, scene.line_noise.spread)
            drawn.append((true / spread, noise[0] / spread, found))
    mean_true = torch.stack([each[0] for each in drawn]).mean(0)
    mean_noise = torch.stack([each[1] for each in drawn]).mean(0)
    return [(true - mean_true, noise - mean_noise, found) for true, noise, found in drawn]


def _add(
    sums: np.ndarray, true: torch.Tensor, predicted: torch.Tensor, found: Features, grids: list[torch.Tensor]
) -> None:
    """Add weights, products and squares of one draw to `sums` `[3, component, power, steepness, surroundings]`."""
    unbiased = DRAWS / (DRAWS - 1)
    values = torch.ones_like(true), true * predicted * unbiased, predicted**2 * unbiased
    shape = sums.shape[2:]
    # Noise and prediction share the draw, so the noise's own sample variance is what 1 stands for.
    for component in range(2):
        for cell, weight in corners([getattr(found, name)[component] for name in GRIDS], grids):
            for index, value in enumerate(values):
                total = torch.bincount(
                    cell.reshape(-1), (weight * value[component]).reshape(-1).double(), minlength=math.prod(shape)
                )
                sums[index, component] += total.numpy().reshape(shape)


def _filled(total: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Means `total / weight`, cells of little weight drawn from their neighbours."""
    result = np.zeros_like(total)
    for component in range(len(total)):
        near_total, near_weight = total[component].copy(), weight[component].copy()
        while (few := near_weight < FEWEST).any():
            more_total, more_weight = _of_neighbours(near_total), _of_neighbours(near_weight)
            if not more_weight[few].any():
                break
            near_total = np.where(few, near_total + more_total, near_total)
            near_weight = np.where(few, near_weight + more_weight, near_weight)
        result[component] = near_total / np.maximum(near_weight, 1e-9)
    return result


def _of_neighbours(values: np.ndarray) -> np.ndarray:
    """Sum over the cells beside each cell, along every axis."""
    padded = np.pad(values, 1)
    inner = tuple(slice(1, -1) for _ in values.shape)
    return np.asarray(sum(np.roll(padded, step, axis)[inner] for axis in range(values.ndim) for step in (-1, 1)))
