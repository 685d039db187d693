"""How a radiologist expects a series to lie on the screen, chosen from its geometry, oblique planes included.

Convention of the pictures (DICOM LPS: x to the patient's left, y to posterior, z to the head):

========  =======================  ======================  ====================
plane     columns run towards      rows run towards        slices run towards
========  =======================  ======================  ====================
sagittal  posterior (anterior      feet (head up)          left (right to left)
          on the left)
axial     left (the patient's      posterior (anterior     feet (top down)
          right on the left)       up)
coronal   left (the patient's      feet (head up)          posterior (anterior
          right on the left)                               to posterior)
========  =======================  ======================  ====================

Only axes are exchanged and turned round; no voxel is interpolated and none moves in the patient. Axis 0 stays the
slice axis: a slice of the acquisition stays a picture.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from recon_worker.data import Volume

FloatArray = npt.NDArray[np.float64]


class Plane(StrEnum):
    """The anatomical plane nearest to a slice."""

    SAGITTAL = "sagittal"
    AXIAL = "axial"
    CORONAL = "coronal"


@dataclass(frozen=True)
class Edges:
    """What lies beyond each edge of the picture: one of R, L, A, P, H, F."""

    left: str
    right: str
    top: str
    bottom: str


LEFT, POSTERIOR, HEAD = np.eye(3)

WANTED: dict[Plane, tuple[FloatArray, FloatArray, FloatArray]] = {
    Plane.SAGITTAL: (LEFT, -HEAD, POSTERIOR),
    Plane.AXIAL: (-HEAD, POSTERIOR, LEFT),
    Plane.CORONAL: (POSTERIOR, -HEAD, LEFT),
}
"""Directions (slice, row, column) of increasing index."""

PREFERENCE = (Plane.AXIAL, Plane.SAGITTAL, Plane.CORONAL)
"""Which plane an exactly diagonal slice counts as: the first of these."""

DECIMALS = 6
"""Angles are compared after rounding, so that the last bits of a scanner's cosines never decide an orientation."""


def plane_of(volume: Volume) -> Plane:
    """The anatomical plane nearest to the slices of `volume`, from the normal of rows and columns."""
    normal = np.abs(np.round(np.cross(volume.direction(2), volume.direction(1)), DECIMALS))
    component = {Plane.SAGITTAL: normal[0], Plane.CORONAL: normal[1], Plane.AXIAL: normal[2]}
    return max(PREFERENCE, key=lambda plane: float(component[plane]))


def to_reading_orientation(volume: Volume) -> Volume:
    """`volume` `[slice, row, column]` with rows, columns and slices in the order of the table above.

    Every voxel keeps its place in the patient (the affine follows). The result of a volume that already lies right
    is equal to it.
    """
    wanted_slice, wanted_row, wanted_column = WANTED[plane_of(volume)]
    rows_run, columns_run = volume.direction(1), volume.direction(2)

    def agreement(choice: tuple[bool, ...]) -> float:
        transpose, flip_rows, flip_columns = choice
        row, column = (columns_run, rows_run) if transpose else (rows_run, columns_run)
        return round(
            float((-row if flip_rows else row) @ wanted_row + (-column if flip_columns else column) @ wanted_column),
            DECIMALS,
        )

    # The first of equals wins: an exactly diagonal picture stays as near to its acquisition as it can.
    transpose, flip_rows, flip_columns = max(itertools.product((False, True), repeat=3), key=agreement)
    result = volume.transposed((0, 2, 1)) if transpose else volume
    if flip_rows:
        result = result.flipped(1)
    if flip_columns:
        result = result.flipped(2)
    if round(float(result.direction(0) @ wanted_slice), DECIMALS) < 0:
        result = result.flipped(0)
    return result


def edge_letters(volume: Volume) -> Edges:
    """The letters at the four edges of the picture: the patient direction nearest to each (DICOM PS3.3 C.7.6.1.1.1).

    `volume` is the series as it is shown, `[slice, row, column]` with column to the right and row downwards.
    """
    column, row = volume.direction(2), volume.direction(1)
    return Edges(left=_letter(-column), right=_letter(column), top=_letter(-row), bottom=_letter(row))


def _letter(direction: FloatArray) -> str:
    rounded = np.round(direction, DECIMALS)
    axis = int(np.argmax(np.abs(rounded)))
    return ("RL", "AP", "FH")[axis][1 if rounded[axis] > 0 else 0]
