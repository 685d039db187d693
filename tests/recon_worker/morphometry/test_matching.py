"""Structures of two arms match by place: after movement, with some missing, and where one counted differently."""

import numpy as np

from recon_worker.morphometry.levels import BODY_NAMES, DISC_NAMES, level_name
from recon_worker.morphometry.matching import match_arms
from recon_worker.morphometry.structures import Structure


def spine(*, moved=(0.0, 0.0, 0.0), renamed=0, without=(), seed=1) -> list[Structure]:
    """Bodies and discs of a curved spine, 36 mm a level, with a little random error of place."""
    rng = np.random.default_rng(seed)
    found = []
    for kind, names, offset in (("disc", DISC_NAMES, 18.0), ("body", BODY_NAMES, 0.0)):
        for level in names:
            down = 36.0 * level + offset
            place = np.array([0.0, 12 * np.sin(down / 60), -down]) + moved + rng.normal(0, 0.7, 3)
            named = level + renamed
            if (kind, level) not in without and 1 <= named <= max(names):
                found.append(Structure(kind, named, level_name(kind, named), "measured", {}, tuple(place)))
    return found


def test_equal_names_match_after_a_movement():
    matches = match_arms(spine(), spine(moved=(2.0, -4.0, 5.0), seed=2))
    assert len(matches) == 13
    assert all(match.level == match.structure.level and not match.is_renamed for match in matches)
    assert max(match.distance_mm for match in matches) < 5


def test_a_missing_structure_shifts_nothing():
    matches = match_arms(spine(without={("body", 3)}), spine(without={("disc", 2)}, seed=2))
    by_name = {match.structure.name: match for match in matches}
    assert by_name["L2"].reference is None and by_name["L2"].level == 3
    assert all(match.level == match.structure.level for match in matches)


def test_a_series_counted_one_level_off_gets_the_levels_of_the_reference():
    other = spine(renamed=-1, seed=3)
    matches = match_arms(spine(), other)
    assert all(match.is_renamed and match.level == match.structure.level + 1 for match in matches)


def test_nothing_matches_nothing():
    assert match_arms(spine(), []) == []
    alone = match_arms([], spine())
    assert all(match.reference is None and match.level == match.structure.level for match in alone)
