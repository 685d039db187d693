"""Small acquisitions with known truth, written as ISMRMRD or held in memory; made without any code of the chain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import ismrmrd
import numpy as np
from scipy import special

from recon_worker.data import KSpace, KSpaceHeader, KSpaceSlice, SlicePlane

FLAG = {
    "noise": ismrmrd.ACQ_IS_NOISE_MEASUREMENT,
    "reverse": ismrmrd.ACQ_IS_REVERSE,
    "calibration": ismrmrd.ACQ_IS_PARALLEL_CALIBRATION,
    "calibration and imaging": ismrmrd.ACQ_IS_PARALLEL_CALIBRATION_AND_IMAGING,
    "navigation": ismrmrd.ACQ_IS_NAVIGATION_DATA,
}


def oblique_directions() -> tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]:
    """A right-handed set (read, phase, slice) turned about all three axes."""
    from scipy.spatial.transform import Rotation

    turned = Rotation.from_euler("xyz", [12.0, -23.0, 34.0], degrees=True).as_matrix()
    return tuple(turned[:, 0]), tuple(turned[:, 1]), tuple(turned[:, 2])


@dataclass(frozen=True)
class Protocol:
    """A small 2D multi-slice acquisition; lengths in mm, positions LPS."""

    columns: int = 48
    rows: int = 40
    oversampling: int = 2
    read_mm: float = 96.0
    phase_mm: float = 100.0
    thickness_mm: float = 4.0
    spacing_mm: float = 4.4
    n_slices: int = 1
    n_coils: int = 4
    n_averages: int = 1
    first_centre_mm: tuple[float, float, float] = (5.0, -20.0, 30.0)
    directions: tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]] = (
        (0.0, 0.0, -1.0),
        (0.0, 1.0, 0.0),
        (1.0, 0.0, 0.0),
    )

    @property
    def samples(self) -> int:
        return self.columns * self.oversampling

    @property
    def kx(self) -> np.ndarray:
        """Spatial frequencies of the readout samples, 1/mm."""
        return (np.arange(self.samples) - self.samples // 2) / (self.read_mm * self.oversampling)

    @property
    def ky(self) -> np.ndarray:
        return (np.arange(self.rows) - self.rows // 2) / self.phase_mm

    def plane(self, index: int) -> SlicePlane:
        read, phase, normal = self.directions
        centre = np.asarray(self.first_centre_mm) + index * self.spacing_mm * np.asarray(normal)
        return SlicePlane(tuple(map(float, centre)), tuple(read), tuple(phase), tuple(normal))


@dataclass(frozen=True)
class Ellipse:
    """Centre and half axes in mm in the slice plane (along read, along phase), tilt in degrees, brightness."""

    x: float
    y: float
    half_x: float
    half_y: float
    tilt: float = 0.0
    brightness: float = 1.0

    def inside(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        angle = np.deg2rad(self.tilt)
        u = (x - self.x) * np.cos(angle) + (y - self.y) * np.sin(angle)
        v = -(x - self.x) * np.sin(angle) + (y - self.y) * np.cos(angle)
        return (u / self.half_x) ** 2 + (v / self.half_y) ** 2 <= 1

    def transform(self, kx: np.ndarray, ky: np.ndarray) -> np.ndarray:
        """Fourier transform in closed form (first-order Bessel function), mm^2, sign exp(-2 pi i k x).

        Source: Van de Walle et al., IEEE Trans. Med. Imaging 19:1160 (2000).
        """
        angle = np.deg2rad(self.tilt)
        u = (kx * np.cos(angle) + ky * np.sin(angle)) * self.half_x
        v = (-kx * np.sin(angle) + ky * np.cos(angle)) * self.half_y
        q = 2 * np.pi * np.hypot(u, v)
        shape = np.where(q < 1e-9, 0.5, special.j1(np.maximum(q, 1e-9)) / np.maximum(q, 1e-9))
        shift = np.exp(-2j * np.pi * (kx * self.x + ky * self.y))
        return self.brightness * 2 * np.pi * self.half_x * self.half_y * shape * shift


@dataclass(frozen=True)
class Blob:
    """A Gaussian of standard deviation `width` mm: no edges, so no ringing, and its centroid is exact."""

    x: float
    y: float
    width: float

    def transform(self, kx: np.ndarray, ky: np.ndarray) -> np.ndarray:
        spread = np.exp(-2 * (np.pi * self.width) ** 2 * (kx**2 + ky**2)) * 2 * np.pi * self.width**2
        return spread * np.exp(-2j * np.pi * (kx * self.x + ky * self.y))


Shapes = tuple[Ellipse | Blob, ...]
BODY = (
    Ellipse(0.0, 0.0, 38.0, 40.0, brightness=1.0),
    Ellipse(-12.0, 8.0, 9.0, 14.0, tilt=25.0, brightness=0.8),
    Ellipse(16.0, -14.0, 6.0, 6.0, brightness=-0.6),
)


@dataclass(frozen=True)
class Coils:
    """Sensitivities as short trigonometric sums, so that k-space of coil times object stays in closed form.

    `weights` is `[coil, 3, 3]`: harmonics -1, 0, 1 along phase and read of a period of `period_mm`.
    """

    weights: np.ndarray
    period_mm: float = 400.0

    @classmethod
    def make(cls, n_coils: int, seed: int = 7) -> Coils:
        random = np.random.default_rng(seed)
        weights = np.zeros((n_coils, 3, 3), dtype=np.complex128)
        for coil in range(n_coils):
            angle = 2 * np.pi * coil / n_coils
            weights[coil, 1, 1] = 1.0
            weights[coil, 1, 0], weights[coil, 1, 2] = 0.3 * np.exp(1j * angle), 0.3 * np.exp(-1j * angle)
            weights[coil, 0, 1], weights[coil, 2, 1] = 0.3 * np.exp(2j * angle + 1j), 0.3 * np.exp(-2j * angle - 1j)
            weights[coil] *= np.exp(1j * random.uniform(0, 2 * np.pi)) * random.uniform(0.8, 1.2)
        return cls(weights)

    @classmethod
    def uniform(cls, n_coils: int) -> Coils:
        """Coils that see everything alike."""
        weights = np.zeros((n_coils, 3, 3), dtype=np.complex128)
        weights[:, 1, 1] = 1.0
        return cls(weights)

    def samples(self, shapes: Shapes, kx: np.ndarray, ky: np.ndarray) -> np.ndarray:
        """`[coil, ky, kx]` exact samples of the object seen through each coil."""
        kx, ky = np.meshgrid(kx, ky)
        shift = 1 / self.period_mm
        parts = [
            [sum(shape.transform(kx - i * shift, ky - j * shift) for shape in shapes) for i in (-1, 0, 1)]
            for j in (-1, 0, 1)
        ]
        return np.einsum("cji,jiyx->cyx", self.weights, np.array(parts))

    def sensitivity(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """`[coil, ...]` at positions in mm (along read, along phase)."""
        total = np.zeros((len(self.weights), *np.broadcast(x, y).shape), dtype=np.complex128)
        for j in (-1, 0, 1):
            for i in (-1, 0, 1):
                wave = np.exp(2j * np.pi * (i * x + j * y) / self.period_mm)
                total += self.weights[:, j + 1, i + 1][(...,) + (None,) * wave.ndim] * wave
        return total


def correlated_covariance(n_coils: int, seed: int = 3) -> np.ndarray:
    """`[coil, coil]` a Hermitian covariance with neighbour correlation and different gains; mean variance 2."""
    random = np.random.default_rng(seed)
    distance = np.abs(np.arange(n_coils)[:, None] - np.arange(n_coils)[None, :])
    distance = np.minimum(distance, n_coils - distance)
    correlation = 0.4**distance * np.exp(0.5j * (np.arange(n_coils)[:, None] - np.arange(n_coils)[None, :]))
    gains = random.uniform(0.7, 1.4, n_coils)
    covariance = correlation * gains[:, None] * gains[None, :]
    return covariance * 2 * n_coils / np.trace(covariance).real


def draw_noise(covariance: np.ndarray, shape: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """complex64 `[coil, *shape]` with E[n n^H] = covariance."""
    factor = np.linalg.cholesky(covariance)
    white = random.standard_normal((len(covariance), *shape)) + 1j * random.standard_normal((len(covariance), *shape))
    return (np.tensordot(factor, white, 1) / np.sqrt(2)).astype(np.complex64)


@dataclass(frozen=True)
class Scan:
    """A simulated acquisition: `data` `[slice, average, coil, ky, kx]`, `acquired` `[average, ky]`, `noise` scan."""

    protocol: Protocol
    data: np.ndarray
    acquired: np.ndarray
    noise: np.ndarray | None
    covariance: np.ndarray
    coils: Coils = field(default_factory=lambda: Coils.make(4))


def simulate(
    protocol: Protocol, *, noise_level: float = 0.0, seed: int = 0, phase_lines: slice | None = None,
    shapes: Shapes = BODY, noise_scan: bool = True, coils: Coils | None = None,
) -> Scan:
    """The same object in every slice, seen through the coils, with correlated noise.

    `noise_level` is the noise's root mean square (per real or imaginary part) of a sample in the orthonormal scale in
    which the body's brightness is about 1. `phase_lines` are the acquired lines, all by default.
    """
    random = np.random.default_rng(seed)
    coils = coils or Coils.make(protocol.n_coils)
    scale = 1 / (protocol.read_mm * protocol.oversampling * protocol.phase_mm)
    clean = coils.samples(shapes, protocol.kx, protocol.ky) * scale * np.sqrt(protocol.samples * protocol.rows)
    covariance = correlated_covariance(protocol.n_coils) * max(noise_level, 1e-7) ** 2
    shape = (protocol.n_slices, protocol.n_averages, protocol.rows, protocol.samples)
    data = np.moveaxis(draw_noise(covariance, shape, random), 0, 2)
    if noise_level == 0:
        data = np.zeros_like(data)
    data = data + clean.astype(np.complex64)
    acquired = np.zeros((protocol.n_averages, protocol.rows), dtype=bool)
    acquired[:, phase_lines or slice(None)] = True
    data = np.ascontiguousarray(data * acquired[None, :, None, :, None], dtype=np.complex64)
    noise = draw_noise(covariance, (65536,), random) if noise_scan else None
    return Scan(protocol, data, acquired, noise, covariance, coils)


def pixel_positions(protocol: Protocol) -> tuple[np.ndarray, np.ndarray]:
    """`[row, column]` positions of pixel centres in mm from the centre of the field of view (read, phase)."""
    x = (np.arange(protocol.columns) - protocol.columns // 2) * protocol.read_mm / protocol.columns
    y = (np.arange(protocol.rows) - protocol.rows // 2) * protocol.phase_mm / protocol.rows
    return np.meshgrid(x, y)


def in_memory(scan: Scan, **changes: Any) -> KSpace:
    """The acquisition as a `KSpace`, without a file."""
    protocol = scan.protocol
    values: dict[str, Any] = {
        "format": "simulated",
        "encoded_matrix": (protocol.samples, protocol.rows),
        "image_matrix": (protocol.columns, protocol.rows),
        "encoded_field_of_view_mm": (protocol.read_mm * protocol.oversampling, protocol.phase_mm),
        "image_field_of_view_mm": (protocol.read_mm, protocol.phase_mm),
        "slice_thickness_mm": protocol.thickness_mm,
        "ky_centre": protocol.rows // 2,
        "kx_centre": protocol.samples // 2,
        "n_slices": protocol.n_slices,
        "n_coils": protocol.n_coils,
        "n_averages": protocol.n_averages,
        "planes": tuple(protocol.plane(index) for index in range(protocol.n_slices)),
        "noise": scan.noise,
    }
    header = KSpaceHeader(**{**values, **changes})

    def slices() -> Iterator[KSpaceSlice]:
        for index, data in enumerate(scan.data):
            yield KSpaceSlice(
                index=index,
                data=data,
                acquired=scan.acquired,
                echo=np.full(protocol.rows, -1, dtype=np.int16),
                reversed_readout=np.zeros_like(scan.acquired),
            )

    return KSpace(header, slices)


def xml_header(protocol: Protocol, **changes: Any) -> str:
    """A minimal ISMRMRD header with patient fields in it, which must never come out again."""
    values: dict[str, Any] = {
        "trajectory": "cartesian",
        "encoded_rows": protocol.rows,
        "encoded_samples": protocol.samples,
        "encoded_phase_mm": protocol.phase_mm,
        "image_rows": protocol.rows,
        "image_columns": protocol.columns,
        "image_phase_mm": protocol.phase_mm,
        "centre": protocol.rows // 2,
        "depth": 1,
        "vendor": "none",
        **changes,
    }
    return f"""<?xml version="1.0"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
 <subjectInformation><patientName>SECRET^NAME</patientName><patientID>SECRET-ID</patientID>
  <patientBirthdate>1970-01-01</patientBirthdate></subjectInformation>
 <studyInformation><studyDate>2020-02-02</studyDate><studyDescription>SECRET STUDY</studyDescription></studyInformation>
 <measurementInformation><patientPosition>HFS</patientPosition><protocolName>SECRET PROTOCOL</protocolName>
 </measurementInformation>
 <acquisitionSystemInformation><systemVendor>{values["vendor"]}</systemVendor>
  <institutionName>SECRET HOSPITAL</institutionName>
  <relativeReceiverNoiseBandwidth>0.79</relativeReceiverNoiseBandwidth></acquisitionSystemInformation>
 <experimentalConditions><H1resonanceFrequency_Hz>127700000</H1resonanceFrequency_Hz></experimentalConditions>
 <encoding>
  <encodedSpace><matrixSize><x>{values["encoded_samples"]}</x><y>{values["encoded_rows"]}</y>
   <z>{values["depth"]}</z></matrixSize>
   <fieldOfView_mm><x>{protocol.read_mm * protocol.oversampling}</x><y>{values["encoded_phase_mm"]}</y>
   <z>{protocol.thickness_mm}</z></fieldOfView_mm></encodedSpace>
  <reconSpace><matrixSize><x>{values["image_columns"]}</x><y>{values["image_rows"]}</y><z>1</z></matrixSize>
   <fieldOfView_mm><x>{protocol.read_mm}</x><y>{values["image_phase_mm"]}</y>
   <z>{protocol.thickness_mm}</z></fieldOfView_mm></reconSpace>
  <trajectory>{values["trajectory"]}</trajectory>
  <encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>{protocol.rows - 1}</maximum>
   <center>{values["centre"]}</center></kspace_encoding_step_1></encodingLimits>
 </encoding>
 <sequenceParameters><TR>3000</TR><TE>67</TE></sequenceParameters>
</ismrmrdHeader>"""


@dataclass
class Line:
    """One readout to be written."""

    samples: np.ndarray  # [coil, sample]
    ky: int = 0
    slice: int = 0
    average: int = 0
    flags: tuple[str, ...] = ()
    centre_sample: int | None = None
    sample_time_us: float = 5.0
    counters: dict[str, int] = field(default_factory=dict)


def scan_lines(scan: Scan) -> list[Line]:
    """All readouts of a scan in an interleaved order: averages outside, lines, slices inside."""
    lines = []
    if scan.noise is not None:
        for block in np.split(scan.noise, scan.noise.shape[1] // 1024, axis=1):
            lines.append(Line(block, flags=("noise",)))
    for average in range(scan.data.shape[1]):
        for ky in np.flatnonzero(scan.acquired[average]):
            for index in range(scan.data.shape[0]):
                lines.append(Line(scan.data[index, average, :, ky], ky=int(ky), slice=index, average=average))
    return lines


def write_ismrmrd(
    path: Path, protocol: Protocol, lines: list[Line], *, xml: str | None = None, group: str = "dataset",
    planes: list[SlicePlane] | None = None,
) -> Path:
    """Write readouts as one table at once."""
    table = np.zeros(len(lines), dtype=ismrmrd.hdf5.acquisition_dtype)
    for row, line in zip(table, lines, strict=True):
        coils, samples = line.samples.shape
        head = row["head"]
        head["version"] = 1
        for name in line.flags:
            head["flags"] |= np.uint64(1) << np.uint64(FLAG[name] - 1)
        head["number_of_samples"], head["active_channels"], head["available_channels"] = samples, coils, coils
        head["center_sample"] = samples // 2 if line.centre_sample is None else line.centre_sample
        head["sample_time_us"] = line.sample_time_us
        plane = planes[line.slice] if planes else protocol.plane(line.slice)
        head["position"], head["read_dir"] = plane.centre_mm, plane.read_direction
        head["phase_dir"], head["slice_dir"] = plane.phase_direction, plane.slice_direction
        head["idx"]["kspace_encode_step_1"], head["idx"]["slice"] = line.ky, line.slice
        head["idx"]["average"] = line.average
        for name, value in line.counters.items():
            head["idx"][name] = value
        row["data"] = np.ascontiguousarray(line.samples, dtype=np.complex64).view(np.float32).ravel()
        row["traj"] = np.zeros(0, dtype=np.float32)
    with h5py.File(path, "w") as file:
        held = file.create_group(group)
        text = held.create_dataset("xml", (1,), dtype=h5py.special_dtype(vlen=bytes))
        text[0] = (xml or xml_header(protocol)).encode()
        held.create_dataset("data", data=table, maxshape=(None,), chunks=(max(1, min(1024, len(lines))),))
    return path


def write_scan(path: Path, scan: Scan, **header: Any) -> Path:
    return write_ismrmrd(path, scan.protocol, scan_lines(scan), xml=xml_header(scan.protocol, **header))
