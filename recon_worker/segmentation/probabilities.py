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
from recon_worker.segmentation.picture import picture_of
from recon_worker.segmentation.weights import Weights

Report = Callable[[float], None]
TOGETHER = 4
"""Slices in one pass."""
NEIGHBOUR_MM = 4.0
"""The slices before and behind that a network sees lie about this far away: where slices are thinner, not the next."""
FARTHEST_NEIGHBOUR_MM = 6.0
"""Where slices are farther apart, each is seen alone: the networks were shown no neighbours beyond this, and a body
ends between them."""


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
    # A series exported from the other side is the same series: its slices go through in one order.
    from_right = volume.affine[0, 0] > 0
    stack = volume.array.astype(np.float32)[:: 1 if from_right else -1]
    spacing = volume.spacing_mm[1:]
    if swapped:
        stack, spacing = stack.transpose(0, 2, 1), spacing[::-1]
    if not head_first:
        stack = stack[:, ::-1]
    if not front_first:
        stack = stack[:, :, ::-1]
    seen_in = picture_of(stack)
    if not seen_in.plane.any():
        return np.zeros(volume.array.shape, dtype=np.float32)
    # The networks were shown no padding.
    picture = (slice(*seen_in.rows), slice(*seen_in.columns))
    whole = np.zeros(stack.shape, dtype=np.float32)
    stack = stack[:, *picture]
    size = stack.shape[1:]
    device = next(weights.network.parameters()).device
    result = whole[:, *picture]
    batches = [range(first, min(first + TOGETHER, len(stack))) for first in range(0, len(stack), TOGETHER)]
    step = neighbour_step(volume.spacing_mm[0])
    with torch.inference_mode():
        seen = torch.cat(
            [
                normalised(
                    resampled(
                        torch.from_numpy(np.ascontiguousarray(stack[batch.start : batch.stop])).to(device),
                        (float(spacing[0]), float(spacing[1])),
                    )
                )
                for batch in batches
            ]
        )
        for batch in batches:
            planes = torch.stack([seen[list(beside(number, step, len(seen)))] for number in batch])
            found = resized(predicted(weights.network, planes), (int(size[0]), int(size[1])))
            result[batch.start : batch.stop] = found.cpu().numpy()
            report(batch.stop / len(stack))
    result = whole
    if not front_first:
        result = result[:, :, ::-1]
    if not head_first:
        result = result[:, ::-1]
    if swapped:
        result = result.transpose(0, 2, 1)
    if not from_right:
        result = result[::-1]
    return np.ascontiguousarray(result)


def in_plane(affine: npt.NDArray[np.float64]) -> tuple[bool, bool, bool]:
    """Whether rows and columns are swapped, then whether rows run from the head and columns from the front.

    `affine` maps (slice, row, column) to LPS millimetres.
    """
    row, column = affine[:3, 1], affine[:3, 2]
    swapped = abs(row[1]) > abs(row[2])
    down, back = (column, row) if swapped else (row, column)
    return bool(swapped), bool(down[2] < 0), bool(back[1] > 0)


def neighbour_step(slice_distance_mm: float) -> int:
    """How many slices farther the neighbour lies that a network sees beside a slice; 0: it sees none."""
    return max(1, round(NEIGHBOUR_MM / slice_distance_mm)) if slice_distance_mm <= FARTHEST_NEIGHBOUR_MM else 0


def beside(number: int, step: int, count: int) -> tuple[int, int, int]:
    """Numbers of the slice before, of the slice and of the one behind; a missing one is the slice itself."""
    before, behind = number - step, number + step
    return (before if before >= 0 else number, number, behind if behind < count else number)


def predicted(network: nn.Module, seen: torch.Tensor) -> torch.Tensor:
    """Probability `[slice, row, column]` of normalised slices with their neighbours, padded to what the network can
    halve.

    Parameters
    ----------
    seen
        `[slice, plane, row, column]`, 1 mm pixels; planes: the slice before, the slice, the slice behind.
    """
    shape = network.architecture
    multiple, planes = int(shape.multiple), int(shape.planes)  # type: ignore[union-attr,arg-type]
    if planes == 1:
        seen = seen[:, 1:2]
    rows, columns = seen.shape[-2:]
    padding = (0, -columns % multiple, 0, -rows % multiple)
    padded = functional.pad(seen, padding, mode="replicate").contiguous(memory_format=torch.channels_last)
    training = network.training
    network.eval()
    with torch.inference_mode():
        found = torch.sigmoid(network(padded))
    network.train(training)
    return found[:, 0, :rows, :columns]
