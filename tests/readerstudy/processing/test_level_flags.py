"""What the recon worker flags as an unsure count of the levels is what table 6b counts as that."""

from typing import Any

import numpy as np
import pytest

from readerstudy.processing.models import LEVEL_UNSURE
from recon_worker.segmentation.cleaning import Instance
from recon_worker.segmentation.naming import Spine, name_levels
from recon_worker.segmentation.segment import A_PIECE, VOID

ROWS, COLUMNS = 320, 100
S1_BACK = 24
"""S1 leans back by 31 degrees from L5."""
AFFINE = np.array([[4.0, 0, 0, 0], [0, 0, 1.0, 0], [0, -1.0, 0, 0], [0, 0, 0, 1]])


def block(kind: Any, row: int, *, height: int, width: int = 40, back: int = 0) -> Instance:
    mask = np.zeros((3, ROWS, COLUMNS), dtype=bool)
    left = 10 + (40 - width) // 2 + back
    mask[:, row - height // 2 : row + height // 2, left : left + width] = True
    area = float(mask[1].sum())
    return Instance(kind, mask, tuple(np.argwhere(mask).mean(axis=0)), area, 12 * area)


def spine(
    *, without_disc: int = -1, lowest_width: int = 40, s1_back: int = S1_BACK, second_width: int = 0, **how: Any
) -> Spine:
    """Seven bodies 40 mm apart and the six discs between them; `how` as for `name_levels`.

    `second_width`: of another disc 13 mm below the third, as where the vertebra between is crushed and missed.
    """
    bodies = [block("body", 30 + 40 * place, height=26, back=s1_back if place == 6 else 0) for place in range(7)]
    discs = [
        block(
            "disc", 50 + 40 * place, height=8, width=lowest_width if place == 5 else 40,
            back=s1_back // 2 if place == 5 else 0,
        )
        for place in range(6)
        if place != without_disc
    ]  # fmt: skip
    if second_width:
        discs.append(block("disc", 143, height=8, width=second_width))
    return name_levels(bodies, discs, AFFINE, **how)


@pytest.mark.parametrize(
    "doubt",
    [
        {"is_cut": lambda body: True}, {"has_disc_below": lambda body, discs: True}, {"lowest_width": 16},
        {"without_disc": 5}, {"s1_back": 0}, {"second_width": 40},
    ],
    ids=["a sacrum not seen whole", "a faint disc below", "a small lowest disc", "no disc below a full-sized body",
         "a sacrum straight below", "two discs in one gap"],
)  # fmt: skip
def test_every_doubt_about_the_count_is_counted(doubt):
    found = spine(**doubt)
    flags = [flag for one in found.discs + found.bodies for flag in one.flags]
    assert flags
    assert all(LEVEL_UNSURE in flag for flag in flags)


def test_a_small_lowest_disc_is_small_in_millimetres_whatever_the_pixels():
    """Rows of 1 mm, columns of 2 mm: of 80 mm the lowest disc has 23, or 62; with sides exchanged it would be the other
    way round."""
    affine = AFFINE.copy()
    affine[:, 2] *= 2

    def flagged(width: int, height: int) -> bool:
        bodies = [block("body", 30 + 40 * place, height=26, back=10 if place == 6 else 0) for place in range(7)]
        discs = [block("disc", 50 + 40 * place, height=8) for place in range(5)]
        discs.append(block("disc", 250, height=height, width=width, back=5))
        found = name_levels(bodies, discs, affine)
        assert len(found.discs) == 6
        return all(any("much smaller" in flag for flag in one.flags) for one in found.discs)

    assert flagged(8, 16)
    assert not flagged(31, 4)


def test_a_whole_spine_raises_none():
    found = spine()
    assert (len(found.discs), len(found.bodies)) == (6, 7)
    assert not any(one.flags for one in found.discs + found.bodies)


def test_a_small_piece_beside_a_disc_raises_none():
    found = spine(second_width=20)
    assert [len(one.flags) for one in found.discs] == [0, 0, 1, 0, 0, 0]
    assert not any(LEVEL_UNSURE in flag for one in found.discs for flag in one.flags)


def test_flags_of_other_things_are_no_doubt_about_the_level():
    assert not any(LEVEL_UNSURE in flag for flag in (VOID, A_PIECE))
