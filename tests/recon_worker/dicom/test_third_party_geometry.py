"""Where dcm2niix puts our series in the patient: every voxel to a hundredth of a millimetre, from the raw file on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from recon_worker.data import Volume
from recon_worker.dicom.authoring import author_series
from recon_worker.dicom.orientation import to_reading_orientation
from recon_worker.rawdata.open import open_kspace
from recon_worker.reconstruction.chain import reconstruct
from recon_worker.reconstruction.intensity import stored_pixels, stored_scale
from recon_worker.reconstruction.interpolation import zero_fill
from tests.recon_worker.dicom.nifti import convert
from tests.recon_worker.support import Blob, Coils, Protocol, simulate, write_scan
from tests.recon_worker.twix import scanner_directions, twix_lines, write_twix

LEFT, POSTERIOR, HEAD = np.eye(3)
PLANES = {
    "sagittal": (-HEAD, POSTERIOR, LEFT),
    "axial": (LEFT, POSTERIOR, HEAD),
    "coronal": (LEFT, -HEAD, POSTERIOR),
}
"""(read, phase, slice) before they are tilted."""
TILTS = {"straight": (0.0, 0.0, 0.0), "oblique": (0.0, 17.0, 0.0), "double oblique": (11.0, -13.0, 0.0),
         "turned in plane too": (-8.0, 14.0, 21.0)}  # fmt: skip
PROTOCOL = Protocol(
    columns=40, rows=36, read_mm=210.0, phase_mm=189.0, thickness_mm=4.0, spacing_mm=4.4, n_slices=3,
    first_centre_mm=(-13.207, 31.519, -402.333),
)  # fmt: skip
"""Pixels of 5.25 mm, blobs of 12 mm: no edge, so the centroid is exact."""
BLOB_MM = (17.3, -24.9)
"""Along read and phase, from the centre of the field of view."""


def _directions(plane: str, tilt: str) -> tuple[tuple[float, ...], ...]:
    turn = Rotation.from_euler("xyz", TILTS[tilt], degrees=True).as_matrix()
    return tuple(tuple(map(float, turn @ direction)) for direction in PLANES[plane])


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("tilt", TILTS)
def test_every_voxel_lies_where_it_was(tmp_path: Path, plane: str, tilt: str):
    """Each voxel has a value of its own, by which it is found again."""
    read, phase, normal = (np.array(direction) for direction in _directions(plane, tilt))
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = 4.4 * normal, 0.7291667 * phase, 0.6510417 * read
    affine[:3, 3] = (-23.456789, 101.1, -345.67)
    values = np.arange(1, 1 + 3 * 22 * 20, dtype=np.uint16).reshape(3, 22, 20)
    volume = to_reading_orientation(Volume(values, affine, 4.0))
    author_series(volume, uid_key=b"k" * 32, out=tmp_path / "series")
    seen = convert(tmp_path / "series" / "dicom", tmp_path / "nifti")
    assert sorted(seen.array.ravel()) == list(range(1, 1 + values.size))
    order = np.argsort(seen.array, axis=None)
    theirs = np.stack([*np.unravel_index(order, seen.array.shape), np.ones(order.size)]).astype(np.float64)
    ours = np.stack([*np.unravel_index(np.argsort(values, axis=None), values.shape), np.ones(order.size)])
    apart_mm = np.linalg.norm((seen.affine @ theirs - affine @ ours)[:3], axis=0)
    assert apart_mm.max() < 0.01


@pytest.mark.parametrize("stored_matrix", [None, (80, 72), (64, 64), (41, 51)])
@pytest.mark.parametrize("form", ["ismrmrd", "twix"])
def test_from_a_raw_file_to_dicom_a_dot_stays_at_its_place(
    tmp_path: Path, form: str, stored_matrix: tuple[int, int] | None
):
    """A double oblique sagittal acquisition, read, reconstructed, zero-filled, authored, read by another program."""
    protocol = replace(PROTOCOL, directions=_directions("sagittal", "turned in plane too"))
    if form == "twix":
        protocol = scanner_directions(protocol)
    coils = Coils.uniform(protocol.n_coils)
    scan = simulate(protocol, shapes=(Blob(*BLOB_MM, 12.0),), coils=coils, noise_level=1e-5)
    raw = (
        write_twix(tmp_path / "scan.dat", protocol, twix_lines(scan)) if form == "twix"
        else write_scan(tmp_path / "scan.h5", scan)
    )  # fmt: skip
    volume = reconstruct(open_kspace(raw)).volume
    if stored_matrix is not None:
        volume = zero_fill(volume, stored_matrix)
        assert volume.array.shape[1:] == stored_matrix[::-1]
    magnitude = np.abs(volume.array)
    pixels = stored_pixels(magnitude, stored_scale(magnitude))
    author_series(to_reading_orientation(volume.with_array(pixels)), uid_key=b"k" * 32, out=tmp_path / "series")
    seen = convert(tmp_path / "series" / "dicom", tmp_path / "nifti")
    read, phase, normal = (np.array(direction) for direction in protocol.directions)
    first = np.array(protocol.first_centre_mm) + BLOB_MM[0] * read + BLOB_MM[1] * phase
    truth = first + np.arange(protocol.n_slices)[:, None] * protocol.spacing_mm * normal
    found = []
    for index in range(protocol.n_slices):
        weights = np.zeros(seen.array.shape)
        weights[..., index] = seen.array[..., index].astype(np.float64) ** 2
        centroid = [float((weights * place).sum() / weights.sum()) for place in np.indices(weights.shape)]
        found.append((seen.affine @ [*centroid, 1.0])[:3])
    # The order of the slices is the other program's choice.
    first_to_last = sorted(found, key=lambda place: float(place @ normal))
    assert np.abs(np.array(first_to_last) - truth).max() < 0.01
