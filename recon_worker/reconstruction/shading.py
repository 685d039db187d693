"""Shading of a surface-coil array, found in the image itself.

Coil shading is smooth and multiplies; tissue contrast sits at edges. So the slopes of the logarithm of the brightness
tell the shading inside every tissue, and are outliers only where tissues meet: a smooth field is fitted to the slopes,
robustly. Fitted to the brightness itself, as was done before, a bright layer in front of the coils (the fat of the
back) cannot be told from a strong coil, and stays many times too bright. That gradients of natural images are sparse
and those of shading are not: Zheng et al., IEEE TPAMI 31:2243 (2009); robust weights: Beaton and Tukey (1974).
"""

from __future__ import annotations

from itertools import combinations_with_replacement

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Axes = tuple[Field, Field, Field]

DETAIL_MM = 20.0
"""Length that one further polynomial order stands for: the fat in front of a loop feels the width of its wire."""
LARGEST_ORDER = 10
STEP_MM = 3.0
"""Distance of the samples that are fitted."""
SLOPE_MM = 6.0
"""Distance over which slopes are taken in the slice plane."""
STIFFNESS_MM = 8.0
"""Curvature of the field counts as slope over this length; it decides where there is no tissue."""
TEXTURE = 0.04
"""Relative differences within one tissue that are no shading."""
LEAST_SPREAD = 0.5
"""Of the slopes, in their expected deviations: where the image has next to no noise, what the stiff field cannot
follow must not become an outlier."""
ROUNDS = 25
TUKEY = 1.5
"""Slopes so many spreads away from the field count nothing. Narrow, because steps between tissues have a preferred
direction (fat lies outside): what is left of their blurred feet adds up."""


def log_shading(
    magnitude: npt.NDArray[np.floating],
    tissue: Mask,
    relative_noise: npt.NDArray[np.floating],
    spacing_mm: tuple[float, float, float],
) -> Field:
    """Natural logarithm of the shading, but for a constant.

    Parameters
    ----------
    magnitude
        `[slice, row, column]`, low-passed; above 0 in tissue.
    tissue
        Where it tells of the shading.
    relative_noise
        Standard deviation of the logarithm of `magnitude`, same shape.
    spacing_mm
        Of slices, rows and columns.

    Returns
    -------
    `[slice, row, column]`, everywhere; beyond tissue it goes on as stiffly as it can.
    """
    steps = [1, *(max(1, round(STEP_MM / spacing)) for spacing in spacing_mm[1:])]
    chosen = tuple(slice(step // 2, None, step) for step in steps)
    log = np.log(np.where(tissue, magnitude, 1.0)[chosen]).astype(np.float64)
    inside = tissue[chosen]
    variance = relative_noise[chosen].astype(np.float64) ** 2
    whole = [_polynomials(n, spacing) for n, spacing in zip(magnitude.shape, spacing_mm, strict=True)]
    bases: Axes = tuple(basis[part] for basis, part in zip(whole, chosen, strict=True))  # type: ignore[assignment]
    distances = [step * spacing for step, spacing in zip(steps, spacing_mm, strict=True)]
    slopes = [
        _Slopes(log, inside, variance, bases, axis, 1 if axis == 0 else max(1, round(SLOPE_MM / distance)), distance)
        for axis, distance in enumerate(distances)
        if log.shape[axis] > 1
    ]
    pairs = sum(float(each.price.sum()) for each in slopes)
    if not pairs > 0:
        return np.zeros(magnitude.shape)
    stiffness = _stiffness(magnitude.shape, spacing_mm, whole) * STIFFNESS_MM**2 * pairs / len(slopes)
    coefficients = np.zeros([basis.shape[1] for basis in bases])
    for turn in range(ROUNDS):
        residuals = [each.residuals(coefficients) for each in slopes]
        every = np.abs(np.concatenate([r[each.price > 0] for r, each in zip(residuals, slopes, strict=True)]))
        spread = max(1.4826 * float(np.median(every)), LEAST_SPREAD)
        weights = [
            each.price * (_absolute(r / spread) if turn < ROUNDS // 2 else _biweight(r / spread))
            for r, each in zip(residuals, slopes, strict=True)
        ]
        normal, right = stiffness.copy(), np.zeros(stiffness.shape[0])
        for each, weight in zip(slopes, weights, strict=True):
            matrix, vector = each.equations(weight)
            normal += matrix
            right += vector
        # The constant is free: nothing tells it.
        normal[0, 0] += pairs
        normal[np.diag_indices_from(normal)] += 1e-12 * np.trace(normal) / len(normal)
        coefficients = np.asarray(np.linalg.solve(normal, right), dtype=np.float64).reshape(coefficients.shape)
    return np.asarray(np.einsum("abc,xa,yb,zc->xyz", coefficients, *whole, optimize=True))


class _Slopes:
    """Slopes along one axis: what they are, and what a field makes them."""

    def __init__(
        self, log: Field, inside: Mask, variance: Field, bases: Axes, axis: int, lag: int, distance_mm: float
    ) -> None:
        count = log.shape[axis]
        lag = min(lag, count - 1)
        everything = [slice(None)] * 3
        first = (*everything[:axis], slice(0, count - lag), *everything[axis + 1 :])
        second = (*everything[:axis], slice(lag, count), *everything[axis + 1 :])
        length = lag * distance_mm
        self.bases = list(bases)
        self.bases[axis] = (bases[axis][lag:] - bases[axis][: count - lag]) / length
        self.slope = (log[second] - log[first]) / length
        self.error = np.sqrt(TEXTURE**2 + variance[first] + variance[second]) / length
        both = inside[first] & inside[second]
        # Noisy pairs count less, by the usual rule; the unit is a pair without noise.
        self.price = both * TEXTURE**2 / (TEXTURE**2 + variance[first] + variance[second])

    def residuals(self, coefficients: Field) -> Field:
        """In standard deviations."""
        field = np.einsum("abc,xa,yb,zc->xyz", coefficients, *self.bases, optimize=True)
        return np.asarray((self.slope - field) / self.error)

    def equations(self, weights: Field) -> tuple[Field, Field]:
        """Normal matrix and right side of weighted least squares."""
        orders = [basis.shape[1] for basis in self.bases]
        size = int(np.prod(orders))
        pairs = [np.einsum("ij,ik->ijk", basis, basis).reshape(len(basis), -1) for basis in self.bases]
        normal = np.einsum("xyz,xa,yb,zc->abc", weights, *pairs, optimize=True)
        shape = [count for order in orders for count in (order, order)]
        matrix = normal.reshape(shape).transpose(0, 2, 4, 1, 3, 5).reshape(size, size)
        right = np.einsum("xyz,xa,yb,zc->abc", weights * self.slope, *self.bases, optimize=True).ravel()
        return matrix, right


def _absolute(residual: Field) -> Field:
    """Weights of the least sum of absolute values: finds the right tissue-to-tissue steps from any start."""
    return np.asarray(1 / np.maximum(np.abs(residual), 0.1))


def _biweight(residual: Field) -> Field:
    return np.asarray(np.clip(1 - (residual / TUKEY) ** 2, 0, None) ** 2)


def _polynomials(length: int, spacing_mm: float) -> Field:
    """Legendre basis `[voxel, order]` along one axis, of an order that its length allows."""
    orders = 0 if length == 1 else min(LARGEST_ORDER, 1 + int(length * spacing_mm / DETAIL_MM))
    place = (2 * np.arange(length) + 1) / length - 1
    return np.asarray(np.polynomial.legendre.legvander(place, orders), dtype=np.float64)


def _stiffness(shape: tuple[int, ...], spacing_mm: tuple[float, float, float], bases: list[Field]) -> Field:
    """Mean square of all second derivatives over the whole volume, per mm^4, as a quadratic form."""
    forms = []
    for length, spacing, basis in zip(shape, spacing_mm, bases, strict=True):
        orders = basis.shape[1]
        place = (2 * np.arange(length) + 1) / length - 1
        grams = []
        for derivative in range(3):
            if derivative >= orders:
                grams.append(np.zeros((orders, orders)))
                continue
            coefficients = np.polynomial.legendre.legder(np.eye(orders), derivative)
            values = np.polynomial.legendre.legvander(place, orders - 1 - derivative) @ coefficients
            values = values * (2 / (length * spacing)) ** derivative
            grams.append(values.T @ values / length)
        forms.append(grams)
    size = int(np.prod([basis.shape[1] for basis in bases]))
    total = np.zeros((size, size))
    for one, other in combinations_with_replacement(range(3), 2):
        kinds = [(axis == one) + (axis == other) for axis in range(3)]
        product = np.kron(np.kron(forms[0][kinds[0]], forms[1][kinds[1]]), forms[2][kinds[2]])
        total += product if one == other else 2 * product
    return total
