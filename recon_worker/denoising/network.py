"""The network: a residual U-Net that predicts the noise of a complex image, and its sharpening correction.

It works in SNR units: image divided by the noise's standard deviation, with the object's smooth phase removed, so
the object lies almost all in the real part. Half-resolution trunk by 2 x 2 pixel unshuffle; no biases, so the
only thing it can compare the image with is the constant noise-map channel (Mohan et al., ICLR 2020).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

CONDITIONS = 4
"""Constant channels: one (the noise map in SNR units), the noise's colour (two), the suppression asked for."""
SHUFFLE = 2


@dataclass(frozen=True)
class Architecture:
    """Channels of each level, from half resolution down, and residual blocks of each level on the way down and up."""

    widths: tuple[int, ...] = (48, 96, 160, 256)
    blocks: tuple[int, ...] = (2, 1, 1, 2)

    def as_json(self) -> dict[str, list[int]]:
        """Plain lists, for the weights' file."""
        return {name: list(value) for name, value in asdict(self).items()}

    @property
    def multiple(self) -> int:
        """Rows and columns must be multiples of this."""
        return int(SHUFFLE * 2 ** (len(self.widths) - 1))


def _convolution(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)


class ResidualBlock(nn.Module):
    """Two convolutions added to what came in; the sum stays in single precision."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _convolution(channels, channels)
        self.second = _convolution(channels, channels)
        nn.init.zeros_(self.second.weight)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """`[batch, channel, row, column]` to the same."""
        return features + self.second(functional.relu(self.first(features))).to(features.dtype)


class NoiseNetwork(nn.Module):
    """Noise n and sharpening correction s of an image in SNR units."""

    def __init__(self, architecture: Architecture | None = None) -> None:
        super().__init__()
        self.architecture = architecture or Architecture()
        widths, blocks = self.architecture.widths, self.architecture.blocks
        if len(widths) != len(blocks) or len(widths) < 2:
            raise ValueError("An architecture has as many block counts as widths, two or more.")
        pixels = SHUFFLE * SHUFFLE
        self.first = _convolution(2 * pixels + CONDITIONS, widths[0])
        self.encoder = nn.ModuleList(_level(width, count) for width, count in zip(widths, blocks, strict=True))
        upwards = zip(widths[:-1], blocks[:-1], strict=True)
        self.decoder = nn.ModuleList(_level(width, count) for width, count in upwards)
        steps = list(pairwise(widths))
        self.down = nn.ModuleList(nn.Conv2d(fine, coarse, 2, 2, bias=False) for fine, coarse in steps)
        self.up = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 2, 2, bias=False) for fine, coarse in steps)
        self.last = _convolution(widths[0], 4 * pixels)
        nn.init.zeros_(self.last.weight)

    def forward(self, image: torch.Tensor, conditions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Noise and correction, each `[batch, 2 (real, imaginary), row, column]`.

        Parameters
        ----------
        image
            `[batch, 2, row, column]` in SNR units, object phase removed; rows (along phase encoding) and columns are
            multiples of `architecture.multiple`.
        conditions
            `[batch, CONDITIONS]`: 1, colour (two numbers, `colour.noise_colour`), suppression 0 to 1.
        """
        pixels = functional.pixel_unshuffle(image, SHUFFLE)
        constant = conditions[:, :, None, None].expand(-1, -1, *pixels.shape[-2:])
        stacked = torch.cat([pixels, constant], dim=1)
        with torch.autocast(image.device.type, enabled=False):
            features = self.first(stacked.float())
        kept: list[torch.Tensor] = []
        for level, encoder in enumerate(self.encoder):
            features = encoder(features)
            if level < len(self.down):
                kept.append(features)
                features = self.down[level](features).float()
        for level in reversed(range(len(self.decoder))):
            features = self.decoder[level](self.up[level](features).float() + kept[level])
        with torch.autocast(image.device.type, enabled=False):
            out = functional.pixel_shuffle(self.last(features.float()), SHUFFLE)
        return out[:, :2], out[:, 2:]


def _level(width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(width) for _ in range(count)))


def parameters(network: nn.Module) -> int:
    """Number of trained numbers."""
    return sum(parameter.numel() for parameter in network.parameters())
