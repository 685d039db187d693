"""Where data sets draw a body's outline: measured on images of known rims, and moved by a known distance."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from recon_worker.training.mask_convention import INSIDE_MM, moved_outward, rim_begins_mm, rims_by_source
from recon_worker.training.spine_images import real_slices

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"


def box(top: float, bottom: float, size: int = 80) -> np.ndarray:
    """Part of each row between two heights; columns 20 to 60."""
    rows = np.arange(size)
    part = np.clip(np.minimum(rows + 1, bottom) - np.maximum(rows, top), 0, 1)
    columns = (rows >= 20) & (rows < 60)
    return np.outer(part, columns)


@pytest.mark.parametrize("distance", [0.5, 0.75, 1.0, 2.0])
def test_a_disc_grows_by_the_distance(distance):
    rows, columns = np.ogrid[:90, :90]
    apart = np.hypot(rows - 45.2, columns - 44.7)
    before, after = 20.3, 20.3 + distance
    labels = (apart <= before).astype(np.uint8) * 5
    grown = moved_outward(labels, distance)
    assert set(np.unique(grown)) == {0, 5}
    radius = np.sqrt((grown > 0).sum() / np.pi)
    # Whole pixels are added: a third of one is the most that rounding takes or gives on the mean of all directions.
    assert radius - np.sqrt((labels > 0).sum() / np.pi) == pytest.approx(distance, abs=1 / 3)
    assert not (grown > 0)[apart > after + 0.9].any()
    assert (grown > 0)[apart < after - 0.9].all()


def test_neighbours_keep_what_is_theirs():
    labels = np.zeros((60, 60), dtype=np.uint8)
    labels[10:28, 20:40], labels[29:50, 20:40] = 1, 2
    grown = moved_outward(labels, 2.0)
    np.testing.assert_array_equal(grown[labels > 0], labels[labels > 0])
    assert (grown[28, 20:40] > 0).all()
    assert grown[8, 30] == 1 and grown[51, 30] == 2 and grown[4, 30] == 0


@pytest.mark.parametrize("drawn", [-1.0, 0.0, 1.0, 2.0])
def test_the_rim_is_found_where_it_is(drawn):
    """Marrow from row 20 to 50, a dark rim of 3 mm, a grey disc; the outline is drawn `drawn` mm outside the marrow."""
    fine = 4
    height = np.arange(80 * fine)[:, None] / fine
    across = np.arange(80 * fine)[None] / fine
    beside = (across >= 20) & (across < 60)
    marrow = beside & (height >= 20) & (height < 50)
    rim = beside & (height >= 17) & (height < 53)
    picture = gaussian_filter(np.where(marrow, 1.0, np.where(rim, 0.1, 0.6)), 0.5 * fine)
    image = picture.reshape(80, fine, 80, fine).mean(axis=(1, 3)).astype(np.float16)
    labels = (box(20 - drawn, 50 + drawn) > 0.5).astype(np.uint8)
    found = rim_begins_mm(image, labels)
    assert found is not None and found == pytest.approx(-drawn, abs=0.3)


def test_without_a_rim_there_is_no_answer():
    labels = (box(20, 50) > 0.5).astype(np.uint8)
    assert rim_begins_mm(np.ones((80, 80), dtype=np.float16), labels) is None
    assert rim_begins_mm(np.ones((80, 80), dtype=np.float16), np.zeros((80, 80), dtype=np.uint8)) is None


@pytest.mark.skipif(not (DATA / "spine").is_dir(), reason="the development data (shared/data/spine) are missing")
def test_moved_masks_lie_between_those_of_the_other_data_sets_and_those_as_drawn_do_not():
    slices = real_slices(DATA, lambda stage, fraction: None, as_drawn=True)
    places = {source: float(np.median(found)) for source, found in rims_by_source(islice(slices, 0, None, 3)).items()}
    assert set(INSIDE_MM) == {"VB1"}
    others = places["SPIDER SPACE"], places["VB2"]
    assert min(others) < places["VB1"] < max(others) < places["VB1 as drawn"]
