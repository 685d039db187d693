"""Simulated spines as label maps on a scan's grid, with their true measures."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from recon_worker.data import SlicePlane, Volume
from recon_worker.phantom.anatomy import draw_subject
from recon_worker.phantom.truth import label_slice, measure

SIZE, FIELD_MM, SPACING_MM, THICKNESS_MM, SLICES = 232, 260.0, 4.8, 4.0, 14


@dataclass(frozen=True)
class LabelledSpine:
    """Labels `[slice, row, column]` (levels), an image of even tissues, and true values by (quantity, level)."""

    volume: Volume
    discs: np.ndarray
    bodies: np.ndarray
    true: dict[tuple[str, int], float]


@lru_cache(maxsize=2)
def labelled_spine(number: int, seed: int = 77) -> LabelledSpine:
    """Subject `number`: 1.1 mm pixels, sagittal from right to left, head up, anterior left."""
    subject = draw_subject(seed, number)
    middle = subject.spine.body("L3").frame.centre_mm
    start = float(middle[0]) - SPACING_MM * (SLICES - 1) / 2
    discs, bodies = [], []
    for index in range(SLICES):
        centre = (start + SPACING_MM * index, float(middle[1]) + 10.0, float(middle[2]) - 10.0)
        plane = SlicePlane(centre, (0.0, 1.0, 0.0), (0.0, 0.0, -1.0), (-1.0, 0.0, 0.0))
        pair = label_slice(
            subject.spine, plane, matrix=(SIZE, SIZE), field_of_view_mm=FIELD_MM, thickness_mm=THICKNESS_MM
        )
        discs.append(pair[0])
        bodies.append(pair[1])
    pixel = FIELD_MM / SIZE
    affine = np.zeros((4, 4))
    affine[:3, 0], affine[:3, 1], affine[:3, 2] = (SPACING_MM, 0, 0), (0, 0, -pixel), (0, pixel, 0)
    corner = FIELD_MM / 2
    affine[:3, 3] = (start, float(middle[1]) + 10.0 - corner, float(middle[2]) - 10.0 + corner)
    affine[3, 3] = 1
    disc_map, body_map = np.stack(discs), np.stack(bodies)
    image = (100 + 60 * (body_map > 0) - 30 * (disc_map > 0)).astype(np.float32)
    true = {(one.quantity, one.level): one.value for one in measure(subject.spine)}
    return LabelledSpine(Volume(image, affine, THICKNESS_MM), disc_map, body_map, true)
