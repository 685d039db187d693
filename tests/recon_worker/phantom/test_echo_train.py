"""Order of the echoes, decay along the train, and the slice profile."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recon_worker.phantom.anatomy import draw_subject
from recon_worker.phantom.contrast import SHORT_T2_MS, TISSUES, spin_echo
from recon_worker.phantom.echo_train import STIMULATED, decay, duration_s, echo_trains, line_times_s, passes
from recon_worker.phantom.protocol import ACQUISITIONS, PROTOCOLS, SEQUENCES, SIZES, scan_of
from recon_worker.phantom.sampling import to_image
from recon_worker.phantom.scanner import set_up, slice_profile
from recon_worker.phantom.simulate import simulate_acquisition
from recon_worker.rawdata.open import open_kspace

ALL = [(s, p, a, z) for s in SEQUENCES for p in PROTOCOLS for a in ACQUISITIONS for z in SIZES]


@pytest.mark.parametrize(("sequence", "protocol", "acquisition", "size"), ALL)
def test_the_effective_echo_meets_the_centre_and_no_moment_is_used_twice(sequence, protocol, acquisition, size):
    scan = scan_of(sequence, protocol=protocol, size=size)
    trains = echo_trains(scan, acquisition)
    assert np.array_equal(trains.lines, np.asarray(scan.lines(acquisition)))
    centre = int(np.searchsorted(trains.lines, scan.matrix[1] // 2))
    assert (trains.echo[centre] + 1) * scan.echo_spacing_ms == pytest.approx(scan.weighting.te_ms)
    assert trains.echo.min() >= 0 and trains.echo.max() < scan.echo_train_length
    assert len({*zip(trains.echo.tolist(), trains.train.tolist(), strict=True)}) == len(trains.lines)
    assert trains.n_trains == np.ceil(len(trains.lines) / scan.echo_train_length)


def test_a_short_echo_time_goes_outwards_and_a_long_one_across():
    outwards = scan_of("SAG T1")
    echo = echo_trains(outwards, "Standard").echo
    middle = outwards.matrix[1] // 2
    assert (np.diff(echo[middle:]) >= 0).all() and (np.diff(echo[:middle]) <= 0).all()
    assert (np.diff(echo_trains(scan_of("SAG T2 FS"), "Standard").echo) <= 0).all()


def test_the_paper_scan_times_are_near_those_of_the_trains():
    """Table 1: sagittal T2 4:30 and 2:15 (what the table adds are prescan and pauses); Standard is twice Fast."""
    scan = scan_of("SAG T2 FS")
    assert duration_s(scan, "Standard") == 2 * duration_s(scan, "Fast") == 2 * 14 * 5.0
    assert passes(scan) == 1 and passes(scan_of("SAG T1")) == 2


def test_neighbouring_slices_and_averages_have_their_own_moments():
    scan = scan_of("SAG T2 FS", size="small")
    seen = [line_times_s(scan, "Standard", index, average) for index in range(scan.n_slices) for average in (0, 1)]
    moments = np.concatenate(seen)
    assert len(np.unique(np.round(moments, 6))) == moments.size
    assert moments.min() > 0 and moments.max() < duration_s(scan, "Standard") + 0.2


def test_the_echo_of_every_line_is_in_the_file(tmp_path):
    simulate_acquisition(tmp_path / "a.h5", sequence="SAG T1", acquisition="Fast", seed=3, slices=1)
    one = next(open_kspace(tmp_path / "a.h5").slices())
    trains = echo_trains(scan_of("SAG T1", size="tiny"), "Fast")
    assert np.array_equal(one.echo[trains.lines], trains.echo)
    missing = np.setdiff1d(np.arange(72), trains.lines)
    assert (one.echo[missing] == -1).all()


def test_a_point_that_decays_becomes_wider_along_phase_encoding_only():
    """A centre-out train is a low-pass for short T2: width of a point along phase against the closed form."""
    scan = scan_of("SAG T1")
    echo = echo_trains(scan, "Standard").echo
    rows = scan.encoded_matrix[1]
    weight = decay(scan, echo, SHORT_T2_MS)
    assert weight.max() == 1.0
    assert weight.min() == pytest.approx(np.exp(-3 * 8 / (SHORT_T2_MS * STIMULATED)), rel=1e-5)
    point = np.abs(to_image(np.ones((rows, 8), np.complex64) * weight[:, None], 8))[:, 4]
    sharp = np.abs(to_image(np.ones((rows, 8), np.complex64), 8))[:, 4]
    centre = rows // 2
    # Sum of squares in the middle pixel over all: Parseval with the weights.
    share = point[centre] ** 2 / (point**2).sum()
    assert share == pytest.approx(weight.mean() ** 2 / (weight**2).mean(), rel=1e-5)
    assert share < 0.98 and sharp[centre] ** 2 / (sharp**2).sum() == pytest.approx(1)


def test_the_decay_of_a_train_blurs_the_truth_image():
    scan = replace(scan_of("SAG T1", size="tiny"), n_slices=1)
    scanner = set_up(draw_subject(3, 1), scan, seed=3, number=1)
    blurred, sharp = (replace(scanner, echo_imperfections=on).slice_signal(0).image for on in (True, False))
    steps = [np.abs(np.diff(np.abs(image), axis=0)).mean() for image in (blurred, sharp)]
    across = [np.abs(np.diff(np.abs(image), axis=1)).mean() for image in (blurred, sharp)]
    assert steps[0] < 0.97 * steps[1]  # along phase encoding
    assert steps[0] / steps[1] < across[0] / across[1]


def test_the_slice_profile_and_the_cross_talk_of_neighbours():
    assert slice_profile(0.0) == slice_profile(0.3) == 1 and slice_profile(0.9) == 0
    assert slice_profile(0.55) == pytest.approx(0.5)
    assert 2 * np.mean([slice_profile(d) for d in np.linspace(0, 1, 1001)]) == pytest.approx(1.1, abs=0.01)
    subject = draw_subject(3, 1)
    touching = set_up(subject, replace(scan_of("AX T2", size="tiny"), spacing_mm=5, n_slices=3), seed=3, number=1)
    assert touching.neighbours_overlap(1, 0.5) == pytest.approx(slice_profile(0.5))
    assert touching.neighbours_overlap(2, 0.5) == 0 and touching.neighbours_overlap(1, 0.0) == 0
    apart = set_up(subject, replace(touching.scan, spacing_mm=10), seed=3, number=1)
    alone, beside = (scanner.object_parts(1) for scanner in (apart, touching))
    # Fluid recovers slowest, so cross-talk takes most from it: as much as saturation recovery says.
    weighting = touching.scan.weighting
    edge = slice_profile(0.5)
    share = 2 * edge / (3 + 2 * edge) * edge
    for name, tissue, tolerance in (("csf", TISSUES["csf"], 0.01), ("belly", TISSUES["fat"], 0.03)):
        whole, overlapped = (spin_echo(tissue.t1_ms, tissue.t2_ms, weighting, part) for part in (0.0, share))
        left = np.abs(beside[name]).sum() / np.abs(alone[name]).sum()
        assert left == pytest.approx(overlapped / whole, abs=tolerance)
    assert np.abs(beside["csf"]).sum() < 0.96 * np.abs(alone["csf"]).sum()
