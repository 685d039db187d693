"""What the denoiser does to what must stay: edges, ringing, thin lines, faint lesions; beside BM3D where named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from recon_worker.denoising.denoise import denoise
from recon_worker.training.degradation import cut_kspace
from recon_worker.training.images import CleanImage
from recon_worker.training.measures import edge_width, overshoot, volume_of
from recon_worker.training.peers import block_matching
from recon_worker.training.replicas import Image

Row = dict[str, Any]
SIZE = 160
FINER = 8
LEVELS = (0.02, 0.03, 0.06, 0.1)
LESION_CONTRASTS = (1.0, 2.0, 3.0)
LESION_RADII = (4, 8)


def _noisy(truth: Image, sigma: float, draws: int, rng: np.random.Generator) -> np.ndarray:
    noise = rng.standard_normal((draws, *truth.shape, 2), dtype=np.float32)
    return np.asarray(truth + np.float32(sigma) * noise.view(np.complex64)[..., 0], dtype=np.complex64)


def slanted_edge(angle_degrees: float = 5.0) -> tuple[Image, np.ndarray]:
    """Image `[row, column]` with a bright bar between two slanted edges, and each pixel's distance to the left one.

    Pixels are averages over their area, so the edge is as sharp as pixels can show it without ringing.
    """
    fine = (np.arange(SIZE * FINER) + 0.5) / FINER
    rows, columns = np.meshgrid(fine, fine, indexing="ij")
    angle = np.radians(angle_degrees)
    distance = (columns - SIZE * 0.35) * np.cos(angle) + (rows - SIZE / 2) * np.sin(angle)
    image = np.where((distance > 0) & (distance < SIZE * 0.35), 0.9, 0.3)
    pixels = image.reshape(SIZE, FINER, SIZE, FINER).mean(axis=(1, 3)).astype(np.float32)
    return pixels, distance.reshape(SIZE, FINER, SIZE, FINER).mean(axis=(1, 3))


def edge_profile(images: np.ndarray, distance: np.ndarray, reach: float = 12.0, bins_a_pixel: int = 4) -> np.ndarray:
    """Mean of real images `[draw, row, column]` along the edge as a function of the distance to it."""
    inner = np.zeros_like(distance, dtype=bool)
    inner[24:-24] = True
    chosen = inner & (np.abs(distance) < reach)
    position = ((distance[chosen] + reach) * bins_a_pixel).astype(int)
    values = images.mean(axis=0)[chosen]
    count = int(2 * reach * bins_a_pixel)
    total = np.bincount(position, values, minlength=count)[:count]
    return np.asarray(total / np.maximum(np.bincount(position, minlength=count)[:count], 1))


def edges(*, draws: int = 8, truncation: float = 0.7, seed: int = 21) -> list[Row]:
    """Widths (10-90 %, pixels) and overshoot of a slanted edge, whole and truncated k-space, at full strength."""
    truth, distance = slanted_edge()
    cut = cut_kspace(torch.from_numpy(truth).to(torch.complex64), (truncation, truncation)).real.numpy()
    clean = edge_profile(truth[None], distance)
    ringing = edge_profile(cut[None], distance)
    rows: list[Row] = []
    for sigma in LEVELS:
        rng = np.random.default_rng([seed, int(sigma * 1000)])
        entry: Row = {
            "noise": sigma,
            "width_clean": edge_width(clean) / 4,
            "width_truncated": edge_width(ringing) / 4,
            "overshoot_truncated": overshoot(ringing),
        }
        whole = _noisy(truth, sigma, draws, rng)
        noise = _noisy(np.zeros_like(truth), sigma, draws, rng)
        spectrum = [cut_kspace(torch.from_numpy(one), (truncation, truncation)).numpy() for one in noise]
        degraded = cut + np.stack(spectrum)
        for name, noisy, level in (("whole", whole, sigma), ("truncated", degraded, sigma * truncation)):
            for sharpening in (False, True):
                result = denoise(volume_of(noisy, level), [1.0], sharpening=sharpening).volumes[1.0].array
                profile = edge_profile(result.real, distance)
                key = f"{name}_{'sharpened' if sharpening else 'denoised'}"
                entry[f"width_{key}"] = edge_width(profile) / 4
                entry[f"overshoot_{key}"] = overshoot(profile)
        entry["width_bm3d"] = edge_width(edge_profile(_peer(whole, sigma, 2), distance)) / 4
        rows.append({key: round(float(value), 4) for key, value in entry.items()})
    return rows


def _peer(noisy: np.ndarray, sigma: float, draws: int) -> np.ndarray:
    return np.stack([block_matching(np.ascontiguousarray(one.real), sigma) for one in noisy[:draws]])


def thin_lines(*, draws: int = 12, seed: int = 22) -> list[Row]:
    """Part of the contrast of dark one-pixel endplate lines that stays at full strength."""
    rows_axis = np.arange(SIZE, dtype=np.float32)[:, None]
    columns_axis = np.arange(SIZE, dtype=np.float32)[None]
    ground = np.where(rows_axis % 40 < 14, 0.35, 0.7).astype(np.float32) + 0 * columns_axis
    place = np.zeros((SIZE, SIZE), dtype=bool)
    for start in range(0, SIZE, 40):
        for edge in (start + 14, start + 39):
            if edge < SIZE:
                place[edge] = True
    place[:, :20] = place[:, -20:] = False
    truth = np.where(place, 0.1, ground).astype(np.float32)
    inner = place.copy()
    inner[:, :28] = inner[:, -28:] = False
    inner[:24] = inner[-24:] = False
    found: list[Row] = []
    for sigma in LEVELS:
        rng = np.random.default_rng([seed, int(sigma * 1000)])
        noisy = _noisy(truth, sigma, draws, rng)
        entry: Row = {"noise": sigma}
        for factor in (0.5, 0.75, 1.0):
            result = denoise(volume_of(noisy, sigma), [factor], sharpening=False).volumes[factor].array.real.mean(0)
            entry[f"kept_{factor:g}"] = _line_contrast(result, ground, inner) / _line_contrast(truth, ground, inner)
        mean = _peer(noisy, sigma, 3).mean(0)
        entry["kept_bm3d"] = _line_contrast(mean, ground, inner) / _line_contrast(truth, ground, inner)
        found.append({key: round(float(value), 4) for key, value in entry.items()})
    return found


def _line_contrast(image: np.ndarray, ground: np.ndarray, line: np.ndarray) -> float:
    return float((ground - image)[line].mean())


def lesions(images: list[CleanImage], *, draws: int = 12, seed: int = 23, peers: bool = True) -> list[Row]:
    """Contrast kept of faint discs in flat ground and in real tissue, full strength; and what appears without one."""
    rows: list[Row] = []
    for sigma in LEVELS[1:]:
        for radius in LESION_RADII:
            for contrast in LESION_CONTRASTS:
                rng = np.random.default_rng([seed, int(sigma * 1000), radius, int(contrast)])
                for name, ground in _grounds(images):
                    entry: Row = {"noise": sigma, "radius": radius, "contrast_over_noise": contrast, "ground": name}
                    entry |= _lesion(ground, sigma, radius, contrast, draws, rng, peers and contrast != 2.0)
                    rows.append(entry)
    return rows


def _grounds(images: list[CleanImage]) -> list[tuple[str, Image]]:
    grounds: list[tuple[str, Image]] = [("uniform", np.full((SIZE, SIZE), 0.5, dtype=np.float32))]
    for image in images[:1]:
        native = image.native()
        top, left = ((length - SIZE) // 2 for length in native.shape)
        grounds.append(("tissue", np.ascontiguousarray(native[top : top + SIZE, left : left + SIZE])))
    return grounds


def _lesion(
    ground: Image, sigma: float, radius: int, contrast: float, draws: int, rng: np.random.Generator, peers: bool
) -> Row:
    """Four discs on a slice: what remains of them is the difference to the same noise without them."""
    rows = np.arange(SIZE)[:, None]
    columns = np.arange(SIZE)[None]
    shape = np.zeros((SIZE, SIZE), dtype=np.float32)
    for y in (50, 110):
        for x in (50, 110):
            shape = np.maximum(shape, np.clip(radius + 0.5 - np.hypot(rows - y, columns - x), 0, 1))
    core = np.zeros_like(shape, dtype=bool)
    for y in (50, 110):
        for x in (50, 110):
            core |= np.hypot(rows - y, columns - x) <= 0.7 * radius
    height = np.float32(contrast * sigma)
    noise = _noisy(np.zeros_like(ground), sigma, draws, rng)

    def trace(method: Callable[[np.ndarray], np.ndarray], count: int) -> float:
        with_them = method(ground + height * shape + noise[:count])
        without = method(ground + noise[:count])
        return float((with_them - without).mean(0)[core].mean() / height)

    def ours(stack: np.ndarray) -> np.ndarray:
        return np.asarray(denoise(volume_of(stack, sigma), [1.0], sharpening=False).volumes[1.0].array.real)

    entry: Row = {"kept": round(trace(ours, draws), 4)}
    empty = ours(ground + noise).mean(0) - ground
    entry["appears_without"] = round(float(empty[core].mean() / height), 4)
    if peers:
        entry["kept_bm3d"] = round(trace(lambda stack: _peer(stack, sigma, 3), 3), 4)
    return entry
