"""Zero filling and apodization: everything stays where it is, as bright as it was, and the noise is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from recon_worker.data import ChainChoice, InputFault, Volume
from recon_worker.reconstruction.chain import reconstruct
from recon_worker.reconstruction.fourier import to_image, to_kspace
from recon_worker.reconstruction.interpolation import apodization_step, apodize, fermi_window, zero_fill
from tests.recon_worker.support import (
    Coils,
    Ellipse,
    Protocol,
    draw_noise,
    in_memory,
    oblique_directions,
    pixel_positions,
    simulate,
)

SIZES = [((32, 24), (64, 48)), ((32, 24), (50, 41)), ((31, 25), (64, 50)), ((31, 25), (33, 27)), ((32, 25), (32, 64))]
"""(columns, rows) before and after, even and odd in every combination."""


def _affine(row_mm: float = 2.0, column_mm: float = 1.5) -> np.ndarray:
    read, phase, normal = (np.array(direction) for direction in oblique_directions())
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = 4.4 * normal, row_mm * phase, column_mm * read
    affine[:3, 3] = (-23.4, 101.1, -345.67)
    return affine


def _random(columns: int, rows: int, slices: int = 2) -> Volume:
    random = np.random.default_rng(1)
    parts = random.standard_normal((2, slices, rows, columns)).astype(np.float32)
    return Volume((parts[0] + 1j * parts[1]).astype(np.complex64), _affine(), 4.0, np.ones(parts.shape[1:], np.float32))


def _cropped_back(volume: Volume, columns: int, rows: int) -> np.ndarray:
    """The middle of k-space alone, in numpy: the inverse of zero filling, by another way of writing it."""
    _, many_rows, many_columns = volume.array.shape
    spectrum = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(volume.array, axes=(1, 2)), axes=(1, 2)), axes=(1, 2))
    row, column = many_rows // 2 - rows // 2, many_columns // 2 - columns // 2
    middle = spectrum[:, row : row + rows, column : column + columns]
    image = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(middle, axes=(1, 2)), axes=(1, 2)), axes=(1, 2))
    return image * (rows * columns / (many_rows * many_columns))


@pytest.mark.parametrize(("before", "after"), SIZES)
def test_the_acquired_image_comes_back_from_the_finer_one(before, after):
    volume = _random(*before)
    finer = zero_fill(volume, after)
    assert finer.array.shape == (2, after[1], after[0])
    assert finer.array.dtype == np.complex64
    assert np.abs(_cropped_back(finer, *before) - volume.array).max() < 2e-6 * np.abs(volume.array).max()


@pytest.mark.parametrize(("before", "after"), SIZES)
def test_a_blob_off_the_centre_stays_at_its_place_in_the_patient(before, after):
    """A Gaussian that is zero at the edges and band-limited: what it is between the pixels is known in closed form."""
    truth_mm = np.array([5.3, -7.1])  # along columns, along rows, from the centre of the field of view

    def blob(volume: Volume) -> np.ndarray:
        _, rows, columns = volume.array.shape
        centre = _affine() @ np.array([1, before[1] // 2, before[0] // 2, 1.0])
        index = np.stack(np.meshgrid(np.ones(1), np.arange(rows), np.arange(columns), indexing="ij"), axis=-1)[0]
        places = index @ volume.affine[:3, :3].T + volume.affine[:3, 3] - centre[:3]
        along = np.stack([places @ volume.direction(2), places @ volume.direction(1)], axis=-1)
        return np.exp(-0.5 * np.sum(((along - truth_mm) / 3.3) ** 2, axis=-1))

    coarse = Volume(np.zeros((2, before[1], before[0]), np.complex64), _affine(), 4.0)
    picture = blob(coarse) * np.exp(0.4j)
    finer = zero_fill(Volume(np.stack([0 * picture, picture]).astype(np.complex64), _affine(), 4.0), after)
    expected = blob(finer) * np.exp(0.4j)
    assert np.abs(finer.array[1] - expected).max() < 2e-3
    weights = np.abs(finer.array[1]) ** 2
    rows, columns = np.indices(weights.shape)
    found = finer.position_mm((1, (weights * rows).sum() / weights.sum(), (weights * columns).sum() / weights.sum()))
    read, phase, _ = (np.array(direction) for direction in oblique_directions())
    centre = coarse.position_mm((1, before[1] // 2, before[0] // 2))
    assert found == pytest.approx(centre + truth_mm[0] * read + truth_mm[1] * phase, abs=0.01)


@pytest.mark.parametrize(("before", "after"), SIZES)
def test_field_of_view_slices_and_brightness_stay(before, after):
    volume = _random(*before)
    constant = zero_fill(Volume(np.full(volume.array.shape, 3 - 2j, np.complex64), _affine(), 4.0), after)
    assert np.abs(constant.array - (3 - 2j)).max() < 1e-5
    finer = zero_fill(volume, after)
    for axis in (1, 2):
        length = volume.spacing_mm[axis] * volume.array.shape[axis]
        assert finer.spacing_mm[axis] * finer.array.shape[axis] == pytest.approx(length, abs=1e-9)
        assert finer.direction(axis) == pytest.approx(volume.direction(axis), abs=1e-12)
    assert np.allclose(finer.affine[:3, 0], volume.affine[:3, 0])
    assert finer.slice_thickness_mm == 4.0
    middles = [one.position_mm((1, one.array.shape[1] // 2, one.array.shape[2] // 2)) for one in (volume, finer)]
    assert middles[0] == pytest.approx(middles[1], abs=1e-9)


def test_noise_keeps_its_size_and_its_map_follows():
    random = np.random.default_rng(2)
    parts = random.standard_normal((2, 40, 32, 40)).astype(np.float32)
    left_to_right = np.linspace(1.0, 3.0, 40, dtype=np.float32)
    map_ = np.broadcast_to(left_to_right, (40, 32, 40)).copy()
    volume = Volume(((parts[0] + 1j * parts[1]) * map_).astype(np.complex64), _affine(), 4.0, map_)
    finer = zero_fill(volume, (80, 64))
    assert finer.noise_std.shape == finer.array.shape
    measured = np.sqrt((np.abs(finer.array) ** 2).mean(axis=(0, 1)) / 2)
    # At the two ends white noise of one side folds into the other; the map is linear between.
    assert measured[8:-8] == pytest.approx(finer.noise_std[0, 0, 8:-8], rel=0.06)
    assert np.median(measured[8:-8] / finer.noise_std[0, 0, 8:-8]) == pytest.approx(1.0, abs=0.015)


def test_what_cannot_be_is_refused_in_words():
    volume = _random(32, 24)
    for matrix in ((31, 24), (32, 23), (16, 48)):
        with pytest.raises(InputFault, match="smaller than the acquired one of 32 x 24"):
            zero_fill(volume, matrix)
    with pytest.raises(InputFault, match="too large"):
        zero_fill(volume, (4096, 24))
    assert zero_fill(volume, (32, 24)) is volume
    with pytest.raises(ValueError, match="complex"):
        zero_fill(volume.with_array(np.abs(volume.array)), (64, 48))
    with pytest.raises(ValueError, match="complex"):
        apodize(volume.with_array(np.abs(volume.array)), "mild")


def _edge(length: int = 128, place: float = 0.3) -> tuple[Volume, np.ndarray]:
    """A bar of height 1 from its Fourier coefficients in closed form, along columns; constant along rows."""
    k = np.arange(length) - length // 2
    width = 0.5 * length
    coefficients = width * np.sinc(k * width / length) * np.exp(-2j * np.pi * k * place / length) / np.sqrt(length)
    line = to_image(torch.from_numpy(coefficients), 0).numpy()
    return Volume(np.broadcast_to(line, (1, 16, length)).astype(np.complex64), _affine(), 4.0), line


def _rise(line: np.ndarray) -> float:
    """Distance over which the rising edge goes from 10 to 90 %, in pixels, on an eight times finer grid."""
    x = np.arange(len(line)) / 8
    middle = len(line) // 4
    near = slice(middle - 40, middle + 40)
    up = np.maximum.accumulate(line[near])
    return float(np.interp(0.9, up, x[near]) - np.interp(0.1, up, x[near]))


def test_a_mild_filter_lowers_ringing_near_and_far_and_widens_an_edge_by_a_third_at_most():
    volume, _ = _edge()
    plain = zero_fill(volume, (1024, 16)).array[0, 8].real
    soft = zero_fill(apodize(volume, "mild"), (1024, 16)).array[0, 8].real
    assert plain.max() - 1 == pytest.approx(0.09, abs=0.01)
    assert soft.max() - 1 < 0.6 * (plain.max() - 1)
    assert -soft.min() < 0.6 * -plain.min()
    inside = slice(512 - 150, 512 + 150)  # 13 pixels and more from the edges
    assert np.abs(soft[inside] - 1).max() < 0.25 * np.abs(plain[inside] - 1).max()
    assert 1.0 < _rise(soft) / _rise(plain) < 1.35
    assert soft[512] == pytest.approx(1.0, abs=0.005)


def test_the_noise_map_follows_the_filter():
    random = np.random.default_rng(5)
    parts = random.standard_normal((2, 30, 48, 64)).astype(np.float32)
    volume = Volume((parts[0] + 1j * parts[1]).astype(np.complex64), _affine(), 4.0, np.ones((30, 48, 64), np.float32))
    soft = apodize(volume, "mild")
    measured = float(np.sqrt((np.abs(soft.array) ** 2).mean() / 2))
    assert measured == pytest.approx(float(soft.noise_std[0, 0, 0]), rel=0.005)
    assert apodize(volume, "none") is volume
    # The same filter on the zero-filled image, whose outer k-space was not acquired.
    order = apodize(zero_fill(volume, (128, 96)), "mild", extent=(0.5, 0.5))
    other = zero_fill(soft, (128, 96))
    assert np.abs(order.array - other.array).max() < 1e-5
    assert order.noise_std[0, 0, 0] == pytest.approx(float(other.noise_std[0, 0, 0]), rel=0.02)


def test_the_window_is_one_in_the_centre_and_even():
    for length in (32, 33):
        window = fermi_window(length, 0.8, 0.15)
        assert window[length // 2] == 1.0
        assert window[length // 2 + 3] == window[length // 2 - 3]
        assert window.min() >= 0.0
    with pytest.raises(ValueError, match="part of k-space"):
        apodize(_random(16, 16), "mild", extent=(0.0, 1.0))


def test_a_slice_is_worked_on_alone():
    volume = _random(32, 24, slices=3)
    one = Volume(volume.array[1:2], _affine(), 4.0)
    assert np.array_equal(zero_fill(volume, (64, 64)).array[1], zero_fill(one, (64, 64)).array[0])
    kspace = to_kspace(torch.from_numpy(volume.array[1]), 0)
    assert kspace.dtype == torch.complex64


@pytest.mark.parametrize(
    ("choice", "lines"),
    [
        (ChainChoice(undersampling=3), slice(0, 80)),
        (ChainChoice(undersampling=3, parallel_imaging="GRAPPA"), slice(0, 80)),
        (ChainChoice(), slice(0, 50)),
        (ChainChoice(undersampling=2), slice(0, 54)),
    ],
    ids=["SENSE 3", "GRAPPA 3", "POCS", "SENSE 2 and POCS"],
)
def test_noise_after_the_filter_is_stated_where_lines_are_not_alike_noisy(choice: ChainChoice, lines: slice):
    """Fresh noise on the same signal, everything estimated anew each time."""
    protocol = Protocol(columns=64, rows=80, n_coils=8, read_mm=96.0, phase_mm=100.0)
    coils = replace(Coils.make(8), period_mm=150.0)
    clean = simulate(protocol, coils=coils, phase_lines=lines)
    noisy = simulate(protocol, noise_level=0.02, coils=coils, phase_lines=lines)
    random = np.random.default_rng(3)
    images, levels = [], []
    for _ in range(40):
        fresh = np.moveaxis(draw_noise(noisy.covariance, clean.data.shape[:2] + clean.data.shape[3:], random), 0, 2)
        data = (clean.data + fresh * clean.acquired[None, :, None, :, None]).astype(np.complex64)
        found = reconstruct(in_memory(replace(noisy, data=data)), choice=choice)
        soft = apodize(found.volume, "mild", line_noise=found.line_noise)
        images.append(soft.array[0])
        levels.append(soft.noise_std[0])
    replicas = np.array(images)
    measured = np.sqrt((replicas.real.var(axis=0, ddof=1) + replicas.imag.var(axis=0, ddof=1)) / 2)
    body = Ellipse(0, 0, 34, 36).inside(*pixel_positions(protocol))
    assert np.median((measured / np.mean(levels, axis=0))[body]) == pytest.approx(1.0, abs=0.05)
    told = apodization_step((64, 80), "mild", found.line_noise)
    assert told["noise_factor"] == pytest.approx(float((soft.noise_std / found.volume.noise_std).mean()), rel=1e-5)
    assert (told["half_at"], told["falls_over"]) == (0.8, 0.15)
