"""Full strength against BM3D, non-local means and wavelets on held-out real slices with white complex noise.

Every method gets the same phase-corrected real image and the true noise level; the sharpening is off.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from recon_worker.denoising.denoise import denoise
from recon_worker.training.images import CleanImage
from recon_worker.training.measures import regions, signal_to_noise, similarity, volume_of
from recon_worker.training.peers import Image, block_matching, non_local_means, wavelet
from recon_worker.training.replicas import Scene, smooth_random_phase

LEVELS = (0.03, 0.06, 0.1)
"""Noise over the 99.5th percentile."""
LEAST_OWN_NOISE = 0.005
LARGEST = (352, 224)
PEERS: dict[str, Callable[[Image, float], np.ndarray]] = {
    "BM3D": block_matching,
    "non-local means": non_local_means,
    "wavelet": wavelet,
}


def held_out(images: list[CleanImage], count: int) -> list[CleanImage]:
    """Up to `count` real test slices of little own noise, as many of each contrast as possible, one a patient."""
    by_kind: dict[str, list[CleanImage]] = {}
    seen: set[tuple[str, str]] = set()
    for image in images:
        patient = image.name.split("_")[1] if image.kind == "vb2" else image.name.split("_")[0]
        if image.part != "test" or image.kind == "simulated" or image.own_noise >= LEAST_OWN_NOISE:
            continue
        if (image.kind, patient) not in seen:
            seen.add((image.kind, patient))
            by_kind.setdefault(image.kind, []).append(image)
    chosen: list[CleanImage] = []
    turn = 0
    while len(chosen) < count and any(turn < len(group) for group in by_kind.values()):
        chosen += [group[turn] for group in by_kind.values() if turn < len(group)]
        turn += 1
    return chosen[:count]


def compare(images: list[CleanImage], *, seed: int = 31) -> dict[str, Any]:
    """PSNR, SSIM and seconds of each method at each level: means over slices, and each slice's gain over BM3D."""
    rows: list[dict[str, Any]] = []
    slices: list[dict[str, Any]] = []
    for level in LEVELS:
        scores: dict[str, list[tuple[float, float, float]]] = {}
        for number, image in enumerate(images):
            rng = np.random.default_rng([seed, number, int(level * 100)])
            native = image.native()
            truth = np.ascontiguousarray(native[: LARGEST[0], : LARGEST[1]])
            sigma = level * float(np.percentile(truth, 99.5))
            scene = Scene(truth, smooth_random_phase(truth.shape, rng), sigma)
            noisy = scene.draw(rng)
            corrected = np.ascontiguousarray((noisy * scene.phase.conj()).real)
            where = regions(truth).tissue

            results = [("noisy", corrected, 0.0)]
            begun = time.process_time()
            ours = denoise(volume_of(noisy[None], sigma), [1.0], sharpening=False).volumes[1.0].array[0]
            results.append(("this network", (ours * scene.phase.conj()).real, time.process_time() - begun))
            for name, method in PEERS.items():
                begun = time.process_time()
                result = method(corrected, sigma)
                results.append((name, result, time.process_time() - begun))
            for name, result, seconds in results:
                values = signal_to_noise(result, truth, where), similarity(result, truth, where), seconds
                scores.setdefault(name, []).append(values)
            ahead = scores["this network"][-1][0] - scores["BM3D"][-1][0]
            slices.append({"noise": level, "slice": image.name, "kind": image.kind, "psnr_over_bm3d": round(ahead, 3)})
        for name, held in scores.items():
            psnr, ssim, seconds = (float(np.mean(part)) for part in zip(*held, strict=True))
            rows.append(
                {
                    "noise": level,
                    "method": name,
                    "psnr": round(psnr, 3),
                    "ssim": round(ssim, 4),
                    "cpu_seconds_a_slice": round(seconds, 3),
                }
            )
    return {"slices": len(images), "own_noise_below": LEAST_OWN_NOISE, "rows": rows, "each_slice": slices}
