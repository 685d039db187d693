"""The mapping from voxel to patient (DICOM PS3.3 C.7.6.2.1.1) and what moves with a volume."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recon_worker.data import InputFault, SlicePlane, Volume
from recon_worker.data.geometry import affine_from_planes
from tests.recon_worker.support import Protocol, oblique_directions

PROTOCOL = Protocol(n_slices=4, directions=oblique_directions())
SIZE = {"rows": 7, "columns": 6, "row_spacing_mm": 1.5, "column_spacing_mm": 0.8, "slice_thickness_mm": 4.0}


def _volume() -> Volume:
    random = np.random.default_rng(0)
    affine = affine_from_planes([PROTOCOL.plane(index) for index in range(4)], **SIZE)
    array = random.standard_normal((4, 7, 6)).astype(np.float32)
    return Volume(array, affine, 4.0, np.abs(array))


def test_positions_by_hand():
    volume = _volume()
    read, phase, normal = (np.array(direction) for direction in PROTOCOL.directions)
    for slice_, row, column in ((0, 3, 3), (2, 0, 5), (3, 6, 0)):
        # Odd and even sizes: the centre of the field of view lies at index n // 2.
        truth = np.array(PROTOCOL.first_centre_mm) + slice_ * 4.4 * normal
        truth = truth + (row - 3) * 1.5 * phase + (column - 3) * 0.8 * read
        assert volume.position_mm((slice_, row, column)) == pytest.approx(truth, abs=1e-9)
    assert volume.spacing_mm == pytest.approx((4.4, 1.5, 0.8))
    for axis, direction in enumerate((normal, phase, read)):
        assert volume.direction(axis) == pytest.approx(direction)


def test_one_slice_takes_its_thickness_for_the_distance():
    assert Volume(
        np.zeros((1, 7, 6)), affine_from_planes([PROTOCOL.plane(0)], **SIZE), 4.0
    ).spacing_mm[0] == pytest.approx(4.0)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_flipping_moves_no_voxel_in_the_patient(axis: int):
    volume = _volume()
    flipped = volume.flipped(axis)
    index = [1, 2, 4]
    mirrored = list(index)
    mirrored[axis] = volume.array.shape[axis] - 1 - index[axis]
    assert flipped.position_mm(tuple(mirrored)) == pytest.approx(volume.position_mm(tuple(index)))
    assert flipped.array[tuple(mirrored)] == volume.array[tuple(index)]
    assert flipped.noise_std[tuple(mirrored)] == volume.noise_std[tuple(index)]
    assert np.allclose(flipped.flipped(axis).affine, volume.affine)


@pytest.mark.parametrize("axes", [(0, 2, 1), (2, 0, 1), (1, 2, 0)])
def test_reordering_axes_moves_no_voxel_in_the_patient(axes: tuple[int, int, int]):
    volume = _volume()
    turned = volume.transposed(axes)
    index = (1, 2, 4)
    moved = tuple(index[axis] for axis in axes)
    assert turned.position_mm(moved) == pytest.approx(volume.position_mm(index))
    assert turned.array[moved] == volume.array[index]
    assert turned.noise_std[moved] == volume.noise_std[index]


def test_planes_that_are_no_stack_are_refused():
    planes = [PROTOCOL.plane(index) for index in (0, 1, 3)]
    with pytest.raises(ValueError, match="evenly"):
        affine_from_planes(planes, **SIZE)
    tilted = replace(PROTOCOL.plane(1), slice_direction=(0.0, 0.0, 1.0))
    with pytest.raises(ValueError, match="parallel"):
        affine_from_planes([PROTOCOL.plane(0), tilted], **SIZE)
    with pytest.raises(ValueError, match="No slice"):
        affine_from_planes([], **SIZE)


def test_directions_are_checked():
    good = PROTOCOL.plane(0)
    assert good.is_orthonormal()
    assert not replace(good, read_direction=(0.0, 0.0, 0.0)).is_orthonormal()
    assert not SlicePlane((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.6, 0.8, 0.0), (0.0, 0.0, 1.0)).is_orthonormal()


def test_volumes_of_wrong_shape_are_refused():
    with pytest.raises(ValueError, match="axes"):
        Volume(np.zeros((3, 4)), np.eye(4), 1.0)
    with pytest.raises(ValueError, match="4 x 4"):
        Volume(np.zeros((3, 4, 5)), np.eye(3), 1.0)
    with pytest.raises(ValueError, match="noise"):
        Volume(np.zeros((3, 4, 5)), np.eye(4), 1.0, np.zeros((3, 4, 4), np.float32))
    assert _volume().with_array(np.zeros((4, 7, 6))).noise_std is None


def test_a_fault_is_one_sentence_and_what_to_do():
    fault = InputFault("The file is empty.", "Copy it again.")
    assert str(fault) == "The file is empty. Copy it again."
    assert (fault.what, fault.action) == ("The file is empty.", "Copy it again.")
