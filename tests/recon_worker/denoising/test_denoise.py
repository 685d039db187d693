"""What the installed network does to noise, and to what must stay: properties against known truth."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from recon_worker.data import ChainChoice, InputFault, ReconstructionFault, Volume
from recon_worker.denoising.colour import LineNoise, line_noise
from recon_worker.denoising.denoise import Denoised, denoise
from recon_worker.phantom.simulate import simulate_acquisition
from recon_worker.rawdata.open import open_kspace
from recon_worker.reconstruction.chain import reconstruct
from recon_worker.training.images import simulated_images
from recon_worker.training.measures import Regions, denoised_draws, noise_left, regions, volume_of
from recon_worker.training.replicas import Scene, smooth_random_phase

SIZE = 112
DRAWS = 16
FEWEST_PIXELS = 200
"""Below which a region does not tell its spread to 0.03."""


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def spine() -> np.ndarray:
    """A slice of a simulated subject that no training saw."""
    image = next(simulated_images(1, lambda stage, fraction: None, seed=77, slices=1, contrasts=1, part="test"))
    native = image.native()
    top, left = ((length - SIZE) // 2 for length in native.shape)
    return np.ascontiguousarray(native[top : top + SIZE, left : left + SIZE])


def noisy_volume(truth: np.ndarray, sigma: float, draws: int = 1, seed: int = 5) -> Volume:
    rng = np.random.default_rng(seed)
    scene = Scene(truth, smooth_random_phase(truth.shape, rng), sigma)
    return volume_of(np.stack([scene.draw(rng) for _ in range(draws)]), sigma)


def replicas(truth: np.ndarray, snr: float, part: float = 1.0) -> tuple[Scene, np.ndarray, Denoised, Regions]:
    rng = np.random.default_rng([9, int(snr)])
    scene = Scene(truth, smooth_random_phase(truth.shape, rng), 1.0 / snr, part)
    noisy, result = denoised_draws(scene, [0.25, 0.5, 0.75, 1.0], DRAWS, rng)
    return scene, noisy, result, regions(truth)


def test_nothing_asked_and_no_sharpening_gives_the_input_back(spine):
    volume = noisy_volume(spine, 0.05)
    result = denoise(volume, [0.0], sharpening=False)
    np.testing.assert_allclose(result.volumes[0.0].array, volume.array, rtol=0, atol=1e-6)
    assert result.reached[0.0] == 0.0


@pytest.mark.parametrize("scale", [1e-3, 3.7, 1e4])
def test_image_and_noise_scaled_together_scale_the_result(spine, scale):
    volume = noisy_volume(spine, 0.05)
    base = denoise(volume, [0.75]).volumes[0.75].array
    assert volume.noise_std is not None
    larger = Volume(volume.array * np.complex64(scale), volume.affine, 1.0, volume.noise_std * np.float32(scale))
    scaled = denoise(larger, [0.75]).volumes[0.75].array / scale
    assert np.abs(scaled - base).max() < 1e-3 * np.abs(base).max()


@pytest.mark.parametrize(("snr", "part"), [(8, 1.0), (15, 1.0), (12, 0.57)])
def test_the_asked_part_of_the_noise_is_gone_where_the_limit_allows(spine, snr, part):
    scene, noisy, result, where = replicas(spine, snr, part)
    # The network's own limit is a matter of place: what is left there when all that it predicts is taken out.
    limit = local_limit(noisy, result.volumes[1.0].array)
    # With partial Fourier flat and structured parts differ by up to 0.05 (the report has the figures): the whole here.
    for region in (where.tissue, where.flat, where.structured) if part == 1 else (where.tissue,):
        for factor in (0.25, 0.5, 0.75):
            if factor == 0.75 and region is where.structured:
                continue  # the next test's
            denoised = result.volumes[factor].array
            allowed = region & (limit <= 1 - factor)
            assert allowed.sum() > FEWEST_PIXELS
            assert noise_left(noisy, denoised, scene, allowed)[0] == pytest.approx(1 - factor, abs=0.03)
            # Beyond the limit nothing is extrapolated: never more is taken out than the network can.
            least = noise_left(noisy, result.volumes[1.0].array, scene, region)[0]
            assert noise_left(noisy, denoised, scene, region)[0] >= least - 0.03


@pytest.mark.xfail(
    strict=True, reason="not reached: 0.32 is left in structured places where 0.25 is asked and possible"
)
@pytest.mark.parametrize("snr", [8, 15])
def test_three_quarters_of_the_noise_are_gone_in_structured_places(spine, snr):
    scene, noisy, result, where = replicas(spine, snr)
    allowed = where.structured & (local_limit(noisy, result.volumes[1.0].array) <= 0.25)
    assert noise_left(noisy, result.volumes[0.75].array, scene, allowed)[0] == pytest.approx(0.25, abs=0.03)


def local_limit(noisy: np.ndarray, at_full_strength: np.ndarray) -> np.ndarray:
    """`[row, column]` part of the noise left at full strength over the draws, in a neighbourhood of some pixels."""
    left, before = (gaussian_filter(np.var(images, axis=0, ddof=1), 3.0) for images in (at_full_strength, noisy))
    return np.sqrt(left / before)


def test_what_was_reached_is_told(spine):
    for snr in (8, 40):
        scene, noisy, result, where = replicas(spine, snr)
        for factor, reached in result.reached.items():
            removed = 1 - noise_left(noisy, result.volumes[factor].array, scene, where.tissue)[0]
            assert reached <= factor
            # It is an estimate from one image; it may be too modest at the limit, but never promises too much.
            assert removed - 0.1 < reached < removed + 0.04
        told = {entry["noise_reduction"]: entry for entry in result.lineage["factors"]}
        assert told[1.0]["limited"] and told[1.0]["noise_reduction_reached"] == result.reached[1.0]


def test_more_asked_is_more_removed_and_the_noise_map_follows(spine):
    _, noisy, result, _ = replicas(spine, 20)
    spreads = [result.volumes[factor].array.std(axis=0).mean() for factor in sorted(result.volumes)]
    assert np.std(noisy, axis=0).mean() > spreads[0] and spreads == sorted(spreads, reverse=True)
    maps = [volume.noise_std.mean() for _, volume in sorted(result.volumes.items())]
    assert maps == sorted(maps, reverse=True)


def test_pure_noise_gives_no_structure():
    rng = np.random.default_rng(3)
    noise = rng.standard_normal((2, 128, 128, 2)).astype(np.float32).view(np.complex64)[..., 0]
    left = denoise(volume_of(noise, 1.0), [1.0]).volumes[1.0].array
    assert np.sqrt(np.mean(np.abs(left) ** 2) / 2) < 0.2
    assert np.abs(left).max() < 0.6 * np.abs(noise).max()
    # Coarse patterns are what a reader could take for structure: none is stronger than in the noise itself.
    coarse, before = (one.real.reshape(2, 16, 8, 16, 8).mean(axis=(2, 4)).std() for one in (left, noise))
    assert coarse < before


def _faint_disc(contrast: float, sigma: float = 0.03) -> tuple[float, float]:
    """Part that is kept of a disc of `contrast` x sigma, radius 8, and what appears where there is none, in sigma."""
    truth = np.full((96, 96), 0.5, dtype=np.float32)
    rows, columns = np.mgrid[:96, :96]
    disc = np.clip(8.5 - np.hypot(rows - 48, columns - 48), 0, 1).astype(np.float32)
    core = np.hypot(rows - 48, columns - 48) < 5
    without = noisy_volume(truth, sigma, draws=16)
    phase = smooth_random_phase(truth.shape, np.random.default_rng(5))
    with_it = volume_of(without.array + contrast * sigma * disc * phase, sigma)
    first, second = (
        (denoise(volume, [1.0], sharpening=False).volumes[1.0].array * phase.conj()).real.mean(0)
        for volume in (with_it, without)
    )
    return float((first - second)[core].mean() / (contrast * sigma)), float((second - truth)[core].mean() / sigma)


@pytest.mark.parametrize("contrast", [1, 2, 3])
def test_a_faint_lesion_stays_and_none_appears(contrast: int):
    kept, appeared = _faint_disc(contrast)
    assert kept > 0.9
    assert abs(appeared) < 0.2


@pytest.mark.xfail(strict=True, reason="not reached: 1.12 of the contrast of a disc of twice the noise")
def test_a_faint_lesion_is_not_made_stronger():
    kept, _ = _faint_disc(2)
    assert kept < 1.1


def test_thin_dark_lines_keep_their_contrast():
    truth = np.full((96, 96), 0.7, dtype=np.float32)
    truth[20:80:12] = 0.15
    result = denoise(noisy_volume(truth, 0.03, draws=6), [0.75], sharpening=False).volumes[0.75].array
    depth = 0.7 - np.abs(result).mean(0)[20:80:12, 16:-16].mean()
    assert depth > 0.9 * (0.7 - 0.15)


def test_the_mean_over_draws_is_the_clean_image(spine):
    scene, _, result, where = replicas(spine, 15)
    mean = (result.volumes[1.0].array.mean(axis=0) * scene.phase.conj()).real
    assert mean[where.tissue].mean() == pytest.approx(spine[where.tissue].mean(), rel=0.01)


def test_slices_are_independent_and_progress_is_told(spine):
    volume = noisy_volume(spine, 0.06, draws=2)
    told: list[tuple[str, float]] = []
    both = denoise(volume, [0.5], progress=lambda stage, fraction: told.append((stage, fraction)))
    assert volume.noise_std is not None
    second = denoise(Volume(volume.array[1:], volume.affine, 1.0, volume.noise_std[1:]), [0.5])
    np.testing.assert_allclose(both.volumes[0.5].array[1], second.volumes[0.5].array[0], atol=1e-5)
    assert told[-1] == ("removing noise", 1.0)


def test_odd_and_small_matrices():
    for shape in ((37, 61), (9, 12)):
        rng = np.random.default_rng(1)
        array = rng.standard_normal((1, *shape, 2)).astype(np.float32).view(np.complex64)[..., 0]
        assert denoise(volume_of(array, 1.0), [0.5]).volumes[0.5].array.shape == (1, *shape)


@pytest.mark.parametrize("factor", [-0.1, 1.01, float("nan")])
def test_a_factor_out_of_range_is_refused(factor):
    with pytest.raises(InputFault, match="noise reduction"):
        denoise(volume_of(np.ones((1, 32, 32), dtype=np.complex64), 1.0), [factor])


def test_no_factor_is_refused():
    with pytest.raises(InputFault):
        denoise(volume_of(np.ones((1, 32, 32), dtype=np.complex64), 1.0), [])


def test_a_missing_or_impossible_noise_map_is_refused():
    array = np.ones((1, 32, 32), dtype=np.complex64)
    with pytest.raises(ReconstructionFault, match="no noise map"):
        denoise(Volume(array, np.eye(4), 1.0), [0.5])
    for value in (np.nan, -1.0, 0.0):
        with pytest.raises(ReconstructionFault, match="noise map"):
            denoise(volume_of(array, value), [0.5])


def test_numbers_that_are_none_are_refused():
    array = np.ones((1, 32, 32), dtype=np.complex64)
    array[0, 3, 3] = np.nan
    with pytest.raises(ReconstructionFault, match="not numbers"):
        denoise(volume_of(array, 1.0), [0.5])


def test_the_noise_colour_is_read_from_the_lineage():
    step = {"step": "partial Fourier", "missing_side": 0.43, "noise_along_phase_over_mean": 1.32}
    colour = line_noise({"steps": [step]})
    assert (colour.missing_part, colour.along_over_mean) == (0.43, 1.32)
    assert line_noise({"steps": []}) == line_noise({"steps": [{**step, "missing_side": 0.0}]}) == LineNoise()
    # An estimate from replicas may be off; what cannot be is not told to the network.
    for estimate, told in ((0.87, 1.0), (1.5, 2**0.5)):
        assert line_noise({"steps": [{**step, "noise_along_phase_over_mean": estimate}]}).along_over_mean == told


def test_lines_dropped_on_purpose_do_not_change_what_part_of_the_noise_is_one_sided(tmp_path: Path):
    simulate_acquisition(tmp_path / "fast.h5", sequence="SAG T1", acquisition="Fast", seed=5, size="tiny", slices=2)
    kspace = open_kspace(tmp_path / "fast.h5")
    whole = line_noise(reconstruct(kspace).lineage)
    assert 0.3 < whole.missing_part < 0.4
    for choice in (
        ChainChoice(undersampling=2),
        ChainChoice(undersampling=3),
        ChainChoice(undersampling=2, parallel_imaging="L1-wavelet"),
    ):
        fewer = line_noise(reconstruct(kspace, choice=choice).lineage)
        # The outermost line may be one of those that were dropped.
        assert fewer.missing_part == pytest.approx(whole.missing_part, abs=0.01)
        assert fewer.along_over_mean == pytest.approx(whole.along_over_mean, abs=0.1)
