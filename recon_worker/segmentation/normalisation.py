"""A slice as the networks see it: 1 mm pixels, coil fall-off divided out, tissue around zero."""

from __future__ import annotations

import math

import torch
from torch.nn import functional

PIXEL_MM = 1.0
DARKEST, BRIGHTEST = 0.01, 0.995
"""Quantiles that become 0 and 1."""
POOLING = 8
REACH_MM = 32.0
"""Standard deviation of the neighbourhood whose mean a pixel is divided by."""
LEAST_SHARE = 0.1
"""The mean counts at least this part of its 90th percentile: air is not blown up."""
LIMITS = (-1.5, 4.0)
SAMPLES = 20_000
"""Pixels that the quantiles are taken from, evenly spread."""


def resampled(image: torch.Tensor, spacing_mm: tuple[float, float], pixel_mm: float = PIXEL_MM) -> torch.Tensor:
    """`[..., row, column]` float32 with pixels of `spacing_mm` (row, column) to pixels of `pixel_mm`, low-passed first
    where pixels become larger."""
    rows, columns = image.shape[-2:]
    size = (max(1, round(rows * spacing_mm[0] / pixel_mm)), max(1, round(columns * spacing_mm[1] / pixel_mm)))
    return resized(image, size)


def resized(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """`[..., row, column]` to `size` over the same field of view."""
    stack = image.reshape(-1, 1, *image.shape[-2:])
    result = functional.interpolate(stack, size=size, mode="bilinear", align_corners=False, antialias=True)
    return result.reshape(*image.shape[:-2], *size)


def normalised(images: torch.Tensor) -> torch.Tensor:
    """Magnitude slices `[slice, row, column]` with 1 mm pixels, each to its tissue's deviation from the local mean."""
    flat = images.flatten(1)
    step = max(1, flat.shape[1] // SAMPLES)
    limits = torch.quantile(flat[:, ::step], torch.tensor([DARKEST, BRIGHTEST], device=images.device), dim=1)
    low, high = limits[0][:, None, None], limits[1][:, None, None]
    scaled = ((images - low) / (high - low).clamp(min=1e-6)).clamp(0, 2)
    mean = _neighbourhood(scaled)
    floor = LEAST_SHARE * torch.quantile(mean.flatten(1)[:, :: max(1, step // 4)], 0.9, dim=1)[:, None, None]
    divided = scaled / torch.maximum(mean, floor).clamp(min=1e-6)
    return (divided - 1).clamp(*LIMITS)


def _neighbourhood(images: torch.Tensor) -> torch.Tensor:
    rows, columns = images.shape[-2:]
    pooled = functional.avg_pool2d(images[:, None], POOLING, ceil_mode=True, count_include_pad=False)
    width = REACH_MM / POOLING / PIXEL_MM
    for axis in (2, 3):
        reach = min(math.ceil(2.5 * width), pooled.shape[axis] - 1)
        kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=images.device) / width) ** 2)
        kernel = (kernel / kernel.sum()).to(images.dtype)
        shape = (1, 1, -1, 1) if axis == 2 else (1, 1, 1, -1)
        padding = (0, 0, reach, reach) if axis == 2 else (reach, reach, 0, 0)
        pooled = functional.conv2d(functional.pad(pooled, padding, mode="reflect"), kernel.view(shape))
    size = (pooled.shape[2] * POOLING, pooled.shape[3] * POOLING)
    return functional.interpolate(pooled, size=size, mode="bilinear", align_corners=False)[:, 0, :rows, :columns]
