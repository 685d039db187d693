"""How much of the predicted noise to take out so that exactly the asked part of the noise is gone.

In SNR units a pixel's noise e has unit variance. Over many noise draws of one object the prediction n has a regression
r = cov(e, n) on it and a variance m = var(n). What is left after taking out g n has the variance

    1 - 2 g r + g^2 m,

so the factor f asks for the g that makes this (1 - f)^2. r and m differ from place to place: nearly 1 in flat tissue,
less where the image has structure that noise may hide. They were measured on replicas (`training.calibrate`) as a
function of three things that the network's result shows at each pixel: the power of the prediction around it, the
steepness of the denoised image there, and that of its surroundings. g is never more than 1 nor more than what leaves
least.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

POWER_SMOOTHING = 6.0
STEEPNESS_SMOOTHING = 0.8
SURROUNDINGS_SMOOTHING = 4.0
COMPONENTS = 2
GRIDS = ("power", "steepness", "surroundings")
"""Features, in the order of the tables' axes."""
COLOURED = 0.4
"""Missing part of the lines from which the tables of partial Fourier hold alone."""


@dataclass(frozen=True)
class Features:
    """What r and m are looked up by, `[component, row, column]` each (only the power differs between components)."""

    power: torch.Tensor
    steepness: torch.Tensor
    surroundings: torch.Tensor


@dataclass(frozen=True)
class Blend:
    """How much of the prediction to take out, and what part of the noise is then left: `[component, row, column]`."""

    gain: torch.Tensor
    left: torch.Tensor


@dataclass(frozen=True)
class Calibration:
    """Measured r and m on a grid of features.

    Attributes
    ----------
    power, steepness, surroundings
        `[power]`, `[steepness]`, `[surroundings]` rising grid points.
    regression, variance
        `[colour (white, partial Fourier), component (along the phase, across), power, steepness, surroundings]`,
        relative to the component's own noise variance.
    suppression
        The suppression that the network is asked for; the calibration holds for it alone.
    """

    power: torch.Tensor
    steepness: torch.Tensor
    surroundings: torch.Tensor
    regression: torch.Tensor
    variance: torch.Tensor
    suppression: float

    @staticmethod
    def from_json(content: dict[str, Any]) -> Calibration:
        """From the card."""
        parts = {name: torch.tensor(content[name], dtype=torch.float32) for name in (*GRIDS, "regression", "variance")}
        return Calibration(**parts, suppression=float(content["suppression"]))

    def as_json(self) -> dict[str, Any]:
        """For the card."""
        parts = {name: _rounded(getattr(self, name)) for name in (*GRIDS, "regression", "variance")}
        return {**parts, "suppression": self.suppression}

    def blends(self, features: Features, factors: list[float], missing_part: float = 0.0) -> list[Blend]:
        """One blend for each factor (0: nothing is taken out; 1: all that the network can).

        `missing_part` is that of the noise's colour (`colour.LineNoise`).
        """
        regression, variance = self._lookup(features, min(missing_part / COLOURED, 1.0))
        result = []
        for factor in factors:
            wanted = (1 - factor) ** 2
            under = regression**2 - variance * (1 - wanted)
            gain = (regression - under.clamp(min=0).sqrt()) / variance
            # Where the wish cannot be met: what leaves least, but never more than the whole prediction.
            gain = gain.clamp(0, 1)
            left = (1 - 2 * gain * regression + gain**2 * variance).clamp(min=0).sqrt()
            result.append(Blend(gain, left))
        return result

    def _lookup(self, features: Features, coloured: float) -> tuple[torch.Tensor, torch.Tensor]:
        device = features.power.device
        grids = [getattr(self, name).to(device) for name in GRIDS]
        regression, variance = (
            torch.lerp(tables[0], tables[1], coloured).to(device) for tables in (self.regression, self.variance)
        )
        found: list[list[torch.Tensor]] = [[], []]
        for component in range(COMPONENTS):
            values = [getattr(features, name)[component] for name in GRIDS]
            flat = [table[component].reshape(-1) for table in (regression, variance)]
            sums = [torch.zeros_like(values[0]) for _ in flat]
            for cell, weight in corners(values, grids):
                for total, table in zip(sums, flat, strict=True):
                    total.add_(table[cell] * weight)
            for rows, total in zip(found, sums, strict=True):
                rows.append(total)
        return torch.stack(found[0]), torch.stack(found[1])


def corners(values: list[torch.Tensor], grids: list[torch.Tensor]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The grid cells around each value, as places in a flat table, and their weights in linear interpolation.

    Values beyond a grid take its end.
    """
    places = [_position(value, grid) for value, grid in zip(values, grids, strict=True)]
    for ups in itertools.product((0, 1), repeat=len(grids)):
        cell, weight = torch.zeros_like(places[0][0]), torch.ones_like(places[0][1])
        for up, (low, part), grid in zip(ups, places, grids, strict=True):
            cell = cell * len(grid) + low + up
            weight = weight * (part if up else 1 - part)
        yield cell, weight


def features(noise: torch.Tensor, image: torch.Tensor, spread: tuple[float, float]) -> Features:
    """Features of one slice.

    Parameters
    ----------
    noise, image
        Predicted noise and noisy image `[component, row, column]`, SNR units, phase removed.
    spread
        Standard deviation of the noise along the phase and across it, in SNR units.
    """
    denoised = image[0] - noise[0]
    down = functional.pad(denoised[1:] - denoised[:-1], (0, 0, 0, 1))
    right = functional.pad(denoised[:, 1:] - denoised[:, :-1], (0, 1))
    square = (down**2 + right**2)[None]
    steep, around = (
        torch.log1p(smoothed(square, width).clamp(min=0).sqrt())
        for width in (STEEPNESS_SMOOTHING, SURROUNDINGS_SMOOTHING)
    )
    scale = torch.tensor(spread, device=noise.device)[:, None, None]
    power = smoothed((noise / scale) ** 2, POWER_SMOOTHING)
    return Features(power, steep.expand_as(power), around.expand_as(power))


def smoothed(image: torch.Tensor, width: float) -> torch.Tensor:
    """`[..., row, column]` low-passed by a Gaussian of standard deviation `width` pixels, borders reflected."""
    result = image.reshape(-1, 1, *image.shape[-2:])
    reach = math.ceil(3 * width)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=image.device) / width) ** 2)
    kernel = (kernel / kernel.sum()).to(image.dtype)
    for axis in (0, 1):
        room = min(reach, image.shape[-2 + axis] - 1)
        padding = (0, 0, room, room) if axis == 0 else (room, room, 0, 0)
        cut = kernel[reach - room : reach + room + 1]
        shape = (1, 1, -1, 1) if axis == 0 else (1, 1, 1, -1)
        result = functional.conv2d(functional.pad(result, padding, mode="reflect"), (cut / cut.sum()).view(shape))
    return result.reshape(image.shape)


def _position(values: torch.Tensor, grid: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Lower grid index and fraction towards the next; values beyond the grid take its end."""
    low = (torch.searchsorted(grid, values.contiguous(), right=True) - 1).clamp(0, len(grid) - 2)
    part = ((values - grid[low]) / (grid[low + 1] - grid[low])).clamp(0, 1)
    return low, part


def _rounded(values: torch.Tensor) -> Any:
    content = values.tolist()

    def short(entry: Any) -> Any:
        return [short(one) for one in entry] if isinstance(entry, list) else round(entry, 5)

    return short(content)
