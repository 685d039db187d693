"""Measured truth against labels, chance and geometry; the same subject in every slice direction."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest

from recon_worker.data import SlicePlane
from recon_worker.phantom.anatomy import draw_subject
from recon_worker.phantom.truth import body_volume_cm3, disc_distance, label_slice, measure, shortest_side

VOXEL_MM = (2.5, 2.0, 1.4)


@pytest.fixture(scope="module")
def spine():
    return draw_subject(3, 1).spine


@pytest.fixture(scope="module")
def labels(spine):
    """Discs and bodies of contiguous sagittal slices, [slice, row, column]; columns run to the feet."""
    stack = []
    for x in np.arange(-36.0, 37.0, VOXEL_MM[0]):
        plane = SlicePlane((x, 10.0, 0.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
        stack.append(label_slice(spine, plane, matrix=(200, 140), field_of_view_mm=280.0, thickness_mm=VOXEL_MM[0]))
    return np.stack([s[0] for s in stack]), np.stack([s[1] for s in stack])


def test_volumes_are_those_of_the_labels(spine, labels):
    for body in spine.measured_bodies():
        counted = (labels[1] == body.level).sum() * np.prod(VOXEL_MM) / 1000
        # A majority of large voxels loses a little of every round edge; the next test shows that it is only that.
        assert counted == pytest.approx(body_volume_cm3(body), rel=0.03), body.name


def test_the_volume_of_the_labels_comes_closer_with_smaller_voxels(spine):
    body = spine.body("L3")
    alone = replace(spine, bodies=(body,), discs=())

    def error(step_mm, matrix):
        count = 0
        for x in np.arange(-36.0, 37.0, step_mm):
            plane = SlicePlane((x, 0.0, 0.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
            labels = label_slice(alone, plane, matrix=matrix, field_of_view_mm=112.0, thickness_mm=step_mm)[1]
            count += np.count_nonzero(labels)
        return abs(count * step_mm * 112.0**2 / (matrix[0] * matrix[1]) / 1000 / body_volume_cm3(body) - 1)

    coarse, fine = error(2.5, (80, 56)), error(1.25, (160, 112))
    assert fine < 0.01 and fine < 0.6 * coarse


def test_volumes_are_those_of_random_points(spine):
    """A second way to the same number: the share of random points in a box that lie inside."""
    rng = np.random.default_rng(0)
    for body in (spine.body("L2"), spine.body("S1")):
        box = rng.uniform(-1, 1, (3, 400_000)) * body.reach_mm + body.frame.centre_mm[:, None]
        points = tuple(axis.astype(np.float32)[None] for axis in box)
        share = float((body.distance(points) < 0).mean())
        sampled = share * (2 * body.reach_mm) ** 3 / 1000
        error = sampled * np.sqrt((1 - share) / (share * 400_000))
        assert sampled == pytest.approx(body_volume_cm3(body), abs=4 * error)


@pytest.mark.parametrize("level", [1, 4, 6])
def test_heights_lie_between_those_of_pixel_centres_and_pixel_corners(spine, level):
    """The paper's definition on labels of 0.5 mm in the disc's middle slice: smallest rectangle, shortest side."""
    disc = next(d for d in spine.measured_discs() if d.level == level)
    value = next(m.value for m in measure(spine) if (m.quantity, m.level) == ("disc_height_mm", level))
    plane = SlicePlane(tuple(disc.frame.centre_mm), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
    alone = replace(spine, bodies=(), discs=(disc,))
    labels, _ = label_slice(alone, plane, matrix=(160, 160), field_of_view_mm=80.0, thickness_mm=0.2)
    rows, columns = np.nonzero(labels)
    centres = np.stack([rows, columns], axis=1) * 0.5
    corners = np.concatenate([centres + np.array([a, b]) / 4 for a in (-1, 1) for b in (-1, 1)])
    # The disc's centre of mass is not exactly its middle, hence the 0.2 mm.
    assert shortest_side(centres) - 0.2 < value < shortest_side(corners) + 0.2
    assert shortest_side(corners) - shortest_side(centres) < 0.75


def test_the_shortest_side_of_a_turned_rectangle():
    rng = np.random.default_rng(1)
    rectangle = rng.uniform(-0.5, 0.5, (4000, 2)) * (30.0, 9.0)
    rectangle = np.concatenate([rectangle, [[15, 4.5], [-15, 4.5], [15, -4.5], [-15, -4.5]]])
    for angle in (0.0, 0.4, 1.3, -0.7):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        assert shortest_side(rectangle @ turn) == pytest.approx(9.0, abs=1e-6)


def test_sizes_are_those_of_people():
    """Means and spread over subjects near the paper's Table 6 (10.7 mm, SD 2.3; 27 cm3, SD 9)."""
    heights, volumes, slopes = [], [], []
    for number in range(1, 6):
        spine = draw_subject(11, number).spine
        values = measure(spine)
        heights += [m.value for m in values if m.quantity == "disc_height_mm"]
        volumes += [m.value for m in values if m.quantity == "body_volume_cm3"]
        l1, s1 = spine.body("L1").frame.axes[2], spine.body("S1").frame.axes[2]
        slopes.append(np.degrees(np.arctan2(l1[1], l1[2]) - np.arctan2(s1[1], s1[2])))
    assert 9.5 < np.mean(heights) < 12 and 1.2 < np.std(heights) < 3
    assert 22 < np.mean(volumes) < 32 and 4 < np.std(volumes) < 10
    assert min(slopes) > 25 and max(slopes) < 70  # lordosis, degrees


def test_discs_and_bodies_do_not_overlap_and_lie_in_order(spine, labels):
    discs, bodies = labels
    assert not ((discs > 0) & (bodies > 0)).any()
    heights = [np.nonzero(bodies == level)[2].mean() for level in range(1, 8)]
    assert heights == sorted(heights)  # columns run to the feet
    for level in range(1, 7):
        assert heights[level - 1] < np.nonzero(discs == level)[2].mean() < heights[level]
    for disc in spine.measured_discs():
        centre = tuple(np.full((1, 1), c, dtype=np.float32) for c in disc.frame.centre_mm)
        assert disc_distance(disc, centre) < 0


def test_sagittal_and_axial_truth_show_the_same_subject(study, files):
    """A body's label lies where the body is in the patient, through each sequence's own affine."""
    spine = draw_subject(3, 1).spine
    seen = 0
    for sequence in ("SAG T2 FS", "SAG T1", "AX T2"):
        truth = np.load(study / files[sequence, "Standard"]["truth"])
        assert truth["affine"].shape == (4, 4)
        assert np.allclose(np.linalg.norm(truth["affine"][:3, :3], axis=0), truth["spacing_mm"])
        index = np.argwhere(truth["bodies"] > 0)
        points = index @ truth["affine"][:3, :3].T + truth["affine"][:3, 3]
        for (slice_, row, column), point in zip(index[::7], points[::7], strict=True):
            level = truth["bodies"][slice_, row, column]
            body = next(b for b in spine.measured_bodies() if b.level == level)
            at = tuple(np.full((1, 1), c, dtype=np.float32) for c in point)
            assert body.distance(at) < 1.8  # voxels are 2-3 mm
            seen += 1
    assert seen > 200


def test_measurements_are_written_for_every_level(study):
    with (study / "measurements.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    levels = {q: [int(r["level"]) for r in rows if r["quantity"] == q] for q in {r["quantity"] for r in rows}}
    assert levels == {"disc_height_mm": [1, 2, 3, 4, 5, 6], "body_volume_cm3": [1, 2, 3, 4, 5, 6, 7]}
    assert {row["subject"] for row in rows} == {"S01"}
    true = {(m.quantity, m.level): m.value for m in measure(draw_subject(3, 1).spine)}
    for row in rows:
        assert float(row["value"]) == pytest.approx(true[row["quantity"], int(row["level"])], abs=1e-3)
