"""Gain, surface-coil correction and stored pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recon_worker.data import InputFault, Volume
from recon_worker.reconstruction.intensity import acquisition_gain, intensity_map, stored_pixels, stored_scale
from tests.recon_worker.support import BODY, Ellipse

SHAPE = (6, 128, 128)
SPACING = (4.4, 1.5, 1.5)


def _tissue() -> np.ndarray:
    y, x = np.meshgrid((np.arange(128) - 64) * 1.5, (np.arange(128) - 64) * 1.5, indexing="ij")
    image = np.zeros(SHAPE[1:])
    for shape in BODY:
        image += shape.brightness * replace(
            shape, x=shape.x * 2, y=shape.y * 2, half_x=shape.half_x * 2, half_y=shape.half_y * 2
        ).inside(x, y)
    random = np.random.default_rng(5)
    for _ in range(25):  # vertebrae, discs, vessels: contrast of 30 % on the scale of centimetres
        cx, cy = random.uniform(-55, 55, 2)
        size = random.uniform(4, 12, 2)
        image *= 1 + random.uniform(-0.3, 0.3) * Ellipse(cx, cy, size[0], size[1]).inside(x, y)
    return np.repeat(image[None], SHAPE[0], axis=0)


def _shading() -> np.ndarray:
    """A posterior array: sensitivity falls exponentially by a factor of five over the body, and to the ends."""
    y, x = np.meshgrid(np.linspace(-1, 1, 128), np.linspace(-1, 1, 128), indexing="ij")
    plane = np.exp(0.95 * x - 0.35 * y**2 + 0.15 * np.cos(3 * y))
    return plane[None] * np.linspace(0.85, 1.15, SHAPE[0])[:, None, None]


def _volume(magnitude: np.ndarray, sigma: float = 0.0, seed: int = 0) -> Volume:
    random = np.random.default_rng(seed)
    noise = sigma * (random.standard_normal(magnitude.shape) + 1j * random.standard_normal(magnitude.shape))
    y = np.linspace(-1, 1, 128)[None, :, None]
    affine = np.diag([*SPACING, 1.0])
    std = np.full(magnitude.shape, sigma, dtype=np.float32)
    return Volume((magnitude * np.exp(1.5j * y) + noise).astype(np.complex64), affine, 4.0, std)


@pytest.mark.parametrize("gain", [0.37, 1.0, 2.9])
@pytest.mark.parametrize("sigma", [0.01, 0.1, 0.3])
def test_a_known_gain_is_recovered_in_noise(gain: float, sigma: float):
    shaded = _tissue() * _shading()
    reference = _volume(shaded, sigma=sigma / np.sqrt(2), seed=1)
    noisy = _volume(shaded, sigma=sigma, seed=2)
    other = replace(noisy, array=noisy.array / np.complex64(gain), noise_std=noisy.noise_std / np.float32(gain))
    assert acquisition_gain(reference, other) == pytest.approx(gain, rel=0.01)


def test_gain_of_an_empty_image_is_refused():
    empty = _volume(np.zeros(SHAPE))
    with pytest.raises(InputFault, match="signal"):
        acquisition_gain(empty, empty)
    with pytest.raises(ValueError, match="grid"):
        acquisition_gain(empty, _volume(np.zeros((2, 128, 128))))


def test_a_known_coil_shading_is_flattened():
    tissue, shading = _tissue(), _shading()
    field = intensity_map(_volume(tissue * shading, sigma=0.01))
    assert field.dtype == np.float32
    assert field.shape == SHAPE
    flat = (field * shading)[tissue > 0.2]
    before = shading[tissue > 0.2]
    assert before.std() / before.mean() > 0.4
    assert flat.std() / flat.mean() < 0.02
    assert np.percentile(flat, 99) / np.percentile(flat, 1) < 1.06


def test_correction_keeps_local_contrast():
    """A field that is smooth on the scale of centimetres cannot flatten a disc or a vertebra."""
    field = intensity_map(_volume(_tissue() * _shading(), sigma=0.03))
    steps = np.abs(np.diff(np.log(field), axis=2)).max() / SPACING[2]
    assert steps < 0.04  # per mm; the shading itself has 0.01


def test_air_is_not_amplified_beyond_bounds():
    shading = np.exp(4.0 * np.linspace(-1, 1, 128))[None, None, :]
    field = intensity_map(_volume(_tissue() * shading, sigma=0.02))
    assert np.isfinite(field).all()
    assert field.max() <= 8.0 + 1e-3
    assert field.min() > 0


def test_where_coils_see_nothing_noise_stays_dark():
    shading = np.exp(2.5 * np.linspace(-1, 1, 128))[None, None, :]
    volume = _volume(_tissue() * shading, sigma=0.03)
    field = intensity_map(volume)
    white = np.percentile(np.abs(volume.array) * field, 99.9)
    assert (field * volume.noise_std).max() < 0.031 * white
    assert field.max() > 1.5


def test_uniform_tissue_gets_no_correction():
    field = intensity_map(_volume(np.full(SHAPE, 2.0), sigma=0.02))
    assert field == pytest.approx(1.0, abs=0.02)


def test_stored_pixels_scale_round_and_clip_once():
    magnitude = np.random.default_rng(0).rayleigh(3.7, (4, 64, 64)).astype(np.float32)
    scale = stored_scale(magnitude)
    assert np.percentile(magnitude, 99.9) * scale == pytest.approx(3500, rel=1e-6)
    assert stored_pixels(magnitude, scale).dtype == np.uint16
    assert stored_pixels(magnitude, scale).max() <= 4095
    values = np.array([0.0, 0.49, 0.51, 4094.4, 4095.4, 1e9])
    assert stored_pixels(values, 1.0).tolist() == [0, 0, 1, 4094, 4095, 4095]
    with pytest.raises(InputFault, match="signal"):
        stored_scale(np.zeros((2, 8, 8)))
