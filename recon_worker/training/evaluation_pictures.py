"""Pictures for the report: input, 25, 50, 75 %, truth, differences; noise power spectra; limits over SNR."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as Picture
from PIL import ImageDraw

from recon_worker.training.evaluation_noise import FACTORS, scene_of
from recon_worker.training.images import CleanImage
from recon_worker.training.measures import denoised_draws

GREY = npt.NDArray[np.uint8]
LINE = 16
COLOURS = ((120, 120, 120), (66, 133, 190), (214, 137, 16), (192, 57, 43))


def _grey(image: npt.NDArray[np.floating], low: float, high: float) -> GREY:
    return np.asarray(np.clip((image - low) / (high - low) * 255, 0, 255), dtype=np.uint8)


def _titled(panels: list[tuple[str, GREY]], path: Path, scale: int = 1) -> None:
    """Panels side by side with titles."""
    height, width = panels[0][1].shape
    picture = Picture.new("L", (len(panels) * width * scale, height * scale + LINE), 255)
    draw = ImageDraw.Draw(picture)
    for number, (title, panel) in enumerate(panels):
        one = Picture.fromarray(panel).resize((width * scale, height * scale), Picture.Resampling.NEAREST)
        picture.paste(one, (number * width * scale, LINE))
        draw.text((number * width * scale + 4, 2), title, fill=0)
    picture.save(path, optimize=True)


def montage(image: CleanImage, snr: float, nex: float, path: Path, *, seed: int = 41) -> None:
    """Magnitudes of input, 25, 50, 75 % and truth; below the noise taken out at 75 % and the error left."""
    rng = np.random.default_rng(seed)
    scene = scene_of(image, snr, nex, rng)
    noisy, result = denoised_draws(scene, [*FACTORS, 1.0], 1, rng, sharpening=True)
    magnitudes = [np.abs(result.volumes[factor].array[0]) for factor in FACTORS]
    top = float(np.percentile(scene.truth, 99.5)) * 1.1
    panels = [("input", _grey(np.abs(noisy[0]), 0, top))]
    panels += [(f"{100 * factor:.0f} %", _grey(one, 0, top)) for factor, one in zip(FACTORS, magnitudes, strict=True)]
    panels.append(("truth", _grey(scene.truth, 0, top)))
    reach = 4 * scene.noise_std
    panels.append(("input - 75 %", _grey(np.abs(noisy[0]) - magnitudes[2], -reach, reach)))
    panels.append(("75 % - truth", _grey(magnitudes[2] - scene.truth, -reach, reach)))
    _titled(panels, path)


def noise_spectra(image: CleanImage, snr: float, path: Path, *, draws: int = 16, seed: int = 42) -> dict[str, object]:
    """Radial noise power spectra of input, 25, 50 and 75 %, as a plot; returns the numbers, input = 1."""
    rng = np.random.default_rng(seed)
    scene = scene_of(image, snr, 1, rng)
    noisy, result = denoised_draws(scene, list(FACTORS), draws, rng)
    stacks = [noisy, *(result.volumes[factor].array for factor in FACTORS)]
    spectra = [_radial(stack) for stack in stacks]
    relative = [spectrum / spectra[0] for spectrum in spectra]
    _curves(
        [np.sqrt(one) for one in relative],
        ["input", "25 %", "50 %", "75 %"],
        path,
        "noise amplitude over that of the input, against spatial frequency (0 to Nyquist)",
    )
    return {
        "snr": snr,
        "frequency_over_nyquist": [round((index + 0.5) / len(relative[0]), 3) for index in range(len(relative[0]))],
        **{
            f"amplitude_{100 * factor:.0f}": [round(float(value), 3) for value in np.sqrt(spectrum)]
            for factor, spectrum in zip(FACTORS, relative[1:], strict=True)
        },
    }


def _radial(stack: npt.NDArray[Any], rings: int = 16) -> npt.NDArray[np.float64]:
    noise = stack - stack.mean(axis=0)
    power = (np.abs(np.fft.fft2(noise)) ** 2).mean(axis=0)
    rows, columns = np.fft.fftfreq(power.shape[0]), np.fft.fftfreq(power.shape[1])
    radius = np.hypot(rows[:, None], columns[None])
    ring = np.minimum((radius / 0.5 * rings).astype(int), rings)
    total = np.bincount(ring.ravel(), power.ravel(), minlength=rings + 1)
    return np.asarray(total[:rings] / np.bincount(ring.ravel(), minlength=rings + 1)[:rings])


def _curves(curves: list[npt.NDArray[np.floating]], names: list[str], path: Path, title: str) -> None:
    """Curves between 0 and 1.2 over equal steps."""
    width, height, edge = 640, 320, 40
    picture = Picture.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(picture)
    for level in (0, 0.25, 0.5, 0.75, 1.0):
        y = height - edge - level / 1.2 * (height - 2 * edge)
        draw.line((edge, y, width - edge, y), fill=(225, 225, 225))
        draw.text((8, y - 6), f"{level:g}", fill="black")
    for number, (curve, name) in enumerate(zip(curves, names, strict=True)):
        x = edge + np.arange(len(curve)) / (len(curve) - 1) * (width - 2 * edge)
        y_values = height - edge - np.clip(curve, 0, 1.2) / 1.2 * (height - 2 * edge)
        draw.line([(float(a), float(b)) for a, b in zip(x, y_values, strict=True)], fill=COLOURS[number], width=2)
        draw.text((edge + 6 + number * 90, height - edge + 14), name, fill=COLOURS[number])
    draw.text((edge, 12), title, fill="black")
    picture.save(path, optimize=True)
