"""Slices that the segmenters train on: their neighbours lie where they should, and crops keep all planes together."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recon_worker.training.spine_augmentation import draw_crop
from recon_worker.training.spine_images import LabelledSlice, real_slices
from recon_worker.training.spine_simulated import simulated_slices

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"


@pytest.fixture(scope="module")
def simulated() -> list[LabelledSlice]:
    return list(simulated_slices(1, lambda stage, fraction: None, slices=2, contrasts=1))


def alike(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.astype(float).ravel(), other.astype(float).ravel())[0, 1])


def test_simulated_neighbours_show_the_same_person(simulated):
    for one in simulated:
        before, own, behind = one.planes
        assert 0.6 < alike(before, own) < 0.999 and 0.6 < alike(own, behind) < 0.999
        # Two steps are farther than one.
        assert alike(before, behind) < min(alike(before, own), alike(own, behind)) + 0.02


def test_a_crop_keeps_its_planes_together(simulated):
    """Where the neighbours are the slice itself, the planes of a crop differ by their noise alone; else by more."""
    one = simulated[0]
    own = replace(one, neighbours=np.stack([one.image, one.image]))
    apart = {"own": [], "others": []}
    for seed in range(12):
        for name, drawn in (("own", own), ("others", one)):
            planes, target, believed = draw_crop(np.random.default_rng(seed), drawn, "bodies")
            assert planes.shape[0] == 3 and planes.shape[1:] == target.shape == believed.shape
            assert set(target.unique().tolist()) <= {0.0, 1.0}
            apart[name].append(1 - alike(planes[0].numpy(), planes[1].numpy()))
    hidden = sum(value < 1e-6 for value in apart["others"])
    assert 1 <= hidden <= 8, "a part of the crops hides the neighbours, as beside the first slice of a series"
    shown = [number for number, value in enumerate(apart["others"]) if value >= 1e-6]
    assert np.mean([apart["others"][number] for number in shown]) > 2 * np.mean(
        [apart["own"][number] for number in shown]
    )


@pytest.mark.skipif(not (DATA / "spine").is_dir(), reason="the development data are not here")
def test_neighbours_of_a_real_series_are_its_slices():
    held: dict[str, list[LabelledSlice]] = defaultdict(list)
    for one in real_slices(DATA, lambda stage, fraction: None):
        if one.name in {"vb3_05", "vb2_07", "41_t2_SPACE", "vb1_16", "106_t1_s8"}:
            held[one.name].append(one)
    for name, step in (("vb3_05", 1), ("vb2_07", 2), ("vb1_16", 1)):
        series = sorted((one for one in held[name] if "drawn" not in one.source), key=lambda one: one.position_mm)
        # One series ends in planes without signal.
        series = [one for one in series if np.ptp(one.image) > 0]
        assert len(series) > 6
        for before, one, behind in zip(series, series[step:], series[2 * step :], strict=False):
            assert alike(one.neighbours[0], before.image) > 0.999 and alike(one.neighbours[1], behind.image) > 0.999
        np.testing.assert_array_equal(series[0].neighbours[0], series[0].image)
    space = sorted(held["41_t2_SPACE"], key=lambda one: one.position_mm)
    assert alike(space[1].neighbours[0], space[0].image) > 0.999
    assert not np.array_equal(space[1].neighbours[1], space[1].image)
