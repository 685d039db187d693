"""Measurements of a study that does not exist: discs and bodies of every arm, with patients who differ."""

import random
from collections.abc import Sequence

from readerstudy.statistics.measurements import Measurement
from tests.readerstudy.statistics.score_tables import ARMS

LEVELS = {"disc_height_mm": 6, "body_volume_cm3": 7}


def random_measurements(
    seed: int, *, patients: int = 12, arms: Sequence[str] = ARMS, missing: float = 0.0
) -> list[Measurement]:
    """About the paper's table 6: the first arm is the reference, the others follow it with an error of their own."""
    draw = random.Random(seed)
    rows = []
    for patient in range(1, patients + 1):
        size = draw.gauss(1.0, 0.12)
        for quantity, levels in LEVELS.items():
            for level in range(1, levels + 1):
                is_disc = quantity == "disc_height_mm"
                truth = size * (6.5 + 1.1 * level if is_disc else 15 + 3.4 * level) + draw.gauss(0, 0.8)
                spread = 0.7 if is_disc else 1.0
                for arm in arms:
                    value = truth + draw.gauss(0, spread) - (0.15 if arm == "Fast" else 0.0)
                    if draw.random() >= missing:
                        rows.append(Measurement(quantity, arm, f"P{patient:02}", str(level), value))
    return rows
