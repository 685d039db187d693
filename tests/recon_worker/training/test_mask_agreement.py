"""A mask that is shifted or drawn larger than the others costs Dice that its own shift and threshold give back."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift

from recon_worker.training.mask_agreement import Seen, _dice, best_dice


def seen(down: float, radius: float) -> Seen:
    """The network sees a disc of radius 12; the mask lies `down` mm lower and has another radius."""
    rows, columns = np.ogrid[:64, :64]
    away = np.hypot(rows - 32.3, columns - 31.6)
    probability = gaussian_filter((away < 12).astype(np.float32), 1.0)
    truth = shift(gaussian_filter((away < radius).astype(np.float32), 0.4), (down, 0), order=1) > 0.5
    return Seen(probability, truth, np.ones((64, 64), dtype=bool))


@pytest.mark.parametrize(("down", "radius"), [(1.0, 12.0), (0.0, 13.0), (-0.75, 12.8), (0.0, 11.0)])
def test_what_differs_by_a_hand_is_given_back(down, radius):
    held = [seen(down, radius)]
    assert _dice(held, 0, 0, 0.5) < 0.965
    assert best_dice(held, 0.5) > 0.985


def test_what_is_noise_is_not():
    rng = np.random.default_rng(1)
    held = []
    for _ in range(6):
        one = seen(0.0, 12.0)
        ragged = gaussian_filter(rng.standard_normal((64, 64)), 1.5) * 6 + 12
        rows, columns = np.ogrid[:64, :64]
        held.append(Seen(one.probability, np.hypot(rows - 32.3, columns - 31.6) < ragged, one.believed))
    plain = _dice(held, 0, 0, 0.5)
    assert plain < 0.95 and best_dice(held, 0.5) < plain + 0.01
