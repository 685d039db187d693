"""Names of the levels, counted from the sacrum up; what may be a transitional level is flagged.

The lowest true disc is L5-S1: the network was taught that what lies between S1 and S2 is none. The bodies are those of
the chain along the spine's own line (`chain.py`). Wherever the count may be one off, every structure says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from recon_worker.morphometry.levels import LOWEST_DISC
from recon_worker.segmentation.chain import (
    A_DISC_LEFT_OUT,
    Chain,
    IsCut,
    Placed,
    Points,
    chain_of,
    leans_back_degrees,
    two_in_one,
)
from recon_worker.segmentation.cleaning import Instance

SACRAL_SIZE = 0.6
"""S2 is smaller than this part of S1; S1 is not that much smaller than L5."""
RUDIMENTARY_LENGTH, RUDIMENTARY_AREA = 0.75, 0.6
"""A lowest disc under both parts of the others' median may be S1-S2, or that of a sacralised L5. A collapsed one is as
long as the others."""
SACRUM_LEANS_DEGREES = 20.0
"""S1 lies farther back below L5 than this; most often L5 does not below L4."""

TRANSITIONAL = "transitional anatomy is possible: check the level"
TWO_IN_ONE = "two bodies may be one"


@dataclass(frozen=True)
class Named:
    """An instance, its level, what to check, and why it is not to be measured, if so."""

    instance: Instance
    level: int
    flags: list[str] = field(default_factory=list)
    unfit: str | None = None


@dataclass(frozen=True)
class Spine:
    """All that was named, from the head down, and what the coordinator should know."""

    discs: list[Named]
    bodies: list[Named]
    remarks: list[str]


def name_levels(
    bodies: list[Instance],
    discs: list[Instance],
    affine: Points,
    *,
    is_cut: IsCut = lambda body: False,
    has_disc_below: Callable[[Instance, list[Instance]], bool] = lambda body, named: False,
) -> Spine:
    """Names for instances of one series; what lies off the spine is left out.

    Parameters
    ----------
    affine
        `[4, 4]` from (slice, row, column) to LPS millimetres.
    is_cut
        Whether rows or columns of the picture end in a body: the count starts at the sacrum, which must be seen from
        end to end. Whether it goes on beyond the outer slices says nothing about the count.
    has_disc_below
        Whether a disc other than the named ones (its second argument) is seen, be it faintly, below a body: then the
        lowest one may not be S1.
    """
    chain = chain_of(bodies, discs, affine, is_cut)
    if chain is None:
        return Spine([], [], [])
    remarks: list[str] = []
    lowest, flags = _last_above_the_sacrum(chain, affine, is_cut)
    kept = [body for body in chain.bodies if body.number <= lowest + 1]
    if len(kept) < len(chain.bodies) and not flags:
        remarks.append("Sacral segments below S1 were found and left out.")
    sacrum, last = (next((one.instance for one in kept if one.number == lowest + up), None) for up in (1, 0))
    if sacrum is None or is_cut(sacrum):
        flags.append("the sacrum is not seen whole, and the levels are counted from it: check the level")
    if sacrum is not None and has_disc_below(sacrum, [disc.instance for disc in chain.discs]):
        flags.append(
            "something like a disc is seen below the lowest body, and the count may be one off: check the level"
        )
    if _is_rudimentary(chain.discs, np.linalg.norm(affine[:3, :3], axis=0)):
        flags.append(f"the lowest disc is much smaller than the others; {TRANSITIONAL}")
    double = two_in_one(kept, chain.line, affine, is_cut)
    if any(A_DISC_LEFT_OUT in disc.flags for disc in chain.discs):
        flags.append("two discs may lie in one gap, and the count may be one off: check the level")
    if double:
        flags.append(f"{TWO_IN_ONE}, and the count may be one off: check the level")
    leans = sacrum is None or last is None or leans_back_degrees(last, sacrum, affine) >= SACRUM_LEANS_DEGREES
    if not leans and not flags:
        flags.append("the body taken for S1 lies almost straight below L5: check the level")
    if flags:
        remarks.append("The count of the levels needs a look: " + "; ".join(flags) + ".")
    shift = LOWEST_DISC - lowest
    named_bodies = [
        Named(one.instance, one.number + shift, flags + one.flags, TWO_IN_ONE if one.number in double else None)
        for one in kept
    ]
    named_discs = [Named(one.instance, one.number + shift, flags + one.flags) for one in chain.discs]
    if any(one.level < 1 for one in named_bodies + named_discs):
        remarks.append("Levels above T12 show and are not measured.")
    return Spine(
        [disc for disc in named_discs if 1 <= disc.level <= 6],
        [body for body in named_bodies if 1 <= body.level <= 7],
        remarks,
    )


def _last_above_the_sacrum(chain: Chain, affine: Points, is_cut: IsCut) -> tuple[int, list[str]]:
    """The number of L5, and what to check if two bodies or more lie below the lowest disc."""
    lowest = chain.discs[-1].number
    below = [body for body in chain.bodies if body.number > lowest]
    if len(below) < 2:
        return lowest, []
    last, next_one = (body.instance for body in below[:2])
    if next_one.volume_mm3 >= SACRAL_SIZE * last.volume_mm3:
        return below[0].number, [f"no disc was found below the lowest full-sized body; {TRANSITIONAL}"]
    if not is_cut(next_one):
        return lowest, []
    # The size of what is cut says nothing: how far the body above it leans back says a little.
    above = [body.instance for body in chain.bodies if body.number == lowest]
    is_straight = any(leans_back_degrees(body, last, affine) < SACRUM_LEANS_DEGREES for body in above)
    flag = "the edge cuts the lowest body, which may be S1 or S2: check the level"
    return below[0].number if is_straight else lowest, [flag]


def _is_rudimentary(discs: list[Placed], spacing_mm: Points) -> bool:
    if len(discs) < 3:
        return False
    *others, lowest = (disc.instance for disc in discs)
    area = float(np.median([disc.area_mm2 for disc in others]))
    length = float(np.median([_length_mm(disc, spacing_mm) for disc in others]))
    is_short = _length_mm(lowest, spacing_mm) < RUDIMENTARY_LENGTH * length
    return is_short and lowest.area_mm2 < RUDIMENTARY_AREA * area


def _length_mm(disc: Instance, spacing_mm: Points) -> float:
    """Diagonal of the in-plane box around the disc."""
    rows, columns = np.nonzero(disc.mask.any(axis=0))
    return float(np.hypot((np.ptp(rows) + 1) * spacing_mm[1], (np.ptp(columns) + 1) * spacing_mm[2]))
