"""Virtual coils: little signal lost, noise left as it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from recon_worker.data import ChainChoice
from recon_worker.phantom.anatomy import draw_subject
from recon_worker.phantom.protocol import scan_of
from recon_worker.phantom.scanner import set_up
from recon_worker.phantom.simulate import write_sequence
from recon_worker.rawdata.open import open_kspace
from recon_worker.reconstruction.chain import reconstruct
from recon_worker.reconstruction.coil_compression import compression
from tests.recon_worker.support import Protocol, in_memory, simulate


def test_virtual_coils_are_orthonormal_and_keep_noise_white():
    random = torch.Generator().manual_seed(3)
    block = torch.randn((20, 33, 40), dtype=torch.complex64, generator=random) * 2**0.5
    block[:5] += 30 * torch.randn((5, 33, 40), dtype=torch.complex64, generator=random)
    found = compression(block, 5)
    assert found.energy_kept > 0.99
    gram = (found.matrix @ found.matrix.conj().T).numpy()
    assert np.allclose(gram, np.eye(5), atol=1e-5)
    noise = torch.randn((20, 20000), dtype=torch.complex64, generator=random) * 2**0.5
    white = (found.matrix @ noise).numpy()
    assert np.allclose(white @ white.conj().T / 20000, 2 * np.eye(5), atol=0.06)


def test_as_many_virtual_coils_as_coils_change_nothing():
    scan = simulate(Protocol(n_coils=6), noise_level=0.03)
    plain, turned = (
        reconstruct(in_memory(scan), choice=ChainChoice(virtual_coils=number)).volume.array for number in (None, 8)
    )
    assert np.allclose(plain, turned, atol=1e-3 * np.abs(plain).max())


@pytest.fixture(scope="module")
def spine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compression")
    scan = replace(scan_of("SAG T2 FS", protocol="MSK", size="tiny"), coils=scan_of("SAG T2 FS").coils)
    assert scan.n_coils == 32
    write_sequence(folder, set_up(draw_subject(5, 1), scan, seed=5, number=1), 5, 1, lambda fraction: None)
    return folder / "standard.h5"


def test_twelve_virtual_coils_keep_the_spine(spine: Path):
    every = reconstruct(open_kspace(spine))
    fewer = reconstruct(open_kspace(spine), choice=ChainChoice(virtual_coils=12))
    step = next(each for each in fewer.lineage["steps"] if each["step"] == "coil compression")
    assert step["virtual_coils"] == 12
    assert step["signal_energy_kept"]["least"] >= 0.99
    assert np.array_equal(every.volume.noise_std, fewer.volume.noise_std)
    seen = np.abs(every.volume.array) > 5 * every.volume.noise_std
    difference = np.abs(np.abs(fewer.volume.array) - np.abs(every.volume.array))[seen]
    assert np.sqrt((difference**2).mean()) < np.median(every.volume.noise_std)
