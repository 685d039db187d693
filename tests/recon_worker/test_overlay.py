"""A contact sheet says where its slices lie: what lies there is the slice of that number, and no part of another."""

import numpy as np
import pytest
from PIL import Image

from recon_worker.data import Volume
from recon_worker.morphometry.structures import Structure
from recon_worker.overlay import write_contact_sheet

AFFINE = np.array([[4.4, 0, 0, 0], [0, 0, 1.5, 0], [0, -1.5, 0, 0], [0, 0, 0, 1.0]])
"""Sagittal, from right to left, head up."""


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("first", "last"), [(1, 12), (3, 9), (7, 7)])
def test_the_places_are_those_of_the_slices(tmp_path, first, last, reverse):
    """Slice n of 12, in reading order, is of one grey, 20 n, but for a small square in its middle."""
    greys = np.repeat(20.0 * np.arange(1, 13), 100 * 80).reshape(12, 100, 80).astype(np.float32)
    bodies = np.zeros(greys.shape, np.uint8)
    bodies[first - 1 : last, 45:55, 35:45] = 4
    affine = AFFINE.copy()
    if reverse:  # stored from left to right
        greys, bodies = greys[::-1], bodies[::-1]
        affine[0] = [-4.4, 0, 0, 11 * 4.4]
    found = [Structure("body", 4, "L3", "measured", {}, (0.0, 0.0, 0.0))]
    volume = Volume(np.ascontiguousarray(greys), affine, 4.0)
    sheet = write_contact_sheet(
        tmp_path / "overlay.png", volume, np.zeros_like(bodies), bodies, found, window=(127.5, 255)
    )
    with Image.open(tmp_path / "overlay.png") as picture:
        pixels = np.asarray(picture.convert("L"), dtype=int)
        assert sheet.size == picture.size
    assert (sheet.first, sheet.slices) == (first, last - first + 1)
    width, height = sheet.tile
    for index in range(sheet.slices):
        line, column = divmod(index, sheet.across)
        left, top = sheet.start[0] + column * sheet.step[0], sheet.start[1] + line * sheet.step[1]
        tile = pixels[top : top + height, left : left + width]
        assert tile.shape == (height, width)
        rim = np.concatenate([tile[-1], tile[:, -1], tile[height // 2 :, 0]])
        assert np.abs(rim - 20 * (first + index)).max() <= 2
