"""Planes of sample points, distances to simple solids, and random texture in space.

Every solid is a function of position in millimetres, so that sagittal and axial slices of any matrix cut the same
subject. Distances are negative inside and correct to first order at the surface, where they are used.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Array = npt.NDArray[np.floating]
"""Real values, float32 as a rule."""
Numbers = float | np.floating | Array
Vector = npt.NDArray[np.float64]
Window = tuple[slice, slice]
Coordinates = tuple[Array, Array, Array]
CENTRE_MM = 1e-4
"""Keeps a point off the exact centre of an ellipse, from where every direction is the nearest."""


@dataclass(frozen=True)
class PlaneGrid:
    """A rectangle of sample points in space.

    Attributes
    ----------
    origin_mm
        LPS position `[x, y, z]` of sample `[0, 0]`.
    row_step_mm, column_step_mm
        Step `[x, y, z]` from one row to the next and from one column to the next; at right angles.
    shape
        `(rows, columns)`.
    """

    origin_mm: Vector
    row_step_mm: Vector
    column_step_mm: Vector
    shape: tuple[int, int]

    @property
    def edge_mm(self) -> float:
        """Width over which the edge of a solid fades: one sample."""
        return float(np.sqrt(np.linalg.norm(self.row_step_mm) * np.linalg.norm(self.column_step_mm)))

    def whole(self) -> Window:
        """The window of all samples."""
        return slice(0, self.shape[0]), slice(0, self.shape[1])

    def window(self, centre_mm: Vector, radius_mm: float) -> Window | None:
        """The smallest window that holds the samples within `radius_mm` of `centre_mm`, or None if there are none."""
        offset = np.asarray(centre_mm, dtype=np.float64) - self.origin_mm
        lengths = [float(np.linalg.norm(step)) for step in (self.row_step_mm, self.column_step_mm)]
        along = [
            float(offset @ step) / length
            for step, length in zip((self.row_step_mm, self.column_step_mm), lengths, strict=True)
        ]
        squared = radius_mm**2 - float(offset @ offset) + along[0] ** 2 + along[1] ** 2
        if squared <= 0:
            return None
        reach = float(np.sqrt(squared))
        window = []
        for position, length, count in zip(along, lengths, self.shape, strict=True):
            first = max(0, int(np.floor((position - reach) / length)))
            last = min(count, int(np.ceil((position + reach) / length)) + 1)
            if first >= last:
                return None
            window.append(slice(first, last))
        return window[0], window[1]

    def points(self, window: Window) -> Coordinates:
        """LPS coordinates `x, y, z` of the samples in `window`, float32, each `[row, column]` or broadcasting to it.

        A coordinate that does not change along an axis has length 1 there, so that what depends on height alone is
        worked out once per height.
        """
        rows = np.arange(window[0].start, window[0].stop, dtype=np.float64)[:, None]
        columns = np.arange(window[1].start, window[1].stop, dtype=np.float64)[None, :]
        coordinates = []
        for axis in range(3):
            value = np.full((1, 1), self.origin_mm[axis])
            if self.row_step_mm[axis] != 0:
                value = value + rows * self.row_step_mm[axis]
            if self.column_step_mm[axis] != 0:
                value = value + columns * self.column_step_mm[axis]
            coordinates.append(value.astype(np.float32))
        return coordinates[0], coordinates[1], coordinates[2]


@dataclass(frozen=True)
class Frame:
    """A place and three axes: u to the left, v to the back, w to the head of a vertebra. `axes` `[axis, x y z]`."""

    centre_mm: Vector
    axes: Vector

    def local(self, points: Coordinates) -> Coordinates:
        """Coordinates along the three axes, millimetres from the centre."""
        x, y, z = (coordinate - np.float32(centre) for coordinate, centre in zip(points, self.centre_mm, strict=True))
        u, v, w = (np.float32(axis[0]) * x + np.float32(axis[1]) * y + np.float32(axis[2]) * z for axis in self.axes)
        return u, v, w

    def position(self, u: float, v: float, w: float) -> Vector:
        """LPS position of local coordinates."""
        return np.asarray(self.centre_mm + np.array([u, v, w]) @ self.axes, dtype=np.float64)


def occupancy(distance: Array, edge_mm: float) -> Array:
    """Share of a sample inside a solid, 0 to 1, from the distance to its surface."""
    return np.asarray(np.clip(0.5 - distance / np.float32(edge_mm), 0, 1), dtype=np.float32)


def smooth_step(value: Array, centre: Numbers, width: float) -> Array:
    """0 well below `centre`, 1 well above, over about `width`."""
    t = np.clip((value - centre) / np.float32(width) + 0.5, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)


def rounded_intersection(first: Array, second: Array, radius_mm: float) -> Array:
    """Distance to the common part of two solids with its edge rounded."""
    a = first + np.float32(radius_mm)
    b = second + np.float32(radius_mm)
    inside = np.minimum(np.maximum(a, b), 0)
    return np.asarray(
        inside + np.sqrt(np.maximum(a, 0) ** 2 + np.maximum(b, 0) ** 2) - np.float32(radius_mm), dtype=np.float32
    )


def ellipse(p: Array, q: Array, half_p: Numbers, half_q: Numbers, power: float = 2.0) -> Array:
    """Distance to a (super-)ellipse with the given half axes; `power` is 2, 2.5, 3 or 4, which roots can do."""
    p = np.abs(p) + np.float32(CENTRE_MM)
    a = p / half_p
    b = np.abs(q / half_q)
    if power == 2.0:
        ratio = np.sqrt(a * a + b * b)
    elif power == 4.0:
        ratio = np.sqrt(np.sqrt(a**4 + b**4))
    elif power == 3.0:
        ratio = np.cbrt(a * a * a + b * b * b)
    elif power == 2.5:
        ratio = (a * a * np.sqrt(a) + b * b * np.sqrt(b)) ** np.float32(0.4)
    else:
        raise ValueError(f"{power} is none of the powers of a super-ellipse.")
    return np.asarray((1 - 1 / ratio) * np.sqrt(p * p + q * q), dtype=np.float32)


def ellipsoid(points: Coordinates, centre: tuple[float, float, float], radii: tuple[float, float, float]) -> Array:
    """Distance to an ellipsoid along the axes of `points`."""
    squared = np.zeros(np.broadcast_shapes(*(p.shape for p in points)), dtype=np.float32)
    scaled = np.zeros_like(squared)
    for coordinate, middle, radius in zip(points, centre, radii, strict=True):
        offset = np.abs(coordinate - np.float32(middle)) + np.float32(CENTRE_MM)
        squared += offset * offset
        scaled += (offset / np.float32(radius)) ** 2
    return np.asarray((1 - 1 / np.sqrt(scaled)) * np.sqrt(squared), dtype=np.float32)


def capsule(
    points: Coordinates,
    start: tuple[float, float, float],
    end: tuple[float, float, float],
    radius: float,
    stretch: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> Array:
    """Distance to a rod with round ends; `stretch` widens its section along the three axes."""
    scale = np.array(stretch)
    a = np.array(start) / scale
    b = np.array(end) / scale
    axis = b - a
    length = float(axis @ axis) or 1.0
    offsets = [
        np.asarray(coordinate / np.float32(s) - np.float32(o), dtype=np.float32)
        for coordinate, s, o in zip(points, stretch, a, strict=True)
    ]
    t = np.clip(sum(o * np.float32(d) for o, d in zip(offsets, axis, strict=True)) / np.float32(length), 0, 1)
    squared = sum((o - t * np.float32(d)) ** 2 for o, d in zip(offsets, axis, strict=True))
    return np.asarray(np.sqrt(squared) - np.float32(radius), dtype=np.float32)


class Texture:
    """Smooth random values in space, mean 0 and standard deviation about 1, the same for every slice through them."""

    SIZE = 48

    def __init__(self, rng: np.random.Generator) -> None:
        self._lattice = rng.standard_normal((self.SIZE,) * 3, dtype=np.float32)

    def at(self, points: Coordinates, scale_mm: tuple[float, float, float], shift: float = 0.0) -> Array:
        """Values at `points`, `[row, column]`; `scale_mm` is the distance of independent values along x, y and z."""
        scaled = [
            coordinate / np.float32(scale) + np.float32(shift)
            for coordinate, scale in zip(points, scale_mm, strict=True)
        ]
        # Linear interpolation between independent values lowers the variance to 8/27 on average.
        return np.asarray(self._interpolated(scaled) * np.float32((27 / 8) ** 0.5), dtype=np.float32)

    def _interpolated(self, scaled: list[Array]) -> Array:
        roles = [int(value.shape[0] > 1) + 2 * int(value.shape[1] > 1) for value in scaled]
        if sorted(roles) != [0, 1, 2]:
            full = np.broadcast_arrays(*scaled)
            return np.asarray(
                ndimage.map_coordinates(self._lattice, np.stack(full), order=1, mode="grid-wrap", prefilter=False),
                dtype=np.float32,
            )
        # A plane along the axes: interpolate along one axis after the other.
        values: Array = self._lattice
        for axis in sorted(range(3), key=lambda a: roles[a]):
            place = scaled[axis].reshape(-1)
            whole = np.floor(place)
            part = (place - whole).reshape([-1 if a == axis else 1 for a in range(3)])
            lower = whole.astype(np.int64) % self.SIZE
            values = values.take(lower, axis) * (1 - part) + values.take((lower + 1) % self.SIZE, axis) * part
        constant = roles.index(0)
        values = values.squeeze(constant)
        return np.asarray(values if roles.index(1) < roles.index(2) else values.T, dtype=np.float32)
