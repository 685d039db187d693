"""Phase between odd and even echoes of a train, measured on the image lines themselves and taken off.

Eddy currents and refocusing pulses that are not exact leave odd and even echoes with different phases (Meiboom and
Gill, Rev. Sci. Instrum. 29:688, 1958): constant, and linear along the readout of the image (an echo that is not in the
middle of the readout). Each echo fills its own band of k-space, so the phase steps at the bands' borders make ghosts
and blur. No reference scan is needed: a line follows from the two before it through the coils, as in GRAPPA (Griswold
et al., MRM 47:1202, 2002). The weights come from lines of one echo, where no phase can enter. At every border they
predict the first line of one echo from the last lines of the other, and the phase between prediction and measurement,
less that of predictions within the echoes close by, is a sample of the difference.

Such a sample is off by much more than noise: T2 decay from echo to echo and motion pass for phase as well. But they
know nothing of odd and even. So two numbers are fitted robustly to the samples of all borders: what changes its sign
from border to border, and what a steady drift along k-space would do; only the first is used. How far the borders
disagree says how well it is known, and what does not stand out from that is left as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

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
SIGNIFICANT = 3.0
"""Phases smaller than so many standard deviations are left as they are ..."""
LEAST = 0.15
"""... and those below this anywhere in the image (radian): simulated decay and motion move the measured phase by up to
0.1."""
OUTLIER = 4.685
"""Samples off by so many standard deviations count nothing (Tukey's biweight)."""
ROUNDS = 20
"""Of the robust fit."""
FEWEST_SAMPLES = 6
"""Borders, each from both sides."""

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int16]

UNKNOWN_ECHOES = "the file does not say which echo each line is"
ONE_KIND = "the file does not hold both odd and even echoes"
NARROW_BANDS = "too few neighbouring lines are of the same echo"
MISSING_LINES = "lines between the outermost ones are missing"
NOT_SIGNIFICANT = "no difference between odd and even echoes stands out from its uncertainty"


@dataclass(frozen=True)
class EchoPhases:
    """What was found in one slice.

    Attributes
    ----------
    centre_echo
        Number of the echo that holds the centre of k-space; its phase is zero, and that of every second echo from it.
    constant, slope
        Of the other echoes, radian: in the middle of the image, and from one end of the readout to the other, as they
        are taken off. Zero where not significant.
    measured, deviation
        Constant and slope as measured, and their standard deviations.
    borders
        Samples that they come from.
    reason
        Why nothing was taken off; empty if something was.
    """

    centre_echo: int
    constant: float = 0.0
    slope: float = 0.0
    measured: tuple[float, float] = (0.0, 0.0)
    deviation: tuple[float, float] = (0.0, 0.0)
    borders: int = 0
    reason: str = ""


def parameters() -> dict[str, Any]:
    """Constants of this step, for the lineage."""
    return {
        "most_virtual_coils": MOST_VIRTUAL_COILS,
        "column_blocks": COLUMN_BLOCKS,
        "close_lines": CLOSE,
        "energy_weight": ENERGY_WEIGHT,
        "ridge": RIDGE,
        "largest_slope": float(SLOPES[-1]),
        "significance": SIGNIFICANT,
        "least_radian": LEAST,
        "outlier": OUTLIER,
    }


@dataclass(frozen=True)
class _Step:
    """Phase of a line minus its prediction from the other echo.

    Attributes
    ----------
    kind
        1 if the line is of the echoes whose phase is sought and the prediction is not, -1 the other way round.
    drift
        Sign that a steady drift of phase along k-space has in `constant` times `kind`.
    constant, slope
        radian.
    """

    kind: int
    drift: int
    constant: float
    slope: float


def echo_phases(
    hybrid: torch.Tensor, echo: Numbers, counts: npt.NDArray[np.int64], centre: int
) -> EchoPhases:
    """Phase between odd and even echoes, or the reason why there is nothing to take off.

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
    number, own = echo[first : last + 1], int(echo[centre])
    if (number < 0).any():
        return EchoPhases(own, reason=UNKNOWN_ECHOES)
    if len(np.unique(number % 2)) < 2:
        return EchoPhases(own, reason=ONE_KIND)
    alike = number[1:] == number[:-1]
    if np.count_nonzero(alike[1:] & alike[:-1]) < 4 * MOST_VIRTUAL_COILS:
        return EchoPhases(own, reason=NARROW_BANDS)
    virtual = compression(hybrid[:, first : last + 1], MOST_VIRTUAL_COILS).matrix
    lines = mix_channels(virtual, hybrid[:, first : last + 1])
    steps = _steps(lines, number, own)
    if len(steps) < FEWEST_SAMPLES:
        return EchoPhases(own, reason=NARROW_BANDS)
    found = [
        _robust(steps, np.array([step.constant for step in steps])),
        _robust(steps, np.array([step.slope for step in steps])),
    ]
    # Half of the slope is reached at the ends of the image.
    constant, slope = (_shrunk(*each, least) for each, least in zip(found, (LEAST, 2 * LEAST), strict=True))
    (measured, deviation) = zip(*found, strict=True)
    reason = "" if constant or slope else NOT_SIGNIFICANT
    return EchoPhases(
        own, constant, slope, (measured[0], measured[1]), (deviation[0], deviation[1]), len(steps), reason
    )


def without_echo_phases(
    lines: torch.Tensor, found: EchoPhases, echo: Numbers, columns: int
) -> torch.Tensor:
    """`lines` `[channel, ky, column]` with the phases taken off.

    `echo` is `[ky]` of these lines; `columns` the image's width, of which they may hold more (oversampling).
    """
    place = (torch.arange(lines.shape[2], device=lines.device) - lines.shape[2] // 2) / columns
    other = torch.from_numpy((echo - found.centre_echo) % 2 != 0).to(lines.device)
    turns = -(found.constant + found.slope * place) * other[:, None]
    return lines * torch.polar(torch.ones_like(turns), turns)


def _steps(lines: torch.Tensor, number: Numbers, centre_echo: int) -> list[_Step]:
    """The phase step at every border between an odd and an even echo, from both sides."""
    columns = lines.shape[2]
    edges = np.linspace(0, columns, min(COLUMN_BLOCKS, columns) + 1).astype(int)
    place = (edges[:-1] + edges[1:] - 1) / 2 / columns - (columns // 2) / columns
    borders = [
        (target, sign)
        for sign in (1, -1)
        for target in range(len(number))
        if 0 <= target - 2 * sign < len(number)
        and (number[target] - number[target - sign]) % 2 and number[target - sign] == number[target - 2 * sign]
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
        constant, slope = _fit(weighted, place)
        kind = 1 if (number[target] - centre_echo) % 2 else -1
        found.append(_Step(kind, kind * sign, constant, slope))
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


def _fit(products: npt.NDArray[np.complex128], place: Floats) -> tuple[float, float]:
    """Constant and slope of the phase of `products` `[block]` (in units of their noise)."""
    size = np.abs(np.exp(-1j * SLOPES[:, None] * place) @ products)
    best = int(np.clip(np.argmax(size), 1, len(SLOPES) - 2))
    low, high = size[best - 1] - size[best], size[best + 1] - size[best]
    shift = 0.5 * (low - high) / (low + high) if low + high < 0 else 0.0
    slope = float(SLOPES[best] + np.clip(shift, -1, 1) * (SLOPES[1] - SLOPES[0]))
    return float(np.angle((np.exp(-1j * slope * place) * products).sum())), slope


def _robust(steps: list[_Step], values: Floats) -> tuple[float, float]:
    """What changes its sign with the kind of border in `values` `[step]` (radian), and its standard deviation.

    A drift is fitted beside it. Tukey's biweight, by least squares weighted again and again.
    """
    kind, drift = (np.array([getattr(step, name) for step in steps], dtype=float) for name in ("kind", "drift"))
    signed = values * kind
    turn = float(np.angle(np.exp(1j * signed).sum()))
    signed = (signed - turn + np.pi) % (2 * np.pi) - np.pi
    design = np.stack([np.ones_like(drift), drift], axis=1)
    weights, answer = np.ones(len(steps)), np.array([float(np.median(signed)), 0.0])
    for _ in range(ROUNDS):
        left = signed - design @ answer
        scale = max(1.4826 * float(np.median(np.abs(left))), 1e-6)
        weights = np.clip(1 - (left / (OUTLIER * scale)) ** 2, 0, None) ** 2
        answer = np.linalg.lstsq(design * np.sqrt(weights)[:, None], signed * np.sqrt(weights), rcond=None)[0]
    left = signed - design @ answer
    # Two samples of one border, one from either side, are not independent: they count as one.
    free = max(weights.sum() / 2 - 1, 0.5)
    variance = float((weights * left**2).sum()) / 2 / free
    inverse = np.linalg.pinv((design * weights[:, None]).T @ design)
    return float(turn + answer[0]), float(np.sqrt(2 * variance * inverse[0, 0]))


def _shrunk(measured: float, deviation: float, least: float) -> float:
    """`measured` by as much as it is known; zero where not significant, or below `least`."""
    if abs(measured) < max(SIGNIFICANT * deviation, least):
        return 0.0
    return measured * (1 - (deviation / measured) ** 2)
