"""What the denoiser does to noise: how much is left where, its limit, bias, pure noise, wrong noise levels."""

from __future__ import annotations

from typing import Any

import numpy as np

from recon_worker.denoising.denoise import denoise
from recon_worker.training.images import CleanImage
from recon_worker.training.measures import denoised_draws, noise_left, regions, volume_of
from recon_worker.training.replicas import Scene, smooth_random_phase

FACTORS = (0.25, 0.5, 0.75)
SNR_LEVELS = (3, 5, 8, 12, 15, 25, 35, 50)
NEX_SNR = (8, 15, 25)
NEX = (0.5, 1, 2)
HALF_NEX = 0.57
"""Part of the lines of a 0.5 NEX acquisition of 224 lines with 16 beyond the centre."""
WINDOW = 176
TOLERANCE = 0.03
DRAWS = 16

Row = dict[str, Any]


def scene_of(image: CleanImage, snr: float, nex: float, rng: np.random.Generator) -> Scene:
    """The middle of `image` at `snr` (99th percentile over noise of one average) and `nex`."""
    native = image.native()
    rows, columns = (min(length, WINDOW) for length in native.shape)
    top, left = (native.shape[0] - rows) // 2, (native.shape[1] - columns) // 2
    truth = np.ascontiguousarray(native[top : top + rows, left : left + columns])
    part = HALF_NEX if nex < 1 else 1.0
    return Scene(truth, smooth_random_phase(truth.shape, rng), 1.0 / snr, part, max(1, int(nex)))


def residual_noise(images: list[CleanImage], *, draws: int = DRAWS, seed: int = 11) -> list[Row]:
    """Part of the noise left for each asked factor, image kind, SNR, NEX and region; root mean square over images."""
    rows: list[Row] = []
    settings = [(snr, 1.0) for snr in SNR_LEVELS] + [(snr, nex) for nex in NEX if nex != 1 for snr in NEX_SNR]
    for snr, nex in settings:
        rng = np.random.default_rng([seed, snr, int(2 * nex)])
        found: dict[tuple[str, float, str], list[tuple[float, float, float]]] = {}
        for image in images:
            scene = scene_of(image, snr, nex, rng)
            noisy, result = denoised_draws(scene, [*FACTORS, 1.0], draws, rng)
            where = regions(scene.truth)
            source = "simulated" if image.kind == "simulated" else "real"
            for factor, volume in result.volumes.items():
                for region in ("tissue", "flat", "structured"):
                    left = noise_left(noisy, volume.array, scene, getattr(where, region))
                    told = result.reached[factor]
                    found.setdefault((source, factor, region), []).append((*left, told))
        for (source, factor, region), values in found.items():
            whole, along = (float(np.sqrt(np.mean(np.square(part)))) for part in list(zip(*values, strict=True))[:2])
            reached = float(np.mean([value[2] for value in values]))
            rows.append(
                {
                    "images": source,
                    "snr": snr,
                    "nex": nex,
                    "factor": factor,
                    "region": region,
                    "left": round(whole, 4),
                    "left_along_phase": round(along, 4),
                    "reached_told": round(reached, 4),
                }
            )
    return rows


def judge_residual(rows: list[Row]) -> dict[str, Any]:
    """How many of the rows whose factor lies within the limit of their place are within the tolerance."""
    limits = {(row["images"], row["snr"], row["nex"], row["region"]): row["left"] for row in rows if row["factor"] == 1}
    within, possible, worst = 0, 0, 0.0
    for row in rows:
        limit = limits[row["images"], row["snr"], row["nex"], row["region"]]
        if row["factor"] == 1 or 1 - row["factor"] < limit - 1e-9:
            continue
        miss = abs(row["left"] - (1 - row["factor"]))
        possible += 1
        within += miss <= TOLERANCE
        worst = max(worst, miss)
    return {"within_limit": possible, "within_0.03": within, "largest_miss": round(worst, 4)}


def bias(images: list[CleanImage], *, draws: int = 32, snr: float = 15, seed: int = 12) -> Row:
    """Complex mean over draws against the noiseless image, phase removed, averaged over 24 x 24 pixels: in percent."""
    rng = np.random.default_rng(seed)
    worst, values = 0.0, []
    for image in images:
        scene = scene_of(image, snr, 1, rng)
        _, result = denoised_draws(scene, [1.0], draws, rng)
        mean = (result.volumes[1.0].array.mean(axis=0) * scene.phase.conj()).real
        for top in range(0, scene.truth.shape[0] - 23, 24):
            for left in range(0, scene.truth.shape[1] - 23, 24):
                block = (slice(top, top + 24), slice(left, left + 24))
                truth = float(scene.truth[block].mean())
                if truth > 0.2:
                    values.append(100 * (float(mean[block].mean()) / truth - 1))
                    worst = max(worst, abs(values[-1]))
    return {
        "snr": snr,
        "blocks": len(values),
        "mean_percent": round(float(np.mean(values)), 3),
        "rms_percent": round(float(np.sqrt(np.mean(np.square(values)))), 3),
        "largest_percent": round(worst, 3),
    }


def pure_noise(*, seed: int = 13) -> Row:
    """What is left of an image of nothing but noise, and how structured it is.

    `correlation`: largest correlation of neighbouring 8 x 8 block means' spread with white noise's, as a ratio.
    """
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((4, 192, 192, 2)).astype(np.float32).view(np.complex64)[..., 0]
    left = denoise(volume_of(noise, 1.0), [1.0], sharpening=True).volumes[1.0].array
    blocks = left.real.reshape(4, 24, 8, 24, 8).mean(axis=(2, 4))
    return {
        "rms_left": round(float(np.sqrt(np.mean(np.abs(left) ** 2) / 2)), 4),
        "largest_value_left": round(float(np.abs(left).max()), 3),
        "block_means_rms": round(float(blocks.std()), 4),
        "block_means_rms_of_input": round(float(noise.real.reshape(4, 24, 8, 24, 8).mean(axis=(2, 4)).std()), 4),
    }


def homogeneity(image: CleanImage, *, seed: int = 14) -> Row:
    """Largest difference between net(a x, a sigma) and a net(x, sigma), over the largest value, for several a."""
    rng = np.random.default_rng(seed)
    scene = scene_of(image, 15, 1, rng)
    noisy = scene.draw(rng)[None]
    base = np.asarray(denoise(volume_of(noisy, scene.noise_std), [0.5]).volumes[0.5].array, dtype=np.complex64)
    worst = 0.0
    for scale in (1e-3, 0.37, 7.1, 1e4):
        larger = denoise(volume_of(noisy * scale, scene.noise_std * scale), [0.5]).volumes[0.5]
        scaled = np.asarray(larger.array, dtype=np.complex64) / scale
        worst = max(worst, float(np.abs(scaled - base).max() / np.abs(base).max()))
    return {"largest_relative_difference": worst}


def wrong_noise_level(images: list[CleanImage], *, seed: int = 15, draws: int = 8) -> list[Row]:
    """Noise left at 50 % when the noise map is 30 % or 15 % off, in tissue."""
    rows = []
    for off in (0.7, 0.85, 1.0, 1.15, 1.3):
        rng = np.random.default_rng(seed)
        values = []
        for image in images:
            scene = scene_of(image, 12, 1, rng)
            noisy = np.stack([scene.draw(rng) for _ in range(draws)])
            result = denoise(volume_of(noisy, scene.noise_std * off), [0.5], sharpening=False)
            values.append(noise_left(noisy, result.volumes[0.5].array, scene, regions(scene.truth).tissue)[0])
        rows.append({"stated_over_true": off, "left": round(float(np.mean(values)), 4)})
    return rows
