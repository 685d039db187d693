"""BART pairs: written by the tests, and by BART itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recon_worker.data import InputFault
from recon_worker.rawdata.open import open_kspace
from recon_worker.reconstruction.chain import reconstruct
from tests.recon_worker.reconstruction.bart import bart, needs_bart, read_cfl, write_cfl
from tests.recon_worker.support import Protocol, simulate

PROTOCOL = Protocol(oversampling=1, n_slices=2, n_averages=2)


def _write(path: Path, data: np.ndarray) -> Path:
    """A pair of a scan's `[slice, average, coil, ky, kx]`."""
    axes = np.transpose(data, (4, 3, 2, 0, 1))
    samples, steps, coils, slices, averages = axes.shape
    return write_cfl(path, axes.reshape(samples, steps, 1, coils, *[1] * 9, slices, averages, 1))


@pytest.mark.parametrize("ending", [".hdr", ".cfl"])
def test_slices_averages_and_coils_are_read_by_either_path(tmp_path: Path, ending: str):
    scan = simulate(PROTOCOL, noise_level=0.02)
    kspace = open_kspace(_write(tmp_path / "scan", scan.data).with_suffix(ending))
    header = kspace.header
    assert header.format == "bart"
    assert (header.encoded_matrix, header.image_matrix) == ((48, 40), (48, 40))
    assert (header.n_slices, header.n_coils, header.n_averages) == (2, 4, 2)
    assert header.image_field_of_view_mm == (48.0, 40.0)
    for index, piece in enumerate(kspace.slices()):
        assert np.array_equal(piece.data, scan.data[index])
        assert piece.acquired.all()
    assert "1 mm" in " ".join(header.remarks)
    assert "unknown" in " ".join(header.remarks)


def test_lines_of_zeros_were_not_acquired(tmp_path: Path):
    scan = simulate(PROTOCOL, noise_level=0.02, phase_lines=slice(12, None))
    kspace = open_kspace(_write(tmp_path / "scan", scan.data).with_suffix(".cfl"))
    assert kspace.summary["partial_fourier"] is True
    assert kspace.summary["lines_acquired"] == 28
    assert np.array_equal(next(iter(kspace.slices())).acquired, scan.acquired)
    gaps = scan.data.copy()
    gaps[:, :, :, 13::3] = 0
    assert open_kspace(_write(tmp_path / "gaps", gaps).with_suffix(".cfl")).summary["undersampled"] is True


@needs_bart
def test_a_phantom_of_bart_comes_out_as_bart_reconstructs_it(tmp_path: Path):
    bart("phantom", "-k", "-s", 4, "-x", 64, tmp_path / "kspace")
    kspace = open_kspace(tmp_path / "kspace.hdr")
    assert (kspace.header.encoded_matrix, kspace.header.n_coils) == ((64, 64), 4)
    stored = next(iter(kspace.slices())).data[0]
    assert np.array_equal(stored, np.transpose(read_cfl(tmp_path / "kspace"), (2, 1, 0)))
    bart("fft", "-i", 3, tmp_path / "kspace", tmp_path / "coils")
    bart("rss", 8, tmp_path / "coils", tmp_path / "image")
    theirs = np.abs(read_cfl(tmp_path / "image")).T
    # Equal noise in all coils, as BART's root sum of squares assumes; the phantom itself has none to measure.
    random = np.random.default_rng(0)
    white = (random.standard_normal((4, 65536)) + 1j * random.standard_normal((4, 65536))).astype(np.complex64)
    mine = np.abs(reconstruct(replace(kspace, header=replace(kspace.header, noise=white))).volume.array[0])
    mine *= np.vdot(mine, theirs) / np.vdot(mine, mine)
    assert np.linalg.norm(mine - theirs) < 0.03 * np.linalg.norm(theirs)


def test_one_file_alone_names_the_other(tmp_path: Path):
    pair = _write(tmp_path / "scan", simulate(PROTOCOL, noise_level=0.02).data)
    pair.with_suffix(".cfl").unlink()
    with pytest.raises(InputFault, match=r"one file of a BART pair.*\.hdr and \.cfl"):
        open_kspace(pair.with_suffix(".hdr"))
    upload = tmp_path / "upload"
    upload.write_bytes(pair.with_suffix(".hdr").read_bytes())
    with pytest.raises(InputFault, match="one file of a BART pair"):
        open_kspace(upload)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("# Dimensions\n48 40 1 4 1 1 1 1 1 1 1 1 1 2 2 1\n", ""),
        ("# Dimensions\n48 40 2 4 1 1 1 1 1 1 1 1 1 1 2 1\n", r"PHS2 \(2\)"),
        ("# Dimensions\n48 40 1 4 2 1 1 1 1 1 1 1 1 1 2 1\n", r"MAPS \(2\)"),
        ("# Dimensions\n48 40 1 4 1 5 1 1 1 1 3 1 1 1 2 1\n", r"TE \(5\), TIME \(3\)"),
        ("# Dimensions\n48 40 1 4\n", "declares 61,440 bytes"),
        ("# Dimensions\n48 40 1 999999999\n", "receive coils"),
        ("# Dimensions\n48 40 1 0\n", "receive coils"),
        ("# Dimensions\n48 forty\n", "does not state"),
        ("# Dimensions\n", "does not state"),
        ("# Dimensions\n\n", "does not state"),
    ],
)
def test_other_headers_are_refused_in_words(tmp_path: Path, text: str, words: str):
    pair = _write(tmp_path / "scan", simulate(PROTOCOL, noise_level=0.02).data)
    pair.with_suffix(".hdr").write_text(text)
    if not words:
        assert open_kspace(pair.with_suffix(".hdr")).header.n_slices == 2
        return
    with pytest.raises(InputFault, match=words):
        open_kspace(pair.with_suffix(".hdr"))


def test_samples_that_are_not_numbers_are_refused(tmp_path: Path):
    data = simulate(PROTOCOL, noise_level=0.02).data
    data[1, 0, 2, 3, 4] = np.inf
    kspace = open_kspace(_write(tmp_path / "scan", data).with_suffix(".hdr"))
    with pytest.raises(InputFault, match="Slice 2 holds samples that are not numbers"):
        list(kspace.slices())
