"""Noise maps from eight replicas: right where the truth is known, and near it for the chain that needs them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from recon_worker.data import ChainChoice
from recon_worker.reconstruction.chain import reconstruct
from recon_worker.reconstruction.replicas import REPLICAS, noise_of_replicas
from tests.recon_worker.support import Coils, Ellipse, Protocol, draw_noise, in_memory, pixel_positions, simulate


def test_known_noise_along_and_across_the_phase_is_found():
    """Noise that grows from row to row, three times larger along the phase than across it."""
    random = np.random.default_rng(4)
    rows, columns = 96, 80
    level = np.linspace(1.0, 3.0, rows)[:, None]
    phase = np.exp(1j * np.linspace(0, 2, columns))[None]
    along = 3 * level * random.standard_normal((REPLICAS, rows, columns))
    across = level * random.standard_normal((REPLICAS, rows, columns))
    replicas = torch.from_numpy(((500 + along + 1j * across) * phase).astype(np.complex64))
    found = noise_of_replicas(replicas)
    ratio = found.noise_std.numpy() / (level * 5**0.5)
    assert np.median(ratio) == pytest.approx(1.0, abs=0.03)
    assert np.std(ratio) < 0.08
    assert np.median(found.noise_along_phase.numpy() / (3 * level)) == pytest.approx(1.0, abs=0.03)
    total, real = found.line_noise
    assert total.mean() == pytest.approx((5 * level**2).mean(), rel=0.03)
    assert real.mean() == pytest.approx((9 * level**2).mean(), rel=0.03)


@pytest.mark.parametrize(
    ("choice", "acquired", "noise_level"),
    [
        (ChainChoice(undersampling=2, parallel_imaging="L1-wavelet", pattern="variable density"), 80, 0.02),
        (ChainChoice(undersampling=3, parallel_imaging="L1-wavelet", pattern="variable density"), 56, 0.06),
        (ChainChoice(undersampling=2, parallel_imaging="L1-wavelet"), 56, 0.3),
    ],
    ids=["random 2", "random 3, partial Fourier", "every 2nd, partial Fourier, noisy"],
)
def test_l1_wavelets_noise_is_told_to_five_percent(choice: ChainChoice, acquired: int, noise_level: float):
    """Through the whole chain, maps and phase estimated anew from every acquisition."""
    protocol = Protocol(columns=64, rows=80, read_mm=96.0, phase_mm=100.0, n_coils=6)
    coils = replace(Coils.make(6), period_mm=150.0)
    clean, noisy = simulate(protocol, coils=coils), simulate(protocol, noise_level=noise_level, coils=coils)
    lines = noisy.acquired & (np.arange(protocol.rows) < acquired)
    random = np.random.default_rng(13)
    images, levels = [], []
    for _ in range(20):
        fresh = np.moveaxis(draw_noise(noisy.covariance, clean.data.shape[:2] + clean.data.shape[3:], random), 0, 2)
        data = ((clean.data + fresh) * lines[None, :, None, :, None]).astype(np.complex64)
        volume = reconstruct(in_memory(replace(noisy, data=data, acquired=lines)), choice=choice).volume
        images.append(volume.array[0])
        levels.append(volume.noise_std[0])
    replicas = np.array(images)
    measured = np.sqrt((replicas.real.var(axis=0, ddof=1) + replicas.imag.var(axis=0, ddof=1)) / 2)
    level = np.sqrt(np.mean(np.square(levels), axis=0))
    body = Ellipse(0, 0, 34, 36).inside(*pixel_positions(protocol))
    assert np.sqrt((measured[body] ** 2).mean() / (level[body] ** 2).mean()) == pytest.approx(1.0, abs=0.05)
    assert np.median((measured / level)[body]) == pytest.approx(1.0, abs=0.05)
