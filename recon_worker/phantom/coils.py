"""A posterior array of receive loops: sensitivities by Biot-Savart, correlated noise, gains.

By reciprocity a loop receives with the transverse field that a unit current in it would make: S = Bx - i By for a
main field along z (Hoult 2000).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.interpolate import make_interp_spline

from recon_worker.phantom.shapes import PlaneGrid, Vector

ComplexArray = npt.NDArray[np.complex64]
COARSE_MM = 9.0
_SEGMENTS = 28
_TABLE_GAP_MM = 30.0
_SPAN_MM = (380.0, 280.0)


@dataclass(frozen=True)
class CoilArray:
    """Loops parallel to the table.

    Attributes
    ----------
    centres_mm
        `[coil, x y z]`.
    radius_mm
        Of every loop.
    gains
        `[coil]` complex: amplification and phase of each channel.
    covariance
        `[coil, coil]` of the noise, mean of the diagonal 1 before the gains; the gains act on it as on the signal.
    scale
        Factor that makes the best combined sensitivity 1 at the reference point.
    """

    centres_mm: Vector
    radius_mm: float
    gains: npt.NDArray[np.complex128]
    covariance: npt.NDArray[np.complex128]
    scale: float

    def sensitivity_at(self, points_mm: Vector) -> npt.NDArray[np.complex128]:
        """`[coil, point]` sensitivities, gains included, at `points_mm` `[point, x y z]`."""
        angles = 2 * np.pi * np.arange(_SEGMENTS) / _SEGMENTS
        ring = self.radius_mm * np.stack([np.cos(angles), np.zeros_like(angles), np.sin(angles)], axis=1)
        step = np.roll(ring, -1, axis=0) - ring
        middle = ring + step / 2
        out = np.empty((len(self.centres_mm), len(points_mm)), dtype=np.complex128)
        for coil, centre in enumerate(self.centres_mm):
            distance = points_mm[:, None, :] - (centre + middle)[None]
            cube = np.maximum(np.einsum("psk,psk->ps", distance, distance), 9.0) ** 1.5
            bx = ((step[None, :, 1] * distance[..., 2] - step[None, :, 2] * distance[..., 1]) / cube).sum(axis=1)
            by = ((step[None, :, 2] * distance[..., 0] - step[None, :, 0] * distance[..., 2]) / cube).sum(axis=1)
            out[coil] = self.gains[coil] * self.scale * (bx - 1j * by)
        return out

    def sensitivities(self, plane: PlaneGrid) -> ComplexArray:
        """`[coil, row, column]` on `plane`, by spline from a coarser lattice (the fields are smooth)."""
        axes, coarse = [], []
        for step, count in zip((plane.row_step_mm, plane.column_step_mm), plane.shape, strict=True):
            length = float(np.linalg.norm(step)) * max(count - 1, 1)
            knots = np.linspace(0, max(count - 1, 1), max(5, round(length / COARSE_MM) + 1))
            axes.append(make_interp_spline(knots, np.eye(len(knots)))(np.arange(count)).astype(np.float32))
            coarse.append(knots)
        points = (
            plane.origin_mm
            + coarse[0][:, None, None] * plane.row_step_mm
            + coarse[1][None, :, None] * plane.column_step_mm
        )
        values = self.sensitivity_at(points.reshape(-1, 3)).astype(np.complex64)
        lattice = values.reshape(len(values), len(coarse[0]), len(coarse[1]))
        return np.asarray(np.matmul(np.matmul(axes[0], lattice), axes[1].T), dtype=np.complex64)


def combined_sensitivity(
    sensitivities: npt.NDArray[np.complexfloating], covariance: npt.NDArray[np.complex128]
) -> npt.NDArray[np.float32]:
    """Signal-to-noise ratio of the best combination per unit signal and noise: sqrt(S^H Psi^-1 S) (Roemer 1990)."""
    whitening = np.linalg.inv(np.linalg.cholesky(covariance))
    flat = sensitivities.reshape(len(sensitivities), -1)
    white = whitening.astype(flat.dtype) @ flat
    return np.asarray(np.sqrt((np.abs(white) ** 2).sum(axis=0)), dtype=np.float32).reshape(sensitivities.shape[1:])


def draw_coils(rng: np.random.Generator, *, coils: tuple[int, int], back_y: float, reference_mm: Vector) -> CoilArray:
    """An array of `(rows, columns)` loops behind a back at `back_y`; sensitivity is 1 at `reference_mm`."""
    rows, columns = coils
    z = (np.arange(rows) - (rows - 1) / 2) * (_SPAN_MM[0] / rows)
    x = (np.arange(columns) - (columns - 1) / 2) * (_SPAN_MM[1] / columns)
    centres = np.array([[cx, back_y + _TABLE_GAP_MM, cz + reference_mm[2]] for cz in z for cx in x])
    pitch = np.sqrt(_SPAN_MM[0] / rows * _SPAN_MM[1] / columns)
    count = rows * columns
    distance = np.linalg.norm(centres[:, None] - centres[None], axis=2)
    shared = 0.62 * np.exp(-((distance / (1.15 * pitch)) ** 2))
    np.fill_diagonal(shared, 0.0)
    phases = np.exp(1j * rng.uniform(-np.pi, np.pi, count))
    plain = np.eye(count) * 1.0 + shared
    smallest = float(np.linalg.eigvalsh(plain)[0])
    if smallest < 0.15:  # keep the covariance positive definite
        plain += np.eye(count) * (0.15 - smallest)
    plain *= count / np.trace(plain)
    amplifiers = np.exp(rng.normal(0, 0.2, count))
    # Phases of the loops' noise relate to geometry, the amplifiers' gains act on signal and noise alike.
    covariance = plain * np.outer(amplifiers, amplifiers) * np.outer(phases, phases.conj())
    array = CoilArray(centres, 0.62 * float(pitch), amplifiers * phases, covariance, 1.0)
    there = array.sensitivity_at(np.asarray(reference_mm, dtype=np.float64)[None])
    best = float(combined_sensitivity(there, covariance)[0])
    return CoilArray(array.centres_mm, array.radius_mm, array.gains, covariance, 1.0 / best)


def draw_noise(
    rng: np.random.Generator, covariance: npt.NDArray[np.complex128], sigma: float, samples: int
) -> ComplexArray:
    """`[coil, sample]` complex Gaussian noise with E[n n^H] = 2 `sigma`² `covariance`.

    A coil with covariance 1 has the standard deviation `sigma` in its real and in its imaginary part.
    """
    factor = (np.linalg.cholesky(covariance) * sigma).astype(np.complex64)
    white = rng.standard_normal((len(covariance), samples, 2), dtype=np.float32).view(np.complex64)[..., 0]
    return np.asarray(factor @ white, dtype=np.complex64)
