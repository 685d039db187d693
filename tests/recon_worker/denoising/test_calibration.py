"""The calibration's tables: looked up as scipy interpolates them, filled where nothing was measured."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.interpolate import interpn

from recon_worker.denoising.calibration import Calibration, Features
from recon_worker.training.calibrate import _filled

GRIDS = ((0.0, 0.2, 0.5, 1.1), (0.0, 1.0, 3.0), (0.0, 0.4, 2.0))


def calibration(draw: np.random.Generator) -> Calibration:
    regression = draw.uniform(0.5, 0.9, (2, 2, 4, 3, 3))
    variance = regression**2 + draw.uniform(0.02, 0.2, regression.shape)
    tables = (torch.tensor(table, dtype=torch.float32) for table in (regression, variance))
    return Calibration(*(torch.tensor(grid) for grid in GRIDS), *tables, 0.1)  # type: ignore[misc]


def features(draw: np.random.Generator) -> Features:
    return Features(
        *(torch.tensor(draw.uniform(-0.1, 1.2 * grid[-1], (2, 9, 7)), dtype=torch.float32) for grid in GRIDS)
    )


@pytest.mark.parametrize("missing_part", [0.0, 0.2, 0.4, 0.9])
def test_tables_are_interpolated_linearly_and_end_where_they_end(missing_part):
    draw = np.random.default_rng(5)
    held, found = calibration(draw), features(draw)
    part = min(missing_part / 0.4, 1.0)
    ours = held._lookup(found, part)
    for table, mine in zip((held.regression, held.variance), ours, strict=True):
        for component in range(2):
            blended = ((1 - part) * table[0] + part * table[1])[component].numpy()
            where = [
                np.clip(getattr(found, name)[component].double().numpy(), grid[0], grid[-1])
                for name, grid in zip(("power", "steepness", "surroundings"), GRIDS, strict=True)
            ]
            theirs = interpn(GRIDS, blended, np.stack(where, axis=-1))
            np.testing.assert_allclose(mine[component].numpy(), theirs, atol=1e-5)


@pytest.mark.parametrize("factor", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_what_is_left_is_what_was_asked_or_the_least_possible(factor):
    draw = np.random.default_rng(6)
    held, found = calibration(draw), features(draw)
    regression, variance = held._lookup(found, 0.0)
    (blend,) = held.blends(found, [factor])
    left = torch.sqrt(1 - 2 * blend.gain * regression + blend.gain**2 * variance)
    torch.testing.assert_close(blend.left, left)
    best = (regression / variance).clamp(0, 1)
    least = torch.sqrt(1 - 2 * best * regression + best**2 * variance)
    assert (blend.left - torch.maximum(least, torch.tensor(1 - factor))).abs().max() < 1e-4
    assert blend.gain.min() >= 0 and blend.gain.max() <= 1


def test_cells_that_nothing_was_measured_in_take_their_neighbours_mean():
    weight = np.zeros((2, 4, 3, 3))
    weight[:, 1, 1, 1] = 1000.0
    weight[0, 3, 2, 2] = 10.0
    total = 0.7 * weight
    total[0, 3, 2, 2] = 10 * 0.1
    filled = _filled(total, weight)
    assert filled.shape == weight.shape
    assert filled[1] == pytest.approx(0.7)
    assert filled[0, 0, 0, 0] == pytest.approx(0.7)
    # Of little weight: drawn to what is known nearby.
    assert 0.65 < filled[0, 3, 2, 2] < 0.7


def test_the_card_keeps_it():
    held = calibration(np.random.default_rng(7))
    again = Calibration.from_json(held.as_json())
    for name in ("power", "steepness", "surroundings", "regression", "variance"):
        torch.testing.assert_close(getattr(again, name), getattr(held, name), atol=1e-5, rtol=0)
    assert again.suppression == held.suppression
