"""What the scanner adds to the anatomy: where it excites, how well it suppresses fat, and the phase of the object."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from recon_worker.phantom.anatomy import Subject
from recon_worker.phantom.protocol import Scan
from recon_worker.phantom.shapes import Array, Coordinates, Vector, smooth_step

FAT_SHIFT_HZ = 440.0
"""Water minus fat at 3 T."""


@dataclass(frozen=True)
class Fields:
    """Random imperfections of one sequence in one subject.

    Attributes
    ----------
    centre_mm
        Centre of the stack of slices.
    band_mm, band_tilt, band_residual
        Saturation band in front of the spine: its distance from the bodies, its tilt, and the signal left in it.
    fat_residual
        Fat signal left where suppression works.
    phase_terms
        `[10]` coefficients of a polynomial of degree 2 in position (rad over 100 mm).
    fine_phase
        Amplitude of the phase's fine structure, rad.
    edge_failure
        Fat signal left under the skin of the back, in patches, where suppression fails.
    transmit_terms
        `[4]` how the excitation varies along x, y, z and with their square (share over 100 mm).
    """

    centre_mm: Vector
    band_mm: float
    band_tilt: float
    band_residual: float
    fat_residual: float
    phase_terms: Vector
    fine_phase: float
    edge_failure: float
    transmit_terms: Vector

    def excitation(self, subject: Subject, scan: Scan, points: Coordinates) -> Array:
        """Share of the signal that is excited and not saturated, `[row, column]`."""
        x, y, z = points
        front = subject.spine.curve.at("front", z)
        edge = front - np.float32(self.band_mm) + np.float32(self.band_tilt) * (z - np.float32(self.centre_mm[2]))
        kept = np.float32(self.band_residual) + np.float32(1 - self.band_residual) * smooth_step(y, edge, 22.0)
        along, centre = (z, self.centre_mm[2]) if scan.sagittal else (x, self.centre_mm[0])
        reach = scan.field_of_view_mm * (0.56 if scan.sagittal else 0.94)
        far = np.abs(along - np.float32(centre))
        shape = kept * (1 - smooth_step(far, reach, scan.field_of_view_mm * 0.08))
        return np.asarray(shape * self.transmit(points), dtype=np.float32)

    def transmit(self, points: Coordinates) -> Array:
        """Excitation by the transmit field B1, 1 in the middle: a few percent up and down over the body."""
        place = [(p - np.float32(c)) / np.float32(100.0) for p, c in zip(points, self.centre_mm, strict=True)]
        linear = sum(np.float32(t) * p for t, p in zip(self.transmit_terms, place, strict=False))
        square = np.float32(self.transmit_terms[3]) * sum(p * p for p in place)
        return np.asarray(np.clip(1 + linear + square, 0.7, 1.3), dtype=np.float32)

    def fat_left(self, scan: Scan, subject: Subject, points: Coordinates) -> Array | float:
        """Share of the fat signal that is left: more at the ends, beside gas and in patches under the back's skin."""
        if not scan.fat_suppressed:
            return 1.0
        y, z = points[1:]
        far = np.abs(z - np.float32(self.centre_mm[2]) - np.float32(4.0))
        ends = smooth_step(far + np.float32(0.18) * (y - np.float32(self.centre_mm[1])), 148.0, 60.0)
        skin = np.exp(-np.maximum(np.float32(subject.torso.back_y) - y, 0) / np.float32(9.0))
        patches = smooth_step(subject.texture.at(points, (60.0, 40.0, 45.0), shift=53.0), -0.2, 2.5)
        left = np.float32(self.fat_residual) + np.float32(0.22) * ends + np.float32(0.05) * skin
        left = left + np.float32(self.edge_failure) * patches * skin
        for loop, squared in _beside_gas(subject, points):
            radius = np.float32(loop[3:6].mean())
            left = left + np.float32(0.35) * np.exp(-squared / (np.float32(1.7) * radius) ** 2)
        return np.asarray(np.minimum(left, 0.9), dtype=np.float32)

    def phase(self, subject: Subject, points: Coordinates) -> npt.NDArray[np.complex64]:
        """Phase factor of the object: smooth over the body, finer beside gas and through the tissue."""
        x, y, z = ((p - np.float32(c)) / np.float32(100.0) for p, c in zip(points, self.centre_mm, strict=True))
        terms = (np.ones_like(x), x, y, z, x * x, y * y, z * z, x * y, y * z, x * z)
        angle: Array = np.zeros(np.broadcast_shapes(x.shape, y.shape, z.shape), dtype=np.float32)
        for term, weight in zip(terms, self.phase_terms, strict=True):
            angle = angle + np.float32(weight) * term
        texture = subject.texture
        angle += np.float32(0.5 * self.fine_phase) * texture.at(points, (22.0, 22.0, 22.0), shift=31.0)
        angle += np.float32(self.fine_phase) * texture.at(points, (6.0, 6.0, 6.0), shift=37.0)
        for loop, squared in _beside_gas(subject, points):
            radius = np.float32(loop[3:6].mean())
            angle += np.float32(0.7) * np.exp(-squared / (np.float32(2.2) * radius) ** 2)
        return np.asarray(np.exp(1j * angle), dtype=np.complex64)


def _beside_gas(subject: Subject, points: Coordinates) -> Iterator[tuple[Vector, Array]]:
    """Loops of bowel with gas near the midline and the squared distance of `points` from each."""
    gas = subject.torso.bowel[subject.torso.bowel[:, 6] == 0]
    for loop in gas[np.abs(gas[:, 0]) < 45]:
        squared = sum((p - np.float32(c)) ** 2 for p, c in zip(points, loop[:3], strict=True))
        yield loop, np.asarray(squared, dtype=np.float32)


def draw_fields(rng: np.random.Generator, subject: Subject, scan: Scan, centre_mm: Vector) -> Fields:
    """Random imperfections for one sequence of `subject`."""
    terms = rng.normal(0, 1, 10) * np.array([1.5, 0.6, 0.6, 0.6, 0.35, 0.35, 0.3, 0.25, 0.25, 0.25])
    return Fields(
        centre_mm=centre_mm,
        band_mm=float(rng.uniform(42, 75)),
        band_tilt=float(rng.normal(0.0, 0.08)),
        band_residual=float(rng.uniform(0.3, 0.5) if scan.sagittal else rng.uniform(0.05, 0.12)),
        fat_residual=float(rng.uniform(0.04, 0.08)),
        phase_terms=terms,
        fine_phase=float(rng.uniform(0.08, 0.16)),
        edge_failure=float(rng.uniform(0.1, 0.45)),
        transmit_terms=rng.normal(0, 1, 4) * np.array([0.03, 0.03, 0.015, 0.02]),
    )
