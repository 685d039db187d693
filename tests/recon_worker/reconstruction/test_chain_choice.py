"""What a study may choose of the chain: the default is the plain sequence of its steps, and every choice is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch

from recon_worker.data import ChainChoice
from recon_worker.reconstruction.averaging import Coverage, average_lines
from recon_worker.reconstruction.chain import reconstruct
from recon_worker.reconstruction.chain_lineage import CHAIN_VERSION
from recon_worker.reconstruction.coils import calibration_maps, combine, mix_channels
from recon_worker.reconstruction.fourier import image_columns, to_image
from recon_worker.reconstruction.noise import noise_from_scan, whitening_matrix
from recon_worker.reconstruction.partial_fourier import fill_partial_fourier, noise_level
from recon_worker.reconstruction.sense import regularisation, unfold
from tests.recon_worker.reconstruction.objects import kspace_of
from tests.recon_worker.support import (
    Coils,
    Ellipse,
    Protocol,
    Scan,
    draw_noise,
    in_memory,
    pixel_positions,
    simulate,
)

PROTOCOL = Protocol(columns=64, rows=80, read_mm=96.0, phase_mm=100.0, n_coils=6)
STEPS = np.arange(80)


def only(scan: Scan, lines: np.ndarray) -> Scan:
    acquired = scan.acquired & lines
    return replace(scan, acquired=acquired, data=scan.data * acquired[None, :, None, :, None])


def step(lineage: dict, name: str) -> dict:
    return next(each for each in lineage["steps"] if each["step"] == name)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As the chain computes a slice: with more threads, matrix products round otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("averages", "lines"),
    [
        (1, STEPS >= 0),
        (2, STEPS >= 0),
        (1, STEPS < 56),
        (1, (STEPS % 2 == 0) | (abs(STEPS - 40) <= 12)),
        (1, ((STEPS % 2 == 0) | (abs(STEPS - 40) <= 12)) & (STEPS < 58)),
    ],
    ids=["full", "NEX 2", "partial Fourier", "every 2nd", "every 2nd, partial Fourier"],
)
def test_the_default_choice_is_the_plain_sequence_of_steps_bit_for_bit(
    averages: int, lines: np.ndarray, one_thread: None
):
    scan = only(simulate(replace(PROTOCOL, n_averages=averages), noise_level=0.03), lines)
    kspace = in_memory(scan)
    found = reconstruct(kspace, choice=ChainChoice())
    assert np.array_equal(found.volume.array, reconstruct(kspace).volume.array)

    model = noise_from_scan(kspace.header)
    assert model is not None
    with torch.inference_mode():
        mean = average_lines(torch.from_numpy(scan.data[0]), torch.from_numpy(scan.acquired))
        whitening = torch.from_numpy(whitening_matrix(model.covariance))
        hybrid = mix_channels(whitening, image_columns(mean, PROTOCOL.columns))
        steps = np.flatnonzero(lines)
        covered = Coverage(scan.acquired.sum(axis=0).astype(np.int64), int(steps[0]), int(steps[-1]), 40)
        reach = min(16, covered.fully_sampled_reach)
        maps = calibration_maps(
            torch.tensordot(whitening, mean[:, 40 - reach : 41 + reach], dims=1),
            ky_centre=40,
            half_width_steps=reach,
            half_width_samples=reach * 192.0 / 100.0,
            first_line=40 - reach,
            rows=80,
            columns=PROTOCOL.columns,
        ).whole()
        if covered.undersampled:
            image = unfold(hybrid, maps, covered, regularisation(hybrid, maps, covered)).image
        else:
            image = combine(to_image(hybrid, 1), maps)
        if covered.partial_fourier:
            image = fill_partial_fourier(image, covered.unfolded())
    assert np.array_equal(found.volume.array[0], image.numpy())
    if not covered.undersampled:
        assert found.volume.noise_std[0, 0, 0] == np.float32(noise_level(covered))


def test_every_choice_is_in_the_lineage():
    choice = ChainChoice(partial_fourier="homodyne")
    scan = only(simulate(PROTOCOL, noise_level=0.03), STEPS < 56)
    found = reconstruct(in_memory(scan), choice=choice).lineage
    assert found["version"] == CHAIN_VERSION
    assert found["choice"] == choice.as_json()
    assert "homodyne" in step(found, "partial Fourier")["method"]
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize(
    ("choice", "constants"),
    [
        (ChainChoice(undersampling=2), {"regularisation_limits", "least_part_determined"}),
        (ChainChoice(undersampling=2, parallel_imaging="GRAPPA"), {"equation_weight", "kernel_lines"}),
        (
            ChainChoice(undersampling=2, parallel_imaging="L1-wavelet", coil_maps="ESPIRiT"),
            {"stops_at_relative_change", "shifts", "seed_of_replicas", "variance_smoothed_over_pixels"},
        ),
    ],
    ids=["SENSE", "GRAPPA", "L1-wavelet"],
)
def test_constants_of_the_steps_that_ran_are_in_the_lineage(choice: ChainChoice, constants: set[str]):
    scan = simulate(PROTOCOL, noise_level=0.03, coils=replace(Coils.make(6), period_mm=150.0))
    found = reconstruct(in_memory(scan), choice=choice).lineage
    assert json.loads(json.dumps(found)) == found
    assert constants | {"fewest_calibration_lines"} <= step(found, "unfolding").keys()
    assert {"trust_in_noise", "coarser_in_air", "window"} <= step(found, "coil combination")["maps"].keys()
    assert ("espirit" in step(found, "coil combination")) == (choice.coil_maps == "ESPIRiT")
    assert "low_quantile" in step(found, "noise whitening")


@pytest.mark.parametrize("lines", [STEPS >= 0, STEPS < 52, STEPS >= 24], ids=["full", "lower", "upper"])
def test_line_noise_is_the_noise_by_frequency(lines: np.ndarray):
    """The spectrum of many draws, along rows; with POCS and homodyne: test_partial_fourier."""
    choice = ChainChoice(partial_fourier="zero filling")
    protocol = replace(PROTOCOL, n_coils=2)
    disc = (Ellipse(0.0, 0.0, 38.0, 40.0),)
    whole = simulate(protocol, noise_level=1e-3, shapes=disc)
    clean = replace(simulate(protocol, shapes=disc), noise=whole.noise)
    quiet = reconstruct(in_memory(only(clean, lines)), choice=choice).volume.array[0]
    total, along = np.zeros(80), np.zeros(80)
    phase = np.exp(-1j * np.angle(quiet))
    body = Ellipse(0.0, 0.0, 34.0, 36.0).inside(*pixel_positions(protocol))
    for seed in range(1, 13):
        scan = only(simulate(protocol, noise_level=1e-3, seed=seed, shapes=disc), lines)
        found = reconstruct(in_memory(replace(scan, noise=whole.noise)), choice=choice)
        difference = (found.volume.array[0] - quiet) * phase * body
        total += (np.abs(kspace_of(difference)) ** 2).sum(axis=1)
        along += (np.abs(kspace_of(difference.real)) ** 2).sum(axis=1)
    for measured, stated in ((total, found.line_noise), (along, found.line_noise_along_phase)):
        assert stated.shape == (80,)
        assert stated.dtype == np.float32
        assert stated.mean() == pytest.approx(1.0, abs=1e-5)
        # The body's edge smears the spectrum over a few lines: compare bands of eight.
        bands = measured.reshape(10, 8).mean(axis=1) / measured.mean()
        assert bands == pytest.approx(stated.reshape(10, 8).mean(axis=1), abs=0.15)


def test_line_noise_of_an_image_with_phase_oversampling_is_by_its_own_frequencies():
    protocol = replace(PROTOCOL, rows=120, phase_mm=150.0)
    scan = only(simulate(protocol, noise_level=0.03), np.arange(120) < 75)
    cut = reconstruct(
        in_memory(scan, image_matrix=(64, 80), image_field_of_view_mm=(96.0, 100.0)),
        choice=ChainChoice(partial_fourier="zero filling"),
    )
    # Zero from 15 of 60 lines above the centre: 10 of 40 of the image.
    assert np.flatnonzero(cut.line_noise > 1e-6)[[0, -1]].tolist() == [0, 49]
    # Every second line filled in from the coils holds more noise than an acquired one.
    lines = (STEPS % 2 == 0) | (abs(STEPS - 40) <= 12)
    unfolded = reconstruct(in_memory(only(simulate(PROTOCOL, noise_level=0.03), lines))).line_noise
    assert unfolded[1:20:2].mean() > 1.1 * unfolded[0:20:2].mean()


@pytest.mark.parametrize(
    "choice",
    [
        ChainChoice(partial_fourier="homodyne"),
        ChainChoice(partial_fourier="zero filling"),
        ChainChoice(partial_fourier="homodyne", undersampling=2),
        ChainChoice(virtual_coils=4, coil_maps="ESPIRiT"),
    ],
    ids=["homodyne", "zero filling", "homodyne after SENSE", "ESPIRiT of four virtual coils"],
)
def test_noise_map_of_every_chain_equals_the_spread_of_pseudo_replicas(choice: ChainChoice):
    """Fresh noise on the same signal through the whole chain, everything estimated anew each time."""
    coils = replace(Coils.make(6), period_mm=150.0)
    lines = STEPS < 58
    clean = only(simulate(PROTOCOL, coils=coils), lines)
    noisy = only(simulate(PROTOCOL, noise_level=0.02, coils=coils), lines)
    random = np.random.default_rng(13)
    images, levels = [], []
    for _ in range(100):
        fresh = np.moveaxis(draw_noise(noisy.covariance, clean.data.shape[:2] + clean.data.shape[3:], random), 0, 2)
        data = (clean.data + fresh * clean.acquired[None, :, None, :, None]).astype(np.complex64)
        volume = reconstruct(in_memory(replace(noisy, data=data)), choice=choice).volume
        images.append(volume.array[0])
        levels.append(volume.noise_std[0])
    replicas, level = np.array(images), np.mean(levels, axis=0)
    measured = np.sqrt((replicas.real.var(axis=0, ddof=1) + replicas.imag.var(axis=0, ddof=1)) / 2)
    body = Ellipse(0, 0, 34, 36).inside(*pixel_positions(PROTOCOL))
    assert np.median((measured / level)[body]) == pytest.approx(1.0, abs=0.05)
