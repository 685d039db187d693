"""GRAPPA: against closed-form truth, pygrappa and pseudo-replicas."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pygrappa
import pytest
import torch

from recon_worker.data import InputFault
from recon_worker.reconstruction.averaging import Coverage
from recon_worker.reconstruction.coils import coil_maps, combine
from recon_worker.reconstruction.fourier import crop_centre, to_image, to_kspace
from recon_worker.reconstruction.grappa import REGULARISATION, Grappa, grappa
from recon_worker.reconstruction.noise import sample_covariance, whitening_matrix
from recon_worker.reconstruction.partial_fourier import fill_partial_fourier
from recon_worker.reconstruction.sense import regularisation, unfold
from tests.recon_worker.support import BODY, Coils, Ellipse, Protocol, Shapes, pixel_positions, simulate

PROTOCOL = Protocol(columns=64, rows=80, n_coils=8, read_mm=96.0, phase_mm=100.0)
COILS = replace(Coils.make(8), period_mm=150.0)
"""Coils that differ enough along phase encoding for a reduction of three."""
X, Y = pixel_positions(PROTOCOL)
INSIDE = Ellipse(0, 0, 37, 39).inside(X, Y)
CENTRE = PROTOCOL.rows // 2


def _lines(every: int, reach: int = 12, *, upto: int | None = None) -> np.ndarray:
    """`[ky]`: every n-th line and a block around the centre."""
    lines = np.zeros(PROTOCOL.rows, dtype=bool)
    lines[::every] = True
    lines[CENTRE - reach : CENTRE + reach + 1] = True
    if upto is not None:
        lines[upto:] = False
    return lines


def _coverage(lines: np.ndarray, averages: int = 1) -> Coverage:
    steps = np.flatnonzero(lines)
    return Coverage(lines.astype(np.int64) * averages, int(steps[0]), int(steps[-1]), CENTRE)


def _block(reach: int = 12) -> slice:
    return slice(CENTRE - reach, CENTRE + reach + 1)


def _white(noise_level: float, seed: int = 0, protocol: Protocol = PROTOCOL, shapes: Shapes = BODY) -> torch.Tensor:
    """`[channel, ky, column]` of all lines, whitened with the noise of `noise_level` 0.03 where there is none."""
    scan = simulate(protocol, noise_level=noise_level, coils=COILS, seed=seed, shapes=shapes)
    noise = (scan if noise_level else simulate(protocol, noise_level=0.03, coils=COILS)).noise
    whitening = torch.from_numpy(whitening_matrix(sample_covariance(noise)))
    image = to_image(torch.from_numpy(np.ascontiguousarray(scan.data[0, 0])), 2)
    return torch.tensordot(whitening, crop_centre(image, 2, protocol.columns), dims=1)


def _maps(hybrid: torch.Tensor, reach: int = 12) -> torch.Tensor:
    return coil_maps(hybrid, ky_centre=CENTRE, half_width_steps=reach, half_width_samples=float(reach))


def _true_maps() -> torch.Tensor:
    scan = simulate(PROTOCOL, noise_level=0.03, coils=COILS)
    sensitivity = np.einsum("dc,cyx->dyx", whitening_matrix(scan.covariance), COILS.sensitivity(X, Y))
    return torch.from_numpy((sensitivity / np.linalg.norm(sensitivity, axis=0)).astype(np.complex64))


def _filled(hybrid: torch.Tensor, lines: np.ndarray, reach: int = 12, **choices: object) -> Grappa:
    kept = hybrid * torch.from_numpy(lines)[:, None]
    return grappa(kept, kept, _maps(hybrid, reach), _coverage(lines), **choices)


def _error(image: np.ndarray, truth: np.ndarray, body: np.ndarray = INSIDE) -> float:
    shown, true = np.abs(image)[body], np.abs(truth)[body]
    shown = shown * (shown * true).sum() / (shown**2).sum()
    return float(np.linalg.norm(shown - true) / np.linalg.norm(true))


@pytest.mark.parametrize(
    ("every", "reach", "noise_level"),
    [(*case, noise) for case in ((2, 12), (2, 10), (3, 12)) for noise in (0.01, 0.03, 0.1)],
)
def test_error_to_truth_is_not_above_pygrappas(every: int, reach: int, noise_level: float):
    """Same kernel (two lines on each side, five samples), same regularisation, same combination."""
    lines = _lines(every, reach)
    hybrid, maps = _white(noise_level), _true_maps()
    truth = combine(to_image(_white(0.0), 1), maps).numpy()
    kept = hybrid * torch.from_numpy(lines)[:, None]
    ours = grappa(kept, kept, maps, _coverage(lines), kernel=(4, 5), regularisation=REGULARISATION)
    kspace = to_kspace(kept, 2).numpy().astype(np.complex128).transpose(2, 1, 0)
    theirs = pygrappa.grappa(kspace, kspace[:, _block(reach)], kernel_size=(5, 4 * every - 1), lamda=REGULARISATION)
    images = to_image(to_image(torch.from_numpy(theirs.transpose(2, 1, 0).astype(np.complex64)), 2), 1)
    errors = [_error(image.numpy(), truth) for image in (ours.image, combine(images, maps))]
    assert errors[0] <= 1.05 * errors[1]
    if noise_level == 0.01:
        assert errors[0] < 0.3 * _error(combine(to_image(kept, 1), maps).numpy(), truth)


def test_measured_lines_stay_and_nothing_is_filled_outside_the_run():
    lines = _lines(2, upto=56)
    hybrid = _white(0.03)
    found = _filled(hybrid, lines)
    assert torch.equal(found.lines[:, lines], hybrid[:, lines])
    first, last = _coverage(lines).run
    assert not found.lines[:, last + 1 :].any()
    assert found.lines[:, first : last + 1].abs().sum(dim=(0, 2)).min() > 0


def test_missing_lines_come_near_their_true_samples():
    """In k-space, channel by channel: what coil maps cannot be blamed or thanked for."""
    lines = _lines(2)
    found = _filled(_white(0.003), lines).lines[:, ~lines]
    true = _white(0.0)[:, ~lines]
    # Both in one scale: that of their own noise.
    scale = float((found.conj() * true).sum().real / found.abs().square().sum())
    assert float((scale * found - true).norm() / true.norm()) < 0.06


@pytest.mark.parametrize(
    ("lines", "averages"),
    [(_lines(2), 2), (_lines(3), 1), (_lines(2, upto=56), 1)],
    ids=["every 2nd, NEX 2", "every 3rd", "every 2nd, partial Fourier"],
)
def test_noise_map_equals_the_spread_of_pseudo_replicas(lines: np.ndarray, averages: int):
    """100 times fresh noise on the same signal: weights and maps made anew each time."""
    narrow = replace(PROTOCOL, columns=32)
    flat = Ellipse(0, 0, 34, 36).inside(*pixel_positions(narrow))
    clean, covered = _white(0.0, protocol=narrow) * 1.5, _coverage(lines, averages)
    generator = torch.Generator().manual_seed(8)
    images, levels, along = [], [], []
    for _ in range(100):
        noise = torch.view_as_complex(torch.randn((*clean.shape, 2), generator=generator)) * averages**-0.5
        kept = (clean + noise) * torch.from_numpy(lines)[:, None]
        found = grappa(kept, kept, _maps(kept), covered)
        image = fill_partial_fourier(found.image, covered.unfolded()) if covered.partial_fourier else found.image
        images.append(image.numpy())
        levels.append(found.noise_std.numpy())
        along.append(found.noise_along_phase.numpy())
    replicas, level = np.array(images), np.mean(levels, axis=0)
    measured = np.sqrt((replicas.real.var(axis=0, ddof=1) + replicas.imag.var(axis=0, ddof=1)) / 2)
    ratio = (measured / level)[flat]
    assert np.median(ratio) == pytest.approx(1.0, abs=0.05)
    # 100 replicas tell the spread of a pixel to 5 % (one standard error of 2 x 100 parts), fewer parts where filled in.
    assert np.std(ratio) < 0.12
    phase = replicas.mean(axis=0) / np.abs(replicas.mean(axis=0))
    spread = (replicas * phase.conj()).real.std(axis=0, ddof=1)
    assert np.median((spread / np.mean(along, axis=0))[flat]) == pytest.approx(1.0, abs=0.05)


def test_one_missing_line_hardly_changes_the_noise():
    """A line of eighty: the noise of its neighbours comes once more, partly with the same phase."""
    lines = np.ones(PROTOCOL.rows, dtype=bool)
    lines[20] = False
    found = _filled(_white(0.03), lines)
    assert found.noise_std.numpy() == pytest.approx(1.0, abs=0.05)
    assert float(found.noise_std.median()) == pytest.approx(1.0, abs=0.03)


def test_works_where_maps_fail():
    """A body that is larger than the field of view: folded pixels have two sensitivities, the block folds as well.

    The reference has all lines; its folded rim is not asked to come apart.
    """
    small = replace(PROTOCOL, phase_mm=58.0)
    x, y = pixel_positions(small)
    body = Ellipse(0, 0, 37, 40).inside(x, y)
    lines = _lines(2)
    clean, hybrid = (_white(level, protocol=small) for level in (0.0, 0.005))
    maps = _maps(hybrid)
    truth = combine(to_image(clean, 1), maps).numpy()
    kept = hybrid * torch.from_numpy(lines)[:, None]
    covered = _coverage(lines)
    ours = _error(grappa(kept, kept, maps, covered).image.numpy(), truth, body)
    theirs = _error(unfold(kept, maps, covered, regularisation(kept, maps, covered)).image.numpy(), truth, body)
    assert ours < 0.5 * theirs
    assert ours < 0.05


def test_separate_calibration_lines_make_the_weights_only():
    hybrid = _white(0.03)
    lattice = _lines(2, 0)
    kept = hybrid * torch.from_numpy(lattice)[:, None]
    # Another contrast: the weights belong to the coils, not to the object.
    apart = torch.zeros_like(hybrid)
    other = _white(0.03, seed=4, shapes=(Ellipse(0, 0, 38, 40), Ellipse(10, 10, 12, 9, brightness=1.5)))
    apart[:, _block()] = 0.7 * other[:, _block()]
    found = grappa(kept, apart, _maps(hybrid), _coverage(lattice))
    assert torch.equal(found.lines[:, lattice], hybrid[:, lattice])
    truth = combine(to_image(_white(0.0), 1), _maps(hybrid)).numpy()
    assert _error(found.image.numpy(), truth) < 0.2 * _error(combine(to_image(kept, 1), _maps(hybrid)).numpy(), truth)


def test_report_is_plain_json_and_says_what_was_done():
    found = _filled(_white(0.03), _lines(3, 8), 8)
    told = json.loads(json.dumps(found.report.as_json()))
    assert (told["step_of_lines"], told["kernel_lines"], told["kernel_samples"]) == (3, 4, 5)
    assert told["calibration_lines"] == 17
    assert 1.0 < told["g_factor_median"] < 4.0
    # Nothing but noise is left of the calibration samples.
    assert told["misfit"] == pytest.approx(1.0, abs=0.2)
    covered = _coverage(_lines(3, 8))
    assert found.report.remark(covered).startswith(f"Undersampled: {covered.missing} of 80 lines were filled in")


def test_a_short_block_gets_a_short_kernel():
    assert _filled(_white(0.03), _lines(4, 6), 6).report.kernel == (2, 5)


def test_irregular_lines_and_too_short_blocks_are_refused_in_one_sentence():
    irregular = np.random.default_rng(3).random(PROTOCOL.rows) < 0.5
    irregular |= _lines(80, 10)
    with pytest.raises(InputFault, match="regular gaps only") as refusal:
        _filled(_white(0.03), irregular, 10)
    assert refusal.value.action.startswith("Choose SENSE")
    with pytest.raises(InputFault, match="5 calibration lines are too few to fill in every 4th line"):
        _filled(_white(0.03), _lines(4, 2), 2)


def test_columns_in_batches_give_the_same(monkeypatch: pytest.MonkeyPatch):
    hybrid, lines = _white(0.03), _lines(3)
    whole = _filled(hybrid, lines).noise_std
    monkeypatch.setattr("recon_worker.reconstruction.grappa_noise.BATCH_BYTES", 8 * 80 * 8 * 7)
    assert torch.allclose(_filled(hybrid, lines).noise_std, whole, rtol=1e-4)
