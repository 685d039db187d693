"""Every real raw file at hand is reconstructed or refused in words; a picture of all slices of each in test-output/.

The phantoms are known: an ACR cylinder of 190 mm with an air bubble (Siemens), an FBIRN sphere of 170 mm (GE).
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from recon_worker.data import InputFault, Volume
from recon_worker.dicom.frames import WINDOW_CENTRE, WINDOW_WIDTH
from recon_worker.dicom.orientation import to_reading_orientation
from recon_worker.rawdata.inspection import inspect_file
from recon_worker.rawdata.open import open_kspace
from recon_worker.reconstruction.chain import reconstruct
from recon_worker.reconstruction.intensity import intensity_map, stored_pixels, stored_scale

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "raw"
OUTPUT = Path(__file__).resolve().parents[3] / "test-output"
RECONSTRUCTED = {"twix_gre_skyra.dat": 1, "P20480_GRE.7": 7, "ScanArchive_GRE.h5": 7}
"""Slices by file."""
REFUSED = {"twix_epi_skyra.dat": "echo-planar"}
DIAMETERS_MM = {"twix_gre_skyra.dat": 190.0, "P20480_GRE.7": 170.0, "ScanArchive_GRE.h5": 170.0}
SIGNAL_TO_NOISE = {"twix_gre_skyra.dat": 12, "P20480_GRE.7": 100, "ScanArchive_GRE.h5": 100}
"""At least, in the object."""

pytestmark = pytest.mark.skipif(not SHARED.exists(), reason="the shared folder with real raw data is not here")


@functools.cache
def volume_of(name: str) -> Volume:
    return to_reading_orientation(reconstruct(open_kspace(SHARED / name)).volume)


def body_of(picture: np.ndarray) -> np.ndarray:
    """The largest bright piece of a slice `[row, column]`, holes filled."""
    labels, count = ndimage.label(picture > 0.3 * np.percentile(picture, 95))
    sizes = ndimage.sum_labels(np.ones_like(picture), labels, np.arange(1, count + 1))
    return np.asarray(ndimage.binary_fill_holes(labels == 1 + int(np.argmax(sizes))))


def test_no_file_is_forgotten():
    files = {path.name for path in SHARED.iterdir() if path.suffix in (".dat", ".7", ".h5", ".mrd", ".cfl")}
    assert files == set(RECONSTRUCTED) | set(REFUSED)


@pytest.mark.parametrize(("name", "words"), REFUSED.items())
def test_what_cannot_be_reconstructed_is_refused_in_words_and_described(name: str, words: str):
    with pytest.raises(InputFault, match=words):
        open_kspace(SHARED / name)
    assert inspect_file(SHARED / name)["reconstructable"] is False


@pytest.mark.parametrize("name", RECONSTRUCTED)
def test_pictures_of_all_slices(name: str):
    """As a reader gets them: reading orientation, coil correction, the constant window."""
    volume = volume_of(name)
    assert volume.array.shape[0] == RECONSTRUCTED[name]
    magnitude = np.abs(volume.array) * intensity_map(volume)
    pixels = stored_pixels(magnitude, stored_scale(magnitude)).astype(np.float64)
    shown = np.clip((pixels - WINDOW_CENTRE + WINDOW_WIDTH / 2) / WINDOW_WIDTH, 0, 1)
    # The window shows the object: its middle is neither black nor burnt out.
    middle = shown[len(shown) // 2][body_of(magnitude[len(magnitude) // 2])]
    assert 0.25 < np.median(middle) < 0.95
    assert (middle >= 1).mean() < 0.02
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    sheet = np.zeros((rows * shown.shape[1], columns * shown.shape[2]))
    for index, picture in enumerate(shown):
        row, column = divmod(index, columns)
        sheet[row * shown.shape[1] : (row + 1) * shown.shape[1],
              column * shown.shape[2] : (column + 1) * shown.shape[2]] = picture  # fmt: skip
    OUTPUT.mkdir(exist_ok=True)
    Image.fromarray((sheet * 255).round().astype(np.uint8)).save(OUTPUT / f"raw_{name.replace('.', '_')}.png")


@pytest.mark.parametrize("name", RECONSTRUCTED)
def test_size_and_roundness(name: str):
    """The largest section: its width is the phantom's, and its outline a circle (but for the bubble)."""
    volume = volume_of(name)
    bodies = [body_of(np.abs(picture)) for picture in volume.array]
    largest = max(bodies, key=np.sum)
    rows, columns = (np.flatnonzero(largest.any(axis=axis)) for axis in (1, 0))
    width_mm = (columns[-1] - columns[0] + 1) * volume.spacing_mm[2]
    assert width_mm == pytest.approx(DIAMETERS_MM[name], abs=6)
    # A circle around the same middle and of the same width covers the section and no more.
    middle = (columns[0] + columns[-1]) / 2
    _, height_mm, column_mm = volume.spacing_mm
    y, x = np.indices(largest.shape)
    best = max(
        _overlap(largest, np.hypot((y - place) * height_mm, (x - middle) * column_mm) < width_mm / 2)
        for place in np.arange(rows[0], rows[-1], 0.5)
    )
    assert best > 0.93


def _overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Dice."""
    return float(2 * (first & second).sum() / (first.sum() + second.sum()))


@pytest.mark.parametrize("name", RECONSTRUCTED)
def test_signal_noise_and_ghosts(name: str):
    """In the corners the noise is what `noise_std` says; beside the object, along either axis, a ghost stays below 1 %.

    Medians: the tangerine beside the sphere fills a part of the area only. Half of all magnitudes of pure noise lie
    below 1.177 of its standard deviation per part (Rayleigh).
    """
    volume = volume_of(name)
    for picture, noise_map in zip(volume.array, volume.noise_std, strict=True):
        magnitude, noise = np.abs(picture), float(np.median(noise_map))
        body = body_of(magnitude)
        signal = float(np.median(magnitude[body]))
        assert signal / noise > SIGNAL_TO_NOISE[name]
        far = ~ndimage.binary_dilation(body, iterations=round(10 / volume.spacing_mm[1]))
        rows, columns = body.any(axis=1), body.any(axis=0)
        corners = far & ~rows[:, None] & ~columns[None, :]
        assert np.median(magnitude[corners]) == pytest.approx(1.177 * noise, rel=0.1)
        for beside in (far & rows[:, None], far & columns[None, :]):
            if beside.sum() > 100:
                assert np.median(magnitude[beside]) - 1.177 * noise < 0.01 * signal
