"""What the picture's edge, padding or a signal void makes unfit has no number, whatever the padding and the noise."""

import numpy as np
import pytest
from scipy import ndimage

from recon_worker.data import Volume
from recon_worker.segmentation.edges_and_voids import Edges
from recon_worker.segmentation.segment import structures_of
from tests.recon_worker.segmentation.spines import labelled_spine
from tests.recon_worker.segmentation.test_segment import seen


@pytest.mark.parametrize(("planes", "states"), [
    (slice(2, 14), {"measured"}), (slice(3, 14), {"measured", "cut"}), (slice(5, 14), {"cut"}), (slice(0, 8), {"cut"}),
    (slice(5, 9), {"cut"}),
])  # fmt: skip
def test_a_disc_that_the_outermost_slices_cut_is_not_measured(planes, states):
    """Its middle is not known then, and its height would be that of another place."""
    spine = labelled_spine(1)
    affine = spine.volume.affine.copy()
    affine[:3, 3] += affine[:3, 0] * planes.start
    parts = (np.ascontiguousarray(one[planes]) for one in (spine.volume.array, seen(spine.discs), seen(spine.bodies)))
    image, discs, bodies = parts
    found = structures_of(Volume(image, affine, spine.volume.slice_thickness_mm), discs, bodies)
    whole = {one.name: one for one in structures_of(spine.volume, seen(spine.discs), seen(spine.bodies)).structures}
    assert {one.state for one in found.structures if one.kind == "disc"} == states
    for one in found.structures:
        if one.kind == "disc" and one.state == "measured":
            assert one.measures["disc_height_mm"] == pytest.approx(whole[one.name].measures["disc_height_mm"], rel=0.05)
            areas = (found.discs == one.level).sum(axis=(1, 2))
            flagged = any("may go on" in flag for flag in one.flags)
            assert flagged == (max(areas[0], areas[-1]) > 0.25 * areas.max())


@pytest.mark.parametrize("turned", [False, True])
def test_the_edge_is_as_near_in_millimetres_whatever_the_pixels(turned):
    """Rows of 0.5 mm along the spine, columns of 2 mm, or the other way round."""
    affine = np.array([[4.0, 0, 0, 0], [0, 0, 2.0, 0], [0, -0.5, 0, 0], [0, 0, 0, 1]])
    image = np.random.default_rng(0).uniform(50, 100, (3, 400, 100)).astype(np.float32)
    if turned:
        affine[:, [1, 2]], image = affine[:, [2, 1]], image.transpose(0, 2, 1)
    edges = Edges.of(Volume(image, affine, 4.0))

    def box(rows: slice, columns: slice) -> np.ndarray:
        mask = np.zeros((3, 400, 100), dtype=bool)
        mask[:, rows, columns] = True
        return mask.transpose(0, 2, 1) if turned else mask

    inside = slice(40, 60)
    assert edges.cut_in_plane(box(slice(3, 50), inside)) and not edges.cut_in_plane(box(slice(4, 50), inside))
    assert edges.cut_in_plane(box(slice(100, 396 + 1), inside)) and not edges.cut_in_plane(box(slice(100, 396), inside))
    assert edges.cut_in_plane(box(slice(50, 90), slice(0, 60)))
    assert not edges.cut_in_plane(box(slice(50, 90), slice(1, 60)))
    for last, cut in ((338, False), (341, True)):
        assert edges.cut_beside(box(slice(last - 9, last + 1), inside), below=True) == cut
    for first, cut in ((61, False), (59, True)):
        assert edges.cut_beside(box(slice(first, first + 10), inside), below=False) == cut


PADDING = {
    "zeros": lambda image, outside: np.where(outside, 0, image),
    "zeros before a rescale intercept": lambda image, outside: np.where(outside, 0, image) * 2.5 - 7,
    "zeros before a large one": lambda image, outside: np.where(outside, 0, image) * 5 - 400,
    "zeros, and single voxels below": lambda image, outside: np.where(outside, -20 * (_noise(image) > 0.999), image),
    "the noise of a grey level": lambda image, outside: np.where(
        outside, np.random.default_rng(1).integers(0, 2, image.shape), image
    ),
    "letters in a corner": lambda image, outside: np.where(outside & ~_letters(image.shape), 0, image),
}


def _noise(image: np.ndarray) -> np.ndarray:
    return np.random.default_rng(2).uniform(0, 1, image.shape)


def _letters(shape: tuple[int, ...]) -> np.ndarray:
    shown = np.zeros(shape, dtype=bool)
    shown[:, 3:9, 4:40:4] = shown[:, -9:-3, 4:40:4] = True
    return shown


@pytest.mark.parametrize("slant", [0.0, 0.15])
@pytest.mark.parametrize("padding", PADDING)
def test_what_padding_cuts_has_no_number_whatever_the_padding_is(padding: str, slant: float):
    """The picture ends in L4: whether the rest is not there or padded, the same is cut."""
    spine = labelled_spine(1)
    rows, columns = np.ogrid[: spine.bodies.shape[1], : spine.bodies.shape[2]]
    _, row, column = np.argwhere(spine.bodies == 5).mean(axis=0)
    outside = np.broadcast_to(rows - row > slant * (columns - column), spine.bodies.shape)
    volume = spine.volume.with_array(PADDING[padding](spine.volume.array, outside).astype(np.float32))
    found = structures_of(volume, seen(spine.discs), seen(spine.bodies))
    states = {one.centroid_mm[2]: one.state for one in found.structures}
    assert [states[place] for place in sorted(states)][:3] == ["cut", "cut", "measured"], "L4, the disc above it, L3"
    kept = {one.kind for one in found.structures if one.state == "measured"}
    assert kept == {"disc", "body"}
    assert probabilities_are_nothing_outside(volume, outside)


def probabilities_are_nothing_outside(volume: Volume, outside: np.ndarray) -> bool:
    everything = np.ones(outside.shape, dtype=np.float32)
    inside = Edges.of(volume).within(everything) > 0
    near = ndimage.binary_dilation(outside[0], iterations=3)
    return bool(inside[:, ~near].all()) and inside[outside].mean() < 0.05


@pytest.mark.parametrize("noise", [0.0, 0.04, 0.08, 0.15])
def test_a_void_is_found_in_any_noise(noise: float):
    """18 mm in L3 through seven slices, as a noisy arm and a denoised one show it (Rician noise)."""
    spine = labelled_spine(1)
    plane, row, column = np.argwhere(spine.bodies == 4).mean(axis=0).astype(int)
    rows, columns = np.ogrid[: spine.bodies.shape[1], : spine.bodies.shape[2]]
    image = spine.volume.array.astype(np.float32)
    signal = float(np.median(image[spine.bodies > 0]))
    draw = np.random.default_rng(3).normal(0, noise * signal, (2, *image.shape))

    def states(image: np.ndarray) -> dict[str, str]:
        noisy = np.hypot(image + draw[0], draw[1]).astype(np.float32)
        found = structures_of(spine.volume.with_array(noisy), seen(spine.discs), seen(spine.bodies))
        assert all(("void" in " ".join(one.flags)) == (one.name == "L3") for one in found.structures if pierced)
        return {one.name: one.state for one in found.structures}

    pierced = False
    assert set(states(image).values()) == {"measured"}
    pierced = True
    image[plane - 3 : plane + 4, (rows - row) ** 2 + (columns - column) ** 2 <= 81] = 0
    assert states(image) == {**dict.fromkeys(states(image), "measured"), "L3": "excluded"}


def test_a_small_void_is_told():
    spine = labelled_spine(1)
    plane, row, column = np.argwhere(spine.bodies == 4).mean(axis=0).astype(int)
    rows, columns = np.ogrid[: spine.bodies.shape[1], : spine.bodies.shape[2]]
    image = spine.volume.array.copy()
    image[plane - 2 : plane + 3, (rows - row) ** 2 + (columns - column) ** 2 <= 36] = 0
    found = structures_of(spine.volume.with_array(image), seen(spine.discs), seen(spine.bodies))
    told = [one.name for one in found.structures if any("small signal void" in flag for flag in one.flags)]
    assert told == ["L3"] and "small signal void" in " ".join(found.remarks)
    assert {one.state for one in found.structures} == {"measured"}


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("front_last", [False, True])
def test_a_vessel_in_front_of_the_spine_is_no_void_and_a_plate_in_the_bodies_is(swapped: bool, front_last: bool):
    """12 mm wide along the whole spine, without signal, in ten slices; whichever way the pictures are stored."""
    spine = labelled_spine(1)
    seen_from_the_side = spine.bodies.any(axis=0) | spine.discs.any(axis=0)
    rows = np.flatnonzero(seen_from_the_side.any(axis=1))
    front = np.interp(np.arange(len(seen_from_the_side)), rows, np.argmax(seen_from_the_side[rows], axis=1))
    columns = np.arange(seen_from_the_side.shape[1])[None]
    for begins, states in ((-14, {"measured"}), (0, {"excluded"})):
        dark = (columns >= front[:, None] + begins) & (columns < front[:, None] + begins + 12)
        dark = dark & (np.abs(np.arange(len(spine.bodies)) - 6.5) < 5)[:, None, None]
        parts = [np.where(dark, 0, spine.volume.array), seen(spine.discs), seen(spine.bodies)]
        affine = spine.volume.affine.copy()
        if front_last:
            affine[:3, 3] += affine[:3, 2] * (seen_from_the_side.shape[1] - 1)
            affine[:3, 2] *= -1
            parts = [one[:, :, ::-1] for one in parts]
        if swapped:
            affine = affine[:, [0, 2, 1, 3]]
            parts = [one.transpose(0, 2, 1) for one in parts]
        image, discs, bodies = (np.ascontiguousarray(one.astype(np.float32)) for one in parts)
        found = structures_of(Volume(image, affine, spine.volume.slice_thickness_mm), discs, bodies)
        assert {one.state for one in found.structures} == states
        assert any("void" in flag for one in found.structures for flag in one.flags) == (states == {"excluded"})


@pytest.mark.parametrize("drawn_around", [False, True])
@pytest.mark.parametrize("dark_front", [False, True])
def test_metal_at_the_front_of_a_body_is_no_vessel(drawn_around: bool, dark_front: bool):
    """Also where all in front is dark, as after saturation, and where the network draws around it in every slice."""
    spine = labelled_spine(1)
    at = np.argwhere(spine.bodies == 4)
    _, row, _ = at.mean(axis=0)
    rows, columns = np.ogrid[: spine.bodies.shape[1], : spine.bodies.shape[2]]
    metal = (np.abs(rows - row) < 8) & (columns < at[:, 2].min() + 14) & (columns > at[:, 2].min() - 6)
    metal = metal & (np.abs(np.arange(len(spine.bodies)) - 6.5) < 5)[:, None, None]
    image = np.where(metal, 0, spine.volume.array)
    if dark_front:
        front = np.argmax((spine.bodies > 0).any(axis=0), axis=1)
        image = np.where(columns < np.where(front > 0, front, at[:, 2].min())[:, None] - 4, 0, image)
        image[[0, -1]] = spine.volume.array[[0, -1]]
    bodies = np.where(metal, 0, spine.bodies) if drawn_around else spine.bodies
    found = structures_of(spine.volume.with_array(image.astype(np.float32)), seen(spine.discs), seen(bodies))
    states = {one.name: one.state for one in found.structures}
    assert states["L3"] == "excluded"
    assert states["L1"] == states["L5"] == states["L1-L2"] == states["L4-L5"] == "measured"


def test_a_rescale_intercept_far_below_zero_makes_no_void():
    spine = labelled_spine(1)
    image = spine.volume.array.copy()
    image[:, :, :5] = 0
    found = structures_of(spine.volume.with_array(image * 10 - 800), seen(spine.discs), seen(spine.bodies))
    assert {one.state for one in found.structures} == {"measured"}
    assert not any(one.flags for one in found.structures)
