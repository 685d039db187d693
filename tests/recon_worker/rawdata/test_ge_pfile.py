"""GE P-files: files of known content, and a real scanner's file where it is at hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from recon_worker.data import InputFault
from recon_worker.rawdata.open import open_kspace
from recon_worker.reconstruction.chain import reconstruct
from tests.recon_worker.ge_files import phantom, write_pfile

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "raw"
OUTPUT = Path(__file__).resolve().parents[3] / "test-output"
@pytest.mark.parametrize(("alternating", "wide"), [(True, False), (False, False), (True, True)])
def test_samples_order_signs_and_lengths_are_read(tmp_path: Path, alternating: bool, wide: bool):
    data = phantom()
    kspace = open_kspace(write_pfile(tmp_path / "P00001.7", data, alternating=alternating, wide=wide))
    header = kspace.header
    assert header.format == "ge-pfile"
    assert (header.encoded_matrix, header.image_matrix) == ((40, 40), (40, 40))
    assert header.image_field_of_view_mm == (100.0, 100.0)
    assert (header.n_slices, header.n_coils, header.n_averages) == (3, 4, 1)
    assert header.slice_thickness_mm == 3.0
    assert kspace.summary["slice_spacing_mm"] == 5.0
    assert header.timing == {"repetition_time_ms": 250.0, "echo_time_ms": 5.1, "flip_angle_deg": 10.0}
    for index, piece in enumerate(kspace.slices()):
        assert np.array_equal(piece.data[0], data[index])
    remarks = " ".join(kspace.summary["remarks"])
    assert "experimental" in remarks
    assert "place of the slices in the patient is unknown" in remarks
    assert "SECRET" not in repr(header) + json.dumps(kspace.summary)


def test_the_object_is_where_it_was(tmp_path: Path):
    image = np.abs(reconstruct(open_kspace(write_pfile(tmp_path / "P00001.7", phantom()))).volume.array)
    for index, one in enumerate(image):
        inside = one > 0.5 * np.median(one[one > 0.3 * one.max()])
        row, column = ndimage.center_of_mass(inside)
        assert (column - 20) * 2.5 == pytest.approx(10.0, abs=1.0)
        assert (row - 20) * 2.5 == pytest.approx(-6.0, abs=1.0)
        assert inside.sum() * 2.5**2 == pytest.approx(np.pi * (15.0 + 5 * index) * 20.0, rel=0.1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"revision": 24.0}, "revision 24.000"),
        ({"revision": 27.0}, "revision 27.000"),
        ({"sequence": b"fse-xl"}, "pulse sequence"),
        ({"sequence": b""}, "pulse sequence"),
        ({"type": 16}, "partial Fourier"),
        ({"type": 64 + 8}, "3D"),
        ({"overscan": 8}, "partial Fourier"),
        ({"passes": 2}, "several passes"),
        ({"echoes": 2}, "several echoes"),
        ({"averages": 2}, "several averages"),
        ({"groups": 2}, "several slices excited at once"),
        ({"control": 2}, "turned round"),
        ({"format": 1}, "unusual format"),
        ({"rows": 40}, "contradicts itself about the matrix"),
        ({"frames": 64}, "contradicts itself about the matrix"),
        ({"point": 3}, "contradicts itself about the matrix"),
        ({"last": 4}, "bytes of samples"),
        ({"last": -1}, "receive coils"),
        ({"slices": 0}, "slices"),
        ({"tail": 1}, "bytes of samples"),
        ({"cut": -1}, "bytes of samples"),
        ({"slots": (1, 1, 2)}, "slice table"),
        ({"slots": (0, 1, 2)}, "slice table"),
        ({"bent": 0.5}, "slice table"),
        ({"gap": 3.0}, "slice distance"),
        ({"baseline": True}, "baseline"),
    ],
)
def test_what_is_not_understood_is_refused_in_words(tmp_path: Path, changes: dict, words: str):
    path = write_pfile(tmp_path / "P00001.7", phantom(), **changes)
    with pytest.raises(InputFault, match=words) as caught:
        for _piece in open_kspace(path).slices():
            pass
    assert "SECRET" not in str(caught.value)


def test_a_file_cut_off_within_its_header_is_refused(tmp_path: Path):
    whole = write_pfile(tmp_path / "P00001.7", phantom()).read_bytes()
    for size in (100, 150_000, 213_684):
        path = tmp_path / "cut.7"
        path.write_bytes(whole[:size])
        with pytest.raises(InputFault):
            open_kspace(path)


def test_damaged_headers_never_end_in_anything_but_words(tmp_path: Path):
    whole, random = write_pfile(tmp_path / "P00001.7", phantom()).read_bytes(), np.random.default_rng(2)
    places = [*range(0, 360), *range(1540, 1548), *range(36864, 36864 + 216), *range(198180 + 300, 198180 + 330)]
    path = tmp_path / "damaged.7"
    for _ in range(80):
        data = bytearray(whole)
        for place in random.choice(places, 3):
            data[place] = int(random.integers(0, 256))
        path.write_bytes(bytes(data))
        try:
            for _piece in open_kspace(path).slices():
                pass
        except InputFault:
            pass


@pytest.mark.skipif(not (SHARED / "P20480_GRE.7").exists(), reason="the shared folder with real raw data is not here")
def test_a_real_file_shows_the_sections_of_a_sphere_in_order():
    """A sphere of 17 cm with a tangerine beside it (FBIRN phantom), slices 18 mm apart, acquired interleaved."""
    kspace = open_kspace(SHARED / "P20480_GRE.7")
    assert kspace.summary["slice_spacing_mm"] == pytest.approx(18.0, abs=0.01)
    assert kspace.header.slice_thickness_mm == pytest.approx(3.0)
    image = np.abs(reconstruct(kspace).volume.array)
    OUTPUT.mkdir(exist_ok=True)
    shown = np.clip(np.concatenate(list(image), axis=1) / np.percentile(image, 99.5), 0, 1)
    Image.fromarray((shown * 255).astype(np.uint8)).save(OUTPUT / "ge_pfile_phantom.png")
    radii = []
    for one in image:
        labels, _ = ndimage.label(one > 0.3 * np.median(one[one > 0.3 * one.max()]))
        sphere = ndimage.binary_fill_holes(labels == labels[64, 64])
        radii.append(float(np.sqrt(sphere.sum() / np.pi)) * 2.0)
        height, width = (np.ptp(np.flatnonzero(sphere.any(axis=axis))) + 1 for axis in (1, 0))
        assert height == pytest.approx(width, abs=3)
    # On a sphere the squared radius of a section is a parabola of its place with curvature -1.
    places = 18.0 * np.arange(7)
    curvature, slope, constant = np.polyfit(places, np.square(radii), 2)
    assert curvature == pytest.approx(-1.0, abs=0.1)
    assert np.sqrt(constant - slope**2 / (4 * curvature)) == pytest.approx(85.0, abs=3.0)
    assert np.abs(np.polyval((curvature, slope, constant), places) - np.square(radii)).max() < 300
