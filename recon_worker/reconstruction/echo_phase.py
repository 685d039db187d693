"""Phase that differs between the echoes of a train, measured on the image lines themselves and taken off.

Eddy currents and refocusing pulses that are not exact leave each echo with a phase of its own: constant, and linear
along the readout of the image (an echo that is not in the middle of the readout). Each echo fills its own band of
k-space, so the phase steps at the bands' borders make ghosts and blur. No reference scan is needed: a line follows
from the two before it through the coils, as in GRAPPA (Griswold et al., MRM 47:1202, 2002). The weights come from lines
of one echo, where no phase can enter. At every border they predict the first line of one echo from the last lines of
the other, and the phase between prediction and measurement, less that of predictions within the echoes close by (far
from the centre of k-space the weights are a little off), is the difference of the two echoes. All differences
together, weighted by how well they are known, give the phases relative to the echo that holds the centre of k-space.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch

from recon_worker.reconstruction.coil_compression import compression
from recon_worker.reconstruction.coils import mix_channels

MOST_VIRTUAL_COILS = 8
COLUMN_BLOCKS = 16
"""Blocks of neighbouring columns, each with weights of its own."""
CLOSE = 12
"""Lines on either side of a border whose predictions within their echo say how far predictions are off there."""
ENERGY_WEIGHT = 0.75
"""Power of a line's mean energy that divides its equations, or the few lines at the very centre would decide."""
RIDGE = 1e-3
"""Regularisation of the weights, relative to the mean power of their lines."""
SLOPES = np.linspace(-np.pi, np.pi, 121)
"""Tried phases across the width of the image, radian: an echo off by half a sample either way."""
SIGNIFICANT = 4.0
"""Phases smaller than so many standard deviations are left as they are."""

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int16]


@dataclass(frozen=True)
class EchoPhases:
    """What was found in one slice.

    Attributes
    ----------
    echoes
        Echo numbers; the first is the one that holds the centre of k-space, and has phase zero.
    constant, slope
        `[echo]` radian: in the middle of the image, and from one end of the readout to the other. Zero where not
        significant.
    deviation
        `[echo]` standard deviation of `constant`, radian.
    """

    echoes: tuple[int, ...]
    constant: Floats
    slope: Floats
    deviation: Floats


@dataclass(frozen=True)
class _Step:
    """Phase of echo `after` minus that of `before` (places among the echoes), with standard deviations."""

    before: int
    after: int
    constant: float
    slope: float
    deviations: tuple[float, float]


def echo_phases(
    hybrid: torch.Tensor, echo: Numbers, counts: npt.NDArray[np.int64], centre: int
) -> EchoPhases | None:
    """Phases of each echo; None where echo numbers are unknown, all the same, or change from line to line.

    Parameters
    ----------
    hybrid
        `[channel, ky, column]` whitened; no lines missing between the outermost ones.
    echo, counts
        `[ky]` echo number of each line, and how often it was acquired.
    centre
        Step of the centre of k-space.
    """
    held = np.flatnonzero(counts)
    first, last = int(held[0]), int(held[-1])
    number = echo[first : last + 1]
    if (number < 0).any() or len(np.unique(number)) < 2:
        return None
    alike = number[1:] == number[:-1]
    if np.count_nonzero(alike[1:] & alike[:-1]) < 4 * MOST_VIRTUAL_COILS:
        return None
    own = int(echo[centre])
    echoes = (own, *(int(each) for each in np.unique(number) if each != own))
    virtual = compression(hybrid[:, first : last + 1], MOST_VIRTUAL_COILS).matrix
    lines = mix_channels(virtual, hybrid[:, first : last + 1])
    steps = _steps(lines, number, echoes)
    constant, deviation = _joined(steps, len(echoes), 0)
    slope, slope_deviation = _joined(steps, len(echoes), 1)
    constant[np.abs(constant) < SIGNIFICANT * deviation] = 0.0
    slope[np.abs(slope) < SIGNIFICANT * slope_deviation] = 0.0
    return EchoPhases(echoes, constant, slope, deviation)


def without_echo_phases(
    lines: torch.Tensor, found: EchoPhases, echo: Numbers, columns: int
) -> torch.Tensor:
    """`lines` `[channel, ky, column]` with the phases taken off.

    `echo` is `[ky]` of these lines; `columns` the image's width, of which they may hold more (oversampling).
    """
    place = (torch.arange(lines.shape[2], device=lines.device) - lines.shape[2] // 2) / columns
    turns = torch.zeros((lines.shape[1], lines.shape[2]), device=lines.device)
    for number, constant, slope in zip(found.echoes, found.constant, found.slope, strict=True):
        turns[torch.from_numpy(echo == number).to(lines.device)] = -(constant + slope * place)
    return lines * torch.polar(torch.ones_like(turns), turns)


def _steps(lines: torch.Tensor, number: Numbers, echoes: tuple[int, ...]) -> list[_Step]:
    """The phase step at every border between echoes, from both sides."""
    columns = lines.shape[2]
    edges = np.linspace(0, columns, min(COLUMN_BLOCKS, columns) + 1).astype(int)
    place = (edges[:-1] + edges[1:] - 1) / 2 / columns - (columns // 2) / columns
    borders = [
        (target, sign)
        for sign in (1, -1)
        for target in range(len(number))
        if 0 <= target - 2 * sign < len(number)
        and number[target] != number[target - sign] == number[target - 2 * sign]
    ]
    products = np.zeros((len(borders), len(place)), dtype=np.complex128)
    left = np.zeros((len(borders), len(place)))
    for block, (begin, end) in enumerate(pairwise(edges)):
        some = lines[:, :, begin:end]
        weights, reference = {}, {}
        for sign in (1, -1):
            inside = _inside(number, sign)
            weights[sign] = _weights(some, inside, sign)
            predicted = _predicted(some, weights[sign], inside, sign)
            reference[sign] = inside, (some[:, inside] * predicted.conj()).sum(dim=(0, 2)).cpu().numpy()
        for border, (target, sign) in enumerate(borders):
            measured, expected = some[:, target], _predicted(some, weights[sign], [target], sign)[:, 0]
            inside, own = reference[sign]
            close = np.abs(np.array(inside) - target) <= CLOSE
            turn = np.exp(-1j * np.angle((own[close] / np.maximum(np.abs(own[close]), 1e-12)).sum()))
            product = complex((measured * expected.conj()).sum())
            products[border, block] = product * turn
            aligned = measured * complex(np.exp(-1j * np.angle(product)))
            left[border, block] = float((aligned - expected).abs().square().mean()) / 2
    found = []
    for border, (target, sign) in enumerate(borders):
        weighted = products[border] / np.maximum(left[border], 1e-12)
        constant, slope, deviations = _fit(weighted, place)
        before, after = echoes.index(int(number[target - sign])), echoes.index(int(number[target]))
        found.append(_Step(before, after, constant, slope, deviations))
    return found


def _inside(number: Numbers, sign: int) -> list[int]:
    """Lines whose two predecessors (`sign` 1) or successors (-1) are of the same echo."""
    return [
        target
        for target in range(len(number))
        if 0 <= target - 2 * sign < len(number)
        and number[target] == number[target - sign] == number[target - 2 * sign]
    ]


def _neighbours(some: torch.Tensor, targets: list[int], sign: int) -> torch.Tensor:
    """`[2 x channel, target, column]`."""
    places = torch.tensor(targets, device=some.device)
    return torch.cat([some[:, places - sign], some[:, places - 2 * sign]])


def _predicted(some: torch.Tensor, weights: torch.Tensor, targets: list[int], sign: int) -> torch.Tensor:
    """`[channel, target, column]`."""
    return torch.tensordot(weights, _neighbours(some, targets, sign), dims=1)


def _weights(some: torch.Tensor, inside: list[int], sign: int) -> torch.Tensor:
    """`[channel, 2 x channel]`: a line from its two neighbours on one side, fitted to the lines `inside` echoes."""
    energy = some.abs().square().mean(dim=(0, 2))[inside].clamp(min=torch.finfo(some.real.dtype).tiny)
    scale = (energy ** (-ENERGY_WEIGHT / 2))[:, None]
    known = (_neighbours(some, inside, sign) * scale).flatten(1)
    wanted = (some[:, inside] * scale).flatten(1)
    normal = known @ known.conj().T
    normal.diagonal().add_(RIDGE * float(normal.diagonal().real.mean()))
    return torch.linalg.solve(normal, wanted @ known.conj().T, left=False)


def _fit(products: npt.NDArray[np.complex128], place: Floats) -> tuple[float, float, tuple[float, float]]:
    """Constant and slope of the phase of `products` `[block]` (in units of their noise), and standard deviations."""
    size = np.abs(np.exp(-1j * SLOPES[:, None] * place) @ products)
    best = int(np.clip(np.argmax(size), 1, len(SLOPES) - 2))
    low, high = size[best - 1] - size[best], size[best + 1] - size[best]
    shift = 0.5 * (low - high) / (low + high) if low + high < 0 else 0.0
    slope = float(SLOPES[best] + np.clip(shift, -1, 1) * (SLOPES[1] - SLOPES[0]))
    turned = np.exp(-1j * slope * place) * products
    constant = float(np.angle(turned.sum()))
    # Only what adds up in phase tells anything.
    information = np.maximum((turned * np.exp(-1j * constant)).real, 0.0)
    total = max(float(information.sum()), 1e-12)
    middle = float((information * place).sum()) / total
    spread = max(float((information * (place - middle) ** 2).sum()), 1e-12)
    return constant, slope, ((1 / total + middle**2 / spread) ** 0.5, spread**-0.5)


def _joined(steps: list[_Step], count: int, which: int) -> tuple[Floats, Floats]:
    """`[echo]` phases from their differences by weighted least squares, echo 0 at zero, and standard deviations."""
    normal, target = np.zeros((count, count)), np.zeros(count)
    for step in steps:
        weight = step.deviations[which] ** -2
        value = step.slope if which else step.constant
        for one, sign in ((step.after, 1), (step.before, -1)):
            target[one] += sign * weight * value
            normal[one, step.after] += sign * weight
            normal[one, step.before] -= sign * weight
    inverse = np.linalg.pinv(normal[1:, 1:])
    phases = inverse @ target[1:]
    residual = [
        ((step.slope if which else step.constant) - (np.r_[0, phases][step.after] - np.r_[0, phases][step.before]))
        / step.deviations[which]
        for step in steps
    ]
    # Where the differences disagree by more than they should, all are less certain.
    spread = max(float(np.mean(np.square(residual))) ** 0.5, 1.0) if residual else 1.0
    return np.r_[0.0, phases], np.r_[1e-9, np.sqrt(np.diag(inverse)) * spread]
