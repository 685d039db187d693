"""The chain against BART: two implementations that share no line of code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from recon_worker.reconstruction.averaging import Coverage
from recon_worker.reconstruction.chain import reconstruct
from recon_worker.reconstruction.coils import coil_maps
from recon_worker.reconstruction.fourier import to_image
from recon_worker.reconstruction.noise import sample_covariance, whitening_matrix
from recon_worker.reconstruction.partial_fourier import complete
from tests.recon_worker.reconstruction.bart import bart, needs_bart, read_cfl, write_cfl
from tests.recon_worker.reconstruction.objects import kspace_of, tissue_with_phase
from tests.recon_worker.support import Protocol, in_memory, simulate


def _error(image: np.ndarray, truth: np.ndarray) -> float:
    return float(np.linalg.norm(image - truth) / np.linalg.norm(truth))


def _gain(image: np.ndarray, truth: np.ndarray) -> float:
    return float((np.abs(image) * np.abs(truth)).sum() / (np.abs(image) ** 2).sum())


@needs_bart
def test_fully_sampled_data_agree_with_bart_within_one_percent(tmp_path: Path):
    protocol = Protocol(columns=96, rows=80, n_coils=8, read_mm=96.0, phase_mm=100.0)
    scan = simulate(protocol, noise_level=0.03)
    ours = reconstruct(in_memory(scan)).volume.array[0]

    # The same maps for both: those of the chain, 33 x 31.7 steps of the whitened central block.
    whitening = torch.from_numpy(whitening_matrix(sample_covariance(scan.noise)))
    lines = torch.from_numpy(scan.data[0, 0])
    wide = torch.tensordot(whitening, to_image(lines, 2), dims=1)
    samples = 16 * 192.0 / 100.0
    maps = coil_maps(wide, ky_centre=40, half_width_steps=16, half_width_samples=samples, columns=96).numpy()

    kspace = write_cfl(tmp_path / "kspace", scan.data[0, 0].transpose(2, 1, 0)[:, :, None, :])
    noise = write_cfl(tmp_path / "noise", scan.noise.T[:, None, None, :])
    write_cfl(tmp_path / "maps", maps.transpose(2, 1, 0)[:, :, None, :])
    bart("whiten", kspace, noise, tmp_path / "white")
    bart("fft", "-u", "-i", 3, tmp_path / "white", tmp_path / "coils")
    bart("resize", "-c", 0, protocol.columns, tmp_path / "coils", tmp_path / "cropped")
    bart("fmac", "-C", "-s", 8, tmp_path / "cropped", tmp_path / "maps", tmp_path / "combined")
    # BART's unit is the variance of real and imaginary part together, ours that of each.
    theirs = read_cfl(tmp_path / "combined").T * np.sqrt(2)
    assert _error(ours, theirs) < 0.01
    assert _error(np.abs(ours), np.abs(theirs)) < 0.01


@needs_bart
def test_whitening_has_barts_covariance(tmp_path: Path):
    scan = simulate(Protocol(n_coils=8), noise_level=0.03)
    noise = write_cfl(tmp_path / "noise", scan.noise.T[:, None, None, :])
    bart("whiten", noise, noise, tmp_path / "white", tmp_path / "matrix", tmp_path / "covariance")
    white = whitening_matrix(sample_covariance(scan.noise)) @ scan.noise
    assert _error(white, read_cfl(tmp_path / "white").T * np.sqrt(2)) < 1e-3


@needs_bart
@pytest.mark.parametrize("rough", [False, True])
@pytest.mark.parametrize("beyond", [8, 16, 24])
def test_partial_fourier_is_not_worse_than_barts_homodyne(rough: bool, beyond: int, tmp_path: Path):
    truth, _ = tissue_with_phase(rough=rough)
    rows = truth.shape[0]
    last = rows // 2 + beyond
    counts = np.zeros(rows, dtype=np.int64)
    counts[: last + 1] = 1
    lines = kspace_of(truth) * counts[:, None]
    zero_filled = torch.from_numpy(np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(lines), norm="ortho")))
    write_cfl(tmp_path / "lines", lines.T)
    bart("homodyne", 1, (last + 1) / rows, tmp_path / "lines", tmp_path / "homodyne")
    theirs = read_cfl(tmp_path / "homodyne").T
    for method in ("POCS", "homodyne"):
        ours = complete(zero_filled.to(torch.complex64), Coverage(counts, 0, last, rows // 2), method).numpy()
        # BART's transform is scaled otherwise: each with the one factor that suits it best.
        errors = [_error(np.abs(each) * _gain(each, truth), np.abs(truth)) for each in (ours, theirs)]
        assert errors[0] <= errors[1], method
