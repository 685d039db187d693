"""Undersampled acquisitions: against closed-form truth, BART and pseudo-replicas."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from recon_worker.data import ChainChoice, InputFault, KSpace
from recon_worker.data.chain_choice import FEWEST_CALIBRATION_LINES, LARGEST_UNDERSAMPLING, chain_choice
from recon_worker.phantom.simulate import simulate_acquisition
from recon_worker.rawdata.open import open_kspace
from recon_worker.reconstruction import sense
from recon_worker.reconstruction.averaging import Coverage, average_lines, reach_without_gap
from recon_worker.reconstruction.chain import reconstruct
from recon_worker.reconstruction.coils import coil_maps, combine
from recon_worker.reconstruction.fourier import crop_centre, to_image, to_kspace
from recon_worker.reconstruction.noise import noise_from_scan, sample_covariance, whitening_matrix
from recon_worker.reconstruction.partial_fourier import fill_partial_fourier
from recon_worker.reconstruction.sense import noise_amplification, unfold
from recon_worker.reconstruction.slice_chain import MIN_CALIBRATION_REACH
from recon_worker.reconstruction.undersampling import kept_lines
from tests.recon_worker.reconstruction.bart import bart, needs_bart, read_cfl, write_cfl
from tests.recon_worker.support import (
    Coils,
    Ellipse,
    Protocol,
    Scan,
    draw_noise,
    in_memory,
    pixel_positions,
    simulate,
)

PROTOCOL = Protocol(columns=64, rows=80, n_coils=8, read_mm=96.0, phase_mm=100.0)
COILS = replace(Coils.make(8), period_mm=150.0)
"""Coils that differ enough along phase encoding for a reduction of three."""
X, Y = pixel_positions(PROTOCOL)
BODY = Ellipse(0, 0, 37, 39).inside(X, Y)
FLAT = Ellipse(0, 0, 34, 36).inside(X, Y)
CENTRE = PROTOCOL.rows // 2


def _lines(every: int, reach: int = 12, *, upto: int | None = None) -> np.ndarray:
    """`[ky]`: every n-th line and a block around the centre."""
    lines = np.zeros(PROTOCOL.rows, dtype=bool)
    lines[::every] = True
    lines[CENTRE - reach : CENTRE + reach + 1] = True
    if upto is not None:
        lines[upto:] = False
    return lines


def _coverage(lines: np.ndarray) -> Coverage:
    steps = np.flatnonzero(lines)
    return Coverage(lines.astype(np.int64), int(steps[0]), int(steps[-1]), CENTRE)


def _scan(noise_level: float, *, averages: int = 1, seed: int = 0) -> Scan:
    return simulate(replace(PROTOCOL, n_averages=averages), noise_level=noise_level, coils=COILS, seed=seed)


def _only(scan: Scan, lines: np.ndarray) -> Scan:
    acquired = scan.acquired & lines
    return replace(scan, acquired=acquired, data=scan.data * acquired[None, :, None, :, None])


def _white(scan: Scan) -> torch.Tensor:
    """`[channel, ky, column]` of the first average."""
    whitening = torch.from_numpy(whitening_matrix(sample_covariance(scan.noise)))
    image = to_image(torch.from_numpy(np.ascontiguousarray(scan.data[0, 0])), 2)
    return torch.tensordot(whitening, crop_centre(image, 2, PROTOCOL.columns), dims=1)


def _true_maps(scan: Scan) -> torch.Tensor:
    sensitivity = np.einsum("dc,cyx->dyx", whitening_matrix(scan.covariance), COILS.sensitivity(X, Y))
    return torch.from_numpy((sensitivity / np.linalg.norm(sensitivity, axis=0)).astype(np.complex64))


def _truth(scan: Scan) -> np.ndarray:
    """All lines without noise, combined with the true maps."""
    clean = replace(_scan(0.0), noise=scan.noise)
    return combine(to_image(_white(clean), 1), _true_maps(scan)).numpy()


def _error(image: np.ndarray, truth: np.ndarray) -> float:
    shown, true = np.abs(image)[BODY], np.abs(truth)[BODY]
    shown = shown * (shown * true).sum() / (shown**2).sum()
    return float(np.linalg.norm(shown - true) / np.linalg.norm(true))


def _unfolding(lineage: dict) -> dict:
    return next(step for step in lineage["steps"] if step["step"] == "unfolding")


@needs_bart
@pytest.mark.parametrize(("every", "reach"), [(2, 12), (2, 8), (3, 12), (3, 8)])
def test_error_to_truth_is_not_above_barts(every: int, reach: int, tmp_path: Path):
    """BART with ESPIRiT maps of the same block, 30 iterations, at our regularisation; and at the best of three others,
    chosen with the truth known, which costs us no more than a tenth."""
    scan = _only(_scan(0.03), _lines(every, reach))
    found = reconstruct(in_memory(scan))
    truth = _truth(scan)
    hybrid = _white(scan).numpy()
    kspace = np.fft.fftshift(np.fft.fft(np.fft.ifftshift(hybrid, axes=2), axis=2, norm="ortho"), axes=2)
    write_cfl(tmp_path / "kspace", kspace.transpose(2, 1, 0)[:, :, None, :])
    bart("ecalib", "-m", 1, "-r", 2 * reach + 1, tmp_path / "kspace", tmp_path / "maps")
    errors = []
    for strength in (_unfolding(found.lineage)["regularisation"]["most"], 0.002, 0.01, 0.03):
        bart("pics", "-l2", "-r", strength, "-i", 30, "-S", tmp_path / "kspace", tmp_path / "maps", tmp_path / "image")
        errors.append(_error(read_cfl(tmp_path / "image").T, truth))
    ours = _error(found.volume.array[0], truth)
    assert ours <= 1.05 * errors[0]
    assert ours <= 1.1 * min(errors)
    zero_filled = combine(to_image(_white(scan), 1), _true_maps(scan)).numpy()
    assert ours < 0.6 * _error(zero_filled, truth)


@needs_bart
@pytest.mark.parametrize("every", [2, 3])
def test_error_with_partial_fourier_beside_barts(every: int, tmp_path: Path):
    """BART unfolds with its ESPIRiT maps at our regularisation; then both have their missing side filled in by the same
    POCS. Neither with BART's maps nor from raw data is our error larger."""
    lines = _lines(every, 12, upto=59)
    scan = _only(_scan(0.03), lines)
    found = reconstruct(in_memory(scan))
    truth, covered = _truth(scan), _coverage(lines)
    hybrid = _white(scan).numpy()
    kspace = np.fft.fftshift(np.fft.fft(np.fft.ifftshift(hybrid, axes=2), axis=2, norm="ortho"), axes=2)
    write_cfl(tmp_path / "kspace", kspace.transpose(2, 1, 0)[:, :, None, :])
    bart("ecalib", "-m", 1, "-r", 25, tmp_path / "kspace", tmp_path / "maps")
    strength = _unfolding(found.lineage)["regularisation"]["most"]
    bart("pics", "-l2", "-r", strength, "-i", 30, "-S", tmp_path / "kspace", tmp_path / "maps", tmp_path / "image")
    image = torch.from_numpy(np.ascontiguousarray(read_cfl(tmp_path / "image").T))
    reference = _error(fill_partial_fourier(image, covered.unfolded()).numpy(), truth)
    maps = torch.from_numpy(np.ascontiguousarray(read_cfl(tmp_path / "maps").transpose(2, 1, 0)))
    same = unfold(torch.from_numpy(hybrid), maps, covered, strength).image
    assert _error(fill_partial_fourier(same, covered.unfolded()).numpy(), truth) <= 1.05 * reference
    assert _error(found.volume.array[0], truth) <= 1.05 * reference


@needs_bart
@pytest.mark.parametrize("every", [2, 3])
def test_error_on_the_spine_is_not_above_barts(every: int, tmp_path: Path):
    """Simulated SAG T2 FS, a still object, 8 coils; BART at the best of four regularisations."""
    path = simulate_acquisition(
        tmp_path / "spine.h5", sequence="SAG T2 FS", acquisition="Standard", seed=5, size="small", slices=1, motion=0.0
    )
    truth, kspace = np.load(path), open_kspace(tmp_path / "spine.h5")
    shown = np.abs(truth["image"][0]) * truth["sensitivity"][0]
    column = ndimage.binary_dilation((truth["bodies"][0] > 0) | (truth["discs"][0] > 0), np.ones((9, 9), bool))

    def error(image: np.ndarray) -> float:
        found = np.abs(image)[column]
        found = found * (found @ shown[column]) / (found @ found)
        return float(np.linalg.norm(found - shown[column]) / np.linalg.norm(shown[column]))

    piece, choice = next(kspace.slices()), ChainChoice(undersampling=every)
    kept = kept_lines(piece.acquired.any(axis=0), kspace.header.ky_centre, choice)
    model = noise_from_scan(kspace.header)
    assert model is not None
    lines = average_lines(torch.from_numpy(piece.data), torch.from_numpy(piece.acquired & kept))
    hybrid = crop_centre(to_image(lines, 2), 2, kspace.header.image_matrix[0])
    white = to_kspace(torch.tensordot(torch.from_numpy(whitening_matrix(model.covariance)), hybrid, dims=1), 2)
    assert len(white) == 8
    write_cfl(tmp_path / "kspace", white.numpy().transpose(2, 1, 0)[:, :, None, :])
    bart("ecalib", "-m", 1, "-c", 0, "-r", 24, tmp_path / "kspace", tmp_path / "maps")
    theirs = []
    for strength in (0.002, 0.01, 0.03, 0.1):
        bart("pics", "-l2", "-r", strength, "-i", 30, "-S", tmp_path / "kspace", tmp_path / "maps", tmp_path / "image")
        theirs.append(error(read_cfl(tmp_path / "image").T))
    ours = error(reconstruct(kspace, choice=choice).volume.array[0])
    assert ours <= 1.05 * min(theirs)


@needs_bart
def test_with_the_same_maps_the_solution_is_barts(tmp_path: Path):
    lines = _lines(3)
    scan = _only(_scan(0.03), lines)
    hybrid, maps = _white(scan), _true_maps(scan)
    ours = unfold(hybrid, maps, _coverage(lines), 0.01).image.numpy()
    kspace = np.fft.fftshift(np.fft.fft(np.fft.ifftshift(hybrid.numpy(), axes=2), axis=2, norm="ortho"), axes=2)
    write_cfl(tmp_path / "kspace", kspace.transpose(2, 1, 0)[:, :, None, :])
    write_cfl(tmp_path / "maps", maps.numpy().transpose(2, 1, 0)[:, :, None, :])
    bart("pics", "-l2", "-r", 0.01, "-i", 100, "-S", tmp_path / "kspace", tmp_path / "maps", tmp_path / "image")
    theirs = read_cfl(tmp_path / "image").T
    assert np.linalg.norm(ours - theirs) / np.linalg.norm(theirs) < 0.005


def _irregular() -> np.ndarray:
    lines = np.random.default_rng(3).random(PROTOCOL.rows) < 0.6
    lines[CENTRE - 10 : CENTRE + 11] = True
    return lines


@pytest.mark.parametrize(
    ("lines", "averages"),
    [(_lines(2), 1), (_lines(3), 1), (_lines(2), 2), (_irregular(), 1), (_lines(2, upto=56), 1)],
    ids=["every 2nd", "every 3rd", "every 2nd, NEX 2", "irregular", "every 2nd, partial Fourier"],
)
def test_noise_map_equals_the_spread_of_pseudo_replicas(lines: np.ndarray, averages: int):
    """Fresh noise on the same signal through the whole chain, maps and regularisation estimated anew each time."""
    clean = _only(_scan(0.0, averages=averages), lines)
    noisy = _only(_scan(0.02, averages=averages), lines)
    random = np.random.default_rng(12)
    images, levels = [], []
    for _ in range(100):
        fresh = np.moveaxis(draw_noise(noisy.covariance, clean.data.shape[:2] + clean.data.shape[3:], random), 0, 2)
        data = (clean.data + fresh * clean.acquired[None, :, None, :, None]).astype(np.complex64)
        volume = reconstruct(in_memory(replace(noisy, data=data))).volume
        images.append(volume.array[0])
        levels.append(volume.noise_std[0])
    replicas, level = np.array(images), np.mean(levels, axis=0)
    measured = np.sqrt((replicas.real.var(axis=0, ddof=1) + replicas.imag.var(axis=0, ddof=1)) / 2)
    ratio = (measured / level)[FLAT]
    assert np.median(ratio) == pytest.approx(1.0, abs=0.05)
    # 100 replicas tell the spread of a pixel to 5 % (one standard error of 2 x 100 parts).
    assert np.std(ratio) < 0.1
    # The map is not flat: it says where noise is amplified.
    assert np.corrcoef(measured[FLAT], level[FLAT])[0, 1] > (0.5 if np.ptp(level[FLAT]) > 0.2 else -1)


@pytest.mark.parametrize("averages", [1, 3])
def test_without_missing_lines_it_is_the_matched_filter(averages: int):
    scan = _scan(0.03)
    hybrid = _white(scan)
    maps = coil_maps(hybrid, ky_centre=CENTRE, half_width_steps=16, half_width_samples=15.0)
    full = Coverage(np.full(PROTOCOL.rows, averages), 0, PROTOCOL.rows - 1, CENTRE)
    found = unfold(hybrid, maps, full, 1e-6)
    expected = combine(to_image(hybrid, 1), maps)
    assert float((found.image - expected).norm() / expected.norm()) < 1e-4
    assert found.noise_std.numpy() == pytest.approx(averages**-0.5, rel=1e-3)
    assert noise_amplification(found.noise_std, full).numpy() == pytest.approx(1.0, rel=1e-3)
    assert found.recovered.numpy() == pytest.approx(1.0, abs=1e-4)


def _with_calibration(scan: Scan, calibration: np.ndarray) -> KSpace:
    whole = in_memory(scan)
    return KSpace(whole.header, lambda: (replace(piece, calibration=calibration) for piece in whole.slices()))


def test_calibration_lines_apart_or_among_the_image_lines():
    whole = _scan(0.03)
    lattice, block = _lines(2, 0), _lines(80, 12)
    truth = _truth(whole)
    among = reconstruct(in_memory(_only(whole, lattice | block)))
    samples = _only(whole, block).data[0, 0]
    apart = reconstruct(_with_calibration(_only(whole, lattice), samples))
    # The lines that are also image lines need not be stored twice (Siemens: "calibration and imaging").
    completed = reconstruct(_with_calibration(_only(whole, lattice), samples * ~lattice[:, None]))
    assert among.lineage["steps"][3]["calibration"] == "image lines"
    assert apart.lineage["steps"][3]["calibration"] == "separate lines"
    assert completed.lineage["steps"][3]["calibration"] == "separate and image lines"
    assert np.allclose(apart.volume.array, completed.volume.array, atol=1e-3 * np.abs(truth).max())
    errors = [_error(found.volume.array[0], truth) for found in (among, apart)]
    assert errors[0] < errors[1] < 2.5 * errors[0]  # apart, the image has twelve lines less


def test_two_averages_have_less_noise_and_less_error():
    lines = _lines(2)
    once, twice = (_only(_scan(0.06, averages=n), lines) for n in (1, 2))
    truth = _truth(once)
    errors = [_error(reconstruct(in_memory(scan)).volume.array[0], truth) for scan in (once, twice)]
    assert errors[1] < 0.9 * errors[0]
    # With the regularisation weighing alike, the same unfolding of half the noise power.
    covered = _coverage(lines)
    hybrid, maps = _white(once), _true_maps(once)
    single = unfold(hybrid, maps, covered, 0.01)
    double = unfold(hybrid, maps, replace(covered, counts=covered.counts * 2), 0.02)
    assert torch.allclose(single.image, double.image, atol=1e-3 * float(single.image.abs().max()))
    assert (single.noise_std / double.noise_std).numpy() == pytest.approx(np.sqrt(2), rel=1e-3)


def test_maps_that_are_wrong_in_air_do_not_harm_the_body():
    lines = _lines(2)
    scan = _only(_scan(0.03), lines)
    hybrid, maps, truth = _white(scan), _true_maps(scan), _truth(scan)
    random = np.random.default_rng(5)
    wrong = random.standard_normal(maps.shape) + 1j * random.standard_normal(maps.shape)
    wrong = torch.from_numpy((wrong / np.linalg.norm(wrong, axis=0)).astype(np.complex64))
    air = torch.from_numpy(~Ellipse(0, 0, 40, 42).inside(X, Y))
    bound = _error(unfold(hybrid, maps, _coverage(lines), 0.01).image.numpy(), truth)
    for bad in (torch.where(air, wrong, maps), torch.where(air, torch.zeros_like(maps), maps)):
        found = unfold(hybrid, bad, _coverage(lines), 0.01)
        assert torch.isfinite(found.noise_std).all()
        assert _error(found.image.numpy(), truth) < 1.1 * bound


def test_partial_fourier_comes_after_unfolding():
    scan = _scan(0.03)
    truth = _truth(scan)
    both = reconstruct(in_memory(_only(scan, _lines(2, upto=58))))
    undersampled = reconstruct(in_memory(_only(scan, _lines(2))))
    steps = {step["step"]: step for step in both.lineage["steps"]}
    assert list(steps).index("unfolding") < list(steps).index("partial Fourier")
    assert steps["partial Fourier"]["iterations"] > 0
    assert steps["partial Fourier"]["noise_level_along_phase"] > steps["partial Fourier"]["noise_level"]
    without = unfold(_white(_only(scan, _lines(2, upto=58))), _true_maps(scan), _coverage(_lines(2, upto=58)), 0.01)
    assert _error(both.volume.array[0], truth) < 1.5 * _error(undersampled.volume.array[0], truth)
    assert _error(both.volume.array[0], truth) < 0.8 * _error(without.image.numpy(), truth)


def test_lineage_and_remark_tell_what_was_filled_in():
    found = reconstruct(in_memory(_only(_scan(0.03), _lines(2, 12))))
    json.dumps(found.lineage)
    step = _unfolding(found.lineage)
    assert step["lines_missing"] == {"least": 28, "most": 28}
    assert step["reduction_factor"] == pytest.approx(80 / 52)
    assert 1.0 < step["g_factor_median"] < 3.0
    assert 0.5 < step["missing_lines_determined"] < 1.0
    assert found.remarks[0].startswith("Undersampled: 28 of 80 lines were filled in from the coil sensitivities")
    assert reconstruct(in_memory(_scan(0.03))).remarks == ()


@pytest.mark.parametrize("every", range(2, LARGEST_UNDERSAMPLING + 1))
@pytest.mark.parametrize("pattern", ["regular", "variable density"])
def test_the_fewest_calibration_lines_suffice_at_every_undersampling(every: int, pattern: str):
    schema = json.loads(Path("docs/contracts/chain-choice.schema.json").read_text())["properties"]["calibration_lines"]
    assert schema["minimum"] == FEWEST_CALIBRATION_LINES
    chosen = chain_choice({"undersampling": every, "pattern": pattern, "calibration_lines": FEWEST_CALIBRATION_LINES})
    for rows, upto in ((48, 48), (80, 47), (81, 81), (224, 130)):
        kept = kept_lines(np.arange(rows) < upto, rows // 2, chosen)
        assert reach_without_gap(kept, rows // 2) >= MIN_CALIBRATION_REACH


def test_a_refusal_names_the_chain_where_the_chain_dropped_the_lines():
    """The file is whole: it is the study that asked for too much."""
    scan = _scan(0.03)
    short = replace(scan, acquired=scan.acquired & (np.arange(PROTOCOL.rows) < CENTRE + 6))
    with pytest.raises(InputFault, match=r"by the chain .undersampling 4, 24 calibration lines") as refused:
        reconstruct(in_memory(short), choice=chain_choice({"undersampling": 4}))
    assert "choose a chain that drops no lines" in refused.value.action
    one_coil = simulate(replace(PROTOCOL, n_coils=1), noise_level=0.03, coils=Coils.uniform(1))
    with pytest.raises(InputFault, match=r"by the chain .* its coils determine only") as refused:
        reconstruct(in_memory(one_coil), choice=chain_choice({"undersampling": 8, "calibration_lines": 13}))
    assert "at least 14 calibration lines" in refused.value.action
    with pytest.raises(InputFault, match="coils determine only") as refused:
        reconstruct(in_memory(_only(one_coil, _lines(8, 6))))
    assert "export it again" in refused.value.action


@pytest.mark.parametrize(
    ("steps", "run", "partial", "missing"),
    [
        (range(80), (0, 79), False, 0),
        (range(60), (0, 59), True, 0),
        (range(10, 71), (10, 70), False, 0),
        (range(0, 80, 2), (0, 79), False, 40),
        (range(1, 80, 3), (0, 79), False, 53),
        (range(0, 60, 2), (0, 58), True, 29),
        (range(20, 61, 2), (20, 60), False, 20),
    ],
)
def test_run_of_lines(steps: range, run: tuple[int, int], partial: bool, missing: int):
    lines = np.zeros(80, dtype=bool)
    lines[list(steps)] = True
    covered = _coverage(lines)
    assert (covered.run, covered.partial_fourier, covered.missing) == (run, partial, missing)
    assert covered.undersampled == (missing > 0)


def test_columns_in_batches_give_the_same(monkeypatch: pytest.MonkeyPatch):
    lines = _lines(2)
    scan = _only(_scan(0.03), lines)
    whole = unfold(_white(scan), _true_maps(scan), _coverage(lines), 0.01)
    monkeypatch.setattr(sense, "BATCH_BYTES", 80 * 80 * 8 * 7)
    parts = unfold(_white(scan), _true_maps(scan), _coverage(lines), 0.01)
    assert torch.allclose(whole.image, parts.image, atol=1e-4 * float(whole.image.abs().max()))
    assert torch.allclose(whole.noise_std, parts.noise_std, rtol=1e-4)


def test_memory_does_not_grow_with_the_columns():
    """Measured: 100 MB; with the normal matrices of all columns at once 640 MB."""
    program = """
import numpy as np, torch
from pathlib import Path
torch.set_num_threads(1)
from recon_worker.reconstruction.averaging import Coverage
from recon_worker.reconstruction.sense import unfold
counts = np.zeros(128, dtype=np.int64); counts[::2] = 1; counts[50:79] = 1
hybrid = torch.randn(2, 128, 1024, dtype=torch.complex64); maps = hybrid / hybrid.norm(dim=0)
def peak():  # not ru_maxrss, which begins with that of the process that started this one
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
unfold(hybrid[:, :, :4], maps[:, :, :4], Coverage(counts, 0, 126, 64), 0.01)
before = peak(); unfold(hybrid, maps, Coverage(counts, 0, 126, 64), 0.01); print(peak() - before)
"""
    told = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert float(told.stdout) < 200
