"""Score tables with the structure of the paper's study, made from a seed."""

import random

from readerstudy.statistics.plan import PAPER_CRITERIA
from readerstudy.statistics.scores import Rating, ScoreTable

SEQUENCES = ("SAG T2 FS", "SAG T1", "AX T2")
ARMS = ("Standard", "Fast", "Fast DL25", "Fast DL50", "Fast DL75")
CATEGORIES = tuple(PAPER_CRITERIA)


def random_scores(
    seed: int,
    *,
    patients: int = 18,
    readers: int = 3,
    sequences: tuple[str, ...] = SEQUENCES,
    arms: tuple[str, ...] = ARMS,
    categories: tuple[str, ...] = CATEGORIES,
    missing: float = 0.0,
) -> ScoreTable:
    """Correlated integer scores: a patient's quality, a reader's leaning, an arm's effect, a residual."""
    draw = random.Random(seed)
    ratings = []
    for sequence in sequences:
        for category in categories:
            least, greatest = PAPER_CRITERIA[category].scale or (1, 5)
            middle = (least + greatest) / 2
            spread = (greatest - least) / 4
            effect = {arm: draw.gauss(0, 0.4 * spread) for arm in arms}
            leaning = {reader: draw.gauss(0, 0.4 * spread) for reader in range(readers)}
            for patient in range(patients):
                quality = draw.gauss(0, 0.6 * spread)
                for arm in arms:
                    for reader in range(readers):
                        latent = middle + quality + leaning[reader] + effect[arm] + draw.gauss(0, 0.7 * spread)
                        score: int | None = min(greatest, max(least, round(latent)))
                        if draw.random() < missing:
                            score = None
                        row = len(ratings) + 2
                        ratings.append(
                            Rating(sequence, arm, f"P{patient + 1:02}", f"R{reader + 1}", category, score, row)
                        )
    return ScoreTable(ratings)
