"""Movement and flow: factors with the right mean, shifts and turns that are exact, ghosts that the averages lower."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recon_worker.data import SlicePlane
from recon_worker.phantom.acquisition import Acquisition, turned
from recon_worker.phantom.anatomy import draw_subject
from recon_worker.phantom.motion import draw_motion, is_restless
from recon_worker.phantom.protocol import scan_of
from recon_worker.phantom.sampling import FineGrid, to_image
from recon_worker.phantom.scanner import set_up
from recon_worker.phantom.shapes import ellipse, occupancy
from recon_worker.phantom.simulate import simulate_acquisition
from recon_worker.rawdata.open import open_kspace
from recon_worker.reconstruction.chain import reconstruct

PLANE = SlicePlane((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


def motion_of(seed, **changes):
    settings = {"duration_s": 600.0, "through_plane": False, "restless": True, "amount": 1.0, **changes}
    return draw_motion(np.random.default_rng(seed), **settings)


def test_over_time_the_factors_have_the_mean_of_the_still_image():
    motion = motion_of(1)
    times = np.linspace(0, 600, 60_001)
    assert abs(motion.csf(times).mean() - 1) < 0.01 and np.std(motion.csf(times)) > 0.03
    assert abs(motion.blood(times).mean()) < 0.02 and np.std(motion.blood(times)) > 0.05
    assert abs(motion.belly_mm(times).mean()) < 0.15 and np.ptp(motion.belly_mm(times)) > 1
    assert motion.position(np.array([0.0]))[0] == 0
    still = motion_of(1, amount=0.0)
    assert (still.csf(times) == 1).all() and not still.blood(times).any() and not still.belly_mm(times).any()
    assert not still.shifts


def test_a_few_subjects_are_restless():
    share = np.mean([is_restless(0, number) for number in range(1, 400)])
    assert 0.12 < share < 0.28


def ellipse_samples(degrees):
    grid = FineGrid.covering((96, 64), (240.0, 160.0), 4, read_mm=(-119, 118), phase_mm=(-79, 78))
    x, y, _ = (np.broadcast_to(c, grid.shape) for c in grid.plane(PLANE).points(grid.plane(PLANE).whole()))
    angle = np.radians(degrees)
    u, v = np.cos(angle) * x + np.sin(angle) * y, -np.sin(angle) * x + np.cos(angle) * y
    shape = occupancy(ellipse(u - 9.0, v + 5.0, 50.0, 31.0), 3.0)
    return grid.encode(shape)[None]


@pytest.mark.parametrize("degrees", [1.5, -4.0])
def test_turned_k_space_is_that_of_the_turned_object(degrees):
    expected, plain = ellipse_samples(degrees), ellipse_samples(0.0)
    found = turned(plain, (240.0, 160.0), degrees)
    assert np.linalg.norm(found - expected) < 0.02 * np.linalg.norm(expected)
    assert np.linalg.norm(plain - expected) > 4 * np.linalg.norm(found - expected)


def scanner_of(sequence, motion, number=1, seed=5):
    scan = replace(scan_of(sequence, size="tiny"), n_slices=1)
    return set_up(draw_subject(seed, number), scan, seed=seed, number=number, motion=motion)


def test_without_motion_the_lines_are_those_of_the_still_subject():
    scanner = replace(scanner_of("SAG T2 FS", 0.0))
    signal = scanner.slice_signal(0)
    scan = Acquisition(scanner, "Standard", seed=5, number=1)
    first, second = (scan.lines(signal, average) for average in (0, 1))
    assert np.array_equal(first, second)
    expected = signal.samples.transpose(1, 0, 2)
    # Only the small phase between odd and even echoes is left.
    assert np.linalg.norm(first - expected) < 0.035 * np.linalg.norm(expected)
    assert np.allclose(np.abs(first), np.abs(expected), atol=1e-5 * np.abs(expected).max())


def test_averages_and_scans_meet_other_moments_of_the_same_subject():
    scanner = scanner_of("SAG T2 FS", 1.0)
    signal = scanner.slice_signal(0)
    scans = {name: Acquisition(scanner, name, seed=5, number=1) for name in ("Standard", "Fast")}
    again = Acquisition(scanner, "Standard", seed=5, number=1).lines(signal, 0)
    first, second = (scans["Standard"].lines(signal, average) for average in (0, 1))
    fast = scans["Fast"].lines(signal, 0)
    assert np.array_equal(first, again)
    size = np.linalg.norm(first)
    for a, b in ((first, second), (first, fast), (second, fast)):
        assert 0.002 * size < np.linalg.norm(a - b) < 0.3 * size


def test_pulsating_fluid_leaves_its_ghosts_along_phase_encoding_only():
    """The difference to the still image: copies of the sac in its own columns, everywhere along the rows."""
    scanner = scanner_of("AX T2", 1.0)
    signal = scanner.slice_signal(0)
    part = replace(signal, components=tuple(c for c in signal.components if c.name == "csf"))
    moving, still = (
        Acquisition(replace(scanner, motion=amount), "Standard", seed=5, number=1).lines(part, 0)
        for amount in (1.0, 0.0)
    )
    columns = scanner.scan.matrix[0]
    ghost = np.linalg.norm(to_image((moving - still).transpose(1, 0, 2), columns), axis=0)
    sac = np.linalg.norm(to_image(still.transpose(1, 0, 2), columns), axis=0)
    inside = sac.max(axis=0) > 0.1 * sac.max()
    assert ghost[:, inside].mean() > 8 * ghost[:, ~inside].mean()
    beyond = sac.max(axis=1) < 0.1 * sac.max()
    assert np.linalg.norm(ghost[beyond]) > 0.3 * np.linalg.norm(ghost)


def ghosts(tmp_path, sequence, acquisition, number):
    """Norm of what movement changes in the noiseless magnitude image, over that of the still image."""
    images = []
    for motion in (1.0, 0.0):
        path = tmp_path / "scan.h5"
        simulate_acquisition(
            path, sequence=sequence, acquisition=acquisition, seed=5, number=number, slices=1, noise=0.0, motion=motion
        )
        images.append(np.abs(reconstruct(open_kspace(path)).volume.array))
    return float(np.linalg.norm(images[0] - images[1]) / np.linalg.norm(images[1]))


@pytest.mark.parametrize("sequence", ["SAG T2 FS", "SAG T1", "AX T2"])
def test_the_fast_scan_has_more_ghosts_than_the_standard(sequence, tmp_path):
    """Through the real chain: half the averages (or lines) leave the ghosts that the Standard averages away."""
    found = np.array([[ghosts(tmp_path, sequence, a, n) for a in ("Standard", "Fast")] for n in range(1, 6)])
    standard, fast = np.sqrt((found**2).mean(axis=0))
    assert 0.004 < standard < 0.12  # there, but not what one sees first
    assert fast > 1.2 * standard


def test_two_averages_lower_the_ghosts_of_one_by_the_root_of_two():
    """Independent moments: the ghosts' power halves (mean over subjects)."""
    power = []
    for number in range(1, 13):
        scanner = scanner_of("SAG T2 FS", 1.0, number)
        signal = scanner.slice_signal(0)
        part = replace(signal, components=tuple(c for c in signal.components if c.name in ("csf", "blood")))
        moving = Acquisition(scanner, "Standard", seed=5, number=number)
        moving.motion = replace(moving.motion, shifts=())
        still = Acquisition(replace(scanner, motion=0.0), "Standard", seed=5, number=number).lines(part, 0)
        one, other = (moving.lines(part, average) - still for average in (0, 1))
        power.append(
            [(np.linalg.norm(one) ** 2 + np.linalg.norm(other) ** 2) / 2, np.linalg.norm((one + other) / 2) ** 2]
        )
    single, both = np.sum(power, axis=0)
    assert np.sqrt(single / both) == pytest.approx(np.sqrt(2), abs=0.2)
