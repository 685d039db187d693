"""A subject-like acquisition with known truth, written as ISMRMRD and, for the peers, as BART's cfl.

Body, vertebrae, discs and canal with texture, under the simulator's posterior array of 32 loops with its correlated
noise; smooth object phase; readout oversampled twice. The object lies on the image grid, so the truth is exact.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from against.ismrmrd_rows import IsmrmrdRows, header_xml
from recon_worker.data import SlicePlane
from recon_worker.phantom.coils import combined_sensitivity, draw_coils, draw_noise
from recon_worker.phantom.shapes import PlaneGrid

NOISE_OF_MARROW = 0.08
"""Noise of one receive coil's pixel over the brightness of marrow, before the coils weight it."""
NOISE_READOUTS = 64
FIELD_OF_VIEW_MM = 260.0
SLICE_MM = 3.3
CALIBRATION = 33
"""Steps of the calibration block that every contender uses."""


@dataclass(frozen=True)
class Size:
    """Extents of an acquisition."""

    slices: int = 24
    coils: int = 32
    averages: int = 1
    columns: int = 352
    rows: int = 224

    @property
    def samples(self) -> int:
        """Readout samples, oversampled twice."""
        return 2 * self.columns

    @property
    def megabytes(self) -> float:
        """Of samples."""
        return self.slices * self.averages * self.coils * self.rows * self.samples * 8 / 1e6

    @property
    def array(self) -> tuple[int, int]:
        """Loops head to foot and right to left."""
        across = min(4, self.coils)
        if self.coils % across:
            raise SystemExit("The number of coils is a multiple of 4.")
        return self.coils // across, across


@dataclass(frozen=True)
class Files:
    """Where the parts of one acquisition lie."""

    folder: Path

    @property
    def raw(self) -> Path:
        """ISMRMRD."""
        return self.folder / "raw.h5"

    @property
    def kspace(self) -> Path:
        """BART pair, without suffix: read, phase, 1, coil, ... average (10), ... slice (13)."""
        return self.folder / "kspace"

    @property
    def noise(self) -> Path:
        """BART pair, without suffix: sample, 1, 1, coil."""
        return self.folder / "noise"

    @property
    def truth(self) -> Path:
        """`reference` [slice, row, column]: object times the coils' combined shading; `body`: where it counts."""
        return self.folder / "truth.npz"


def write_acquisition(folder: Path, size: Size, progress: Callable[[float], None]) -> Files:
    """Write all files of an acquisition into `folder`; the same numbers for the same size."""
    files = Files(folder)
    rng = np.random.default_rng(size.averages)
    planes = tuple(_plane(number, size) for number in range(size.slices))
    array = draw_coils(np.random.default_rng(5), coils=size.array, back_y=110.0, reference_mm=np.array([0.0, 60.0, 0]))
    shape = (size.slices, size.averages, size.coils, size.rows, size.samples)
    _write_header(files.kspace, {0: size.samples, 1: size.rows, 3: size.coils, 10: size.averages, 13: size.slices})
    pair = np.memmap(files.kspace.with_suffix(".cfl"), np.complex64, "w+", shape=shape)
    references, bodies = [], []
    header = header_xml(
        (size.samples, size.rows), (size.columns, size.rows), (FIELD_OF_VIEW_MM, FIELD_OF_VIEW_MM), SLICE_MM
    )
    with IsmrmrdRows(files.raw, header) as raw:
        noise = draw_noise(rng, array.covariance, NOISE_OF_MARROW, NOISE_READOUTS * size.samples)
        raw.append(noise.reshape(size.coils, NOISE_READOUTS, -1).transpose(1, 0, 2), planes[0], noise=True)
        _write_header(files.noise, {0: noise.shape[1], 3: size.coils})
        noise.tofile(files.noise.with_suffix(".cfl"))
        for number, plane in enumerate(planes):
            truth, body, image = _subject(number, size)
            sensitivities = array.sensitivities(_pixels(plane, size))
            references.append(truth * combined_sensitivity(sensitivities, array.covariance))
            bodies.append(body)
            wide = np.zeros((size.coils, size.rows, size.samples), dtype=np.complex64)
            quarter = size.samples // 2 - size.columns // 2
            wide[:, :, quarter : quarter + size.columns] = sensitivities * image
            samples = np.fft.fftshift(
                np.fft.fft2(np.fft.ifftshift(wide, axes=(1, 2)), norm="ortho"), axes=(1, 2)
            ).astype(np.complex64)
            for average in range(size.averages):
                noise = draw_noise(rng, array.covariance, NOISE_OF_MARROW, size.rows * size.samples)
                noisy = samples + noise.reshape(samples.shape)
                pair[number, average] = noisy
                raw.append(noisy.transpose(1, 0, 2), plane, number=number, average=average)
            progress((number + 1) / size.slices)
    pair.flush()
    np.savez(files.truth, reference=np.stack(references), body=np.stack(bodies))
    return files


def measure_error(image: npt.NDArray[np.complexfloating], files: Files) -> float:
    """Normalised root mean square error of the magnitude within the body, after one scale for the whole series."""
    with np.load(files.truth) as truth:
        body = truth["body"]
        reference, found = truth["reference"][body].astype(np.float64), np.abs(image[body]).astype(np.float64)
    scale = (found @ reference) / (found @ found)
    return float(np.linalg.norm(scale * found - reference) / np.linalg.norm(reference))


def _subject(number: int, size: Size) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_], npt.NDArray]:
    """Magnitude, body and complex image `[row, column]` of a sagittal slice: columns head to foot, rows front to
    back."""
    rng = np.random.default_rng(100 + number)
    y, x = np.meshgrid(np.linspace(-1, 1, size.rows), np.linspace(-1, 1, size.columns), indexing="ij")
    body = (np.abs(x) / 1.02) ** 8 + (np.abs(y) / 0.8) ** 2 < 1
    image = np.where(body, 0.35, 0.0)
    image[body & (y > 0.62)] = 1.3  # fat under the skin
    spine = y - 0.1 - 0.08 * np.cos(3 * x)
    image[body & (np.abs(spine) < 0.18)] = 1.0  # marrow
    image[body & (np.abs(spine) < 0.2) & (np.abs((3.5 * x + 0.1 * number) % 1 - 0.5) < 0.11)] = 0.5  # discs
    image[body & (spine > 0.22) & (spine < 0.34)] = 1.6  # fluid
    image[body & (np.abs(spine - 0.28) < 0.025)] = 0.7  # nerve roots
    image *= 1 + 0.08 * rng.standard_normal(image.shape)
    truth = np.abs(image).astype(np.float32)
    turns = 1.2 * x * y + 0.8 * np.cos(2.3 * x + 1.7 * y) + 0.3 * np.sin(5 * y)
    return truth, body, (truth * np.exp(1j * turns)).astype(np.complex64)


def _plane(number: int, size: Size) -> SlicePlane:
    across = (number - (size.slices - 1) / 2) * SLICE_MM
    read, phase = np.array([0.0, 0.0, -1.0]), np.array([0.0, 1.0, 0.0])
    normal = np.cross(read, phase)
    centre = across * normal
    return SlicePlane(
        centre_mm=_triple(centre),
        read_direction=_triple(read),
        phase_direction=_triple(phase),
        slice_direction=_triple(normal),
    )


def _triple(values: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])


def _pixels(plane: SlicePlane, size: Size) -> PlaneGrid:
    length = FIELD_OF_VIEW_MM
    row_step = np.asarray(plane.phase_direction) * length / size.rows
    column_step = np.asarray(plane.read_direction) * length / size.columns
    origin = np.asarray(plane.centre_mm) - size.rows // 2 * row_step - size.columns // 2 * column_step
    return PlaneGrid(origin, row_step, column_step, (size.rows, size.columns))


def _write_header(path: Path, extents: dict[int, int]) -> None:
    dimensions = [str(extents.get(axis, 1)) for axis in range(16)]
    path.with_suffix(".hdr").write_text("# Dimensions\n" + " ".join(dimensions) + "\n")
