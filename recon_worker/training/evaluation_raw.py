"""The denoiser on real raw files: phantoms from scanners, with the noise that the scanners measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Picture
from scipy.ndimage import binary_erosion, gaussian_filter

from recon_worker.data import InputFault, ReconstructionFault, Volume
from recon_worker.denoising.colour import line_noise
from recon_worker.denoising.denoise import denoise
from recon_worker.rawdata.open import open_kspace
from recon_worker.reconstruction.chain import reconstruct

FILES = ("twix_gre_skyra.dat", "P20480_GRE.7")
FACTORS = (0.25, 0.5, 0.75)
DRAWS = 16
ADDED = 1.0


def raw_files(folder: Path, report: Path) -> list[dict[str, Any]]:
    """Each file in words: noise in air after over before, and pseudo-replicas with the scanner's own noise map."""
    rows: list[dict[str, Any]] = []
    for name in FILES:
        if not (folder / name).exists():
            continue
        try:
            made = reconstruct(open_kspace(folder / name))
        except (InputFault, ReconstructionFault) as fault:
            rows.append({"file": name, "refused": str(fault)})
            continue
        rows.append({"file": name, **_measure(made.volume, made.lineage, report / f"raw-{Path(name).stem}.png")})
    return rows


def _measure(volume: Volume, lineage: dict[str, Any], picture: Path) -> dict[str, Any]:
    colour = line_noise(lineage)
    assert volume.noise_std is not None
    middle = volume.array.shape[0] // 2
    image, noise = volume.array[middle], volume.noise_std[middle]
    one = Volume(image[None], volume.affine, volume.slice_thickness_mm, noise[None])
    result = denoise(one, FACTORS, line_noise=colour)
    size = np.abs(image) / noise
    air = binary_erosion(gaussian_filter(size, 3) < 2.0, iterations=4)
    entry: dict[str, Any] = {"median_snr_in_object": round(float(np.median(size[gaussian_filter(size, 2) > 5])), 1)}
    if air.sum() > 200:
        before = float(np.std(image[air] / noise[air]))
        entry["noise_in_air_over_stated"] = round(before / np.sqrt(2), 3)
        for factor in FACTORS:
            after = float(np.std(result.volumes[factor].array[0][air] / noise[air]))
            entry[f"air_left_{100 * factor:.0f}"] = round(after / before, 3)
    # Pseudo-replicas (Robson 2008): noise of the same size added again and again; the image then holds it twice.
    rng = np.random.default_rng(51)
    drawn = rng.standard_normal((DRAWS, *image.shape, 2)).astype(np.float32).view(np.complex64)[..., 0]
    replicas = image + ADDED * noise * drawn
    stack = np.broadcast_to(np.sqrt(1 + ADDED**2) * noise, replicas.shape).astype(np.float32)
    again = denoise(
        Volume(replicas.astype(np.complex64), volume.affine, 1.0, stack), FACTORS, line_noise=colour, sharpening=False
    )
    objects = gaussian_filter(size, 2) > 5
    for factor in FACTORS:
        left = again.volumes[factor].array.var(axis=0, ddof=1)[objects].sum()
        entry[f"replicas_left_{100 * factor:.0f}"] = round(
            float(np.sqrt(left / replicas.var(axis=0, ddof=1)[objects].sum())), 3
        )
        entry[f"told_{100 * factor:.0f}"] = round(1 - again.reached[factor], 3)
    top = float(np.percentile(np.abs(image), 99.5))
    panels = [np.abs(image), *(np.abs(result.volumes[factor].array[0]) for factor in FACTORS)]
    strip = np.hstack([np.clip(panel / top * 230, 0, 255).astype(np.uint8) for panel in panels])
    Picture.fromarray(strip).save(picture, optimize=True)
    return entry
