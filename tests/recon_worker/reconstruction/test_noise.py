"""Whitening and averaging on their own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from recon_worker.data import InputFault
from recon_worker.rawdata.lines import UNKNOWN_DWELL_TIME, bandwidth_ratio
from recon_worker.reconstruction.averaging import average_lines
from recon_worker.reconstruction.chain import reconstruct
from recon_worker.reconstruction.noise import noise_from_images, sample_covariance, whitening_matrix
from tests.recon_worker.support import Protocol, correlated_covariance, draw_noise, in_memory, simulate


def test_whitened_noise_has_identity_covariance():
    covariance = correlated_covariance(16)
    noise = draw_noise(covariance, (2**18,), np.random.default_rng(0))
    matrix = whitening_matrix(sample_covariance(noise[:, : 2**17]))
    fresh = matrix @ noise[:, 2**17 :]
    # Unit variance per part: 2 for the complex number. 2^17 samples tell a covariance to about 0.006.
    assert np.abs(sample_covariance(fresh) / 2 - np.eye(16)).max() < 0.02
    assert fresh.real.std() == pytest.approx(1.0, abs=0.005)
    assert fresh.imag.std() == pytest.approx(1.0, abs=0.005)
    exact = whitening_matrix(covariance)
    assert np.abs(exact @ covariance @ exact.conj().T / 2 - np.eye(16)).max() < 1e-5


def test_channels_that_repeat_each_other_do_not_break_whitening():
    noise = draw_noise(correlated_covariance(4), (4096,), np.random.default_rng(0))
    doubled = np.concatenate([noise, noise])
    assert np.isfinite(whitening_matrix(sample_covariance(doubled))).all()


def test_noise_of_zeros_is_the_files_fault():
    with pytest.raises(InputFault, match="zero"):
        whitening_matrix(np.zeros((4, 4), dtype=np.complex128))


@pytest.mark.parametrize(("oversampling", "close"), [(2, 0.12), (1, 0.2)])
def test_covariance_estimated_from_images_is_close_to_the_true_one(oversampling: int, close: float):
    """Without oversampling only the corners of k-space are left, where sharp edges still show."""
    protocol = Protocol(columns=96, rows=96, oversampling=oversampling, n_coils=4)
    scan = simulate(protocol, noise_level=0.1)
    kspace = in_memory(scan)
    model = noise_from_images(kspace.header, next(iter(kspace.slices())))
    difference = np.linalg.norm(model.covariance - scan.covariance) / np.linalg.norm(scan.covariance)
    assert difference < close


def test_mean_of_lines_by_their_own_count():
    random = np.random.default_rng(0)
    data = (random.standard_normal((3, 2, 4, 5)) + 1j).astype(np.complex64)
    acquired = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0]], dtype=bool)
    mean = average_lines(torch.from_numpy(data), torch.from_numpy(acquired)).numpy()
    assert np.allclose(mean[:, 0], data[:, :, 0].mean(axis=0), atol=1e-6)
    assert np.allclose(mean[:, 1], data[:2, :, 1].mean(axis=0), atol=1e-6)
    assert np.allclose(mean[:, 2], data[0, :, 2], atol=1e-6)
    assert not mean[:, 3].any()


def test_a_noise_scan_that_is_too_short_is_not_dropped_without_a_word():
    scan = simulate(Protocol(columns=48, rows=48, n_slices=1, n_coils=4), noise_level=0.1)
    assert reconstruct(in_memory(scan)).remarks == ()
    for short in (scan.noise[:, :31], np.zeros_like(scan.noise)):
        (remark,) = reconstruct(in_memory(replace(scan, noise=short))).remarks
        assert remark.startswith(f"The noise scan holds {short.shape[1]} samples of 4 coils, too few or all zero; ")
        assert remark.endswith("its level is uncertain by 5 to 10 %.")


@pytest.mark.parametrize(
    ("noise_us", "imaging_us", "known"),
    [(5, 10, True), (5, 5, True), (0, 5, False), (5, 0, False), (1e6, 5, False)],
)
def test_a_missing_or_impossible_dwell_time_is_told(noise_us: float, imaging_us: float, known: bool):
    remarks: list[str] = []
    ratio = bandwidth_ratio(noise_us, imaging_us, 0.8, remarks)
    assert ratio == pytest.approx(0.625 if imaging_us == 10 else 1.0)
    assert remarks == ([] if known else [UNKNOWN_DWELL_TIME])
