"""End to end on the spine simulator's files, which are written by other hands than this chain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from recon_worker.data import Volume
from recon_worker.phantom.anatomy import draw_subject
from recon_worker.phantom.protocol import scan_of
from recon_worker.phantom.scanner import set_up
from recon_worker.phantom.simulate import simulate_acquisition, write_sequence
from recon_worker.rawdata.open import open_kspace
from recon_worker.reconstruction.chain import reconstruct
from recon_worker.reconstruction.grid import common_grid
from recon_worker.reconstruction.intensity import (
    STORED_REFERENCE,
    acquisition_gain,
    intensity_map,
    stored_pixels,
    stored_scale,
)


@pytest.fixture(scope="module", params=["SAG T2 FS", "SAG T1", "AX T2"])
def spine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spine")
    scan = scan_of(request.param, protocol="MSK", size="tiny")
    write_sequence(folder, set_up(draw_subject(5, 1), scan, seed=5, number=1, motion=0.0), 5, 1, lambda fraction: None)
    return folder


def _both(folder: Path) -> tuple[Volume, Volume]:
    standard, fast = (reconstruct(open_kspace(folder / f"{name}.h5")).volume for name in ("standard", "fast"))
    return standard, fast


def test_spine_comes_out_where_the_truth_says(spine: Path):
    truth = np.load(spine / "truth.npz")
    standard, fast = _both(spine)
    shown = np.abs(truth["image"]) * truth["sensitivity"]
    # Around the column; at the rim of an axial field of view the truth folds the belly onto the back.
    spine_labels = (truth["bodies"] > 0) | (truth["discs"] > 0)
    body = ndimage.binary_dilation(spine_labels, np.ones((1, 9, 9), bool))
    for volume, close in ((standard, 0.08), (fast, 0.16)):
        assert volume.array.shape == shown.shape
        assert np.allclose(volume.affine, truth["affine"], atol=1e-3)
        magnitude = np.abs(volume.array)
        scale = (magnitude * shown)[body].sum() / (shown**2)[body].sum()
        error = np.linalg.norm((magnitude - scale * shown)[body]) / np.linalg.norm((scale * shown)[body])
        assert error < close


def test_both_acquisitions_get_one_look(spine: Path):
    standard, fast = common_grid(list(_both(spine)))
    assert acquisition_gain(standard, fast) == pytest.approx(1.0, abs=0.05)
    field = intensity_map(standard)
    assert np.isfinite(field).all()
    assert field.min() > 0


@pytest.mark.parametrize(("seed", "number"), [(20230418, 1), (29, 1)])
def test_fat_suppressed_marrow_is_well_seen_at_the_constant_window(seed: int, number: int, tmp_path: Path):
    """Subjects whose bowel is full of fluid: it must not become the white that all else is dark against."""
    raw = tmp_path / "standard.h5"
    truth = simulate_acquisition(
        raw, sequence="SAG T2 FS", acquisition="Standard", seed=seed, number=number, size="tiny", slices=7
    )
    volume = reconstruct(open_kspace(raw)).volume
    magnitude = np.abs(volume.array) * intensity_map(volume)
    shown = stored_pixels(magnitude, stored_scale(magnitude))
    assert 0.2 < shown[np.load(truth)["bodies"] > 0].mean() / STORED_REFERENCE < 0.5


@pytest.mark.parametrize(("sequence", "most"), [("SAG T2 FS", 2.2), ("SAG T1", 1.9), ("AX T2", 1.5)])
@pytest.mark.parametrize("seed", [11, 12, 13])
def test_what_is_graded_looks_as_without_surface_coils(sequence: str, most: float, seed: int, tmp_path: Path):
    """The coils' true shading is taken off all tissue that stands out of the noise, the fat in front of the coils
    included; bodies and discs come out nearly as bright as if a uniform coil had seen them, stored by the same rule."""
    path = simulate_acquisition(
        tmp_path / "standard.h5", sequence=sequence, acquisition="Standard", seed=seed, number=1,
        protocol="MSK", size="tiny",
    )  # fmt: skip
    truth, volume = np.load(path), reconstruct(open_kspace(tmp_path / "standard.h5")).volume
    magnitude, true, coils = np.abs(volume.array), np.abs(truth["image"]), truth["sensitivity"]
    field = intensity_map(volume)
    scale = stored_scale(magnitude * field)
    assert volume.noise_std is not None
    # Where the noise would reach 3 % of white the correction ends on purpose; the truth folds over at the rim of an
    # axial field of view, and shows air's neighbours sharper than the image.
    noise = field * volume.noise_std * scale / STORED_REFERENCE
    alike = magnitude / (true * coils).clip(1e-9)
    alike /= np.median(alike[truth["bodies"] > 0])
    tissue = (true > 0.08 * np.percentile(true, 99)) & (noise < 0.02) & (np.abs(alike - 1) < 0.25)
    column = (truth["bodies"] > 0) | (truth["discs"] > 0)
    assert tissue.mean() > 0.1
    left = np.log(field * coils)
    low, high = np.exp(np.percentile(left[tissue], [2, 98]) - np.median(left[column]))
    assert low > 0.65
    assert high < most
    assert left[tissue].std() < 0.45 * np.log(coils[tissue]).std()
    stored, ideal = stored_pixels(magnitude * field, scale), stored_pixels(true, stored_scale(true))
    for structure in ("bodies", "discs"):
        inside = truth[structure] > 0
        assert 0.65 < stored[inside].mean() / ideal[inside].mean() < 1.15


@pytest.mark.parametrize("number", [1, 2, 3])
def test_no_slice_takes_the_white_from_the_others(number: int, tmp_path: Path):
    """Fat in front of a loop, uncorrected, once left the other axial slices at a quarter of their brightness."""
    raw = tmp_path / "axial.h5"
    simulate_acquisition(
        raw, sequence="AX T2", acquisition="Standard", seed=20230418, number=number, protocol="MSK", size="tiny"
    )
    volume = reconstruct(open_kspace(raw)).volume
    corrected = np.abs(volume.array) * intensity_map(volume)
    stored = stored_pixels(corrected, stored_scale(corrected))
    brightest = np.percentile(stored, 99, axis=(1, 2))
    assert brightest.min() > 0.8 * brightest.max()
    assert brightest.min() > 2000
