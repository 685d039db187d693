"""Phases between odd and even echoes: those that were put in are found and taken off, and none is made up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from recon_worker.data import ChainChoice, InputFault, KSpace, KSpaceSlice, chain_choice
from recon_worker.phantom.anatomy import draw_subject
from recon_worker.phantom.protocol import scan_of
from recon_worker.phantom.scanner import set_up
from recon_worker.phantom.simulate import write_sequence
from recon_worker.rawdata.open import open_kspace
from recon_worker.reconstruction.chain import Reconstruction, reconstruct
from tests.recon_worker.reconstruction.test_chain_choice import only, step
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
    """Of the echoes that are odd where the centre's is even, or the other way round."""
    random = np.random.default_rng(seed)
    other = (np.arange(echoes) - centre) % 2
    return {name: random.choice([-1, 1]) * random.uniform(0.3, 0.6) * other for name in ("constant", "slope")}


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
    told = step(corrected.lineage, "echo phase correction")
    other = int(echo[64]) - 1 if echo is BANDS else 1
    assert told["slices_corrected"] == 1
    assert told["constant_taken_off"] == pytest.approx([phases["constant"][other]], abs=0.1)


@pytest.mark.parametrize("echo", [BANDS, CENTRE_OUT], ids=["from edge to edge", "centre out"])
def test_without_such_phases_nothing_changes_measurably(echo: np.ndarray):
    kspace = _kspace(_scan(), echo)
    plain, corrected = (reconstruct(kspace, choice=choice).volume for choice in (OFF, ON))
    change = np.abs(corrected.array) - np.abs(plain.array)
    assert np.sqrt((change**2).mean()) < 0.2 * plain.noise_std.mean()


@pytest.mark.parametrize(
    ("echo", "reason"),
    [
        (np.full(128, -1), "the file does not say which echo each line is"),
        (np.full(128, 2), "the file does not hold both odd and even echoes"),
        (STEPS % 8, "too few neighbouring lines are of the same echo"),
    ],
    ids=["unknown", "one echo", "no bands"],
)
def test_what_cannot_be_measured_changes_nothing_and_the_remark_says_why(echo: np.ndarray, reason: str):
    scan = _scan()
    found = reconstruct(_kspace(scan, echo), choice=ON)
    assert np.array_equal(found.volume.array, reconstruct(in_memory(scan)).volume.array)
    assert found.remarks == (f"Echo phases were not corrected: {reason}.",)


def test_an_undersampled_file_is_left_alone_and_told():
    found = reconstruct(_kspace(only(_scan(), (STEPS % 2 == 0) | (abs(STEPS - 64) < 13)), BANDS), choice=ON)
    assert "Echo phases were not corrected: lines between the outermost ones are missing." in found.remarks


def test_dropping_lines_on_purpose_and_correcting_echoes_exclude_each_other():
    with pytest.raises(InputFault, match="needs all lines"):
        chain_choice({"undersampling": 2, "echo_phase_correction": True})


@pytest.mark.parametrize("motion", [0.0, 1.0], ids=["still", "moving"])
@pytest.mark.parametrize("sequence", ["SAG T2 FS", "SAG T1", "AX T2"])
def test_decay_and_motion_are_not_taken_for_phase(sequence: str, motion: float, tmp_path: Path):
    """Echo trains of the spine simulator: T2 decay from echo to echo, pulsation and breath, and a phase of 0.01 to
    0.03 rad either way. The correction never adds to the error, and takes 0.3 rad off where it stands out."""
    scan = scan_of(sequence, protocol="MSK", size="tiny")
    write_sequence(tmp_path, set_up(draw_subject(5, 1), scan, seed=5, number=1, motion=motion), 5, 1, lambda part: None)
    truth = np.load(tmp_path / "truth.npz")
    shown = np.abs(truth["image"]) * truth["sensitivity"]
    # Around the column: at the rim of an axial field of view the truth folds the belly onto the back.
    column = (truth["bodies"] > 0) | (truth["discs"] > 0)
    body = ndimage.binary_dilation(column, np.ones((1, 9, 9), bool))

    def error(kspace: KSpace, choice: ChainChoice) -> tuple[float, Reconstruction]:
        found = reconstruct(kspace, choice=choice)
        image = np.abs(found.volume.array)
        image *= (image * shown)[body].sum() / (image[body] ** 2).sum()
        return float(np.linalg.norm((image - shown)[body]) / np.linalg.norm(shown[body])), found

    for acquisition in ("standard", "fast"):
        kspace = open_kspace(tmp_path / f"{acquisition}.h5")
        without, (with_it, plain) = error(kspace, OFF)[0], error(kspace, ON)
        assert with_it <= 1.02 * without
        if sequence == "AX T2" and acquisition == "fast":
            assert plain.remarks[0].endswith("too few neighbouring lines are of the same echo.")
            continue
        turned = _odd_echoes_turned(kspace, 0.3)
        ghosted, (corrected, found) = error(turned, OFF)[0], error(turned, ON)
        assert corrected <= 1.02 * min(without, ghosted)
        first, second = (step(each.lineage, "echo phase correction") for each in (plain, found))
        change = np.abs(np.subtract(second["constant_measured"], first["constant_measured"]))
        assert change == pytest.approx(0.3, abs=0.01)
        assert second["slices_corrected"] == scan.n_slices


def _odd_echoes_turned(kspace: KSpace, radian: float) -> KSpace:
    def slices() -> Iterator[KSpaceSlice]:
        for piece in kspace.slices():
            turn = np.exp(1j * radian * (piece.echo % 2)).astype(np.complex64)
            yield replace(piece, data=piece.data * turn[None, None, :, None])

    return KSpace(kspace.header, slices)


def test_partial_fourier_data_are_corrected_too():
    scan = _scan()
    held = STEPS < 88
    data = scan.data * held[:, None]
    half = replace(scan, acquired=scan.acquired & held, data=data)
    clean = reconstruct(in_memory(half)).volume.array
    kspace = _kspace(_with_phases(half, BANDS, **_phases(8, int(BANDS[64]), 3)), BANDS)
    ghosts = [_ghost(reconstruct(kspace, choice=choice).volume.array, clean) for choice in (ON, OFF)]
    assert ghosts[0] < 0.4 * ghosts[1]
