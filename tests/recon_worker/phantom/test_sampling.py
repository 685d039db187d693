"""k-space from the sampling code against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import j1

from recon_worker.data import SlicePlane
from recon_worker.phantom.sampling import FineGrid, to_image
from recon_worker.phantom.shapes import ellipse, occupancy

PLANE = SlicePlane((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
MATRIX = (64, 48)
FIELD_OF_VIEW_MM = (240.0, 160.0)


def ellipse_samples(matrix, field_of_view_mm, centre_mm, half_axes_mm):
    """Fourier transform of a filled ellipse of value 1: 2 pi a b J1(q) / q with q = 2 pi |(a kx, b ky)|."""
    kx = (np.arange(matrix[0]) - matrix[0] // 2) / field_of_view_mm[0]
    ky = (np.arange(matrix[1])[:, None] - matrix[1] // 2) / field_of_view_mm[1]
    a, b = half_axes_mm
    q = 2 * np.pi * np.sqrt((a * kx) ** 2 + (b * ky) ** 2)
    jinc = np.where(q > 1e-9, j1(q) / np.where(q > 1e-9, q, 1), 0.5)
    integral = 2 * np.pi * a * b * jinc * np.exp(-2j * np.pi * (kx * centre_mm[0] + ky * centre_mm[1]))
    # Unitary transform of an image with one pixel per sample.
    return integral * np.sqrt(matrix[0] * matrix[1]) / (field_of_view_mm[0] * field_of_view_mm[1])


def sampled_ellipse(finer, centre_mm, half_axes_mm, phase_mm=(-80.0, 79.0)):
    grid = FineGrid.covering(MATRIX, FIELD_OF_VIEW_MM, finer, read_mm=(-119, 118), phase_mm=phase_mm)
    x, y, _ = (np.broadcast_to(c, grid.shape) for c in grid.plane(PLANE).points(grid.plane(PLANE).whole()))
    distance = ellipse(x - centre_mm[0], y - centre_mm[1], *half_axes_mm)
    return grid, occupancy(distance, grid.plane(PLANE).edge_mm)


@pytest.mark.parametrize(("finer", "tolerance"), [(2, 0.02), (8, 0.002)])
def test_an_ellipse_has_the_samples_of_its_closed_form(finer, tolerance):
    """The finer the object is sampled, the closer; at the simulator's own factor it is within 2 %."""
    centre, half_axes = (13.7, -6.2), (61.0, 42.0)
    grid, image = sampled_ellipse(finer, centre, half_axes)
    truth = ellipse_samples(MATRIX, FIELD_OF_VIEW_MM, centre, half_axes)
    samples = grid.encode(image)
    assert np.linalg.norm(samples - truth) / np.linalg.norm(truth) < tolerance
    # Not only the strong centre: the outer half of k-space, where the edges and their ringing are.
    outer = np.s_[:, : MATRIX[0] // 4]
    assert np.linalg.norm(samples[outer] - truth[outer]) / np.linalg.norm(truth[outer]) < 16 * tolerance


def test_ringing_is_that_of_a_truncated_edge():
    """The first overshoot of a wide bar is 9 % (Gibbs): the object is cut off in k-space, not resampled."""
    grid = FineGrid.covering((128, 8), (128.0, 8.0), 16, read_mm=(-64, 63), phase_mm=(-4, 3.9))
    x = np.broadcast_to(grid.plane(PLANE).points(grid.plane(PLANE).whole())[0], grid.shape)
    bar = (np.abs(x - 0.03) < 24).astype(np.float32)
    samples = grid.encode(bar)
    wide = np.zeros((8, 2048), dtype=np.complex64)
    wide[:, 1024 - 64 : 1024 + 64] = samples
    profile = to_image(wide, 2048)[4].real * np.sqrt(2048 / 128)
    overshoot = profile.max() - 1
    assert 0.07 < overshoot < 0.11


def test_what_lies_outside_the_field_of_view_folds_in_along_phase_encoding():
    centre = (0.0, 100.0)  # 20 mm beyond the edge at 80 mm
    grid, image = sampled_ellipse(4, centre, (20.0, 14.0), phase_mm=(-80.0, 120.0))
    inside = ellipse_samples(MATRIX, FIELD_OF_VIEW_MM, (0.0, 100.0 - FIELD_OF_VIEW_MM[1]), (20.0, 14.0))
    assert np.linalg.norm(grid.encode(image) - inside) / np.linalg.norm(inside) < 0.03


def test_the_middle_sample_of_the_object_is_the_middle_pixel():
    grid = FineGrid.covering(MATRIX, FIELD_OF_VIEW_MM, 2, read_mm=(-119, 118), phase_mm=(-80.0, 79.0))
    image = np.zeros(grid.shape, dtype=np.complex64)
    image[-grid.phase_range[0], -grid.read_range[0]] = 1
    peak = np.abs(to_image(grid.encode(image), 32))
    assert np.unravel_index(peak.argmax(), peak.shape) == (MATRIX[1] // 2, 16)
