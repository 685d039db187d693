"""Where the networks see discs and bodies: the probability of each voxel of a sagittal series."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from recon_worker.data import Volume
from recon_worker.segmentation.normalisation import normalised, resampled, resized
from recon_worker.segmentation.weights import Weights

Report = Callable[[float], None]
TOGETHER = 4
"""Slices in one pass."""


def probabilities(
    volume: Volume, weights: Weights, *, report: Report = lambda fraction: None
) -> npt.NDArray[np.float32]:
    """Probability `[slice, row, column]` of a structure at each voxel of a sagittal series.

    Parameters
    ----------
    volume
        Real magnitude series, sagittal; in-plane axes may point anywhere, the network sees head up and anterior left.
    weights
        Network and the device it lies on.
    report
        Told the fraction done.
    """
    swapped, head_first, front_first = in_plane(volume.affine)
    stack = volume.array.astype(np.float32)
    spacing = volume.spacing_mm[1:]
    if swapped:
        stack, spacing = stack.transpose(0, 2, 1), spacing[::-1]
    if not head_first:
        stack = stack[:, ::-1]
    if not front_first:
        stack = stack[:, :, ::-1]
    size = stack.shape[1:]
    device = next(weights.network.parameters()).device
    result = np.empty(stack.shape, dtype=np.float32)
    with torch.inference_mode():
        for first in range(0, len(stack), TOGETHER):
            part = torch.from_numpy(np.ascontiguousarray(stack[first : first + TOGETHER])).to(device)
            seen = normalised(resampled(part, (float(spacing[0]), float(spacing[1]))))
            found = resized(predicted(weights.network, seen), (int(size[0]), int(size[1])))
            result[first : first + TOGETHER] = found.cpu().numpy()
            report(min(1.0, (first + TOGETHER) / len(stack)))
    if not front_first:
        result = result[:, :, ::-1]
    if not head_first:
        result = result[:, ::-1]
    if swapped:
        result = result.transpose(0, 2, 1)
    return np.ascontiguousarray(result)


def in_plane(affine: npt.NDArray[np.float64]) -> tuple[bool, bool, bool]:
    """Whether rows and columns are swapped, then whether rows run from the head and columns from the front.

    `affine` maps (slice, row, column) to LPS millimetres.
    """
    row, column = affine[:3, 1], affine[:3, 2]
    swapped = abs(row[1]) > abs(row[2])
    down, back = (column, row) if swapped else (row, column)
    return bool(swapped), bool(down[2] < 0), bool(back[1] > 0)


def predicted(network: nn.Module, seen: torch.Tensor) -> torch.Tensor:
    """Probability `[slice, row, column]` of normalised slices of 1 mm pixels; padded to what the network can halve."""
    multiple = int(network.architecture.multiple)  # type: ignore[union-attr,arg-type]
    rows, columns = seen.shape[-2:]
    padding = (0, -columns % multiple, 0, -rows % multiple)
    padded = functional.pad(seen[:, None], padding, mode="replicate").contiguous(memory_format=torch.channels_last)
    training = network.training
    network.eval()
    with torch.inference_mode():
        found = torch.sigmoid(network(padded))
    network.train(training)
    return found[:, 0, :rows, :columns]
