"""The 2D V-Net: a residual encoder and decoder with strided convolutions, for one kind of structure.

Milletari et al., "V-Net: fully convolutional neural networks for volumetric medical image segmentation", 3DV 2016, in
two dimensions with kernel 3 and batch normalisation.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise

import torch
from torch import nn


@dataclass(frozen=True)
class Architecture:
    """Channels at full resolution (doubled at each level down), convolutions of each level's stage, and how many planes
    the network sees: 1, the slice alone, or 3, the slices before and behind as well."""

    width: int = 12
    convolutions: tuple[int, ...] = (1, 2, 2, 2, 2)
    planes: int = 1

    def as_json(self) -> dict[str, object]:
        """Plain values, for the weights' card."""
        content = asdict(self)
        return {**content, "convolutions": list(self.convolutions)}

    @staticmethod
    def from_json(content: dict[str, object]) -> Architecture:
        """From the card."""
        width, convolutions = content["width"], content["convolutions"]
        assert isinstance(width, int) and isinstance(convolutions, list | tuple)
        planes = content.get("planes", 1)
        assert isinstance(planes, int)
        return Architecture(width, tuple(int(count) for count in convolutions), planes)

    @property
    def channels(self) -> tuple[int, ...]:
        """Of each level, from full resolution down."""
        return tuple(self.width * 2**level for level in range(len(self.convolutions)))

    @property
    def multiple(self) -> int:
        """Rows and columns must be multiples of this."""
        return int(2 ** (len(self.convolutions) - 1))


class Stage(nn.Module):
    """Convolutions of kernel 3 whose result is added to `carried`, then PReLU (Milletari et al., figure 2)."""

    def __init__(self, inputs: int, outputs: int, count: int) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for number in range(count):
            parts += [
                nn.Conv2d(inputs if number == 0 else outputs, outputs, 3, padding=1, bias=False),
                nn.BatchNorm2d(outputs),
            ]
            if number + 1 < count:
                parts.append(nn.PReLU(outputs))
        self.convolutions = nn.Sequential(*parts)
        self.activation = nn.PReLU(outputs)

    def forward(self, features: torch.Tensor, carried: torch.Tensor) -> torch.Tensor:
        """`[batch, inputs, row, column]` and `[batch, outputs, row, column]` to the latter's shape."""
        summed: torch.Tensor = self.activation(self.convolutions(features) + carried)
        return summed


class VNet(nn.Module):
    """Logit of one kind of structure at each pixel of a normalised slice.

    All convolutions are in the plane. Neighbouring slices, where the architecture has them, are channels of the input:
    whether a body still reaches into an outer slice shows in the slices beside it.
    """

    def __init__(self, architecture: Architecture | None = None) -> None:
        super().__init__()
        self.architecture = architecture or Architecture()
        channels, counts = self.architecture.channels, self.architecture.convolutions
        planes = self.architecture.planes
        self.lift = nn.Conv2d(planes, channels[0], 1, bias=False)
        self.encoder = nn.ModuleList(
            Stage(planes if level == 0 else width, width, count)
            for level, (width, count) in enumerate(zip(channels, counts, strict=True))
        )
        steps = list(pairwise(channels))
        self.down = nn.ModuleList(
            nn.Sequential(nn.Conv2d(fine, coarse, 2, 2, bias=False), nn.BatchNorm2d(coarse), nn.PReLU(coarse))
            for fine, coarse in steps
        )
        self.up = nn.ModuleList(
            nn.Sequential(nn.ConvTranspose2d(coarse, fine, 2, 2, bias=False), nn.BatchNorm2d(fine), nn.PReLU(fine))
            for fine, coarse in steps
        )
        self.decoder = nn.ModuleList(
            Stage(2 * fine, fine, count) for (fine, _), count in zip(steps, counts[:-1], strict=True)
        )
        self.last = nn.Conv2d(channels[0], 1, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """`[batch, plane, row, column]` to logits `[batch, 1, row, column]`; sides are multiples of
        `architecture.multiple`, and the slice asked about is the middle plane."""
        carried = self.lift(image)
        features = self.encoder[0](image, carried)
        kept = []
        for down, stage in zip(self.down, list(self.encoder)[1:], strict=True):
            kept.append(features)
            lower = down(features)
            features = stage(lower, lower)
        for level in reversed(range(len(self.up))):
            upper = self.up[level](features)
            features = self.decoder[level](torch.cat([upper, kept[level]], dim=1), upper)
        logits: torch.Tensor = self.last(features)
        return logits


def widened(network: VNet, planes: int) -> VNet:
    """A network of `planes` input planes that answers as `network` does, until it is trained on."""
    shape = network.architecture
    if shape.planes == planes:
        return network
    wide = VNet(Architecture(shape.width, shape.convolutions, planes))
    state = dict(network.state_dict())
    for name in ("lift.weight", "encoder.0.convolutions.0.weight"):
        kernel = wide.state_dict()[name].zero_()
        kernel[:, planes // 2] = state[name][:, shape.planes // 2]
        state[name] = kernel
    wide.load_state_dict(state)
    return wide


def parameters(network: nn.Module) -> int:
    """How many numbers are trained."""
    return sum(value.numel() for value in network.parameters())
