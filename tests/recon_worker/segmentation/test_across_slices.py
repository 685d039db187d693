"""Pieces of slices become structures: two levels stay two, whatever lies beside them; one that is divided stays one."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from recon_worker.segmentation.across_slices import joined
from recon_worker.segmentation.cleaning import disk, instances

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


def soft(mask: np.ndarray) -> np.ndarray:
    return ndimage.gaussian_filter(mask.astype(np.float32), [0, 0.5, 0.5])


def leaning(
    height_mm: float, angle: float, spacing: tuple[float, float, float], depth_mm: float = 34, middles=(52.0,)
) -> np.ndarray:
    """Elliptical cylinders 46 mm wide that lean sideways by `angle` degrees."""
    step, pixel = spacing[0], spacing[1]
    slices = int(56 / step) | 1
    rows, columns = np.meshgrid(np.arange(0, 140, pixel), np.arange(0, 80, pixel), indexing="ij")
    mask = np.zeros((slices, *rows.shape), dtype=bool)
    for index in range(slices):
        across = (index - slices // 2) * step
        half = depth_mm / 2 * np.sqrt(max(0.0, 1 - (2 * across / 46) ** 2))
        for middle in middles:
            down = middle + np.tan(np.radians(angle)) * across
            mask[index] |= (np.abs(rows - down) < height_mm / 2) & (np.abs(columns - 40) < half)
    return mask


@pytest.mark.parametrize(("height_mm", "angle"), [(3, 0), (3, 20), (3, 25), (4, 30), (5, 30), (7, 35)])
def test_a_thin_disc_that_leans_sideways_is_one(height_mm, angle):
    spacing = (4.4, 0.75, 0.75)
    mask = leaning(height_mm, angle, spacing)
    found = instances(soft(mask), spacing, "disc")
    assert len(found) == 1 and found[0].mask.sum() > 0.93 * mask.sum()


@pytest.mark.parametrize("angle", [0, 10, 20, 30])
@pytest.mark.parametrize("spacing", [(0.9, 0.9, 0.9), (1.5, 1.0, 1.0), (3.0, 1.0, 1.0), (4.4, 0.75, 0.75)])
def test_bodies_that_lean_keep_their_volume_whatever_the_slices(spacing, angle):
    mask = leaning(27, angle, spacing, middles=(45.0, 82.0))
    found = instances(soft(mask), spacing, "body")
    assert len(found) == 2
    assert sum(int(one.mask.sum()) for one in found) == pytest.approx(mask.sum(), rel=0.01)


def narrowed(end_mm: float, waist_mm: float, tilt: float = 0.0) -> np.ndarray:
    """A collapsed disc of 36 mm, thin in its middle, with a bulge in front and behind; 0.75 mm pixels, 9 slices."""
    rows, columns = np.meshgrid(np.arange(110) * 0.75 - 41, np.arange(100) * 0.75 - 37, indexing="ij")
    turn = np.radians(tilt)
    along, up = columns * np.cos(turn) - rows * np.sin(turn), columns * np.sin(turn) + rows * np.cos(turn)
    part = np.clip(np.abs(along) / 18, 0, 1)
    section = (np.abs(up) < (waist_mm + (end_mm - waist_mm) * part**2) / 2) & (np.abs(along) < 18)
    return np.repeat(section[None], 9, axis=0)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("tilt", [0.0, 45.0])
@pytest.mark.parametrize(("end_mm", "waist_mm"), [(6, 4), (6, 3.5), (7, 3), (8, 3)])
def test_a_narrowed_disc_is_not_torn_in_its_middle(end_mm, waist_mm, tilt, turned):
    mask = narrowed(end_mm, waist_mm, tilt)
    mask = mask.transpose(0, 2, 1) if turned else mask
    found = instances(soft(mask), (4.4, 0.75, 0.75), "disc", spine_axis=2 if turned else 1)
    assert len(found) == 1 and found[0].mask.sum() > 0.9 * mask.sum()


def test_a_disc_that_is_thin_everywhere_is_kept_and_the_spur_of_a_thick_one_is_not():
    """Two pixels thick: the smoothing of outlines would leave nothing of it."""
    mask = np.zeros((7, 60, 80), dtype=bool)
    mask[:, 20:22, 20:54] = True
    found = instances(soft(mask), SPACING, "disc")
    assert len(found) == 1 and found[0].mask.sum() > 0.9 * mask.sum()
    mask[:, 16:26, 20:54] = True
    thick = int(mask.sum())
    mask[:, 20:21, 54:64] = True
    (found_thick,) = instances(soft(mask), SPACING, "disc")
    assert found_thick.mask.sum() == pytest.approx(thick, rel=0.03) and not found_thick.mask[:, :, 57:].any()


@pytest.mark.parametrize("vertebra_mm", [8, 10, 12, 14])
@pytest.mark.parametrize("bridges", [(), (1,), (1, 9)])
def test_discs_on_both_sides_of_a_crushed_vertebra_stay_two(vertebra_mm, bridges):
    """They hang together in front of it in outer slices."""
    mask = np.zeros((11, 120, 90), dtype=bool)
    for index in range(11):
        half = 17 * np.sqrt(max(0.0, 1 - ((index - 5) * 4.4 / 24) ** 2))
        front, back = int(45 - half), int(45 + half)
        for top in (40, 48 + vertebra_mm):
            mask[index, top : top + 8, front:back] = True
        if index in bridges:
            mask[index, 40 : 56 + vertebra_mm, front : front + 9] = True
    found = instances(soft(mask), (4.4, 1.0, 1.0), "disc")
    sizes = [one.volume_mm3 for one in found]
    assert len(found) == 2 and max(sizes) < 1.1 * min(sizes)


@pytest.mark.parametrize("pixel_mm", [1.0, 1.0 + 1e-7, 0.5, 0.5 + 1e-7])
def test_a_rounding_error_of_the_pixel_changes_no_neighbourhood(pixel_mm):
    assert disk(1.0, (4.0, pixel_mm, pixel_mm)).sum() == (5 if pixel_mm > 0.9 else 13)


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("lean", [6, 10, 16])
def test_a_spine_that_leaves_the_first_slice_keeps_its_volumes_in_any_order_of_slices(lean, order):
    """Seven elliptic bodies in a line that leans sideways by so many degrees: the first slice shows only the rounded
    ends of the outer ones."""
    spacing, half, depth, height = 4.8, 22.0, 16.0, 24
    planes, rows, columns = np.ogrid[:26, :280, :60]
    mask = np.zeros((26, 280, 60), dtype=bool)
    volumes = []
    for number in range(7):
        top = 10 + 37 * number
        aside = (planes - 12.7) * spacing - np.tan(np.radians(lean)) * 37 * (number - 3)
        body = (rows >= top) & (rows < top + height) & ((aside / half) ** 2 + ((columns - 30) / depth) ** 2 <= 1)
        mask |= body
        volumes.append(int(body.sum()))
    probability = ndimage.gaussian_filter(mask[::order].astype(np.float32), [0, 0.5, 0.5])
    found = instances(probability, (spacing, 1.0, 1.0), "body")
    found.sort(key=lambda one: one.centroid[1])
    assert [int(one.mask.sum()) for one in found] == pytest.approx(volumes, rel=0.04)


@pytest.mark.parametrize(("kind", "kept"), [("disc", 8), ("body", 5)])
def test_a_disc_may_be_seen_unsteadily_from_slice_to_slice_and_what_is_beside_a_body_is_not_it(kind, kept):
    """Slice 5 from the right shows 0.4 of the largest area, and the next ones 0.7 again."""
    pieces = np.zeros((8, 60, 60), dtype=np.int32)
    for index, width in enumerate((40, 40, 40, 40, 16, 28, 28, 28)):
        pieces[index, 20:30, 10 : 10 + width] = 1
    depth = np.stack([ndimage.distance_transform_edt(section) for section in pieces])
    label = joined(pieces, depth, (20.0, 1.0, 1.0), kind)
    assert int((label == label[0, 25, 15]).any(axis=(1, 2)).sum()) == kept


@pytest.mark.parametrize("sides", [(6,), (6, 7), (1, 2)])
def test_a_crushed_body_does_not_grow_into_the_muscle_beside_it(sides):
    """Of five bodies the third has a third of the height; in outer slices a network sees muscle beside it."""
    mask = np.zeros((9, 200, 80), dtype=bool)
    for index in range(9):
        narrow = 2 * abs(index - 4)
        for top, height in ((10, 24), (44, 24), (78, 9), (97, 24), (131, 24)):
            mask[index, top : top + height, 20 + narrow : 52 - narrow] = True
    clean = structures(mask)
    for index in sides:
        mask[index, 76:89, 4:70] = True
    found = structures(mask)
    assert [one.sum() for one in found[:2] + found[3:5]] == [one.sum() for one in clean[:2] + clean[3:5]]
    for index in sides:  # by no more than 3 mm a slice, corners are rounded
        inner = found[2][index + (1 if index < 4 else -1)]
        assert ndimage.distance_transform_edt(~inner)[found[2][index]].max() < 3.5
