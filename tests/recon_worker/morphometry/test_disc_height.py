"""Disc height against shapes of known height, and the smallest rectangle against a search over all angles."""

from dataclasses import astuple, replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from recon_worker.morphometry.disc_height import measure_disc, pixel_corners, smallest_rectangle

PIXEL_MM = 0.74
SUBSAMPLES = 8


def slanted_disc(rng: np.random.Generator, spacing: tuple[float, float]) -> tuple[np.ndarray, float, float]:
    """Part of each pixel that a slanted rounded disc covers `[row, column]`, its height and its depth in mm."""
    depth, height = rng.uniform(32, 40), rng.uniform(6, 12)
    angle, shift = np.radians(rng.uniform(-35, 35)), rng.uniform(-0.5, 0.5, 2) * spacing
    count = [round(64 / step) for step in spacing]
    axes = [
        ((np.arange(n * SUBSAMPLES) + 0.5) / SUBSAMPLES - n / 2) * step for n, step in zip(count, spacing, strict=True)
    ]
    rows, columns = np.meshgrid(axes[0] - shift[0], axes[1] - shift[1], indexing="ij")
    along = columns * np.cos(angle) + rows * np.sin(angle)
    across = -columns * np.sin(angle) + rows * np.cos(angle)
    inside = np.abs(2 * along / depth) ** 4 + np.abs(2 * across / height) ** 4 < 1
    covered = inside.reshape(count[0], SUBSAMPLES, count[1], SUBSAMPLES).mean(axis=(1, 3))
    return covered.astype(np.float32), height, depth


def test_the_height_of_slanted_discs_is_right_within_a_third_of_a_millimetre():
    rng = np.random.default_rng(1)
    errors = []
    for _ in range(30):
        covered, height, _ = slanted_disc(rng, (PIXEL_MM, PIXEL_MM))
        found = measure_disc((covered > 0.5)[None], (4.4, PIXEL_MM, PIXEL_MM), covered[None])
        errors.append(found.height_mm - height)
    assert np.mean(np.abs(errors)) < 0.3
    assert np.max(np.abs(errors)) < 0.3


def test_around_pixel_corners_a_height_is_about_a_pixel_larger():
    """As one that is computed again from a SEG: some 0.7 mm and up to 0.9, says docs/statistics.md."""
    rng = np.random.default_rng(8)
    more = []
    for _ in range(60):
        covered, _, _ = slanted_disc(rng, (PIXEL_MM, PIXEL_MM))
        mask, step = (covered > 0.5)[None], (4.4, PIXEL_MM, PIXEL_MM)
        more.append(measure_disc(mask, step).height_mm - measure_disc(mask, step, covered[None]).height_mm)
    assert 0.6 < np.median(more) < 0.8
    assert np.percentile(more, 95) < 0.9


def test_anisotropic_pixels_are_measured_in_millimetres():
    rng = np.random.default_rng(2)
    for spacing in ((1.16, 0.74), (0.74, 1.16)):
        errors = []
        for _ in range(20):
            covered, height, _ = slanted_disc(rng, spacing)
            found = measure_disc((covered > 0.5)[None], (4.4, *spacing), covered[None])
            errors.append(found.height_mm - height)
        assert np.mean(np.abs(errors)) < 0.3


def test_pixel_corners_bound_an_upright_block_exactly():
    mask = np.zeros((3, 40, 60), dtype=bool)
    mask[1, 10:18, 12:50] = True
    found = measure_disc(mask, (4.0, 0.5, 0.75))
    assert found.height_mm == pytest.approx(8 * 0.5)
    assert found.mean_height_mm == pytest.approx(8 * 0.5, rel=0.12)
    assert found.area_mm2 == pytest.approx(8 * 0.5 * 38 * 0.75)
    assert found.slice_index == 1


def test_the_mean_height_is_that_of_the_middle_third_of_the_depth():
    """A gable over a flat base rises evenly from 4 mm at both ends to 12 mm: over the middle third 10.67 mm, over the
    middle half 10 mm, over all 8 mm."""
    step, depth = 0.1, 40.4
    columns = (np.arange(round(depth / step)) + 0.5) * step - depth / 2
    rows = (np.arange(140) + 0.5) * step
    mask = np.zeros((1, 160, columns.size + 20), dtype=bool)
    mask[0, 10:150, 10:-10] = rows[:, None] < 12 - 8 * np.abs(2 * columns / depth)
    found = measure_disc(mask, (4.0, step, step))
    assert found.height_mm == pytest.approx(12.0, abs=step)
    assert found.mean_height_mm == pytest.approx(4 + 8 * 5 / 6, rel=0.01)
    assert found.area_mm2 == pytest.approx(8 * depth, rel=0.01)


def test_the_central_slice_is_that_of_the_centre_of_mass():
    mask = np.zeros((9, 40, 60), dtype=bool)
    for index, height in enumerate([0, 2, 6, 8, 8, 8, 6, 2, 0]):
        mask[index, 20 : 20 + height, 15:45] = True
    found = measure_disc(mask, (4.0, 1.0, 1.0))
    assert found.slice_index == 4 and found.height_mm == pytest.approx(8.0)


@pytest.mark.parametrize("first", range(4))
@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ([(6, 24), (6, 24), (9, 24), (5, 24)], (9, 24)),
        ([(7, 72), (9, 56)], (9, 56)),
        ([(7, 72), (0, 0), (9, 56)], (9, 56)),
        ([(8, 40), (8, 40)], (8, 40)),
    ],
)
def test_of_two_slices_as_near_to_the_centroid_the_larger_is_measured_in_either_order(sections, expected, first):
    """Rows and columns of the sections; where the areas are equal as well, the higher one."""
    mask = np.zeros((10, 40, 100), dtype=bool)
    for index, (rows, columns) in enumerate(sections):
        mask[first + index, 20 : 20 + rows, 10 : 10 + columns] = True
    found = measure_disc(mask, (4.0, 1.0, 1.0))
    assert (found.height_mm, found.area_mm2) == pytest.approx((expected[0], expected[0] * expected[1]))
    probability = gaussian_filter(mask.astype(np.float32), (0, 1, 1))
    for given in (None, probability):
        one = measure_disc(mask, (4.0, 1.0, 1.0), given)
        other = measure_disc(mask[::-1], (4.0, 1.0, 1.0), None if given is None else given[::-1])
        assert replace(other, slice_index=one.slice_index) == one


def test_measures_are_plain_numbers():
    mask = np.zeros((3, 40, 60), dtype=bool)
    mask[1, 10:18, 12:50] = True
    for probability in (None, 0.9 * mask.astype(np.float32)):
        found = measure_disc(mask, tuple(np.array([4.0, 0.5, 0.75])), probability)
        assert [type(value) for value in astuple(found)] == [float, float, float, int]


def test_the_smallest_rectangle_is_no_larger_than_that_of_any_angle():
    rng = np.random.default_rng(3)
    for _ in range(20):
        points = rng.normal(size=(40, 2)) * [6, 2]
        found = smallest_rectangle(points)
        areas = []
        for angle in np.radians(np.arange(0, 90, 0.05)):
            turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            areas.append(np.prod(np.ptp(points @ turn, axis=0)))
        assert found.short_mm * found.long_mm <= min(areas) + 1e-9
        assert found.short_mm * found.long_mm == pytest.approx(min(areas), rel=2e-3)
        assert found.short_mm <= found.long_mm
        assert found.short_direction @ found.long_direction == pytest.approx(0.0, abs=1e-12)


def test_a_spur_in_the_probability_beyond_the_mask_is_not_measured():
    probability = np.zeros((3, 60, 80), dtype=np.float32)
    probability[1, 25:35, 20:60] = 0.9
    mask = probability > 0.5
    probability[1, 5:20, 38:42] = 0.9  # another structure, not of this mask
    assert measure_disc(mask, (4.0, 1.0, 1.0), probability).height_mm == pytest.approx(10.0, abs=0.3)


def test_an_empty_mask_is_no_disc():
    with pytest.raises(ValueError, match="empty"):
        measure_disc(np.zeros((2, 4, 4), dtype=bool), (1.0, 1.0, 1.0))
    assert len(pixel_corners(np.ones((1, 1), dtype=bool), (1.0, 1.0))) == 4
