"""Training learns, stops and goes on; the degradation's noise has the size and colour that the network is told."""

import numpy as np
import pytest
import torch

from recon_worker.denoising.network import Architecture
from recon_worker.reconstruction.partial_fourier import fill_partial_fourier
from recon_worker.training import __main__ as command
from recon_worker.training.degradation import _band_limited, draw_samples, draw_with_and_without, one_sided
from recon_worker.training.denoiser import Trainer, lost_contrast
from recon_worker.training.images import averaged, noise_estimate, part_of, shape_images, simulated_images
from recon_worker.training.replicas import Scene, smooth_random_phase

SMALL = Architecture((24, 48), (1, 1))
RATE = 3e-3


@pytest.fixture(scope="module")
def images():
    torch.set_num_threads(1)
    drawn = simulated_images(1, lambda stage, fraction: None, seed=5, slices=2, contrasts=2)
    return [*drawn, *shape_images(4)]


def test_a_short_training_on_simulated_images_learns_and_resumes(images, tmp_path):
    said: list[str] = []
    first = Trainer(images, tmp_path, steps=150, architecture=SMALL, singles=3, pairs=1, peak_rate=RATE)
    untrained = first.gain(images)
    first.run(said.append)
    second = Trainer(images, tmp_path, steps=400, architecture=SMALL, singles=3, pairs=1, peak_rate=RATE)
    state = second.run(said.append, resume=True)
    assert state.step == 400 and any("resumed at step 150" in line for line in said)
    assert [step for step, _ in state.losses] == sorted(step for step, _ in state.losses)
    batches = [second.batch(np.random.default_rng([7, number])) for number in range(4)]
    fresh = Trainer(images, tmp_path / "new", steps=1, architecture=SMALL, singles=3, pairs=1, peak_rate=RATE)
    with torch.no_grad():
        assert sum(float(second.loss(batch)) for batch in batches) < 0.85 * sum(
            float(fresh.loss(batch)) for batch in batches
        )
    assert untrained == pytest.approx(0.0, abs=1e-6)
    assert second.gain(images) > 1.0


def test_the_degraded_noise_has_unit_size_in_stated_units(images):
    rng = np.random.default_rng(4)
    sizes = []
    for number in range(40):
        sample = draw_samples(rng, images[number % len(images)], 1)[0]
        noise = sample.image - sample.band_limited
        sizes.append(float((noise**2).mean()))
    # The stated level is a little wrong on purpose; on average it is right.
    assert np.mean(sizes) == pytest.approx(1.0, abs=0.12)


def test_two_draws_share_the_object_and_nothing_of_the_noise(images):
    first, second = draw_samples(np.random.default_rng(2), images[0], 2)
    assert first.colour == second.colour
    one, other = (sample.image - sample.band_limited for sample in (first, second))
    assert abs(float((one * other).mean())) < 0.05


def test_with_and_without_faint_spots_the_noise_is_the_same(images):
    rng = np.random.default_rng(9)
    apart, changes = [], []
    for number in range(12):
        spotted, plain = draw_with_and_without(rng, images[number % len(images)])
        change = (spotted.image - spotted.band_limited) - (plain.image - plain.band_limited)
        changes.append(float(change.std()))
        spots = (spotted.band_limited - plain.band_limited)[0]
        apart.append(float(spots.abs().max()))
        assert float(lost_contrast(spots[None], spots[None])) == pytest.approx(0.0, abs=1e-9)
        if apart[-1] > 0.7:
            assert float(lost_contrast(0.6 * spots[None], spots[None])) == pytest.approx(0.16, rel=0.02)
    assert np.mean(np.array(apart) > 0.7) > 0.8
    # In air the phase to be removed follows the spot, and with it the noise turns.
    assert np.median(changes) < 0.01


def test_the_band_limited_image_has_its_pixels_where_the_average_has_them():
    rows = torch.arange(128.0)[:, None]
    blob = torch.exp(-((rows - 60.3) ** 2 + (rows.T - 71.8) ** 2) / 200)
    expected = torch.nn.functional.avg_pool2d(blob[None, None], 2)[0, 0]
    assert float((_band_limited(blob) - expected).abs().max()) < 0.01


def test_partial_fourier_replicas_are_what_the_chain_makes_and_have_its_noise():
    truth = np.zeros((64, 48), dtype=np.float32)
    truth[16:48, 12:36] = 1
    rng = np.random.default_rng(3)
    scene = Scene(truth, smooth_random_phase(truth.shape, rng), 0.02, 0.6)
    draws = np.stack([scene.draw(rng) for _ in range(40)])
    spread = draws.std(axis=0, ddof=1)[20:44, 16:32]
    assert np.sqrt((spread**2).mean() / 2) == pytest.approx(scene.noise_std, rel=0.05)
    along = (draws * scene.phase.conj()).real.std(axis=0, ddof=1)[20:44, 16:32]
    assert np.sqrt((along**2).mean()) == pytest.approx(scene.noise_std * scene.line_noise.spread[0], rel=0.05)
    covered = one_sided(64, 0.6)
    assert fill_partial_fourier(torch.from_numpy(scene.noiseless), covered).shape == (64, 48)


def test_patients_stay_in_one_part():
    for name in ("14_t1", "14_t2", "14_t2_SPACE"):
        assert part_of(name) == "test"
    assert part_of("15_t1") == part_of("15_t2") == "validation"
    assert part_of("16_t1") == "training" and part_of("vb2_19") == "test"


def test_the_noise_estimate_is_near_the_truth():
    rng = np.random.default_rng(6)
    image = np.ones((256, 256), dtype=np.float32) + rng.normal(0, 0.02, (256, 256)).astype(np.float32)
    assert noise_estimate(image) == pytest.approx(0.02, rel=0.2)
    assert averaged(image).std() == pytest.approx(0.01, rel=0.05)


def test_wrong_use_of_the_command_is_said(capsys, tmp_path):
    assert command.main(["denoiser", "--minutes", "0", "--work", str(tmp_path)]) == 1
    assert "more than 0 minutes" in capsys.readouterr().err
    assert command.main(["export", "--work", str(tmp_path)]) == 1
    assert "no checkpoint" in capsys.readouterr().err
