"""Structures of two arms match by place: after movement, with some missing, and where one counted differently."""

import numpy as np
import pytest

from recon_worker.morphometry.levels import BODY_NAMES, DISC_NAMES, level_name
from recon_worker.morphometry.matching import match_arms, movement_remark
from recon_worker.morphometry.structures import Structure


def spine(
    *, moved=(0.0, 0.0, 0.0), renamed=0, without=(), seed=1, error=0.7, curve=12.0, level_mm=36.0, above=0, below=0
):
    """Bodies and discs of a curved spine, with a little random error of place, millimetres; so many more of each kind
    `above` T12 and `below` S1. Those that have no name once `renamed` are left out."""
    rng = np.random.default_rng(seed)
    found = []
    for kind, names, offset in (("disc", DISC_NAMES, level_mm / 2), ("body", BODY_NAMES, 0.0)):
        for level in range(1 - above, max(names) + 1 + below):
            down = level_mm * level + offset
            place = np.array([0.0, curve * np.sin(down / 60), -down]) + moved + rng.normal(0, error, 3)
            named = level + renamed
            if (kind, level) not in without and 1 <= named <= max(names):
                found.append(Structure(kind, named, level_name(kind, named), "measured", {}, tuple(place)))
    return found


def test_equal_names_match_after_a_movement():
    matches = match_arms(spine(), spine(moved=(2.0, -4.0, 5.0), seed=2))
    assert len(matches) == 13
    assert all(match.level == match.structure.level == match.reference.level for match in matches)
    assert max(match.distance_mm for match in matches) < 5


def test_a_missing_structure_shifts_nothing():
    matches = match_arms(spine(without={("body", 3)}), spine(without={("disc", 2)}, seed=2))
    by_name = {match.structure.name: match for match in matches}
    assert by_name["L2"].reference is None and by_name["L2"].level == 3
    assert all(match.level == match.structure.level for match in matches)


def test_a_series_counted_one_level_off_gets_the_levels_of_the_reference():
    other = spine(renamed=-1, seed=3)
    matches = match_arms(spine(), other)
    assert all(match.level == match.reference.level == match.structure.level + 1 for match in matches)


@pytest.mark.parametrize("missing", range(2, 6))
@pytest.mark.parametrize("renamed", [-1, 1])
def test_what_the_reference_lacks_gets_the_level_that_the_others_renaming_implies(renamed, missing):
    reference = spine(without={("body", missing), ("disc", missing)})
    matches = match_arms(reference, spine(renamed=renamed, seed=3))
    alone = {(match.structure.kind, match.level) for match in matches if match.reference is None}
    assert alone == {("body", missing), ("disc", missing)}
    assert all(match.level == match.structure.level - renamed for match in matches)


@pytest.mark.parametrize("steps", [1, 2])
@pytest.mark.parametrize("end", ["above", "below"])
def test_what_lies_beyond_the_names_of_the_reference_gets_no_level_and_takes_none(end, steps):
    """An arm counted from L5 calls T11 "T12"; one counted from S2 calls S2 "S1"."""
    renamed = steps if end == "above" else -steps
    other = spine(renamed=renamed, seed=3, **{end: steps})
    assert len(other) == 13
    matches = match_arms(spine(), other)
    nameless = [match for match in matches if match.level is None]
    assert len(nameless) == 2 * steps and all(match.reference is None for match in nameless)
    claimed = [(match.structure.kind, match.level) for match in matches if match.level is not None]
    assert len(set(claimed)) == len(claimed) == 13 - 2 * steps
    assert all(match.level == match.structure.level - renamed for match in matches if match.level is not None)


def test_nothing_matches_nothing():
    assert match_arms(spine(), []) == []
    alone = match_arms([], spine())
    assert all(match.reference is None and match.level == match.structure.level for match in alone)


MOVEMENTS = [0, 10, 14, 18, 20, 25]


@pytest.mark.parametrize("curve", [0.0, 12.0])
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("level_mm", [33.0, 36.0])
@pytest.mark.parametrize("far", MOVEMENTS)
def test_names_that_all_agree_are_kept_however_far_the_patient_moved(far, level_mm, sign, curve):
    """Exact spines, straight and curved: from half a level on each structure lies nearer to the next one's place."""
    exact = {"error": 0.0, "curve": curve, "level_mm": level_mm}
    reference, other = spine(**exact), spine(**exact, moved=(0.0, 0.0, sign * far))
    matches = match_arms(reference, other)
    assert [match.level for match in matches] == [one.level for one in other]
    assert all(match.reference.level == match.structure.level for match in matches)
    assert max(match.distance_mm for match in matches) < 0.01
    remark = movement_remark(reference, other)
    assert (f"All structures lie {far} mm from" in remark) if far > 15 else remark == ""


@pytest.mark.parametrize("far", [25, 29, 33])
def test_at_nearly_a_whole_level_the_shape_of_the_spine_tells_that_names_are_right(far):
    other = spine(moved=(0.0, 0.0, far), seed=6, level_mm=30.0)
    matches = match_arms(spine(level_mm=30.0), other)
    assert all(match.level == match.structure.level for match in matches)


@pytest.mark.parametrize("far", MOVEMENTS)
def test_some_missing_and_some_error_change_nothing_of_it(far):
    reference = spine(without={("body", 1), ("disc", 4)})
    other = spine(without={("disc", 1), ("body", 7)}, moved=(1.0, 3.0, -far), seed=4)
    matches = match_arms(reference, other)
    assert all(match.level == match.structure.level for match in matches)
    assert sum(match.reference is not None for match in matches) == 9


@pytest.mark.parametrize("renamed", [-1, 1])
@pytest.mark.parametrize("far", [-7, -3, 0, 3, 7])
@pytest.mark.parametrize("curve", [0.0, 12.0])
def test_names_that_differ_by_one_give_way_to_the_place(curve, far, renamed):
    """Even on a straight spine of equal levels, where the names fit one large movement as well."""
    exact = {"error": 0.0, "curve": curve}
    other = spine(**exact, moved=(0.0, 0.0, far), renamed=renamed)
    matches = match_arms(spine(**exact), other)
    assert all(match.level == match.structure.level - renamed for match in matches)
    assert movement_remark(spine(**exact), other) == ""


@pytest.mark.parametrize("far", [-12, -9, 9, 12])
@pytest.mark.parametrize("renamed", [-1, 1])
def test_after_a_larger_movement_the_shape_of_the_spine_tells_that_names_differ(far, renamed):
    other = spine(moved=(0.0, 0.0, far), renamed=renamed, seed=5)
    assert all(match.level == match.structure.level - renamed for match in match_arms(spine(), other))


def test_a_few_names_prove_no_movement():
    few = {(kind, level) for kind in ("disc", "body") for level in range(1, 8) if level > 2 or kind == "disc"}
    reference, other = spine(error=0.0), spine(error=0.0, without=few, moved=(0.0, 0.0, 25.0))
    assert len(other) == 2 and movement_remark(reference, other) == ""
