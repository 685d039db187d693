"""What a scan does to a clean image, with everything random, in SNR units.

Order: shading (coil sensitivity, which in SNR units is also the spatially shaped noise), added lesions and lines,
k-space truncation, phase with residual error, complex noise, partial Fourier as the chain does it, removal of the
smooth phase, and a stated noise level that is a little wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from recon_worker.denoising.colour import noise_colour
from recon_worker.denoising.phase import smooth_phase
from recon_worker.reconstruction.averaging import Coverage
from recon_worker.reconstruction.fourier import to_image, to_kspace
from recon_worker.reconstruction.partial_fourier import low_resolution_phase, noise_along_phase, noise_level
from recon_worker.training.images import CleanImage

PATCH = 96
MARGIN = 16
FULL = PATCH + 2 * MARGIN
NOISE_RANGE = (0.007, 0.15)
"""Noise over the 99th percentile of the image, drawn log-uniformly."""
FILL_ITERATIONS = 4
"""Fewer than the chain's: what comes after changes little."""
MISSTATED = 0.12
"""Standard deviation of the logarithm of the stated noise over the true one (limited to twice this)."""


@dataclass(frozen=True)
class Sample:
    """One degraded patch, all `[2 (real, imaginary), row, column]` float32 in SNR units, smooth phase removed.

    `image` = `band_limited` + noise; `target` is the band-limited image's sharp, ringing-free version. `conditions` as
    for the network, without the suppression.
    """

    image: torch.Tensor
    band_limited: torch.Tensor
    target: torch.Tensor
    colour: tuple[float, float]


@dataclass(frozen=True)
class Spots:
    """How many low-contrast spots are laid on an image, how large and how faint.

    Attributes
    ----------
    part
        How often there are any.
    radius, contrast
        Range in final pixels, and over the noise of a pixel.
    lines
        How often there are thin lines.
    """

    part: float = 0.55
    radius: tuple[float, float] = (2.0, 12.0)
    contrast: tuple[float, float] = (0.5, 4.0)
    lines: float = 0.2


NO_SPOTS = Spots(part=0.0, lines=0.0)
FAINT_SPOTS = Spots(part=1.0, radius=(3.0, 10.0), contrast=(0.7, 3.0), lines=0.0)
EVEN_GROUND = 0.5
"""How often the ground of a pair with and without faint spots is even."""


def _smooth_field(rng: np.random.Generator, size: int, nodes: int) -> torch.Tensor:
    """Smooth random numbers `[size, size]` with about unit spread."""
    coarse = torch.from_numpy(rng.normal(size=(1, 1, nodes + 3, nodes + 3)).astype(np.float32))
    fine = torch.nn.functional.interpolate(coarse, size=(size + 64, size + 64), mode="bicubic", align_corners=True)
    first = int(rng.integers(0, 64))
    return fine[0, 0, first : first + size, first : first + size]


def _lesions(rng: np.random.Generator, image: torch.Tensor, scale: int, spots: Spots) -> torch.Tensor:
    """`image` in SNR units with low-contrast spots and thin lines; `scale` pixels are one final pixel."""
    size = image.shape[0]
    rows = torch.arange(size, dtype=torch.float32)[:, None]
    columns = torch.arange(size, dtype=torch.float32)[None]
    result = image
    if rng.random() < spots.part:
        for _ in range(int(rng.integers(1, 7))):
            y, x = rng.uniform(0, size, 2)
            radius = scale * float(np.exp(rng.uniform(*np.log(spots.radius))))
            stretch, angle = float(rng.uniform(1, 1.8)), float(rng.uniform(0, np.pi))
            along = (rows - y) * np.cos(angle) + (columns - x) * np.sin(angle)
            across = -(rows - y) * np.sin(angle) + (columns - x) * np.cos(angle)
            distance = torch.sqrt((along / stretch) ** 2 + (across * stretch) ** 2) - radius
            edge = scale * float(rng.uniform(0.5, 2.0))
            inside = (0.5 - distance / edge).clamp(0, 1)
            contrast = float(rng.uniform(*spots.contrast) * rng.choice([-1, 1]))
            result = result + inside * contrast
    if rng.random() < spots.lines:
        for _ in range(int(rng.integers(1, 4))):
            angle, shift = float(rng.uniform(0, np.pi)), float(rng.uniform(0.2, 0.8) * size)
            bend = float(rng.normal(0, 0.15)) / size
            along = (rows - size / 2) * np.cos(angle) + (columns - size / 2) * np.sin(angle)
            across = -(rows - size / 2) * np.sin(angle) + (columns - size / 2) * np.cos(angle)
            distance = (across + size / 2 - shift + bend * along**2).abs()
            contrast = float(np.exp(rng.uniform(np.log(2), np.log(25))) * rng.choice([-1, 1]))
            result = result + contrast * (scale / 2 + 0.5 - distance).clamp(0, 1)
    return result.clamp(min=0)


def cut_kspace(image: torch.Tensor, kept: tuple[float, float]) -> torch.Tensor:
    """Complex `image` with only the inner `kept` part of k-space along rows and columns."""
    spectrum = torch.fft.fft2(image)
    for axis, part in enumerate(kept):
        frequency = torch.fft.fftfreq(image.shape[axis]).abs() <= part / 2
        spectrum = spectrum * (frequency[:, None] if axis == 0 else frequency[None])
    return torch.fft.ifft2(spectrum)


def _band_limited(image: torch.Tensor) -> torch.Tensor:
    """Real `[2 n, 2 n]` to `[n, n]`: the inner half of k-space, as a scanner measures it, ringing and all."""
    full = image.shape[0]
    size = full // 2
    # The mean of 2 x 2 pixels lies half a pixel further than the pixel that the transform keeps.
    shift = torch.exp(2j * torch.pi * torch.fft.fftfreq(full) * 0.5)
    spectrum = torch.fft.fftshift(torch.fft.fft2(image) * shift[:, None] * shift[None])
    inner = spectrum[size // 2 : size // 2 + size, size // 2 : size // 2 + size]
    return torch.fft.ifft2(torch.fft.ifftshift(inner)).real / 4


def draw_with_and_without(rng: np.random.Generator, image: CleanImage) -> list[Sample]:
    """One random scan of a random patch twice, with the same noise: with faint spots and without."""
    seed = int(rng.integers(2**63))
    even = rng.random() < EVEN_GROUND
    return [
        draw_samples(np.random.default_rng(seed), image, 1, spots=spots, even=even)[0]
        for spots in (FAINT_SPOTS, NO_SPOTS)
    ]


def draw_samples(
    rng: np.random.Generator, image: CleanImage, draws: int, *, spots: Spots | None = None, even: bool = False
) -> list[Sample]:
    """`draws` noise draws of one random scan of a random patch of `image`; `even`: of its mean everywhere."""
    drawn = image.kind in ("simulated", "shapes")
    fine = image.fine and (drawn or image.own_noise >= 0.004 or rng.random() >= 0.25)
    scale = 2 if fine else 1
    patch = torch.from_numpy(_patch(rng, image, FULL * scale))
    size = patch.shape[0]
    if even:
        patch = torch.full_like(patch, float(patch.mean()))
    if rng.random() < 0.5:
        patch = patch * torch.exp(0.5 * _smooth_field(rng, size, int(rng.integers(1, 3)))).clamp(0.2, 3)
    sigma = float(np.exp(rng.uniform(*np.log(NOISE_RANGE))))
    if rng.random() < 0.02:
        patch = patch * 0
    # From a stream of their own: what else is random is the same with and without them.
    scene = _lesions(np.random.default_rng(rng.integers(2**63)), patch / sigma, scale, spots or Spots())
    if fine:
        target = torch.nn.functional.avg_pool2d(scene[None, None], 2)[0, 0]
        clean = _band_limited(scene) if rng.random() < 0.4 else target
    else:
        target = clean = scene
    kept = (1.0, 1.0)
    if rng.random() < 0.2:
        kept = (float(rng.uniform(0.6, 1.0)), float(rng.choice([1.0, rng.uniform(0.6, 1.0)])))
    angle = float(rng.uniform(0.2, 3)) * _smooth_field(rng, FULL, int(rng.integers(1, 3)))
    angle = angle + float(rng.exponential(0.03)) * _smooth_field(rng, FULL, int(rng.integers(6, 16)))
    phase = torch.polar(torch.ones_like(angle), angle + float(rng.uniform(0, 2 * np.pi)))
    part = float(rng.uniform(0.54, 0.9)) if rng.random() < 0.35 else 1.0
    filled = rng.random() < 0.8
    flip = rng.random() < 0.5
    misstated = float(np.exp(np.clip(rng.normal(0, MISSTATED), -2 * MISSTATED, 2 * MISSTATED)))
    return [_scan(rng, clean * phase, target * phase, kept, part, filled, flip, misstated) for _ in range(draws)]


def _patch(rng: np.random.Generator, image: CleanImage, size: int) -> np.ndarray:
    """A patch `[size, size]` float32, turned and mirrored; reflected at the border where the image is too small."""
    rows, columns = image.pixels.shape
    top = int(rng.integers(0, max(rows - size, 0) + 1))
    left = int(rng.integers(0, max(columns - size, 0) + 1))
    patch = image.pixels[top : top + size, left : left + size].astype(np.float32)
    if patch.shape != (size, size):
        patch = np.pad(patch, ((0, size - patch.shape[0]), (0, size - patch.shape[1])), mode="reflect")
    patch = np.rot90(patch, int(rng.integers(4)))
    return np.ascontiguousarray(patch[:, ::-1] if rng.random() < 0.5 else patch)


def _scan(
    rng: np.random.Generator,
    clean: torch.Tensor,
    target: torch.Tensor,
    kept: tuple[float, float],
    part: float,
    filled: bool,
    flip: bool,
    misstated: float,
) -> Sample:
    size = clean.shape[0]
    noise = torch.from_numpy(rng.standard_normal((size, size, 2), dtype=np.float32))
    noisy_part = torch.view_as_complex(noise)
    signal = clean
    level = 1.0
    if kept != (1.0, 1.0):
        signal, noisy_part = cut_kspace(signal, kept), cut_kspace(noisy_part, kept)
        level = float(np.sqrt(kept[0] * kept[1]))
    colour = (0.0, 0.0)
    if part < 1:
        covered = one_sided(size, part)
        if flip:
            signal, noisy_part, target = signal.flip(0), noisy_part.flip(0), target.flip(0)
        signal, noisy_part = _partial(signal, noisy_part, covered, filled)
        lines = covered if filled else None
        level *= noise_level(covered) if filled else float(np.sqrt(part))
        colour = noise_colour(1 - part, noise_along_phase(covered) / noise_level(covered) if lines else 1.0)
        if flip:
            signal, noisy_part, target = signal.flip(0), noisy_part.flip(0), target.flip(0)
    noisy = signal + noisy_part
    back = smooth_phase(noisy).conj() / (level * misstated)
    inner = slice(MARGIN, MARGIN + PATCH)

    def planes(complex_image: torch.Tensor) -> torch.Tensor:
        turned = (complex_image * back)[inner, inner]
        return torch.stack([turned.real, turned.imag])

    return Sample(planes(noisy), planes(signal), planes(target), colour)


def one_sided(rows: int, part: float) -> Coverage:
    """Coverage of the last `part` of `rows` phase-encode steps."""
    first = rows - round(part * rows)
    counts = np.zeros(rows, dtype=np.int64)
    counts[first:] = 1
    return Coverage(counts, first, rows - 1, rows // 2)


def _partial(
    signal: torch.Tensor, noise: torch.Tensor, covered: Coverage, filled: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Signal and noise after partial Fourier; the phase that fills in is the noisy image's for both."""
    measured = to_kspace(signal + noise, 0)
    measured[: covered.first] = 0
    alone = to_kspace(signal, 0)
    alone[: covered.first] = 0
    both, clean = to_image(measured, 0), to_image(alone, 0)
    if filled:
        phase = low_resolution_phase(both, covered)
        both, clean = _fill(both, phase, covered), _fill(clean, phase, covered)
    return clean, both - clean


def _fill(image: torch.Tensor, phase: torch.Tensor, covered: Coverage) -> torch.Tensor:
    """`image` filled in along `phase`, as `fill_partial_fourier` does with the image's own."""
    measured = to_kspace(image, 0)[covered.first : covered.last + 1]
    first, last = covered.filled
    current = image
    for _ in range(FILL_ITERATIONS):
        lines = to_kspace((current * phase.conj()).real * phase, 0)
        lines[:first] = 0
        lines[last + 1 :] = 0
        lines[covered.first : covered.last + 1] = measured
        current = to_image(lines, 0)
    return current
