"""One scan of a subject: the lines of each slice and average as they come at their times, without noise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import fft

from recon_worker.phantom.echo_train import decay, duration_s, echo_trains, line_times_s
from recon_worker.phantom.motion import Shift, draw_motion, is_restless
from recon_worker.phantom.protocol import ACQUISITIONS, SEQUENCES
from recon_worker.phantom.scanner import Component, Scanner, SliceSignal

ComplexArray = npt.NDArray[np.complex64]


class Acquisition:
    """ "Standard" or "Fast" of one sequence: its own heartbeat, breath and movements.

    Attributes
    ----------
    trains
        The order of the lines.
    motion
        What happens while it is acquired.
    echo_phase
        Phase (rad) by which odd and even echoes differ from their mean: what is left after the prescan.
    """

    def __init__(self, scanner: Scanner, acquisition: str, *, seed: int, number: int) -> None:
        self._scanner = scanner
        self._acquisition = acquisition
        scan = scanner.scan
        place = [SEQUENCES.index(scan.sequence), ACQUISITIONS.index(acquisition)]
        rng = np.random.default_rng([seed, number, 6, *place])
        self.trains = echo_trains(scan, acquisition)
        self.echo_phase = float(rng.uniform(0.01, 0.03)) if scanner.echo_imperfections else 0.0
        self.motion = draw_motion(
            rng,
            duration_s=duration_s(scan, acquisition),
            through_plane=not scan.sagittal,
            restless=is_restless(seed, number),
            amount=scanner.motion,
        )

    def lines(self, signal: SliceSignal, average: int) -> ComplexArray:
        """`[line, coil, kx]` of one slice and average, lines rising as in `trains`."""
        times = line_times_s(self._scanner.scan, self._acquisition, signal.index, average)
        position = self.motion.position(times)
        coils, _, samples = signal.components[0].samples.shape
        out = np.empty((len(times), coils, samples), dtype=np.complex64)
        for number in np.unique(position):
            chosen = np.flatnonzero(position == number)
            components = signal.components
            shift = self.motion.shifts[number - 1] if number else None
            if shift is not None and shift.degrees:
                components = tuple(
                    Component(c.name, c.t2_ms, self._turned(c.samples, shift.degrees)) for c in components
                )
            out[chosen] = self._sum(components, times, chosen)
            if shift is not None:
                out[chosen] *= self._moved(shift, chosen)
        odd = np.where(self.trains.echo % 2 == 0, 1, -1)
        out *= np.exp(1j * self.echo_phase * odd).astype(np.complex64)[:, None, None]
        return out

    def _sum(
        self, components: tuple[Component, ...], times: npt.NDArray[np.float64], chosen: npt.NDArray[np.int64]
    ) -> ComplexArray:
        scan, motion, trains = self._scanner.scan, self.motion, self.trains
        lines = trains.lines[chosen]
        total: ComplexArray | None = None
        for component in components:
            factor: npt.NDArray[np.complexfloating] = np.ones(len(chosen), dtype=np.complex64)
            if self._scanner.echo_imperfections:
                factor = factor * decay(scan, trains.echo[chosen], component.t2_ms)
            if component.name == "csf":
                factor = factor * motion.csf(times[chosen])
            elif component.name == "blood":
                factor = factor * motion.blood(times[chosen])
                if not factor.any():
                    continue
            elif component.name == "belly":
                forward = motion.belly_mm(times[chosen])  # to the front: against the phase-encode direction
                ky = (lines - scan.matrix[1] // 2) / scan.field_of_view_mm
                factor = factor * np.exp(2j * np.pi * ky * forward)
            part = component.samples[:, lines].transpose(1, 0, 2) * factor.astype(np.complex64)[:, None, None]
            total = part if total is None else np.add(total, part, out=total)
        if total is None:
            raise ValueError("A slice has no components.")
        return total

    def _moved(self, shift: Shift, chosen: npt.NDArray[np.int64]) -> ComplexArray:
        scan = self._scanner.scan
        columns, rows = scan.encoded_matrix
        read_mm, phase_mm = self._scanner.encoded_field_of_view_mm
        kx = (np.arange(columns) - columns // 2) / read_mm
        ky = (self.trains.lines[chosen] - rows // 2) / phase_mm
        turn = ky[:, None, None] * shift.phase_mm + kx[None, None, :] * shift.read_mm
        return np.asarray(np.exp(-2j * np.pi * turn), dtype=np.complex64)

    def _turned(self, samples: ComplexArray, degrees: float) -> ComplexArray:
        return turned(samples, self._scanner.encoded_field_of_view_mm, degrees)


def turned(samples: ComplexArray, field_of_view_mm: tuple[float, float], degrees: float) -> ComplexArray:
    """k-space `[coil, ky, kx]` of the object turned about the centre, by three shears (exact but at the rim).

    Readout turns towards phase encoding for positive `degrees`. Source: Paeth 1986; Eddy 1996.
    """
    rows, columns = samples.shape[1:]
    read_mm, phase_mm = field_of_view_mm
    x = (np.arange(columns) - columns // 2) * (read_mm / columns)
    y = (np.arange(rows) - rows // 2) * (phase_mm / rows)
    kx = (np.arange(columns) - columns // 2) / read_mm
    ky = (np.arange(rows) - rows // 2) / phase_mm
    angle = np.radians(degrees)
    along_read = np.exp(2j * np.pi * np.tan(angle / 2) * np.outer(y, kx)).astype(np.complex64)
    along_phase = np.exp(-2j * np.pi * np.sin(angle) * np.outer(ky, x)).astype(np.complex64)
    samples = _forward(_backward(samples, 1) * along_read, 1)
    samples = _forward(_backward(samples, 2) * along_phase, 2)
    return _forward(_backward(samples, 1) * along_read, 1)


def _backward(samples: ComplexArray, axis: int) -> ComplexArray:
    return np.asarray(fft.fftshift(fft.ifft(fft.ifftshift(samples, axes=axis), axis=axis), axes=axis))


def _forward(samples: ComplexArray, axis: int) -> ComplexArray:
    return np.asarray(fft.fftshift(fft.fft(fft.ifftshift(samples, axes=axis), axis=axis), axes=axis))
