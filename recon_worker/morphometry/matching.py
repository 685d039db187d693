"""Which structure of one arm is which of another: by where they lie in the patient.

Series of one subject share the scanner's coordinates, so the same disc lies at the same place up to the patient's
movement; names need not agree, if one series was counted from another level.

A patient who moved along the table by half a level lies with every disc nearer to the next one's place. Where all names
then agree after one common movement, they tell more than the place does, and that they were believed is said.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from recon_worker.morphometry.levels import BODY_NAMES, DISC_NAMES
from recon_worker.morphometry.structures import Structure

FARTHEST_MM = 15.0
"""Less than half the distance of neighbouring levels."""
STILL_MM = FARTHEST_MM / 2
"""A movement up to this is taken out as it is. Structures so close are the same, unless names fit twice as well."""
AGREE_MM = 7.0
"""Structures of one name that lie no farther apart, once a common movement is taken out, are the same."""
CLEARLY_MM = 1.0
"""By so much must one naming fit better than another to tell more than the place does. Levels differ in height and the
spine is curved, so a naming that is one off leaves more than the error of a place."""
FEWEST_NAMES = 4
"""Fewer structures of equal names fit one movement by chance."""
MOST_AGREE = 0.8
"""Part of the structures that decides how well names fit: one that was drawn in part does not."""


@dataclass(frozen=True)
class Match:
    """A structure of another arm and the one of the reference arm at its place; None: there is none.

    `level` is the reference's level; where the reference has nothing there, the one that the structure has in the
    reference's count. None: that lies above T12 or below S1 and has no name.
    """

    structure: Structure
    reference: Structure | None
    distance_mm: float | None
    level: int | None


def match_arms(reference: list[Structure], other: list[Structure]) -> list[Match]:
    """A match for every structure of `other`, in its order.

    Discs match discs and bodies bodies, each at most once, so that the sum of squared distances is least; a common
    shift (the patient moved between the acquisitions) is taken out first: that of nearest neighbours, or a larger one
    after which all names agree. Structures farther apart than `FARTHEST_MM` do not match; they take the level that
    their matched neighbours' renaming implies, or none where that has no name: at the last one they would stand in the
    way of the structure that it belongs to.
    """
    named = _shift_by_names(reference, other)
    moved = _common_shift(reference, other) if named is None else named
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
            matches.append(Match(structure, None, None, _with_a_name(structure.kind, structure.level + usual)))
    return matches


def movement_remark(reference: list[Structure], other: list[Structure]) -> str:
    """A sentence where names were believed against the place of structures, for the coordinator; else empty."""
    named = _shift_by_names(reference, other)
    if named is None or (far := float(np.linalg.norm(named))) <= FARTHEST_MM:
        return ""
    return (
        f"All structures lie {far:.0f} mm from those of the same name in the reference arm: the levels were matched by "
        "their names, which agree after this one movement, and not by their place. Look whether both arms count alike."
    )


def _with_a_name(kind: str, level: int) -> int | None:
    return level if level in (DISC_NAMES if kind == "disc" else BODY_NAMES) else None


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
    return shift if np.linalg.norm(shift) <= STILL_MM else np.zeros(3)


def _shift_by_names(reference: list[Structure], other: list[Structure]) -> np.ndarray | None:
    """The common shift of structures of equal names, where it is no small one and they agree after it; None if a naming
    that is one off lies where it should, or nearer and fits clearly better."""
    offsets = _offsets(reference, other, 0)
    if len(offsets) < FEWEST_NAMES:
        return None
    shift, apart = _fit(offsets)
    if np.linalg.norm(shift) <= STILL_MM or apart > AGREE_MM:
        return None
    for renaming in (-1, 1):
        one_off = _offsets(reference, other, renaming)
        if len(one_off) < FEWEST_NAMES:
            continue
        there, left = _fit(one_off)
        far = np.linalg.norm(there)
        if far <= STILL_MM and not left > max(2 * apart, CLEARLY_MM):
            return None
        if far < np.linalg.norm(shift) and left < apart - CLEARLY_MM:
            return None
    return shift


def _offsets(reference: list[Structure], other: list[Structure], renaming: int) -> np.ndarray:
    """Millimetres `[pair, 3]` from a structure of `reference` to that of `other` which is named `renaming` lower."""
    places = {(there.kind, there.level): np.array(there.centroid_mm) for there in reference}
    pairs = [
        np.array(structure.centroid_mm) - places[structure.kind, structure.level + renaming]
        for structure in other
        if (structure.kind, structure.level + renaming) in places
    ]
    return np.array(pairs).reshape(-1, 3)


def _fit(offsets: np.ndarray) -> tuple[np.ndarray, float]:
    """Common shift of `[pair, 3]` offsets, and how far most pairs still lie apart after it, millimetres."""
    shift = np.median(offsets, axis=0)
    return shift, float(np.quantile(np.linalg.norm(offsets - shift, axis=1), MOST_AGREE))
