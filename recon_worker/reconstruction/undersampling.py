"""Undersampling on purpose: lines of a fully sampled acquisition are dropped, as if they had never been acquired.

What remains goes through the chain as an undersampled file would: dropped lines enter neither the noise estimate nor
averages nor coil maps. Which lines are kept follows from the sizes alone, so every slice, acquisition and subject of
the same sizes keeps the same ones, and the same file always gives the same image.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from recon_worker.data import ChainChoice, InputFault, KSpaceSlice

DENSITY_POWER = 2.0
"""Variable density falls with this power of the distance from the centre ..."""
LEAST_DENSITY = 0.15
"""... to this part of the density in the centre."""

ORDINALS = {2: "2nd", 3: "3rd"}


@dataclass(frozen=True)
class Dropped:
    """What was dropped of a slice.

    Attributes
    ----------
    lines_held, lines_kept
        Lines that the file holds, and those of them that were kept.
    in_centre
        Those of the calibration lines that the file holds: fewer than chosen where it holds few beyond the centre.
    kept
        Steps of the lines that were kept.
    """

    lines_held: int
    lines_kept: int
    in_centre: int
    kept: tuple[int, ...] = ()

    def as_json(self, choice: ChainChoice) -> dict[str, Any]:
        """The step of the lineage."""
        density = {"density_power": DENSITY_POWER, "least_density": LEAST_DENSITY}
        return {
            "step": "undersampling on purpose",
            "undersampling": choice.undersampling,
            "pattern": choice.pattern,
            **(density if choice.pattern == "variable density" else {}),
            "calibration_lines": choice.calibration_lines,
            "calibration_lines_kept": self.in_centre,
            "lines_held": self.lines_held,
            "lines_kept": self.lines_kept,
            "steps_kept": list(self.kept),
        }

    def remark(self, choice: ChainChoice) -> str:
        """One sentence for the coordinator."""
        which = (
            f"every {ORDINALS.get(choice.undersampling, f'{choice.undersampling}th')} line"
            if choice.pattern == "regular"
            else "a random choice of lines, denser in the centre,"
        )
        return (
            f"Lines were dropped on purpose: {self.lines_kept} of {self.lines_held} phase-encode lines were kept, "
            f"{which} and {self.in_centre} in the centre of k-space."
        )


def calibration_lines(length: int, centre: int, count: int) -> npt.NDArray[np.bool_]:
    """`[ky]` the `count` lines around the centre, of `length`."""
    steps = np.arange(length)
    first = centre - count // 2
    return np.asarray((steps >= first) & (steps < first + count))


def kept_lines(held: npt.NDArray[np.bool_], centre: int, choice: ChainChoice) -> npt.NDArray[np.bool_]:
    """`[ky]` lines that are kept of those that the file holds, `held` `[ky]`.

    Regular: every n-th, counted from the centre, and the calibration lines around it. Variable density: as many lines
    as the regular pattern keeps, among them the calibration lines and the outermost two, the others drawn with a
    density that falls with the distance from the centre.
    """
    steps = np.arange(len(held))
    calibration = calibration_lines(len(held), centre, choice.calibration_lines)
    regular = held & (((steps - centre) % choice.undersampling == 0) | calibration)
    if choice.pattern == "regular" or choice.undersampling == 1:
        return regular
    kept = held & calibration
    ends = np.flatnonzero(held)[[0, -1]]
    kept[ends] = True
    candidates = np.flatnonzero(held & ~kept)
    wanted = min(int(regular.sum()) - int(kept.sum()), len(candidates))
    if wanted <= 0:
        return kept
    reach = max(centre - int(ends[0]), int(ends[1]) - centre, 1)
    density = np.maximum((1 - np.abs(candidates - centre) / reach) ** DENSITY_POWER, LEAST_DENSITY)
    random = np.random.default_rng([len(held), centre, int(held.sum()), choice.undersampling, choice.calibration_lines])
    kept[random.choice(candidates, wanted, replace=False, p=density / density.sum())] = True
    return kept


def undersample(piece: KSpaceSlice, centre: int, choice: ChainChoice) -> tuple[KSpaceSlice, Dropped | None]:
    """The slice with the lines dropped that `choice` says, and how many; the slice itself if it says none.

    Raises
    ------
    InputFault
        If lines are missing already: what would be left is no longer what the choice describes.
    """
    if choice.undersampling == 1:
        return piece, None
    held: npt.NDArray[np.bool_] = np.asarray(piece.acquired.any(axis=0))
    present = np.flatnonzero(held)
    if len(present) and not held[present[0] : present[-1] + 1].all():
        raise InputFault(
            f"The acquisition is undersampled already (slice {piece.index + 1} lacks "
            f"{int((~held[present[0] : present[-1] + 1]).sum())} lines between the outermost ones), and the chain is "
            "to drop lines on purpose.",
            "Choose a chain without undersampling for this acquisition.",
        )
    kept = kept_lines(held, centre, choice)
    dropped = replace(
        piece,
        data=piece.data * kept[None, None, :, None],
        acquired=piece.acquired & kept,
        reversed_readout=piece.reversed_readout & kept,
    )
    in_centre = kept & calibration_lines(len(held), centre, choice.calibration_lines)
    told = Dropped(len(present), int(kept.sum()), int(in_centre.sum()), tuple(np.flatnonzero(kept).tolist()))
    return dropped, told
