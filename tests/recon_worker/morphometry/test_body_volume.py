"""Body volume against bodies of known volume."""

import numpy as np
import pytest

from recon_worker.morphometry.body_volume import body_volume_cm3


def test_an_ellipsoid_has_its_volume_with_the_true_distance_of_slices():
    spacing = (4.4, 0.74, 1.16)
    axes = [np.arange(-30, 31) * step for step in spacing]
    grids = np.meshgrid(*axes, indexing="ij", sparse=True)
    semi = (22.0, 14.0, 17.0)
    mask = sum((grid / half) ** 2 for grid, half in zip(grids, semi, strict=True)) < 1
    true = 4 / 3 * np.pi * np.prod(semi) / 1000
    assert body_volume_cm3(mask, spacing) == pytest.approx(true, rel=0.01)


def test_a_gap_between_slices_counts():
    mask = np.zeros((6, 50, 50), dtype=bool)
    mask[1:5, 10:40, 10:40] = True
    assert body_volume_cm3(mask, (4.4, 1.0, 1.0)) == pytest.approx(4 * 4.4 * 900 / 1000)
