"""The chain against closed-form truth: place, orientation, brightness, noise."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from recon_worker.data import InputFault
from recon_worker.reconstruction.chain import reconstruct
from tests.recon_worker.support import (
    BODY,
    Blob,
    Coils,
    Ellipse,
    Protocol,
    Scan,
    draw_noise,
    in_memory,
    oblique_directions,
    pixel_positions,
    simulate,
)

UNITY = Protocol(columns=96, rows=80, read_mm=96.0, phase_mm=100.0)


def _interior(protocol: Protocol) -> np.ndarray:
    """Pixels inside the body and away from every edge."""
    x, y = pixel_positions(protocol)
    inside = Ellipse(0, 0, 33, 35).inside(x, y)
    for ellipse in BODY[1:]:
        inside &= ~replace(ellipse, half_x=ellipse.half_x + 4, half_y=ellipse.half_y + 4).inside(x, y)
    return inside


def _shading(scan: Scan) -> np.ndarray:
    """What a matched filter on whitened channels shows for brightness 1: root of s^H Psi^-1 s."""
    sensitivity = scan.coils.sensitivity(*pixel_positions(scan.protocol))
    inverse = np.linalg.inv(scan.covariance / 2)
    return np.sqrt(np.einsum("cyx,cd,dyx->yx", sensitivity.conj(), inverse, sensitivity).real)


def test_closed_form_ellipses_come_out_in_place_and_in_brightness():
    scan = simulate(UNITY, noise_level=1e-4)
    volume = reconstruct(in_memory(scan)).volume
    image = np.abs(volume.array[0]) / _shading(scan)
    x, y = pixel_positions(UNITY)
    assert image[_interior(UNITY)] == pytest.approx(1.0, abs=0.06)  # Gibbs ringing of the sharp edges stays in
    assert image[_interior(UNITY)].mean() == pytest.approx(1.0, abs=0.004)
    for ellipse, brightness in ((BODY[1], 1.8), (BODY[2], 0.4)):
        core = replace(ellipse, half_x=ellipse.half_x - 3, half_y=ellipse.half_y - 3).inside(x, y)
        assert image[core].mean() == pytest.approx(brightness, abs=0.03)
    brighter = np.clip(image - 1.0, 0, None) * replace(BODY[1], half_x=11, half_y=16).inside(x, y)
    assert np.average(x, weights=brighter) == pytest.approx(BODY[1].x, abs=0.1)
    assert np.average(y, weights=brighter) == pytest.approx(BODY[1].y, abs=0.1)


def test_a_dot_lies_where_the_affine_says_on_an_oblique_acquisition():
    protocol = replace(UNITY, directions=oblique_directions(), n_slices=3)
    dot = Blob(13.0, -22.5, 4.0)
    scan = simulate(protocol, noise_level=1e-4, shapes=(dot,), coils=Coils.uniform(4))
    volume = reconstruct(in_memory(scan)).volume
    read, phase, normal = (np.asarray(direction) for direction in protocol.directions)
    for index in range(3):
        weight = np.abs(volume.array[index]) ** 2
        row, column = (float(np.average(axis, weights=weight)) for axis in np.indices(weight.shape))
        expected = np.asarray(protocol.first_centre_mm) + index * protocol.spacing_mm * normal
        expected = expected + dot.x * read + dot.y * phase
        assert volume.position_mm((index, row, column)) == pytest.approx(expected, abs=0.01)
    assert volume.spacing_mm == pytest.approx((4.4, 1.25, 1.0), abs=1e-9)
    assert volume.slice_thickness_mm == 4.0


def test_phase_oversampling_is_cut_off_and_pixels_stay_in_place():
    protocol = replace(UNITY, rows=120, phase_mm=150.0)
    scan = simulate(protocol, noise_level=1e-4)
    full = reconstruct(in_memory(scan)).volume
    cut = reconstruct(
        in_memory(scan, image_matrix=(96, 80), image_field_of_view_mm=(96.0, 100.0))
    ).volume
    assert cut.array.shape == (1, 80, 96)
    assert np.array_equal(cut.array, full.array[:, 20:100])
    assert cut.position_mm((0, 0, 0)) == pytest.approx(full.position_mm((0, 20, 0)), abs=1e-9)


def test_two_averages_have_less_noise_by_root_two():
    spread = []
    for averages in (1, 2):
        protocol = replace(UNITY, n_averages=averages)
        replicas = [
            reconstruct(in_memory(simulate(protocol, noise_level=0.05, seed=seed))).volume.array[0]
            for seed in range(20)
        ]
        spread.append(np.std(np.array(replicas), axis=0)[_interior(UNITY)].mean())
    assert spread[0] / spread[1] == pytest.approx(np.sqrt(2), abs=0.03)


def test_lines_acquired_different_numbers_of_times_are_averaged_by_their_own_count():
    protocol = replace(UNITY, n_averages=2)
    scan = simulate(protocol, noise_level=0.02)
    acquired = scan.acquired.copy()
    acquired[1, :30] = False
    data = scan.data * acquired[None, :, None, :, None]
    once = reconstruct(in_memory(replace(scan, data=data, acquired=acquired)))
    clean = reconstruct(in_memory(simulate(UNITY, noise_level=0.02 * 1e-3, seed=5))).volume.array[0]
    # A line that counted as zero in the mean would halve the signal of 30 lines.
    image = np.abs(once.volume.array[0]) / np.abs(clean).max() * 1e3
    reference = np.abs(clean) / np.abs(clean).max()
    assert np.linalg.norm(image - reference) / np.linalg.norm(reference) < 0.05
    assert once.lineage["steps"][1]["averages_per_line"] == {"least": 1, "most": 2}
    assert once.volume.noise_std[0, 0, 0] == pytest.approx(np.sqrt((30 + 50 / 2) / 80), rel=1e-6)


@pytest.mark.parametrize(
    ("averages", "lines"), [(2, None), (1, slice(48, None)), (1, slice(0, 90)), (1, slice(10, 119))]
)
def test_noise_map_equals_the_spread_of_pseudo_replicas(averages: int, lines: slice | None):
    """Replicas: fresh noise on the same signal through the whole chain, maps and phase estimated anew each time."""
    protocol = replace(UNITY, n_averages=averages, columns=160, rows=128)
    clean = simulate(protocol, phase_lines=lines)
    noisy = simulate(protocol, noise_level=0.02, phase_lines=lines)
    random = np.random.default_rng(11)
    images, noise_map = [], None
    for _ in range(100):
        fresh = np.moveaxis(draw_noise(noisy.covariance, clean.data.shape[:2] + clean.data.shape[3:], random), 0, 2)
        data = (clean.data + fresh * clean.acquired[None, :, None, :, None]).astype(np.complex64)
        volume = reconstruct(in_memory(replace(noisy, data=data))).volume
        images.append(volume.array[0])
        noise_map = volume.noise_std[0]
    replicas = np.array(images)
    measured = np.sqrt((replicas.real.var(axis=0) + replicas.imag.var(axis=0)) / 2)
    inside = _interior(protocol)
    assert measured[inside].mean() == pytest.approx(noise_map[inside].mean(), rel=0.02)
    # Pixel by pixel 100 replicas tell the spread to 5 % (one standard error of a standard deviation of 2 x 100 parts).
    assert np.std(measured[inside] / noise_map[inside]) < 0.1


@pytest.mark.parametrize("n_coils", [4, 32])
def test_noise_in_air_is_as_stated(n_coils: int):
    """Maps made of noise would add it up in phase: many coils, air as bright as dark tissue."""
    protocol = replace(UNITY, n_coils=n_coils, columns=160, rows=128, read_mm=160.0, phase_mm=160.0)
    volume = reconstruct(in_memory(simulate(protocol, noise_level=0.05))).volume
    x, y = pixel_positions(protocol)
    air = ~Ellipse(0, 0, 60, 60).inside(x, y)
    measured = np.sqrt((np.abs(volume.array[0][air]) ** 2).mean() / 2)
    assert measured == pytest.approx(float(volume.noise_std[0][air].mean()), rel=0.1)


def test_noise_without_a_noise_scan_is_estimated_and_said_so():
    scan = simulate(replace(UNITY, n_coils=8), noise_level=0.05)
    with_scan = reconstruct(in_memory(scan))
    without = reconstruct(in_memory(replace(scan, noise=None)))
    assert with_scan.lineage["steps"][0]["source"] == "noise scan"
    assert without.lineage["steps"][0]["source"].startswith("outer ")
    ratio = np.abs(with_scan.volume.array).mean() / np.abs(without.volume.array).mean()
    assert ratio == pytest.approx(1.0, abs=0.06)


def test_a_noise_scan_of_another_bandwidth_is_scaled():
    scan = simulate(UNITY, noise_level=0.05)
    wider = replace(scan, noise=scan.noise * np.float32(2.0))
    plain = reconstruct(in_memory(scan)).volume.array
    scaled = reconstruct(in_memory(wider, noise_bandwidth_ratio=0.25)).volume.array
    assert np.allclose(plain, scaled, rtol=1e-4, atol=1e-4 * np.abs(plain).max())


def test_a_dead_coil_is_left_out():
    scan = simulate(UNITY, noise_level=0.05)
    data, noise = scan.data.copy(), scan.noise.copy()
    data[:, :, 2], noise[2] = 0, 0
    result = reconstruct(in_memory(replace(scan, data=data, noise=noise)))
    assert result.lineage["steps"][0]["channels"] == 3
    assert np.isfinite(result.volume.array).all()


def test_the_scale_of_the_receiver_does_not_matter():
    """Raw samples come in any unit (twix: 1e-5); the image is in units of the noise."""
    scan = simulate(UNITY, noise_level=0.05)
    tiny = replace(scan, data=scan.data * np.float32(1e-7), noise=scan.noise * np.float32(1e-7))
    assert np.allclose(reconstruct(in_memory(scan)).volume.array, reconstruct(in_memory(tiny)).volume.array, rtol=1e-3,
                       atol=1e-2)


def test_lineage_is_plain_json_and_progress_runs_to_one():
    seen: list[tuple[str, float]] = []
    protocol = replace(UNITY, n_slices=3)
    result = reconstruct(in_memory(simulate(protocol, noise_level=0.05)), progress=lambda s, f: seen.append((s, f)))
    assert json.loads(json.dumps(result.lineage)) == result.lineage
    fractions = [fraction for stage, fraction in seen if stage == "reconstructing slices"]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_same_input_gives_the_same_bytes():
    scan = simulate(UNITY, noise_level=0.05)
    first, second = (reconstruct(in_memory(scan)).volume.array.tobytes() for _ in range(2))
    assert first == second


def _with_lines(acquired_lines: np.ndarray) -> Scan:
    scan = simulate(UNITY, noise_level=0.05)
    acquired = np.zeros_like(scan.acquired)
    acquired[0, acquired_lines] = True
    return replace(scan, acquired=acquired, data=scan.data * acquired[None, :, None, :, None])


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (np.arange(0, 80, 2), "is undersampled: 40 of 80 lines are missing, and only 1 lines in the middle"),
        (np.union1d(np.arange(0, 80, 4), np.arange(28, 53)), "undersampled by more than its coils can unfold"),
        (np.setdiff1d(np.arange(80), np.arange(8, 20)), "lacks 12 of 80 lines"),
        (np.arange(45, 80), "beyond the centre"),
        (np.arange(38, 80), "2 lines beyond the centre"),
        (np.array([], dtype=int), "holds no line"),
    ],
)
def test_what_this_chain_cannot_do_is_refused_in_words(lines: np.ndarray, words: str):
    with pytest.raises(InputFault, match=words):
        reconstruct(in_memory(_with_lines(lines)))


def test_an_acquisition_of_zeros_is_the_files_fault():
    scan = simulate(UNITY, noise_level=0.05)
    with pytest.raises(InputFault, match="zero"):
        reconstruct(in_memory(replace(scan, data=np.zeros_like(scan.data))))
    with pytest.raises(InputFault, match="noise"):
        reconstruct(in_memory(replace(scan, data=np.zeros_like(scan.data), noise=None)))
