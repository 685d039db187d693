"""Imperfections of the scanner and the grain of tissue: there, of the right size, and part of the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recon_worker.phantom.anatomy import draw_subject
from recon_worker.phantom.contrast import render
from recon_worker.phantom.protocol import scan_of
from recon_worker.phantom.scanner import set_up
from recon_worker.phantom.shapes import PlaneGrid
from recon_worker.phantom.truth import label_slice


def scanner_of(sequence, number, seed=5):
    scan = replace(scan_of(sequence, size="tiny"), n_slices=1)
    return set_up(draw_subject(seed, number), scan, seed=seed, number=number, motion=0.0)


def points_at(x, y, z):
    return tuple(np.atleast_2d(np.asarray(value, dtype=np.float32)) for value in (x, y, z))


def test_fat_suppression_fails_in_patches_under_the_skin_of_the_back():
    worst = []
    for number in range(1, 13):
        scanner = scanner_of("SAG T2 FS", number)
        torso = scanner.subject.torso
        heights = np.linspace(-60, 60, 61)
        skin = scanner.fields.fat_left(scanner.scan, scanner.subject, points_at(0.0, torso.back_y - 3, heights))
        deep = scanner.fields.fat_left(scanner.scan, scanner.subject, points_at(0.0, torso.back_y - 45, heights))
        assert 0.03 < np.median(deep) < 0.2 and np.max(skin) <= 0.9
        worst.append(float(np.max(skin) / np.median(deep)))
    assert np.median(worst) > 1.5 and max(worst) > 2.5 and min(worst) < max(worst) / 1.5
    plain = scanner_of("SAG T1", 1)
    assert plain.fields.fat_left(plain.scan, plain.subject, points_at(0.0, 0.0, 0.0)) == 1.0


def test_the_transmit_field_varies_by_a_few_percent():
    for number in range(1, 9):
        fields = scanner_of("SAG T1", number).fields
        x, y, z = fields.centre_mm
        assert float(fields.transmit(points_at(x, y, z))[0, 0]) == pytest.approx(1)
        line = fields.transmit(points_at(x, y + np.linspace(-60, 60, 25), z))
        assert 0 < np.ptp(line) < 0.25


def test_object_phase_has_parts_that_no_smooth_surface_follows():
    """What is left after a polynomial of degree 3: the fine structure that partial Fourier must cope with."""
    scanner = scanner_of("SAG T1", 1)
    grid = scanner.grid.plane(scanner.planes[0])
    factor = scanner.fields.phase(scanner.subject, grid.points(grid.whole()))
    rows, columns = (np.linspace(-1, 1, n) for n in factor.shape)
    r, c = np.meshgrid(rows, columns, indexing="ij")
    terms = np.stack([r**a * c**b for a in range(4) for b in range(4 - a)], axis=-1).reshape(-1, 10)
    angle = np.unwrap(np.unwrap(np.angle(factor), axis=0), axis=1).ravel()
    rest = angle - terms @ np.linalg.lstsq(terms, angle, rcond=None)[0]
    assert 0.05 < np.std(rest) < 0.6


def test_phase_turns_beside_gas():
    for number in range(1, 20):
        scanner = scanner_of("SAG T1", number)
        subject = scanner.subject
        gas = subject.torso.bowel[(subject.torso.bowel[:, 6] == 0) & (np.abs(subject.torso.bowel[:, 0]) < 45)]
        if len(gas):
            break
    there = points_at(*gas[0][:3])
    bowel = subject.torso.bowel.copy()
    bowel[:, 6] = 1
    without = replace(subject, torso=replace(subject.torso, bowel=bowel))
    turn = np.angle(scanner.fields.phase(subject, there) / scanner.fields.phase(without, there))
    assert abs(float(turn[0, 0])) > 0.4


@pytest.mark.parametrize("sequence", ["SAG T1", "SAG T2 FS"])
def test_marrow_has_a_low_correlated_grain_that_the_truth_holds(sequence):
    scanner = scanner_of(sequence, 2)
    scan = replace(scanner.scan, matrix=(256, 192))
    image = np.abs(replace(scanner, scan=scan).slice_signal(0).image)
    _, bodies = label_slice(
        scanner.subject.spine,
        scanner.planes[0],
        matrix=scan.matrix,
        field_of_view_mm=scan.field_of_view_mm,
        thickness_mm=scan.thickness_mm,
    )
    frame = scanner.subject.spine.body("L3").frame
    pixel = np.linalg.inv(scanner_affine(scanner, scan)) @ np.append(frame.position(0.0, -5.0, 0.0), 1)
    row, column = round(pixel[1]), round(pixel[2])
    patch = np.s_[row - 5 : row + 6, column - 5 : column + 6]
    assert (bodies[patch] == 4).all()
    values = image[patch] / image[patch].mean()
    assert 0.008 < values.std() < 0.12
    centred = values - values.mean()
    neighbours = (centred[:, 1:] * centred[:, :-1]).mean() / centred.var()
    assert neighbours > 0.3  # grain of tissue, not noise


def scanner_affine(scanner, scan):
    return replace(scanner, scan=scan).affine


def test_muscle_is_streaked():
    scanner = scanner_of("AX T2", 1)
    subject = scanner.subject
    spine = subject.spine
    x = float(spine.curve.at("x", 0.0)) + 40
    y = float(spine.curve.at("y", 0.0)) + 30
    plane = PlaneGrid(np.array([x, y, 0.0]), np.array([0, 0.7, 0]), np.array([0.7, 0, 0]), (20, 20))
    total = render(subject.layers(plane), plane.shape, scanner.scan.weighting).total
    assert total.std() / total.mean() > 0.02
