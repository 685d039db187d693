"""Signal, noise, contrast and memory of simulated scans."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from recon_worker.phantom.anatomy import draw_subject
from recon_worker.phantom.coils import CoilArray
from recon_worker.phantom.contrast import render
from recon_worker.phantom.protocol import SEQUENCES, scan_of
from recon_worker.phantom.sampling import to_image
from recon_worker.phantom.scanner import set_up
from recon_worker.phantom.shapes import PlaneGrid
from recon_worker.phantom.simulate import simulate_acquisition
from recon_worker.phantom.truth import label_slice
from recon_worker.rawdata.open import open_kspace


class UniformCoil(CoilArray):
    """Receives everywhere alike."""

    def sensitivities(self, plane):
        return np.ones((1, *plane.shape), dtype=np.complex64)


def tiny(sequence, **changes):
    scan = replace(scan_of(sequence, size="tiny"), **changes)
    return set_up(draw_subject(3, 1), scan, seed=3, number=1)


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_noiseless_k_space_gives_the_truth_image_back(sequence):
    scanner = tiny(sequence, n_slices=1)
    coil = scanner.coils
    uniform = UniformCoil(coil.centres_mm[:1], coil.radius_mm, coil.gains[:1], np.eye(1, dtype=complex), 1.0)
    signal = replace(scanner, coils=uniform).slice_signal(0)
    image = to_image(signal.samples[0], scanner.scan.matrix[0])
    assert np.allclose(image, signal.image, atol=1e-4 * np.abs(signal.image).max())


def test_the_true_maps_combine_the_coils_to_the_truth_image():
    scanner = tiny("SAG T1", n_slices=1)
    signal = scanner.slice_signal(0)
    columns, rows = scanner.scan.matrix
    maps = scanner.coils.sensitivities(pixels(scanner))
    images = to_image(signal.samples, columns)
    inverse = np.linalg.inv(scanner.coils.covariance)
    weighted = np.einsum("crw,cd->drw", maps.conj(), inverse)
    combined = (weighted * images).sum(0) / np.einsum("drw,drw->rw", weighted, maps)
    error = np.linalg.norm((combined - signal.image) * signal.sensitivity)
    assert error / np.linalg.norm(signal.image * signal.sensitivity) < 0.03
    assert (rows, columns) == signal.image.shape == signal.sensitivity.shape


def pixels(scanner) -> PlaneGrid:
    columns, rows = scanner.scan.matrix
    plane = scanner.planes[0]
    read = np.array(plane.read_direction) * scanner.pixel_mm[0]
    phase = np.array(plane.phase_direction) * scanner.pixel_mm[1]
    origin = np.array(plane.centre_mm) - columns // 2 * read - rows // 2 * phase
    return PlaneGrid(origin, phase, read, (rows, columns))


def test_noise_has_the_covariance_of_the_coils(tmp_path):
    """In the noise scan and in the image's samples alike; the latter's noise is the difference to a scan without."""
    settings = {"sequence": "SAG T1", "acquisition": "Standard", "seed": 3, "slices": 1, "coils": (2, 3)}
    simulate_acquisition(tmp_path / "noisy.h5", **settings)
    simulate_acquisition(tmp_path / "clean.h5", noise=0.0, **settings)
    noisy, clean = (open_kspace(tmp_path / name) for name in ("noisy.h5", "clean.h5"))
    scanner = tiny("SAG T1", coils=(2, 3))
    expected = 2 * scanner.sigma**2 * scanner.coils.covariance
    scale = np.sqrt(np.outer(np.diag(expected).real, np.diag(expected).real))
    assert np.abs(expected - np.diag(np.diag(expected))).max() > 0.15 * scale.min()  # neighbours do share noise
    image_noise = next(noisy.slices()).data - next(clean.slices()).data
    for samples in (noisy.header.noise, image_noise.transpose(1, 0, 2, 3).reshape(6, -1)):
        found = samples @ samples.conj().T / samples.shape[1]
        assert np.abs((found - expected) / scale).max() < 5 / np.sqrt(samples.shape[1])
        # Real and imaginary part are alike: no correlation without conjugation.
        assert np.abs(samples @ samples.T / samples.shape[1] / scale).max() < 5 / np.sqrt(samples.shape[1])


def test_averages_and_acquisitions_have_their_own_noise(study, files):
    standard, fast = (open_kspace(study / files["SAG T2 FS", a]["path"]) for a in ("Standard", "Fast"))
    first, second = next(standard.slices()).data
    other = next(fast.slices()).data[0]
    corner = np.s_[:, :6, :12]  # far from the centre of k-space noise is most of it
    for a, b in ((first, second), (first, other), (second, other)):
        x, y = a[corner].ravel(), b[corner].ravel()
        assert abs(np.vdot(x, y)) / (np.linalg.norm(x) * np.linalg.norm(y)) < 0.2


@pytest.mark.parametrize("sequence", SEQUENCES)
@pytest.mark.parametrize("protocol", ["MSK", "neuroradiology"])
def test_marrow_has_a_clinical_signal_to_noise_ratio(sequence, protocol):
    """Between 12 and 30 in the Standard images' lumbar bodies, best combination of the coils."""
    scan = scan_of(sequence, protocol=protocol, size="tiny")
    scanner = set_up(draw_subject(3, 1), scan, seed=3, number=1)
    number = 2
    signal = scanner.slice_signal(number)
    _, bodies = label_slice(
        scanner.subject.spine,
        scanner.planes[number],
        matrix=scan.matrix,
        field_of_view_mm=scan.field_of_view_mm,
        thickness_mm=scan.thickness_mm,
    )
    lumbar = (bodies >= 3) & (bodies <= 5)
    assert lumbar.sum() > 30
    ratio = np.abs(signal.image) * signal.sensitivity / scanner.sigma * np.sqrt(scan.averages("Standard"))
    assert 12 < np.median(ratio[lumbar]) < 30


def signal_at(subject, scan, position_mm, fat_left=1.0):
    plane = PlaneGrid(np.asarray(position_mm), np.array([0, 0, -0.5]), np.array([0, 0.5, 0]), (3, 3))
    signals = render(subject.layers(plane), plane.shape, scan.weighting)
    return float((signals.water + fat_left * signals.fat).mean())


def places(subject):
    spine, torso = subject.spine, subject.torso
    l3 = spine.body("L3")
    z = float(l3.frame.centre_mm[2])
    x = float(spine.curve.at("x", z))
    # Behind everything else in the dural sac there are roots; its front holds fluid alone.
    sac = float(spine.curve.at("canal", z)) + 3.2
    ill = {*subject.findings.haemangiomas, *subject.findings.fractures, *subject.findings.nodes}
    healthy = next(spine.body(name) for name in ("L3", "L2", "L1", "L4") if name not in ill)
    disc = min(spine.measured_discs(), key=lambda d: d.grade)
    fat_y = float(spine.curve.at("tip", z)) + 6.5
    return {
        "csf": (x, sac, z - 8),
        "marrow": healthy.frame.position(8.0, -6.0, 3.0),
        "fat": (x + 4.0, fat_y, z),
        "nucleus": disc.frame.position(0.0, 0.0, 2.0),
        "muscle": (x + 38.0, float(spine.curve.at("y", z)) + 28.0, z),
        "air": (x, torso.back_y + 12.0, z),
    }


@pytest.mark.parametrize("number", [1, 2, 3])
def test_contrast_is_that_of_the_sequences(number):
    subject = draw_subject(21, number)
    seen = {
        name: {
            sequence: signal_at(subject, scan_of(sequence), position, 0.06 if sequence == "SAG T2 FS" else 1.0)
            for sequence in SEQUENCES
        }
        for name, position in places(subject).items()
    }
    t2_fs, t1, t2 = ({name: values[sequence] for name, values in seen.items()} for sequence in SEQUENCES)
    assert t2_fs["csf"] > 2 * t2_fs["marrow"] and t2_fs["csf"] > 4 * t2_fs["muscle"]
    assert t2_fs["fat"] < 0.5 * t2_fs["marrow"]  # suppressed
    assert t1["fat"] > t1["marrow"] > t1["muscle"] > t1["csf"] > 0
    assert t2["csf"] > t2["fat"] > t2["muscle"]
    assert t2["csf"] > t2["nucleus"] > t2["muscle"]
    for values in (t2_fs, t1, t2):
        assert values["air"] == 0


def test_the_fast_scan_of_partial_fourier_has_its_lines_and_no_other(study, files):
    kspace = open_kspace(study / files["SAG T1", "Fast"]["path"])
    lines = scan_of("SAG T1", size="tiny").lines("Fast")
    assert len(lines) == 72 // 2 + 8
    for one in kspace.slices():
        assert one.acquired.shape == (1, 72)
        assert np.array_equal(np.flatnonzero(one.acquired[0]), np.asarray(lines))


def test_memory_does_not_grow_with_the_slices(tmp_path):
    def peak(slices):
        tracemalloc.start()
        path = tmp_path / f"{slices}.h5"
        simulate_acquisition(path, sequence="AX T2", acquisition="Standard", seed=3, slices=slices, coils=(4, 4))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found, path.stat().st_size

    (few, small_file), (many, large_file) = peak(2), peak(7)
    assert large_file - small_file > 6e6
    assert many - few < 0.25 * (large_file - small_file)


def test_a_full_size_slice_has_the_papers_matrix(tmp_path):
    path = tmp_path / "full.h5"
    truth = np.load(simulate_acquisition(path, sequence="SAG T2 FS", acquisition="Fast", size="full", slices=1))
    header = open_kspace(path).header
    assert header.encoded_matrix == (784, 224) and header.image_matrix == (392, 224)
    assert header.n_coils == 32
    assert truth["image"].shape == (1, 224, 392)
    assert set(np.unique(truth["bodies"])) == set(range(8)) and set(np.unique(truth["discs"])) == set(range(7))
