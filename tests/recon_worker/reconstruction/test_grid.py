"""Acquisitions of one subject and sequence brought to one grid."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recon_worker.data import InputFault, Volume
from recon_worker.reconstruction.chain import reconstruct
from recon_worker.reconstruction.grid import common_grid
from tests.recon_worker.support import Blob, Coils, Protocol, in_memory, oblique_directions, simulate

PROTOCOL = Protocol(columns=48, rows=40, n_slices=5, n_coils=2, directions=oblique_directions())


BLOB = Blob(6.0, -8.0, 5.0)


def _volume(protocol: Protocol, blob: Blob = BLOB) -> Volume:
    scan = simulate(protocol, noise_level=1e-4, shapes=(blob,), coils=Coils.uniform(2))
    return reconstruct(in_memory(scan)).volume


def _moved(protocol: Protocol, *, slices: float = 0.0, read_mm: float = 0.0, phase_mm: float = 0.0) -> Protocol:
    read, phase, normal = (np.asarray(direction) for direction in protocol.directions)
    centre = np.asarray(protocol.first_centre_mm) + slices * protocol.spacing_mm * normal
    centre = centre + read_mm * read + phase_mm * phase
    return replace(protocol, first_centre_mm=tuple(centre))


def test_equal_grids_are_left_as_they_are():
    volume = _volume(PROTOCOL)
    first, second = common_grid([volume, volume])
    assert np.array_equal(first.array, volume.array)
    assert np.array_equal(second.array, volume.array)
    assert np.allclose(first.affine, volume.affine)
    assert common_grid([]) == []


def test_slices_that_all_have_are_kept_in_their_places():
    whole = _volume(PROTOCOL)
    fewer = _volume(replace(_moved(PROTOCOL, slices=2), n_slices=4))
    for order in ([whole, fewer], [fewer, whole]):
        first, second = common_grid(order)
        assert first.array.shape[0] == second.array.shape[0] == 3
        assert np.allclose(first.affine, second.affine)
        assert np.allclose(first.position_mm((0, 3, 4)), whole.position_mm((2, 3, 4)), atol=1e-3)
        assert first.noise_std is not None
        assert first.noise_std.shape == first.array.shape


def test_a_small_shift_in_the_slice_plane_is_undone():
    """The same blob in the patient, acquired with a field of view moved by 1.5 and -2.2 mm."""
    reference = _volume(PROTOCOL)
    moved = _volume(_moved(PROTOCOL, read_mm=1.5, phase_mm=-2.2), Blob(6.0 - 1.5, -8.0 + 2.2, 5.0))
    first, second = common_grid([reference, moved])
    assert np.abs(np.abs(first.array) - np.abs(second.array)).max() < 0.002 * np.abs(first.array).max()
    assert np.abs(np.abs(first.array) - np.abs(moved.array)).max() > 0.1 * np.abs(first.array).max()


def test_the_noise_map_moves_with_the_image():
    """By whole pixels exactly, round the ends; by parts of a pixel between the neighbours' levels; never below them."""
    shape = (2, 40, 48)
    level = np.random.default_rng(4).uniform(0.5, 2.0, shape).astype(np.float32)
    volume = replace(_volume(replace(PROTOCOL, n_slices=2)), noise_std=level)
    for rows, columns in ((2, -3), (0.5, 0.0)):
        affine = volume.affine.copy()
        affine[:3, 3] += affine[:3, 1] * rows + affine[:3, 2] * columns
        _, moved = common_grid([volume, replace(volume, affine=affine)])
        assert moved.noise_std is not None
        assert moved.noise_std.dtype == np.float32
        whole = np.roll(level, (int(rows), int(columns)), axis=(1, 2))
        expected = whole if rows == int(rows) else (level + np.roll(level, 1, axis=1)) / 2
        assert np.allclose(moved.noise_std, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (replace(PROTOCOL, columns=40, read_mm=80.0), "matrix differs"),
        (replace(PROTOCOL, read_mm=98.0), "pixel size differs"),
        (replace(PROTOCOL, spacing_mm=5.0), "slice distance differs"),
        (replace(PROTOCOL, directions=Protocol().directions), "orientation"),
        (_moved(PROTOCOL, slices=0.5), "between those"),
        (_moved(PROTOCOL, slices=9), "no slice position in common"),
        (_moved(PROTOCOL, read_mm=20.0), "20.0 mm apart"),
    ],
)
def test_acquisitions_that_do_not_fit_are_refused_in_words(other: Protocol, words: str):
    with pytest.raises(InputFault, match=words):
        common_grid([_volume(PROTOCOL), _volume(other)])
