"""What a labelled slice is turned into for training: another patient's posture, another scanner's contrast.

Some crops change their contrast strongly, the others mildly: strong changes carry over to contrasts that were never
labelled, mild ones keep what the labelled contrasts teach.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from recon_worker.segmentation.normalisation import normalised
from recon_worker.training.spine_images import LabelledSlice

CROP = (256, 192)
PLANES = 3
ON_THE_SPINE = 0.6
"""Part of the crops whose middle lies on a labelled structure; the others lie anywhere."""
STRONG = {"bodies": 0.5, "discs": 0.4}
"""Part of the crops whose contrast changes strongly."""

ALONE = 0.15
"""Part of the crops whose neighbours are hidden, as beside the first slice of a series. Those whose tissues change
their signal hide them besides: where the tissues lie in the neighbours is not known."""

Sample = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def draw_crop(rng: np.random.Generator, one: LabelledSlice, kind: str) -> Sample:
    """Of a random crop of `CROP` pixels: normalised planes `[plane, row, column]` (the slice before, the slice, the
    slice behind, in either direction), labels and weight `[row, column]`, all float32."""
    labels, weight = one.labels(kind)
    structures = np.maximum(one.bodies, one.discs)
    grid = _grid(rng, structures)
    strong = rng.random() < STRONG[kind]
    tissues = strong and rng.random() < 0.5
    planes = one.planes if rng.random() < 0.5 else one.planes[::-1].copy()
    if tissues or rng.random() < ALONE:
        planes = planes[1:2]
    image = _sampled(planes, grid, "bilinear")
    target, believed = _sampled(np.stack([labels > 0, weight]), grid, "bilinear")
    regions = _sampled(((one.bodies > 0) + 2.0 * (one.discs > 0))[None], grid, "nearest")[0] if tissues else None
    seen = normalised(_contrast(rng, image.clamp(min=0), regions, strong=strong))
    return seen.expand(PLANES, -1, -1), (target > 0.5).float(), (believed > 0.99).float()


def _sampled(array: np.ndarray, grid: torch.Tensor, mode: str) -> torch.Tensor:
    stack = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))[None]
    return functional.grid_sample(stack, grid, mode=mode, padding_mode="zeros", align_corners=False)[0]


def _grid(rng: np.random.Generator, structures: np.ndarray) -> torch.Tensor:
    rows, columns = structures.shape
    where = np.argwhere(structures > 0)
    if len(where) and rng.random() < ON_THE_SPINE:
        middle = where[rng.integers(len(where))] + rng.normal(0, 15, 2)
        middle[0] = 0.5 * middle[0] + 0.5 * rng.uniform(0.3, 0.7) * rows
    else:
        middle = np.array([rng.uniform(0.2, 0.8) * rows, rng.uniform(0.2, 0.8) * columns])
    angle = np.radians(rng.uniform(-15, 15))
    scale = float(np.exp(rng.uniform(np.log(0.8), np.log(1.25))))
    stretch, shear = float(rng.uniform(0.9, 1.1)), float(rng.uniform(-0.1, 0.1))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.array([[stretch, shear], [0, 1 / stretch]]) / scale
    down, right = np.meshgrid(
        np.arange(CROP[0]) - CROP[0] / 2 + 0.5, np.arange(CROP[1]) - CROP[1] / 2 + 0.5, indexing="ij"
    )
    place = np.stack([down, right], -1) @ matrix.T + middle
    if rng.random() < 0.6:
        coarse = torch.from_numpy(rng.normal(size=(1, 2, 7, 6)).astype(np.float32))
        bend = functional.interpolate(coarse, size=CROP, mode="bicubic", align_corners=True)[0]
        place = place + float(rng.uniform(1, 4)) * bend.permute(1, 2, 0).numpy()
    # grid_sample counts (column, row) from -1 to 1 over the outer edges of the pixels.
    scaled = np.stack([(2 * place[..., 1] + 1) / columns - 1, (2 * place[..., 0] + 1) / rows - 1], -1)
    return torch.from_numpy(scaled.astype(np.float32))[None]


def _contrast(
    rng: np.random.Generator, image: torch.Tensor, regions: torch.Tensor | None, *, strong: bool
) -> torch.Tensor:
    """`[plane, row, column]` as another scanner would show it: one contrast for all planes, noise for each."""
    if rng.random() < (0.9 if strong else 0.4):
        curved = _curve(rng, image, inverted=strong)
        part = float(rng.uniform(0.4, 1.0) if strong else rng.uniform(0.1, 0.4))
        image = part * curved + (1 - part) * image
    if regions is not None:
        # Marrow and disc as another sequence may show them.
        soft = functional.avg_pool2d(torch.stack([(regions == 1).float(), (regions == 2).float()])[:, None], 3, 1, 1)[
            :, 0
        ]
        gains = [float(np.exp(rng.normal(0, 0.35))) - 1 for _ in range(2)]
        image = image * (1 + gains[0] * soft[0] + gains[1] * soft[1])
    image = image.clamp(min=0) ** float(np.exp(rng.normal(0, 0.3 if strong else 0.12)))
    coarse = torch.from_numpy(rng.normal(size=(1, 1, 4, 4)).astype(np.float32))
    bias = functional.interpolate(coarse, size=CROP, mode="bicubic", align_corners=True)[0, 0]
    image = image * torch.exp((0.6 if strong else 0.3) * bias)
    if rng.random() < 0.35:
        image = _blurred(image, float(rng.uniform(0.3, 1.0)))
    if rng.random() < 0.15:
        image = image.clamp(max=float(torch.quantile(image[:, ::4, ::4], rng.uniform(0.85, 0.98))))
    level = float(rng.uniform(0, 0.14)) * float(image.mean())
    noise = torch.from_numpy(rng.standard_normal((2, *image.shape), dtype=np.float32)) * level
    return torch.sqrt((image + noise[0]) ** 2 + noise[1] ** 2)


def _curve(rng: np.random.Generator, image: torch.Tensor, *, inverted: bool) -> torch.Tensor:
    """A random piecewise linear curve through 4 to 8 knots, sometimes monotone."""
    top = float(image.max()) + 1e-6
    knots = int(rng.integers(4, 9))
    values = rng.uniform(0, 1, knots)
    if rng.random() < 0.4 or not inverted:
        values = np.sort(values)
        if inverted and rng.random() < 0.25:
            values = values[::-1]
    position = (image / top).clamp(0, 1) * (knots - 1)
    low = position.floor().clamp(max=knots - 2).long()
    table = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
    part = position - low
    return (table[low] * (1 - part) + table[low + 1] * part) * top


def _blurred(image: torch.Tensor, width: float) -> torch.Tensor:
    kernel = torch.exp(-0.5 * (torch.arange(-3, 4) / width) ** 2)
    kernel = kernel / kernel.sum()
    padded = functional.pad(image[:, None], (3, 3, 3, 3), mode="reflect")
    rows = functional.conv2d(padded, kernel.view(1, 1, 7, 1))
    return functional.conv2d(rows, kernel.view(1, 1, 1, 7))[:, 0]
