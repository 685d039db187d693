"""Which structure of one arm is which of another: by where they lie in the patient.

Series of one subject share the scanner's coordinates, so the same disc lies at the same place up to the patient's
movement; names need not agree, if one series was counted from another level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from recon_worker.morphometry.structures import Structure

FARTHEST_MM = 15.0
"""Less than half the distance of neighbouring levels."""


@dataclass(frozen=True)
class Match:
    """A structure of another arm and the one of the reference arm at its place; None: there is none.

    `level` is the reference's level, or the structure's own where the reference has nothing there.
    """

    structure: Structure
    reference: Structure | None
    distance_mm: float | None
    level: int

    @property
    def is_renamed(self) -> bool:
        """Whether the two series count differently here."""
        return self.reference is not None and self.reference.level != self.structure.level


def match_arms(reference: list[Structure], other: list[Structure]) -> list[Match]:
    """A match for every structure of `other`, in its order.

    Discs match discs and bodies bodies, each at most once, so that the sum of squared distances is least; a common
    shift (the patient moved between the acquisitions) is taken out first. Structures farther apart than
    `FARTHEST_MM` do not match; they take the level that their matched neighbours' renaming implies.
    """
    moved = _common_shift(reference, other)
    found: dict[int, tuple[Structure, float]] = {}
    for kind in ("disc", "body"):
        ours = [index for index, structure in enumerate(other) if structure.kind == kind]
        theirs = [structure for structure in reference if structure.kind == kind]
        if not ours or not theirs:
            continue
        apart = _distances([other[index] for index in ours], theirs, moved)
        for row, column in zip(*linear_sum_assignment(np.minimum(apart, 2 * FARTHEST_MM) ** 2), strict=True):
            if apart[row, column] <= FARTHEST_MM:
                found[ours[row]] = (theirs[column], float(apart[row, column]))
    shifts = [there.level - other[index].level for index, (there, _) in found.items()]
    usual = int(np.median(shifts)) if shifts else 0
    matches = []
    for index, structure in enumerate(other):
        if index in found:
            there, distance = found[index]
            matches.append(Match(structure, there, round(distance, 2), there.level))
        else:
            matches.append(Match(structure, None, None, _within(structure, structure.level + usual)))
    return matches


def _within(structure: Structure, level: int) -> int:
    return min(max(level, 1), 6 if structure.kind == "disc" else 7)


def _distances(ours: list[Structure], theirs: list[Structure], moved: np.ndarray) -> np.ndarray:
    first = np.array([structure.centroid_mm for structure in ours]) - moved
    second = np.array([structure.centroid_mm for structure in theirs])
    return np.asarray(np.linalg.norm(first[:, None] - second[None], axis=2))


def _common_shift(reference: list[Structure], other: list[Structure]) -> np.ndarray:
    """Median offset of nearest neighbours, if it is small; a jump by a whole level is none."""
    offsets = []
    for structure in other:
        same = [np.array(there.centroid_mm) for there in reference if there.kind == structure.kind]
        if same:
            here = np.array(structure.centroid_mm)
            offsets.append(here - min(same, key=lambda there: float(np.linalg.norm(here - there))))
    if not offsets:
        return np.zeros(3)
    shift = np.median(np.array(offsets), axis=0)
    return shift if np.linalg.norm(shift) <= FARTHEST_MM / 2 else np.zeros(3)
