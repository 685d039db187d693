"""Partial Fourier: better than zero filling, linear, faithful to what was measured, and its noise as stated."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recon_worker.reconstruction.averaging import Coverage
from recon_worker.reconstruction.homodyne import homodyne_weights
from recon_worker.reconstruction.partial_fourier import (
    complete,
    fill_partial_fourier,
    line_noise,
    line_variance,
    noise_along_phase,
    noise_level,
)
from tests.recon_worker.reconstruction.objects import SHAPE, kspace_of, tissue_with_phase

ROWS = SHAPE[0]


def _coverage(first: int, last: int) -> Coverage:
    counts = np.zeros(ROWS, dtype=np.int64)
    counts[first : last + 1] = 1
    return Coverage(counts, first, last, ROWS // 2)


def _zero_filled(image: np.ndarray, covered: Coverage) -> torch.Tensor:
    lines = kspace_of(image) * (covered.counts > 0)[:, None]
    shown = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(lines), norm="ortho"))
    return torch.from_numpy(shown.astype(np.complex64))


def _error(image: np.ndarray, truth: np.ndarray) -> float:
    return float(np.linalg.norm(np.abs(image) - truth) / np.linalg.norm(truth))


@pytest.mark.parametrize("rough", [False, True])
@pytest.mark.parametrize("beyond", [8, 16, 24])
@pytest.mark.parametrize("upper", [True, False])
def test_better_than_zero_filling_on_an_object_with_phase(rough: bool, beyond: int, upper: bool):
    image, magnitude = tissue_with_phase(rough=rough)
    covered = _coverage(ROWS // 2 - beyond, ROWS - 1) if upper else _coverage(0, ROWS // 2 + beyond)
    zero_filled = _zero_filled(image, covered)
    filled = fill_partial_fourier(zero_filled, covered).numpy()
    # At best two thirds of the error are left; eight lines with rough phase save a tenth.
    assert _error(filled, magnitude) < (0.92 if rough else 0.7) * _error(zero_filled.numpy(), magnitude)


def test_an_object_without_phase_is_recovered_almost_exactly():
    _, magnitude = tissue_with_phase(rough=False)
    lines = kspace_of(magnitude)
    lines[0] = 0  # the line at -n/2 has no partner and cannot be recovered
    real = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(lines), norm="ortho")).real
    covered = _coverage(ROWS // 2 - 16, ROWS - 1)
    filled = fill_partial_fourier(_zero_filled(real, covered), covered, iterations=40).numpy()
    assert np.linalg.norm(filled - real) / np.linalg.norm(real) < 0.001


def test_measured_lines_stay_as_measured():
    image, _ = tissue_with_phase(rough=True)
    covered = _coverage(0, 80)
    filled = fill_partial_fourier(_zero_filled(image, covered), covered).numpy()
    assert np.allclose(kspace_of(filled)[:81], kspace_of(image)[:81], atol=1e-4)


def test_lines_that_neither_side_acquired_stay_empty():
    image, _ = tissue_with_phase(rough=False)
    covered = _coverage(54, 110)  # reaches 46 steps up, 10 down: filled from 18 to 110
    lines = kspace_of(fill_partial_fourier(_zero_filled(image, covered), covered).numpy())
    assert np.abs(lines[:18]).max() < 1e-4
    assert np.abs(lines[111:]).max() < 1e-4
    assert np.abs(lines[18:54]).max() > 1e-2


def test_noise_of_the_filled_image_as_stated():
    """Noise on a strong object: the phase is the object's, so the projection is linear."""
    image, magnitude = tissue_with_phase(rough=False)
    covered = _coverage(ROWS // 2 - 12, ROWS - 1)
    clean = fill_partial_fourier(_zero_filled(image * 1000, covered), covered).numpy()
    random = np.random.default_rng(2)
    parts = []
    for _ in range(60):
        noise = (random.standard_normal(SHAPE) + 1j * random.standard_normal(SHAPE)).astype(np.complex64)
        noisy = fill_partial_fourier(_zero_filled(image * 1000 + noise, covered), covered).numpy()
        difference = (noisy - clean) * np.exp(-1j * np.angle(clean))
        parts.append(difference[magnitude > 0.3])
    spread = np.array(parts)
    along, across = spread.real.std(), spread.imag.std()
    assert np.sqrt((along**2 + across**2) / 2) == pytest.approx(noise_level(covered), rel=0.02)
    assert along == pytest.approx(noise_along_phase(covered), rel=0.03)
    assert along > 1.25 * noise_level(covered)  # what the reader sees is noisier than the mean of both parts


def test_noise_levels_of_full_and_averaged_sampling():
    full = _coverage(0, ROWS - 1)
    assert noise_level(full) == pytest.approx(1.0)
    assert noise_along_phase(full) == pytest.approx(1.0)
    twice = Coverage(full.counts * 2, 0, ROWS - 1, ROWS // 2)
    assert noise_level(twice) == pytest.approx(np.sqrt(0.5))


@pytest.mark.parametrize("method", ["POCS", "homodyne", "zero filling"])
@pytest.mark.parametrize("upper", [True, False])
def test_noise_by_frequency_as_stated(method: str, upper: bool):
    """Noise on a strong even object: spectra of the complex image and of its part along the phase."""
    covered = _coverage(ROWS // 2 - 12, ROWS - 1) if upper else _coverage(0, ROWS // 2 + 12)
    random = np.random.default_rng(8)
    total, along = np.zeros(ROWS), np.zeros(ROWS)
    for _ in range(40):
        noise = (random.standard_normal(SHAPE) + 1j * random.standard_normal(SHAPE)).astype(np.complex64)
        noisy = complete(_zero_filled(np.full(SHAPE, 1000.0) + noise, covered), covered, method).numpy() - 1000.0
        total += (np.abs(kspace_of(noisy)) ** 2).mean(axis=1) / 2 / 40
        along += (np.abs(kspace_of(noisy.real)) ** 2).mean(axis=1) / 40
    for measured, stated in zip(
        (total, along), line_noise(line_variance(covered), covered, method), strict=True
    ):
        assert measured == pytest.approx(stated, abs=0.15)
        assert measured.sum() == pytest.approx(stated.sum(), rel=0.02)


@pytest.mark.parametrize("upper", [True, False])
def test_homodyne_weights_of_mirrored_lines_sum_to_two(upper: bool):
    covered = _coverage(ROWS // 2 - 12, ROWS - 1) if upper else _coverage(0, ROWS // 2 + 12)
    weights = homodyne_weights(covered)
    assert weights[1:] + weights[1:][::-1] == pytest.approx(2.0)
    assert weights[0] == (0.0 if upper else 1.0)


@pytest.mark.parametrize("beyond", [8, 16, 24])
def test_homodyne_is_better_than_zero_filling_where_the_phase_is_smooth(beyond: int):
    image, magnitude = tissue_with_phase(rough=False)
    covered = _coverage(0, ROWS // 2 + beyond)
    zero_filled = _zero_filled(image, covered)
    detected = complete(zero_filled, covered, "homodyne").numpy()
    assert _error(detected, magnitude) < 0.8 * _error(zero_filled.numpy(), magnitude)
