"""Pieces of slices become structures: two levels stay two, whatever lies beside them; one that is divided stays one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from recon_worker.segmentation.across_slices import joined
from recon_worker.segmentation.cleaning import instances

SPACING = (4.0, 1.0, 1.0)


def two_bodies(slices: int = 9) -> np.ndarray:
    """Two bodies of 24 x 32 mm, 8 mm apart, narrower in the outer slices."""
    mask = np.zeros((slices, 90, 80), dtype=bool)
    for index in range(slices):
        narrow = 2 * abs(index - slices // 2)
        for top in (14, 46):
            mask[index, top : top + 24, 20 + narrow : 52 - narrow] = True
    return mask


def structures(mask: np.ndarray) -> list[np.ndarray]:
    probability = ndimage.gaussian_filter(mask.astype(np.float32), [0, 0.5, 0.5])
    found = instances(probability, SPACING, "body")
    return [one.mask for one in sorted(found, key=lambda one: one.centroid[1])]


@pytest.mark.parametrize("sides", [(0, 1), (7, 8), (0, 1, 7, 8)])
def test_what_lies_beside_two_levels_does_not_join_them(sides):
    """A muscle that is taken for a body, as high as both, in the outer slices."""
    clean = structures(two_bodies())
    mask = two_bodies()
    for index in sides:
        mask[index, 12:74, 16:56] = True
    upper, lower = structures(mask)[:2]
    for ours, true, rows in ((upper, clean[0], slice(0, 44)), (lower, clean[1], slice(40, None))):
        assert ours[2:7].sum() == true[2:7].sum()
        assert ours[:, rows].sum() == ours.sum()
        for index in sides:  # from slice to slice it grows by no more than 3 mm, corners are rounded
            towards_the_middle = ours[index + (1 if index < 4 else -1)]
            assert ndimage.distance_transform_edt(~towards_the_middle)[ours[index]].max() < 3.5


def test_a_body_that_a_screw_divides_in_its_middle_slices_is_one():
    mask = two_bodies()
    mask[3:6, 24:29] = False
    assert len(structures(mask)) == 2
    upper = structures(mask)[0]
    assert upper[4, 16:23, 30:45].all() and upper[4, 31:36, 30:45].all()


def test_numbers_of_slices_mean_nothing():
    mask = two_bodies()
    pieces = np.stack([ndimage.label(section)[0] for section in mask]).astype(np.int32)
    depth = np.stack([ndimage.distance_transform_edt(section) for section in mask])
    turned = np.where(np.arange(len(mask))[:, None, None] % 2 == 1, np.where(pieces > 0, 3 - pieces, 0), pieces)
    for one in (pieces, turned.astype(np.int32)):
        found = joined(one, depth, SPACING)
        assert set(np.unique(found)) == {0, 1, 2}
        assert ((found > 0) == mask).all()
        for number in (1, 2):
            rows = np.flatnonzero((found == number).any(axis=(0, 2)))
            assert np.ptp(rows) < 24


def test_nothing_is_nothing():
    empty = np.zeros((4, 20, 20), dtype=np.int32)
    assert not joined(empty, empty.astype(float), SPACING).any()


@pytest.mark.parametrize("lean", [0.0, 0.5])
def test_a_structure_that_leans_is_kept_whole(lean):
    """A scoliosis: each slice lies 2 mm lower than the one before."""
    mask = two_bodies()
    for index in range(len(mask)):
        mask[index] = np.roll(mask[index], round(lean * SPACING[0] * (index - 4)), axis=0)
    found = structures(mask)
    assert len(found) == 2
    clean = structures(two_bodies())
    for ours, true in zip(found, clean, strict=True):
        assert ours.sum() == pytest.approx(true.sum(), rel=0.01)
