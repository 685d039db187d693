"""Drawn spines on which the count of the levels goes wrong or may: names are right, or every structure says so."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from recon_worker.data import Volume
from recon_worker.morphometry.structures import Structure
from recon_worker.phantom.anatomy import draw_subject
from recon_worker.segmentation.naming import SACRUM_LEANS_DEGREES
from recon_worker.segmentation.segment import Segmentation, structures_of
from tests.recon_worker.segmentation.spines import LabelledSpine, labelled_spine
from tests.recon_worker.segmentation.test_segment import levels_right, seen

COUNT = "The count of the levels needs a look"


def found_in(spine: LabelledSpine, *, bodies: np.ndarray | None = None, discs: np.ndarray | None = None):
    return structures_of(
        spine.volume, seen(spine.discs if discs is None else discs), seen(spine.bodies if bodies is None else bodies)
    )


def by_name(found: Segmentation) -> dict[str, Structure]:
    return {one.name: one for one in found.structures}


def count_is_doubted(found: Segmentation, words: str) -> bool:
    """Whether every structure says so, or none; and the remarks with them."""
    flagged = [any(words in flag and "check the level" in flag for flag in one.flags) for one in found.structures]
    told = any(remark.startswith(COUNT) and words in remark for remark in found.remarks)
    assert all(flagged) == any(flagged) == told
    return told


def no_doubt(found: Segmentation) -> bool:
    return not any(remark.startswith(COUNT) for remark in found.remarks)


def without_band(bodies: np.ndarray, level: int, pixels: int) -> np.ndarray:
    """`bodies` with one divided by a horizontal band through its middle."""
    divided = bodies.copy()
    for section in divided:
        for column in np.flatnonzero((section == level).any(axis=0)):
            rows = np.flatnonzero(section[:, column] == level)
            start = (rows[0] + rows[-1] + 1 - pixels) // 2
            band = section[start : start + pixels, column]
            band[band == level] = 0
    return divided


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("upper", [2, 3, 4, 5])
def test_two_bodies_grown_together_are_not_measured_and_the_count_is_doubted(upper, number):
    spine = labelled_spine(number)
    joint = spine.discs == upper
    block = np.isin(spine.bodies, (upper, upper + 1)) | joint
    block = ndimage.binary_closing(block, structure=np.ones((1, 9, 9))) & ((spine.bodies == 0) | block)
    found = found_in(spine, bodies=np.where(block, upper, spine.bodies), discs=np.where(joint, 0, spine.discs))
    assert count_is_doubted(found, "two bodies may be one")
    levels = [one.level for one in found.structures if one.kind == "body" and (found.bodies[block] == one.level).any()]
    blocked = next(one for one in found.structures if one.kind == "body" and one.level == levels[0])
    assert len(levels) == 1
    assert blocked.state == "excluded" and not blocked.measures
    assert f"Perhaps two bodies in one and not measured: {blocked.name}." in found.remarks
    rest = [one for one in found.structures if one.kind == "body" and one != blocked]
    assert not any(one.state == "excluded" for one in rest)


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("level", [2, 4, 6])
def test_a_body_that_a_dark_band_divides_is_one_body(level, number):
    spine = labelled_spine(number)
    bodies = without_band(spine.bodies, level, 5)
    found = found_in(spine, bodies=bodies)
    levels_right(found, spine)
    assert no_doubt(found)
    divided = next(one for one in found.structures if one.kind == "body" and one.level == level)
    left = (bodies == level).sum() / (spine.bodies == level).sum()
    true = spine.true["body_volume_cm3", level]
    assert divided.measures["body_volume_cm3"] == pytest.approx(left * true, rel=0.06)
    assert any("found in pieces" in flag for flag in divided.flags)
    assert f"Found in pieces and joined: {divided.name}." in found.remarks
    assert not any(one.flags for one in found.structures if one.state == "measured" and one != divided)


def test_two_crushed_bodies_with_a_disc_between_stay_two():
    spine = labelled_spine(1)
    bodies = spine.bodies.copy()
    for level, offset in ((4, 12), (5, -12)):
        # What lies away from the disc between the two is lost.
        bodies[(np.roll(spine.bodies, offset, axis=1) != level) & (spine.bodies == level)] = 0
    found = found_in(spine, bodies=bodies)
    levels_right(found, spine)
    assert {"L3", "L4"} <= set(by_name(found))


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("shown", [0.35, 0.5, 0.65, 0.8])
def test_a_missed_lowest_disc_and_a_sacrum_that_the_edge_cuts_raise_doubt(shown, number):
    """The size of what is left of S1 does not tell it from S2."""
    spine = labelled_spine(number)
    rows = np.flatnonzero((spine.bodies == 7).any(axis=(0, 2)))
    end = int(rows[0] + shown * np.ptp(rows))
    volume = replace(spine.volume, array=spine.volume.array[:, :end])
    discs = np.where(spine.discs == 6, 0, spine.discs)
    found = structures_of(volume, seen(discs[:, :end]), seen(spine.bodies[:, :end]))
    assert count_is_doubted(found, "check the level")


@pytest.mark.parametrize(
    ("kept", "missing"), [((4, 6, 7), "L4"), ((5, 7), "L5"), ((3, 5, 6, 7), "L3"), ((2, 4, 5, 6, 7), "L2")]
)
def test_two_discs_in_one_gap_show_that_a_body_was_missed(kept, missing):
    spine = labelled_spine(1)
    found = found_in(spine, bodies=np.where(np.isin(spine.bodies, kept), spine.bodies, 0))
    levels_right(found, spine)
    assert sum(one.kind == "body" for one in found.structures) == len(kept)
    assert {one.level for one in found.structures if one.kind == "disc"} >= set(range(kept[0], 7))
    assert f"Not found: {missing}." in found.remarks


def torn(spine: LabelledSpine, level: int, pixels: int) -> np.ndarray:
    """The discs with one divided into a part in front and one behind."""
    discs = spine.discs.copy()
    middle = int(np.median(np.argwhere(discs == level)[:, 2]))
    part = discs[:, :, middle : middle + pixels]
    part[part == level] = 0
    return discs


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("level", [3, 5, 6])
def test_a_disc_in_two_pieces_is_one_disc_and_says_so(level, number):
    spine = labelled_spine(number)
    discs = torn(spine, level, 6)
    found = found_in(spine, discs=discs)
    levels_right(found, spine)
    assert no_doubt(found)
    assert (found.discs == level).sum() == pytest.approx((discs == level).sum(), rel=0.06)
    united = next(one for one in found.structures if one.kind == "disc" and one.level == level)
    assert any("found in pieces" in flag for flag in united.flags)
    assert f"Found in pieces and joined: {united.name}." in found.remarks
    whole = found_in(spine)
    there = next(one for one in whole.structures if one.kind == "disc" and one.level == level)
    assert united.centroid_mm == pytest.approx(there.centroid_mm, abs=1.5)


def test_what_looks_like_a_second_disc_close_to_one_moves_no_name():
    """A piece 12 mm above a disc, within the body: no body lies between the two."""
    spine = labelled_spine(1)
    middle = ndimage.center_of_mass(spine.discs == 4)
    planes, rows, columns = np.ogrid[tuple(slice(size) for size in spine.discs.shape)]
    blob = (abs(rows - (middle[1] - 11)) < 3) & (abs(columns - middle[2]) < 10) & (abs(planes - middle[0]) < 2)
    found = found_in(spine, discs=np.where(blob, 4, spine.discs))
    levels_right(found, spine)
    assert no_doubt(found)
    assert any("left out" in flag for flag in by_name(found)["L3-L4"].flags)


def slab(spine: LabelledSpine, planes: slice, rows: slice, bodies: np.ndarray | None = None) -> Segmentation:
    drawn = spine.bodies if bodies is None else bodies
    affine = spine.volume.affine.copy()
    affine[:3, 3] += affine[:3, 0] * (planes.start or 0) + affine[:3, 1] * (rows.start or 0)
    image, discs, bodies = (one[planes, rows] for one in (spine.volume.array, seen(spine.discs), seen(drawn)))
    return structures_of(Volume(image, affine, spine.volume.slice_thickness_mm), discs, bodies)


def test_a_slab_narrower_than_the_bodies_shows_the_sacrum_and_raises_no_doubt():
    spine = labelled_spine(1)
    found = slab(spine, slice(5, 9), slice(None))
    assert no_doubt(found)
    assert {one.state for one in found.structures} == {"cut"}, "nobody knows where their middles are"


@pytest.mark.parametrize(("above", "state"), [(4, "measured"), (-10, "cut")])
def test_a_disc_is_cut_beside_a_body_that_rows_cut_and_not_beside_one_that_slices_cut(above, state):
    """The picture begins above or within L1; in the outer slices bodies are made to go on, and discs are not."""
    spine = labelled_spine(1)
    top = int(np.flatnonzero((spine.bodies == 2).any(axis=(0, 2)))[0])
    bodies = spine.bodies.copy()
    bodies[[0, 1, 2, 11, 12, 13]] = bodies[7]
    found = by_name(slab(spine, slice(None), slice(top - above, None), bodies=bodies))
    assert found["L1"].state == "cut"
    assert found["L1-L2"].state == state
    assert found["L2-L3"].state == "measured"


def test_a_body_straight_below_the_last_one_is_hardly_the_sacrum():
    """The lowest disc and the sacrum are missed without a trace, and L5 is taken for S1."""
    spine = labelled_spine(2)
    bodies, discs = np.where(spine.bodies == 7, 0, spine.bodies), np.where(spine.discs == 6, 0, spine.discs)
    found = found_in(spine, bodies=bodies, discs=discs)
    assert [one.name for one in found.structures if one.kind == "body"][-1] == "S1"
    assert count_is_doubted(found, "almost straight below L5")
    assert no_doubt(found_in(spine))


def test_simulated_sacra_lean_back_farther():
    """Otherwise the simulated studies would raise false doubts."""
    for number in range(1, 41):
        spine = draw_subject(2026, number).spine
        last, sacrum = (np.array(spine.body(name).frame.centre_mm) for name in ("L5", "S1"))
        back, down = (sacrum - last)[1], (last - sacrum)[2]
        assert np.degrees(np.arctan2(back, down)) > SACRUM_LEANS_DEGREES


@pytest.mark.parametrize("behind_mm", [24, 28])
def test_a_disc_that_was_found_and_not_named_below_the_lowest_body_raises_doubt(behind_mm):
    """S1 is missed, and its disc lies off the line on which L5 is the last."""
    spine = labelled_spine(1)
    lowest = np.roll(spine.discs == 6, round(behind_mm / spine.volume.spacing_mm[2]), axis=2)
    discs = np.where(lowest, 6, np.where(spine.discs == 6, 0, spine.discs))
    found = found_in(spine, bodies=np.where(spine.bodies == 7, 0, spine.bodies), discs=discs)
    assert [one.name for one in found.structures if one.kind == "body"][-1] == "S1"
    assert count_is_doubted(found, "one off")
