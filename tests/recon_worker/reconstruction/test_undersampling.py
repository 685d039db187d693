"""Lines dropped on purpose: exactly as if they had never been acquired."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from recon_worker.data import ChainChoice, InputFault
from recon_worker.reconstruction.chain import reconstruct
from recon_worker.reconstruction.undersampling import kept_lines
from tests.recon_worker.support import Coils, Ellipse, Protocol, Scan, in_memory, pixel_positions, simulate

PROTOCOL = Protocol(columns=64, rows=80, n_coils=8, read_mm=96.0, phase_mm=100.0)
COILS = replace(Coils.make(8), period_mm=150.0)
STEPS = np.arange(80)
BODY = Ellipse(0, 0, 36, 38).inside(*pixel_positions(PROTOCOL))


def _scan(lines: np.ndarray = STEPS >= 0, *, averages: int = 1, noise_scan: bool = True) -> Scan:
    scan = simulate(
        replace(PROTOCOL, n_averages=averages), noise_level=0.03, coils=COILS, noise_scan=noise_scan
    )
    acquired = scan.acquired & lines
    return replace(scan, acquired=acquired, data=scan.data * acquired[None, :, None, :, None])


@pytest.mark.parametrize("noise_scan", [True, False])
@pytest.mark.parametrize("held", [STEPS >= 0, STEPS < 60], ids=["full", "partial Fourier"])
def test_the_result_is_that_of_a_file_without_the_lines(held: np.ndarray, noise_scan: bool):
    lattice = ((STEPS - 40) % 2 == 0) | ((STEPS >= 28) & (STEPS < 52))
    on_purpose = reconstruct(
        in_memory(_scan(held, averages=2, noise_scan=noise_scan)),
        choice=ChainChoice(undersampling=2, calibration_lines=24),
    )
    by_file = reconstruct(in_memory(_scan(held & lattice, averages=2, noise_scan=noise_scan)))
    assert np.array_equal(on_purpose.volume.array, by_file.volume.array)
    assert np.array_equal(on_purpose.volume.noise_std, by_file.volume.noise_std)
    first = on_purpose.lineage["steps"][0]
    assert first["step"] == "undersampling on purpose"
    assert (first["lines_held"], first["lines_kept"]) == (int(held.sum()), int((held & lattice).sum()))
    assert on_purpose.remarks[0].startswith("Lines were dropped on purpose: ")
    assert on_purpose.remarks[1:] == by_file.remarks


@pytest.mark.parametrize("pattern", ["regular", "variable density"])
def test_remark_and_lineage_count_the_lines_that_were_kept(pattern: str):
    """Ten lines beyond the centre leave less of the calibration block than was chosen."""
    found = reconstruct(in_memory(_scan(STEPS >= 30)), choice=ChainChoice(undersampling=2, pattern=pattern))
    told = found.lineage["steps"][0]
    kept = kept_lines(STEPS >= 30, 40, ChainChoice(undersampling=2, pattern=pattern))
    assert told["steps_kept"] == np.flatnonzero(kept).tolist()
    assert told["calibration_lines_kept"] == 22
    assert "22 in the centre of k-space" in found.remarks[0]
    assert ("density_power" in told) == (pattern == "variable density")


def test_what_stands_on_dropped_lines_does_not_matter():
    scan = _scan()
    choice = ChainChoice(undersampling=3, calibration_lines=20)
    spoiled = scan.data.copy()
    spoiled[:, :, :, ~kept_lines(STEPS >= 0, 40, choice)] = 1e6
    clean = reconstruct(in_memory(scan), choice=choice).volume.array
    assert np.array_equal(clean, reconstruct(in_memory(replace(scan, data=spoiled)), choice=choice).volume.array)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_variable_density_keeps_as_many_lines_denser_in_the_centre_and_always_the_same(n: int):
    held = np.ones(224, dtype=bool)
    regular = kept_lines(held, 112, ChainChoice(undersampling=n, calibration_lines=24))
    choice = ChainChoice(undersampling=n, calibration_lines=24, pattern="variable density")
    kept = kept_lines(held, 112, choice)
    assert kept.sum() == regular.sum()
    assert kept[100:124].all()
    assert kept[[0, -1]].all()
    assert kept[70:154].mean() > 1.3 * np.r_[kept[:70], kept[154:]].mean()
    assert len(np.unique(np.diff(np.flatnonzero(kept)))) > 2
    assert np.array_equal(kept, kept_lines(held, 112, choice))


@pytest.mark.parametrize(
    "choice",
    [
        ChainChoice(undersampling=2),
        ChainChoice(undersampling=2, parallel_imaging="GRAPPA"),
        ChainChoice(undersampling=2, parallel_imaging="L1-wavelet", pattern="variable density"),
        ChainChoice(undersampling=2, virtual_coils=6),
    ],
    ids=["SENSE", "GRAPPA", "L1-wavelet", "six virtual coils"],
)
def test_every_way_to_fill_lines_in_gives_the_image_and_tells_its_parameters(choice: ChainChoice):
    truth = np.abs(reconstruct(in_memory(replace(simulate(PROTOCOL, coils=COILS), noise=_scan().noise))).volume.array)

    def error(array: np.ndarray) -> float:
        return float(np.linalg.norm((np.abs(array) - truth)[0][BODY]) / np.linalg.norm(truth[0][BODY]))

    found = reconstruct(in_memory(_scan()), choice=choice)
    empty = _scan().data * kept_lines(STEPS >= 0, 40, choice)[:, None]
    assert error(found.volume.array) < 0.6 * error(reconstruct(in_memory(replace(_scan(), data=empty))).volume.array)
    step = next(each for each in found.lineage["steps"] if each["step"] == "unfolding")
    assert choice.parallel_imaging in step["method"]
    assert found.remarks[1].startswith("Undersampled: ")
    if not choice.is_linear:
        assert step["noise map"] == "8 replicas"
    assert found.line_noise.mean() == pytest.approx(1.0, abs=1e-4)


def test_an_undersampled_file_is_not_undersampled_again():
    lattice = (STEPS % 2 == 0) | (abs(STEPS - 40) <= 12)
    with pytest.raises(InputFault, match="undersampled already"):
        reconstruct(in_memory(_scan(lattice)), choice=ChainChoice(undersampling=2))
