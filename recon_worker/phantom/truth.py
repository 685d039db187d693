"""The truth of a simulated subject: labels on a scan's pixels, disc heights and body volumes.

A body is the vertebral body with its cortical rim, without arch; a disc is all between two endplates within the
annulus. Disc height is defined as in the paper: the shortest side of the smallest rectangle around the disc in the
sagittal plane through its centre of mass.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.spatial import ConvexHull

from recon_worker.data import SlicePlane
from recon_worker.phantom.sampling import FineGrid
from recon_worker.phantom.shapes import Array, Coordinates, PlaneGrid, occupancy
from recon_worker.phantom.spine import Body, Disc, Spine

Labels = npt.NDArray[np.uint8]
VOLUME_STEP_MM = 0.9
HEIGHT_STEP_MM = 0.1
_SUBSAMPLES = 3


@dataclass(frozen=True)
class Measurement:
    """One true value: `disc_height_mm` of levels 1-6 or `body_volume_cm3` of levels 1-7."""

    quantity: str
    level: int
    value: float


def _box(centre_mm: npt.NDArray[np.float64], reach_mm: float, step_mm: float) -> Coordinates:
    count = int(np.ceil(reach_mm / step_mm))
    axis = np.arange(-count, count + 1, dtype=np.float32) * np.float32(step_mm)
    grids = np.meshgrid(axis, axis, axis, indexing="ij", sparse=True)
    x, y, z = (np.asarray(grid + np.float32(middle)) for grid, middle in zip(grids, centre_mm, strict=True))
    return x, y, z


def body_volume_cm3(body: Body) -> float:
    """Volume by summing the share of each 0.9 mm cell inside the surface."""
    inside = occupancy(body.distance(_box(body.frame.centre_mm, body.reach_mm, VOLUME_STEP_MM)), VOLUME_STEP_MM)
    return float(inside.sum(dtype=np.float64) * VOLUME_STEP_MM**3 / 1000)


def disc_height_mm(disc: Disc) -> float:
    """Shortest side of the smallest rectangle around the disc in the sagittal plane through its centre of mass."""
    points = _box(disc.frame.centre_mm, disc.reach_mm, 1.5)
    inside = occupancy(disc_distance(disc, points), 1.5)
    left = float((inside.sum(axis=(1, 2), dtype=np.float64) * points[0][:, 0, 0]).sum() / inside.sum(dtype=np.float64))
    count = int(np.ceil(disc.reach_mm / HEIGHT_STEP_MM))
    origin = disc.frame.centre_mm - np.array([0.0, count, count]) * HEIGHT_STEP_MM
    origin[0] = left
    plane = PlaneGrid(
        origin,
        np.array([0.0, 0.0, HEIGHT_STEP_MM]),
        np.array([0.0, HEIGHT_STEP_MM, 0.0]),
        (2 * count + 1, 2 * count + 1),
    )
    points = plane.points(plane.whole())
    mask = disc_distance(disc, points) < 0
    y, z = (np.broadcast_to(coordinate, mask.shape)[mask] for coordinate in points[1:])
    return shortest_side(np.stack([y, z], axis=1).astype(np.float64))


def shortest_side(points: npt.NDArray[np.float64]) -> float:
    """Shorter side of the rectangle of smallest area around `points` `[point, 2]` (one side lies on the hull)."""
    hull = points[ConvexHull(points).vertices]
    edges = np.roll(hull, -1, axis=0) - hull
    edges /= np.linalg.norm(edges, axis=1, keepdims=True)
    along = hull @ edges.T
    across = hull @ np.stack([-edges[:, 1], edges[:, 0]])
    sides = np.stack([np.ptp(along, axis=0), np.ptp(across, axis=0)])
    return float(sides[:, int(np.argmin(sides.prod(axis=0)))].min())


def disc_distance(disc: Disc, points: Coordinates) -> Array:
    """Distance to the disc without what belongs to the two bodies (a disc of no height would overlap them)."""
    bodies = np.minimum(disc.above.distance(points), disc.below.distance(points))
    return np.asarray(np.maximum(disc.distance(points), -bodies), dtype=np.float32)


def measure(spine: Spine) -> list[Measurement]:
    """All true values of a subject, discs first, by level."""
    discs = [Measurement("disc_height_mm", disc.level, disc_height_mm(disc)) for disc in spine.measured_discs()]
    bodies = [Measurement("body_volume_cm3", body.level, body_volume_cm3(body)) for body in spine.measured_bodies()]
    return sorted(discs, key=lambda m: m.level) + sorted(bodies, key=lambda m: m.level)


def label_slice(
    spine: Spine, plane: SlicePlane, *, matrix: tuple[int, int], field_of_view_mm: float, thickness_mm: float
) -> tuple[Labels, Labels]:
    """Discs and bodies `[row, column]` of a slice: the level that fills more than half of the voxel, else 0."""
    columns, rows = matrix
    fine = FineGrid(
        matrix,
        (field_of_view_mm, field_of_view_mm),
        _SUBSAMPLES,
        (-columns * _SUBSAMPLES // 2 - 1, columns * _SUBSAMPLES // 2 - 1),
        (-rows * _SUBSAMPLES // 2 - 1, rows * _SUBSAMPLES // 2 - 1),
    )
    discs = np.zeros((rows, columns), dtype=np.uint8)
    bodies = np.zeros((rows, columns), dtype=np.uint8)
    offsets = [(n + 0.5) / 3 - 0.5 for n in range(3)]
    grids = [fine.plane(plane, offset * thickness_mm) for offset in offsets]
    solids: list[tuple[Labels, Body | Disc]] = [(discs, disc) for disc in spine.measured_discs()]
    solids += [(bodies, body) for body in spine.measured_bodies()]
    for labels, solid in solids:
        share = np.zeros((rows, columns), dtype=np.float32)
        for grid in grids:
            window = grid.window(solid.frame.centre_mm, solid.reach_mm)
            if window is None:
                continue
            points = grid.points(window)
            distance = disc_distance(solid, points) if isinstance(solid, Disc) else solid.distance(points)
            whole = np.zeros(grid.shape, dtype=np.float32)
            whole[window] = occupancy(distance, grid.edge_mm)
            share += whole.reshape(rows, _SUBSAMPLES, columns, _SUBSAMPLES).mean(axis=(1, 3)) / len(grids)
        labels[share > 0.5] = solid.level
    return discs, bodies
