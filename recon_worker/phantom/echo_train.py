"""Which phase-encode line is which echo of which train, when it is acquired, and what T2 makes of it.

Fast spin echo with a long effective echo time fills k-space line by line from one edge to the other, so that the echo
at the effective echo time meets the centre; where fewer lines are acquired (0.5 NEX) the echoes go round cyclically
to keep that time. A short echo time goes from the centre outwards. Neighbouring lines belong to different trains.

Slices are excited interleaved, first the even ones, then the odd ones; if they do not fit into one TR, in several
passes one after the other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recon_worker.phantom.protocol import Scan

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
STIMULATED = 1.5
"""Refocusing pulses well below 180 degrees store part of the signal along the field, where it decays more slowly: a
longer apparent T2 along the train (Hennig 1988)."""
_PREPARATION_ECHOES = 2
"""Excitation, spoiling and fat saturation of one slice take about as long as two echoes."""


@dataclass(frozen=True)
class EchoTrains:
    """The order of one acquisition's lines.

    Attributes
    ----------
    lines
        `[line]` phase-encode steps, rising.
    echo
        `[line]` echo in its train, from 0.
    train
        `[line]` excitation of the slice in which it is acquired, from 0, the same for every average.
    n_trains
        Excitations of a slice for one average.
    """

    lines: Integers
    echo: Integers
    train: Integers
    n_trains: int


def echo_trains(scan: Scan, acquisition: str) -> EchoTrains:
    """Order of the lines of "Standard" or "Fast"."""
    lines = np.asarray(scan.lines(acquisition), dtype=np.int64)
    centre = scan.matrix[1] // 2
    n_trains = -(-len(lines) // scan.echo_train_length)
    place = np.empty(len(lines), dtype=np.int64)
    if scan.centre_out:
        place[np.argsort(np.abs(lines - centre), kind="stable")] = np.arange(len(lines))
        echo = place // n_trains
    else:
        place = np.arange(len(lines))[::-1]
        middle = int(place[np.searchsorted(lines, centre)]) // n_trains
        echo = (place // n_trains - middle + scan.effective_echo) % scan.echo_train_length
    return EchoTrains(lines, echo, place % n_trains, n_trains)


def decay(scan: Scan, echo: Integers, t2_ms: float) -> npt.NDArray[np.float32]:
    """`[line]` signal of tissue with `t2_ms` at each echo, relative to that at the effective echo time."""
    later = (echo - scan.effective_echo) * scan.echo_spacing_ms
    return np.asarray(np.exp(-later / (t2_ms * STIMULATED)), dtype=np.float32)


def passes(scan: Scan) -> int:
    """How many times the stack is gone through because its slices do not fit into one TR."""
    one_slice_ms = (scan.echo_train_length + _PREPARATION_ECHOES) * scan.echo_spacing_ms
    return int(np.ceil(scan.n_slices * one_slice_ms / scan.weighting.tr_ms))


def duration_s(scan: Scan, acquisition: str) -> float:
    """Time that the acquisition takes."""
    excitations = echo_trains(scan, acquisition).n_trains * scan.averages(acquisition)
    return passes(scan) * excitations * scan.weighting.tr_ms / 1000


def line_times_s(scan: Scan, acquisition: str, index: int, average: int) -> Floats:
    """`[line]` seconds after the start at which the lines of slice `index` and `average` are acquired."""
    trains = echo_trains(scan, acquisition)
    order = [*range(0, scan.n_slices, 2), *range(1, scan.n_slices, 2)]
    in_a_pass = -(-scan.n_slices // passes(scan))
    number, slot = divmod(order.index(index), in_a_pass)
    excitation = (number * scan.averages(acquisition) + average) * trains.n_trains + trains.train
    tr_s = scan.weighting.tr_ms / 1000
    return np.asarray(
        (excitation + slot / in_a_pass) * tr_s + (trains.echo + 1) * scan.echo_spacing_ms / 1000, dtype=np.float64
    )
