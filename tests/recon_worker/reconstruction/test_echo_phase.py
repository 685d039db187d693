"""Phases between echoes: those that were put in are found and taken off, and none is made up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recon_worker.data import ChainChoice, KSpace
from recon_worker.reconstruction.chain import reconstruct
from tests.recon_worker.support import BODY, Coils, Ellipse, Protocol, Scan, in_memory, pixel_positions, simulate

PROTOCOL = Protocol(columns=96, rows=128, n_coils=8, read_mm=110.0, phase_mm=140.0)
COILS = replace(Coils.make(8), period_mm=220.0)
STEPS = np.arange(128)
BANDS = ((STEPS - 8) // 16).clip(0, 7).astype(np.int16)
"""Eight echoes, one band of neighbouring lines each."""
CENTRE_OUT = (np.abs(STEPS - 64) // 16).clip(0, 3).astype(np.int16)
ON, OFF = ChainChoice(echo_phase_correction=True), ChainChoice()
DETAILS = (Ellipse(5.0, 24.0, 2.0, 6.0, brightness=-0.5), Ellipse(-2.0, -10.0, 1.5, 1.5, brightness=0.9))


def _scan(noise_level: float = 0.02) -> Scan:
    return simulate(PROTOCOL, noise_level=noise_level, coils=COILS, shapes=BODY + DETAILS)


def _kspace(scan: Scan, echo: np.ndarray) -> KSpace:
    plain = in_memory(scan)
    return KSpace(plain.header, lambda: (replace(piece, echo=echo.astype(np.int16)) for piece in plain.slices()))


def _with_phases(scan: Scan, echo: np.ndarray, *, constant: np.ndarray, slope: np.ndarray) -> Scan:
    """Phases applied in the readout's image, by NumPy's own transform."""
    image = np.fft.fftshift(np.fft.ifft(np.fft.ifftshift(scan.data, axes=-1), axis=-1), axes=-1)
    place = (np.arange(PROTOCOL.samples) - PROTOCOL.samples // 2) / PROTOCOL.columns
    turned = image * np.exp(1j * (constant[echo][:, None] + slope[echo][:, None] * place))
    data = np.fft.fftshift(np.fft.fft(np.fft.ifftshift(turned, axes=-1), axis=-1), axes=-1)
    return replace(scan, data=data.astype(np.complex64))


def _phases(echoes: int, centre: int, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    found = {"constant": random.uniform(-0.6, 0.6, echoes), "slope": random.uniform(-0.6, 0.6, echoes)}
    for values in found.values():
        values[centre] = 0.0
    return found


def _ghost(image: np.ndarray, clean: np.ndarray) -> float:
    """Root mean square difference to the image without phases, relative to it."""
    return float(np.linalg.norm(np.abs(image) - np.abs(clean)) / np.linalg.norm(clean))


@pytest.mark.parametrize("echo", [BANDS, CENTRE_OUT], ids=["from edge to edge", "centre out"])
@pytest.mark.parametrize("seed", [1, 2])
def test_ghosts_of_known_phases_go_down_to_a_quarter(echo: np.ndarray, seed: int):
    scan = _scan()
    clean = reconstruct(in_memory(scan)).volume.array
    phases = _phases(int(echo.max()) + 1, int(echo[64]), seed)
    kspace = _kspace(_with_phases(scan, echo, **phases), echo)
    corrected = reconstruct(kspace, choice=ON)
    assert _ghost(corrected.volume.array, clean) < 0.25 * _ghost(reconstruct(kspace).volume.array, clean)
    outside = ~Ellipse(0, 0, 42, 44).inside(*pixel_positions(PROTOCOL))
    assert (np.abs(corrected.volume.array[0])[outside] ** 2).mean() < 1.1 * (np.abs(clean[0])[outside] ** 2).mean()
    step = next(each for each in corrected.lineage["steps"] if each["step"] == "echo phase correction")
    found = dict(zip(step["echoes"], step["constant_radian"], strict=True))
    near = [int(echo[64]) + 1, int(echo[64]) - 1] if echo is BANDS else [1]
    for each in near:
        assert found[each] == pytest.approx(abs(phases["constant"][each]), abs=0.1)


@pytest.mark.parametrize("echo", [BANDS, CENTRE_OUT], ids=["from edge to edge", "centre out"])
def test_without_such_phases_nothing_changes_measurably(echo: np.ndarray):
    kspace = _kspace(_scan(), echo)
    plain, corrected = (reconstruct(kspace, choice=choice).volume for choice in (OFF, ON))
    change = np.abs(corrected.array) - np.abs(plain.array)
    assert np.sqrt((change**2).mean()) < 0.2 * plain.noise_std.mean()


def test_unknown_echo_numbers_change_nothing_and_are_told():
    scan = _scan()
    found = reconstruct(_kspace(scan, np.full(128, -1)), choice=ON)
    assert np.array_equal(found.volume.array, reconstruct(in_memory(scan)).volume.array)
    assert any(remark.startswith("Echo phases were not corrected") for remark in found.remarks)


def test_partial_fourier_data_are_corrected_too():
    scan = _scan()
    held = STEPS < 88
    data = scan.data * held[:, None]
    half = replace(scan, acquired=scan.acquired & held, data=data)
    clean = reconstruct(in_memory(half)).volume.array
    kspace = _kspace(_with_phases(half, BANDS, **_phases(8, int(BANDS[64]), 3)), BANDS)
    ghosts = [_ghost(reconstruct(kspace, choice=choice).volume.array, clean) for choice in (ON, OFF)]
    assert ghosts[0] < 0.4 * ghosts[1]
