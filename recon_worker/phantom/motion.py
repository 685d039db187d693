"""Heartbeat, breath and restlessness during one acquisition, as factors and shifts of every line at its own time.

What moves is what a reader knows the ghosts of: cerebrospinal fluid pulsates (loses signal and gains phase in
systole), blood flows into the slice with the beat, the belly's wall and bowel rise and sink with the breath, and now
and then the patient shifts or turns a little, for good. Heart and breath are not regular, so no two averages and no two
scans meet them alike. Each factor has the mean 1 (or 0) over time: the still image is the mean of the moving ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Factors = npt.NDArray[np.complex64]
HEART_S = (0.92, 0.07)
BREATH_S = (4.2, 0.6)
"""Mean and standard deviation of the length of one beat and one breath."""
RESTLESS_SHARE = 0.2


@dataclass(frozen=True)
class Shift:
    """Where the patient lies from `start_s` on: mm along readout and phase encoding, degrees about the slice axis."""

    start_s: float
    read_mm: float
    phase_mm: float
    degrees: float


@dataclass(frozen=True)
class Motion:
    """What happens during one acquisition.

    Attributes
    ----------
    beats_s, breaths_s
        Times at which a heartbeat and a breath begin.
    csf_loss, csf_phase
        Signal that fluid loses at the fastest flow, and the phase it gains (rad).
    inflow, inflow_phase
        Signal of blood at the fastest flow as a share of that of fresh blood, and its phase (rad).
    breath_mm
        How far the belly's wall moves.
    shifts
        Positions of the patient in the order of their times; before the first the patient lies still at 0.
    """

    beats_s: Floats
    breaths_s: Floats
    csf_loss: float
    csf_phase: float
    inflow: float
    inflow_phase: float
    breath_mm: float
    shifts: tuple[Shift, ...]

    def csf(self, times_s: Floats) -> Factors:
        """Factor `[line]` on the signal of cerebrospinal fluid, mean 1."""

        def factor(phase: Floats) -> npt.NDArray[np.complex128]:
            flow = _flow(phase)
            return np.asarray((1 - self.csf_loss * np.abs(flow)) * np.exp(1j * self.csf_phase * flow))

        return np.asarray(factor(_phase(times_s, self.beats_s)) / factor(_CYCLE).mean(), dtype=np.complex64)

    def blood(self, times_s: Floats) -> Factors:
        """Factor `[line]` on the signal of fresh blood in the vessels, mean 0."""

        def factor(phase: Floats) -> npt.NDArray[np.complex128]:
            flow = _flow(phase - 0.12)
            return np.asarray(self.inflow * np.abs(flow) * np.exp(1j * self.inflow_phase * flow))

        return np.asarray(factor(_phase(times_s, self.beats_s)) - factor(_CYCLE).mean(), dtype=np.complex64)

    def belly_mm(self, times_s: Floats) -> Floats:
        """How far forward `[line]` the belly's wall is, mean 0."""
        return np.asarray(self.breath_mm * (_rise(_phase(times_s, self.breaths_s)) - _rise(_CYCLE).mean()))

    def position(self, times_s: Floats) -> npt.NDArray[np.int64]:
        """`[line]` number of the position: 0 at rest, n for `shifts[n - 1]`."""
        return np.searchsorted([shift.start_s for shift in self.shifts], times_s, side="right").astype(np.int64)


_CYCLE: Floats = np.arange(400) / 400


def _phase(times_s: Floats, starts_s: Floats) -> Floats:
    return np.asarray(np.interp(times_s, starts_s, np.arange(len(starts_s))) % 1.0, dtype=np.float64)


def _flow(phase: Floats) -> Floats:
    """Flow over one beat: a short way down in systole, a slow way back; 1 at its fastest."""
    phase = phase % 1.0
    return np.asarray(np.exp(-(((phase - 0.2) / 0.09) ** 2)) - 0.35 * np.exp(-(((phase - 0.5) / 0.16) ** 2)))


def _rise(phase: Floats) -> Floats:
    """The belly over one breath, 0 to 1, with a rest after breathing out."""
    return np.asarray(np.sin(np.pi * np.clip(phase / 0.7, 0, 1)) ** 2)


def _starts(rng: np.random.Generator, length_s: tuple[float, float], duration_s: float) -> Floats:
    mean = length_s[0] * float(np.clip(rng.normal(1, 0.12), 0.7, 1.4))
    count = int(2 * duration_s / mean) + 8
    lengths = np.clip(rng.normal(mean, length_s[1], count), 0.5 * mean, 1.7 * mean)
    return np.asarray(np.cumsum(lengths) - rng.uniform(1, 2) * lengths[0] - lengths[1], dtype=np.float64)


def draw_motion(
    rng: np.random.Generator, *, duration_s: float, through_plane: bool, restless: bool, amount: float
) -> Motion:
    """Random physiology of one acquisition; `amount` scales every movement (0: nothing moves).

    Flow that goes through the slice (axial) costs more signal than flow that stays in it.
    """
    beats, breaths = _starts(rng, HEART_S, duration_s), _starts(rng, BREATH_S, duration_s)
    csf_loss, csf_phase = rng.uniform(0.07, 0.18), rng.uniform(0.09, 0.27)
    if through_plane:
        csf_loss, csf_phase = 2.4 * csf_loss, 2.4 * csf_phase
    inflow, inflow_phase = rng.uniform(0.3, 0.8), rng.uniform(0.3, 1.2)
    breath = rng.uniform(1.5, 4.5)
    moves = int(rng.poisson(3 if restless else 1))
    shifts = []
    for start in sorted(rng.uniform(0.1, 0.95, moves) * duration_s):
        read, phase = rng.normal(0, 0.8 if restless else 0.12, 2)
        # Others than the restless shift without turning.
        degrees = float(rng.normal(0, 0.4)) if restless else 0.0
        shifts.append(Shift(float(start), float(read * amount), float(phase * amount), degrees * amount))
    return Motion(
        beats_s=beats,
        breaths_s=breaths,
        csf_loss=float(csf_loss * amount),
        csf_phase=float(csf_phase * amount),
        inflow=float(inflow * amount),
        inflow_phase=float(inflow_phase),
        breath_mm=float(breath * amount),
        shifts=tuple(shifts) if amount > 0 else (),
    )


def is_restless(seed: int, number: int) -> bool:
    """Whether subject `number` moves more than others."""
    return bool(np.random.default_rng([seed, number, 8]).random() < RESTLESS_SHARE)
