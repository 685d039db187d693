"""Reading orientation: where every voxel lies never changes, and a radiologist finds what is expected on each side."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from recon_worker.data import Volume
from recon_worker.dicom.orientation import Plane, edge_letters, plane_of, to_reading_orientation

SHAPE = (3, 4, 5)
SPACING = (4.4, 0.7, 0.6)

ORIENTATIONS = [
    (axes, signs) for axes in itertools.permutations(range(3)) for signs in itertools.product((1.0, -1.0), repeat=3)
]
"""All 48 ways to lay array axes along patient axes."""

EXPECTED_EDGES = {
    Plane.SAGITTAL: ("A", "P", "H", "F"),
    Plane.AXIAL: ("R", "L", "A", "P"),
    Plane.CORONAL: ("R", "L", "H", "F"),
}
EXPECTED_SLICES = {Plane.SAGITTAL: (0, 1), Plane.AXIAL: (2, -1), Plane.CORONAL: (1, 1)}
"""Patient axis along which slices are stacked, and its sign: right to left, top down, anterior to posterior."""


def volume_along(directions: np.ndarray) -> Volume:
    """A volume whose axes (slice, row, column) run along the rows of `directions`; every voxel has its own value."""
    affine = np.eye(4)
    affine[:3, :3] = (np.asarray(directions) * np.array(SPACING)[:, None]).T
    affine[:3, 3] = (11.0, -23.0, 37.0)
    return Volume(
        np.arange(np.prod(SHAPE), dtype=np.uint16).reshape(SHAPE), affine, 4.0, np.ones(SHAPE, dtype=np.float32)
    )


def places(volume: Volume) -> dict[int, np.ndarray]:
    """Position in the patient of each voxel value."""
    return {int(volume.array[index]): volume.position_mm(index) for index in np.ndindex(volume.array.shape)}


def assert_nothing_moved(before: Volume, after: Volume) -> None:
    first, second = places(before), places(after)
    assert first.keys() == second.keys()
    for value, place in first.items():
        np.testing.assert_allclose(second[value], place, atol=1e-9)


@pytest.mark.parametrize(("axes", "signs"), ORIENTATIONS)
def test_every_orientation_is_turned_for_reading_without_moving_a_voxel(axes, signs):
    directions = np.eye(3)[list(axes)] * np.array(signs)[:, None]
    before = volume_along(directions)
    after = to_reading_orientation(before)

    assert_nothing_moved(before, after)
    assert after.noise_std is not None and after.noise_std.shape == after.array.shape
    plane = plane_of(before)
    assert plane is (Plane.SAGITTAL, Plane.CORONAL, Plane.AXIAL)[axes[0]]
    edges = edge_letters(after)
    assert (edges.left, edges.right, edges.top, edges.bottom) == EXPECTED_EDGES[plane]
    axis, sign = EXPECTED_SLICES[plane]
    assert after.direction(0)[axis] == sign


def random_rotation(seed: int) -> np.ndarray:
    return Rotation.random(random_state=seed).as_matrix()


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**31 - 1))
def test_oblique_slices_keep_their_places_and_lie_as_near_to_expectation_as_turning_allows(seed):
    before = volume_along(random_rotation(seed))
    after = to_reading_orientation(before)
    assert_nothing_moved(before, after)

    # No other of the eight ways to lay the picture agrees better with what is expected.
    wanted_row = np.array([0, 1, 0]) if plane_of(before) is Plane.AXIAL else np.array([0, 0, -1])
    wanted_column = np.array([0, 1, 0]) if plane_of(before) is Plane.SAGITTAL else np.array([1, 0, 0])
    reached = after.direction(1) @ wanted_row + after.direction(2) @ wanted_column
    for transpose, row_sign, column_sign in itertools.product((False, True), (1, -1), (1, -1)):
        row, column = before.direction(1), before.direction(2)
        if transpose:
            row, column = column, row
        assert row_sign * row @ wanted_row + column_sign * column @ wanted_column <= reached + 2e-6
    axis, sign = EXPECTED_SLICES[plane_of(before)]
    assert sign * after.direction(0)[axis] >= -1e-6
    # Turning for reading twice changes nothing.
    again = to_reading_orientation(after)
    np.testing.assert_array_equal(again.array, after.array)
    np.testing.assert_array_equal(again.affine, after.affine)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([Plane.SAGITTAL, Plane.AXIAL, Plane.CORONAL]),
    st.floats(-25, 25),
    st.floats(-25, 25),
    st.floats(-25, 25),
)
def test_a_tilted_lumbar_slice_reads_like_the_straight_one(plane, x, y, z):
    """Tilts as a technician prescribes them (an axial slice along a disc) change no letter."""
    straight = {
        Plane.SAGITTAL: np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]]),
        Plane.AXIAL: np.array([[0, 0, -1], [0, 1, 0], [1, 0, 0]]),
        Plane.CORONAL: np.array([[0, 1, 0], [0, 0, -1], [1, 0, 0]]),
    }[plane].astype(float)
    tilt = Rotation.from_euler("xyz", [x, y, z], degrees=True).as_matrix()
    shown = to_reading_orientation(volume_along(straight @ tilt.T))
    np.testing.assert_array_equal(shown.array, volume_along(straight).array)
    edges = edge_letters(shown)
    assert (edges.left, edges.right, edges.top, edges.bottom) == EXPECTED_EDGES[plane]


def test_the_last_bits_of_a_cosine_decide_nothing():
    """An exactly diagonal slice, and the same with rounding noise, count as the same plane and lie alike."""
    half = np.sqrt(0.5)
    directions = np.array([[0.0, half, half], [1.0, 0.0, 0.0], [0.0, half, -half]])
    expected = to_reading_orientation(volume_along(directions))
    random = np.random.default_rng(1)
    for _ in range(20):
        noisy = volume_along(directions + random.normal(0, 1e-9, (3, 3)))
        np.testing.assert_array_equal(to_reading_orientation(noisy).array, expected.array)
        assert plane_of(noisy) is Plane.AXIAL


def test_one_slice_is_enough():
    whole = volume_along(np.array([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]]))
    single = Volume(whole.array[:1], whole.affine, 4.0)
    edges = edge_letters(to_reading_orientation(single))
    assert (edges.left, edges.top) == ("A", "H")
