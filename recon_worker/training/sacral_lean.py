"""How far S1 and L5 lie back below the bodies above them: `python -m recon_worker.training sacral-lean`.

The naming of levels doubts a body that is taken for S1 and lies almost straight below the one above it
(`segmentation.naming.SACRUM_LEANS_DEGREES`). How often it doubts a true S1, and how often it finds out an L5 that is
taken for one, is printed here: from manual masks (VB1 to S1, VB2 and VB3 to L5; bodies that the picture cuts are left
out), and from what the installed networks find and name in slices of SPIDER's SPACE series.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from recon_worker.data import InputFault, Volume
from recon_worker.segmentation.naming import SACRUM_LEANS_DEGREES
from recon_worker.segmentation.segment import segment
from recon_worker.training.segmentation_real import LOWEST_LEVEL

NAMES = {7: "S1 below L5", 6: "L5 below L4"}

Points = npt.NDArray[np.float64]
Leans = dict[int, float]
"""Degrees by the level of the lower body."""


def leans_between(middles: dict[int, Points]) -> Leans:
    """Lean of the steps to S1 and to L5, from bodies' middles (back, down) in mm by level."""
    found = {}
    for level in NAMES:
        if level in middles and level - 1 in middles:
            back, down = middles[level] - middles[level - 1]
            found[level] = float(np.degrees(np.arctan2(back, down)))
    return found


def of_masks(mask: npt.NDArray[np.integer], spacing_mm: Points, lowest_level: int) -> Leans:
    """Of labels `[row, column, slice]` (head up, anterior left; numbers in any order), the lowest being `lowest_level`;
    what rows or columns cut is left out."""
    numbers = [int(number) for number in np.unique(mask[mask > 0])]
    places = {number: ndimage.center_of_mass(mask == number) for number in numbers}
    middles = {}
    for rank, number in enumerate(sorted(numbers, key=lambda number: -places[number][0])):
        body = mask == number
        if not (body[[0, -1]].any() or body[:, [0, -1]].any()):
            row, column, _ = places[number]
            middles[lowest_level - rank] = np.array([column * spacing_mm[1], row * spacing_mm[0]])
    return leans_between(middles)


def of_networks(images: npt.NDArray[np.floating], spacing_mm: tuple[float, float, float]) -> Leans:
    """Of a series `[slice, row, column]`, head up and anterior left, as the installed networks name it."""
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    affine[0, 0], affine[2, 1], affine[1, 2] = spacing_mm[0], -spacing_mm[1], spacing_mm[2]
    bodies = [one for one in segment(Volume(images, affine, spacing_mm[0])).structures if one.kind == "body"]
    return leans_between({one.level: np.array([one.centroid_mm[1], -one.centroid_mm[2]]) for one in bodies})


def summary(leans: list[Leans], what: str) -> Iterator[str]:
    """One line a step: how many lean back less than the limit."""
    for level, name in NAMES.items():
        degrees = np.array([one[level] for one in leans if level in one])
        if degrees.size:
            few = int((degrees < SACRUM_LEANS_DEGREES).sum())
            yield (
                f"{name}, {what}: {few} of {degrees.size} lean back less than {SACRUM_LEANS_DEGREES:g} degrees "
                f"(median {np.median(degrees):.0f}, from {degrees.min():.0f} to {degrees.max():.0f})"
            )


def measure(data: Path, say: Callable[[str], None]) -> None:
    """Print the leans of all series below `data` (the folder that holds `spine/`).

    Raises
    ------
    InputFault
        There is none.
    """
    by_masks: list[Leans] = []
    for source, level in LOWEST_LEVEL.items():
        for path in sorted(data.glob(f"spine/lumbar_{source.lower()}/*.npz")):
            with np.load(path, allow_pickle=False) as held:
                by_masks.append(of_masks(held["mask"], held["spacing_mm"], level))
    by_networks: list[Leans] = []
    for path in sorted(data.glob("spine/spider_space_labelled/*.npz")):
        with np.load(path, allow_pickle=False) as held:
            steps = np.diff(held["slice_no"]) * float(held["spacing_mm"][0])
            spacing = (float(np.median(steps)), float(held["spacing_mm"][1]), float(held["spacing_mm"][2]))
            by_networks.append(of_networks(held["images"].astype(np.float32), spacing))
    if not by_masks and not by_networks:
        raise InputFault(f"There are no labelled spines below {data}.", "Name their folder with --data.")
    for line in (*summary(by_masks, "manual masks"), *summary(by_networks, "SPACE, as the networks name them")):
        say(line)
