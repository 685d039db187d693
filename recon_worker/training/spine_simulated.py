"""Labelled sagittal slices of simulated people, as T1 and T2 show them and in random contrast."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from recon_worker.data import SlicePlane
from recon_worker.phantom.anatomy import Subject, draw_subject
from recon_worker.phantom.contrast import Layer, Weighting, render
from recon_worker.phantom.shapes import PlaneGrid
from recon_worker.phantom.truth import label_slice
from recon_worker.segmentation.probabilities import NEIGHBOUR_MM
from recon_worker.training.spine_images import LabelledSlice, Progress, believed

TISSUE_CLASSES = {"air": 0.0, "cortical bone": 0.03, "flowing blood": 0.05}
SIZE = 280
THICKNESS_MM = 4.0
WITHIN = (-THICKNESS_MM / 3, 0.0, THICKNESS_MM / 3)
"""Planes whose mean is the slice, mm from its middle; each neighbour is the plane in its middle."""
PHYSICAL = 0.7
"""How often tissues have the contrast of a spin echo: T1, T2 or fat suppressed; else it is random."""

Image = npt.NDArray[np.float32]


def simulated_slices(
    subjects: int, progress: Progress, *, seed: int = 6, slices: int = 5, contrasts: int = 2, part: str = "training"
) -> Iterator[LabelledSlice]:
    """`slices` sagittal slices of each of `subjects` simulated people, in `contrasts` contrasts each."""
    for number in range(1, subjects + 1):
        subject = draw_subject(seed, number)
        rng = np.random.default_rng([seed, number, 61])
        for index in range(slices):
            progress("simulated slices", ((number - 1) * slices + index) / (subjects * slices))
            plane = _plane(subject, rng)
            discs, bodies = label_slice(
                subject.spine, plane, matrix=(SIZE, SIZE), field_of_view_mm=float(SIZE), thickness_mm=THICKNESS_MM
            )
            # T11 and what is above it shows without labels; below S1 nothing is wanted.
            weight = believed(np.maximum(bodies, discs), above=True, below=False)
            offsets = [*WITHIN, -NEIGHBOUR_MM, NEIGHBOUR_MM]
            sheets = [list(subject.layers(_grid(plane, offset))) for offset in offsets]
            for contrast in range(contrasts):
                yield LabelledSlice(
                    *_images(sheets, rng), bodies, discs, weight, weight,
                    f"simulated_{number}_{index}_{contrast}", f"simulated {seed} {number}", 0.0,
                    "simulated", "simulated", part,
                )  # fmt: skip


def _plane(subject: Subject, rng: np.random.Generator) -> SlicePlane:
    middle = subject.spine.body("L3").frame.centre_mm
    z = float(middle[2] + rng.uniform(-25, 15))
    x = float(subject.spine.curve.at("x", z)) + float(rng.normal(0, 9))
    centre = (x, float(middle[1] + rng.uniform(0, 30)), z)
    return SlicePlane(centre, (0.0, 1.0, 0.0), (0.0, 0.0, -1.0), (-1.0, 0.0, 0.0))


def _grid(plane: SlicePlane, offset_mm: float) -> PlaneGrid:
    right, down, through = (
        np.array(direction) for direction in (plane.read_direction, plane.phase_direction, plane.slice_direction)
    )
    origin = np.array(plane.centre_mm) + offset_mm * through - (right + down) * (SIZE / 2)
    return PlaneGrid(origin, down, right, (SIZE, SIZE))


def _images(
    sheets: list[list[Layer]], rng: np.random.Generator
) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.float16]]:
    """The slice, the mean of the first sheets, and its neighbours `[2, row, column]`, of the last two sheets."""
    if rng.random() < PHYSICAL:
        if rng.random() < 0.5:
            weighting = Weighting(float(rng.uniform(350, 950)), float(rng.uniform(7, 20)))
        else:
            weighting = Weighting(float(rng.uniform(2500, 5000)), float(rng.uniform(70, 115)))
        fat_left = float(rng.uniform(0.03, 0.2)) if rng.random() < 0.3 else float(rng.uniform(0.6, 1.2))
        parts = [render(layers, (SIZE, SIZE), weighting) for layers in sheets]
        planes = np.stack([part.water + fat_left * part.fat for part in parts])
    else:
        names = sorted({layer.tissue for layers in sheets for layer in layers})
        signal = {
            name: TISSUE_CLASSES.get(name, float(rng.uniform(0.05, 1.0) ** rng.uniform(0.7, 1.6))) for name in names
        }
        fat = float(rng.uniform(0.05, 1.0))
        planes = np.stack([_painted(layers, signal, fat) for layers in sheets])
    image = planes[: len(WITHIN)].mean(axis=0)
    scale = max(float(np.percentile(image, 99.5)), 1e-3)
    return (image / scale).astype(np.float16), (planes[len(WITHIN) :] / scale).astype(np.float16)


def _painted(layers: list[Layer], signal: dict[str, float], fat: float) -> Image:
    image = np.zeros((SIZE, SIZE), dtype=np.float32)
    for layer in layers:
        share = 0.0 if layer.fat is None else np.clip(layer.fat, 0, 1)
        value = layer.density * ((1 - share) * np.float32(signal[layer.tissue]) + share * np.float32(fat))
        image[layer.window] = (1 - layer.occupancy) * image[layer.window] + layer.occupancy * value
    return image
