"""A seeded model of readers, for the demonstration study whose grades are simulated and labelled so.

A grade is a latent quality, rounded to the scale:

    latent = criterion level + arm effect(sequence) + subject effect + reader leniency + reading noise

Standard deviations: subject 0.45, reader 0.25, reading 0.45 points. The levels and arm effects are set by hand to look
like a study in which the fast arm loses most apparent SNR and least diagnostic confidence; they are no results.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

SUBJECT_SD = 0.45
READER_SD = 0.25
READING_SD = 0.45
CANNOT_BE_GRADED_PROBABILITY = 0.004

LEVEL = {
    "Apparent SNR": 3.7,
    "Anatomical Structures": 3.8,
    "Diagnostic Confidence": 3.8,
    "Overall Image Quality": 3.6,
}
FAST_EFFECT = {
    "Apparent SNR": -0.65,
    "Anatomical Structures": -0.30,
    "Diagnostic Confidence": -0.10,
    "Overall Image Quality": -0.35,
}
SEQUENCE_EFFECT = {"SAG T2 FS": 0.15, "SAG T1": -0.25, "AX T2": 0.0}
"""Added to the fast arm's effect: where NEX falls to 0.5 more is lost."""

REMAINING_EFFECT = {"Standard": 0.0, "Fast": 1.0, "Fast DL25": 0.6, "Fast DL50": 0.3, "Fast DL75": 0.15}
"""What is left of the fast arm's effect once noise is reduced."""

ARTIFACT_PROBABILITY = {"Standard": 0.30, "Fast": 0.36, "Fast DL25": 0.36, "Fast DL50": 0.35, "Fast DL75": 0.37}


@dataclass(frozen=True)
class SimulatedGrade:
    """A value, or None where the reader says that it cannot be graded because of image quality."""

    value: int | None


class SimulatedReaders:
    """Grades of simulated readers; the same seed gives the same grades whatever the order of asking."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def _normal(self, standard_deviation: float, *what: str) -> float:
        return random.Random("|".join([str(self.seed), *what])).gauss(0.0, standard_deviation)

    def grade(
        self, *, reader: str, subject: str, sequence: str, arm: str, criterion: str, scale: tuple[int, int]
    ) -> SimulatedGrade:
        """One reader's answer to one criterion of one series; `scale` is (lowest, highest)."""
        key = (reader, subject, sequence, arm, criterion)
        draw = random.Random("|".join([str(self.seed), "draw", *key]))
        if scale == (0, 1):
            probability = ARTIFACT_PROBABILITY.get(arm, 0.33) + self._normal(0.1, "artifact", subject, sequence)
            return SimulatedGrade(int(draw.random() < probability))
        if draw.random() < CANNOT_BE_GRADED_PROBABILITY:
            return SimulatedGrade(None)
        latent = (
            LEVEL.get(criterion, 3.5)
            + self._normal(SUBJECT_SD, "subject", subject, sequence)
            + self._normal(READER_SD, "reader", reader, criterion)
            + draw.gauss(0.0, READING_SD)
        )
        fast_effect = FAST_EFFECT.get(criterion, -0.3) + SEQUENCE_EFFECT.get(sequence, 0.0)
        latent += REMAINING_EFFECT.get(arm, 1.0) * fast_effect
        return SimulatedGrade(max(scale[0], min(scale[1], round(latent))))
