"""Labelled sagittal slices to train and test the segmenters with, split by patient: real ones and simulated ones.

All lie on a grid of 1 mm pixels, head up, anterior left. What a data set does not label is not "no structure": each
slice says where its labels are to be believed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

from recon_worker.segmentation.normalisation import resized
from recon_worker.segmentation.probabilities import FARTHEST_NEIGHBOUR_MM, NEIGHBOUR_MM, beside, neighbour_step
from recon_worker.training.mask_convention import INSIDE_MM, moved_outward
from recon_worker.training.vertebra_bodies import DISC, VERTEBRA, bodies_of, pedicle_band

Progress = Callable[[str, float], None]
Labels = npt.NDArray[np.uint8]
Image = npt.NDArray[np.float16]

TEST_SPIDER = frozenset({18, 22, 78, 98, 107, 166, 239, 106, 108, 109, 112, 113, 116})
"""Patients with T1 masks (moved from T2 SPACE, or of single slices): for testing only."""
VALIDATION_SPIDER = frozenset({41, 129, 191})
TEST_FILES = frozenset(
    [f"vb1_{number}" for number in ("02", "03", "06", "07", "08", "16")]
    + [f"vb2_{number}" for number in ("07", "14", "23")]
    + [f"vb3_{number}" for number in ("05", "11", "17", "23", "29", "35", "41", "47", "53")]
    + ["ivd_20", "ivd_25"]
)
"""VB1 02, 03, 06, 07 and 08 may be one patient: all of them test."""
VALIDATION_FILES = frozenset({"vb2_19", "vb3_04", "vb3_28", "slices20_06", "slices20_12", "slices20_18"})
ASSUMED_PIXEL_MM = 1.25
"""Of the 20 slices that come without: vertebrae have their usual size then."""
LEAST_AREA = {"training": 0.05, "validation": 0.12}
"""Planes whose labels cover less than this part of the largest plane's are left out: some show muscle alone."""
BEYOND_MM = 8.0
"""As far beyond the outermost labelled plane of a body volume, planes teach that there is no body any more."""
MOSTLY = 0.5
"""A plane whose labels cover less than this part of the largest plane's may lack some level: where its labels are to be
believed is taken from all planes together."""
AS_DRAWN = " as drawn"
"""Of held-out masks that were brought to the common convention there is a second copy, of a source so named."""
IVD_STEP = 4.4
"""Planes of the IVD set from one acquired plane to the next."""
LEAST_NEIGHBOUR_MM = 2.0
"""A neighbour of a slice is no nearer."""
BESIDE_MM = 35
"""Unlabelled neighbours above lie within this distance of the spine's line."""
BEFORE_MM = 30
"""Unlabelled neighbours below, and the sacrum, begin this far in front of the lowest label's middle."""


@dataclass(frozen=True)
class LabelledSlice:
    """One slice, all arrays `[row, column]`, 1 mm pixels.

    Attributes
    ----------
    image
        Magnitude, any scale.
    neighbours
        `[2, row, column]`, of the same scale: the slices about 4 mm before and behind; the slice itself where there is
        none.
    bodies, discs
        1 where the structure is; instance numbers are kept (1, 2, ...) where the source has them.
    body_weight, disc_weight
        1 where the labels are to be believed, else 0.
    name, patient
        Of the file and of the patient.
    position_mm
        Along the series, from its first plane.
    source, contrast, part
        Data set; "T1", "T2", "SPACE", "GRE", "TIRM" or "simulated"; "training", "validation" or "test".
    """

    image: npt.NDArray[np.float16]
    neighbours: npt.NDArray[np.float16]
    bodies: Labels
    discs: Labels
    body_weight: Labels
    disc_weight: Labels
    name: str
    patient: str
    position_mm: float
    source: str
    contrast: str
    part: str

    @property
    def planes(self) -> npt.NDArray[np.float32]:
        """`[plane, row, column]`: the slice before, the slice, the slice behind."""
        return np.stack([self.neighbours[0], self.image, self.neighbours[1]]).astype(np.float32)

    def labels(self, kind: str) -> tuple[Labels, Labels]:
        """Labels and weight of "bodies" or "discs"."""
        return (self.bodies, self.body_weight) if kind == "bodies" else (self.discs, self.disc_weight)


def part_of(name: str) -> str:
    """Which part a file belongs to."""
    spider = re.match(r"(\d+)_", name)
    if spider:
        number = int(spider.group(1))
        return "test" if number in TEST_SPIDER else "validation" if number in VALIDATION_SPIDER else "training"
    return "test" if name in TEST_FILES else "validation" if name in VALIDATION_FILES else "training"


def real_slices(data: Path, progress: Progress, *, as_drawn: bool = False) -> Iterator[LabelledSlice]:
    """All labelled slices below `data` (the folder that holds `spine/`).

    Masks that were brought to the common convention come a second time as they were drawn, of a source that ends in
    `AS_DRAWN`: those of held-out series always, all others where `as_drawn` is asked.
    """
    spine = data / "spine"
    readers: list[tuple[str, Callable[[Path], Iterator[LabelledSlice]]]] = [
        ("spider_space_labelled", _space),
        ("spider_t1_transferred", _single),
        ("spider_vertebra_slices", _single),
        ("lumbar_vb1", partial(_body_volume, as_drawn=as_drawn)),
        ("lumbar_vb2", _body_volume),
        ("lumbar_vb3", _body_volume),
        ("lumbar_ivd", _disc_volume),
        ("slices20", _slices20),
    ]
    jobs = [(reader, path) for folder, reader in readers for path in sorted(spine.glob(f"{folder}/*.npz"))]
    jobs += [(_slices20, path) for path in sorted(spine.glob("slices20*.npz"))]
    for done, (reader, path) in enumerate(jobs):
        progress("labelled slices", done / max(len(jobs), 1))
        yield from reader(path)


def on_grid(array: np.ndarray, spacing_mm: tuple[float, float]) -> npt.NDArray[np.float32]:
    """`[row, column]` with 1 mm pixels, low-passed first."""
    size = (round(array.shape[0] * spacing_mm[0]), round(array.shape[1] * spacing_mm[1]))
    return np.asarray(resized(torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)), size).numpy())


def labels_on_grid(labels: np.ndarray, spacing_mm: tuple[float, float]) -> Labels:
    """The label that fills more than half of each 1 mm pixel, else 0."""
    size = (round(labels.shape[0] * spacing_mm[0]), round(labels.shape[1] * spacing_mm[1]))
    result = np.zeros(size, dtype=np.uint8)
    for value in np.unique(labels[labels > 0]):
        result[on_grid(labels == value, spacing_mm) > 0.5] = value
    return result


def believed(labels: Labels, *, above: bool, below: bool) -> Labels:
    """1 where unlabelled means "no structure": not where unlabelled neighbours `above` and `below` would be."""
    weight = np.ones(labels.shape, dtype=np.uint8)
    rows = np.flatnonzero(labels.any(axis=1))
    if not rows.size:
        return weight
    middles = {int(row): float(np.flatnonzero(labels[row]).mean()) for row in rows}
    columns = np.arange(labels.shape[1])
    if above:
        slope = _slope(middles, list(rows[: min(60, len(rows))]))
        for row in range(rows[0]):
            line = middles[int(rows[0])] + slope * (row - rows[0])
            weight[row, np.abs(columns - line) < BESIDE_MM] = 0
    if below:
        weight[rows[-1] + 1 :, columns > middles[int(rows[-1])] - BEFORE_MM] = 0
    return weight


def _slope(middles: dict[int, float], rows: list[int]) -> float:
    if len(rows) < 8:
        return 0.0
    return float(np.clip(np.polyfit(rows, [middles[int(row)] for row in rows], 1)[0], -0.6, 0.6))


def _nothing(shape: tuple[int, ...]) -> Labels:
    return np.zeros(shape, dtype=np.uint8)


def _images(planes: list[np.ndarray], spacing: tuple[float, float]) -> tuple[Image, Image]:
    """The slice and its two neighbours, of `planes`: the slice before, the slice, the slice behind."""
    grids = np.stack([on_grid(plane, spacing) for plane in planes])
    scaled = (grids / max(float(np.percentile(grids[1], 99.5)), 1e-6)).astype(np.float16)
    return scaled[1], scaled[[0, 2]]


def _near(positions_mm: list[float], number: int) -> list[int]:
    """Of slices at `positions_mm`, in order: the one about 4 mm before `number`, itself, the one about 4 mm behind."""
    found = [number]
    for side in (-1, 1):
        distances = {
            other: side * (place - positions_mm[number])
            for other, place in enumerate(positions_mm)
            if LEAST_NEIGHBOUR_MM <= side * (place - positions_mm[number]) <= FARTHEST_NEIGHBOUR_MM
        }
        nearest = min(distances, key=lambda other: abs(distances[other] - NEIGHBOUR_MM), default=number)
        found.insert(0 if side < 0 else 2, nearest)
    return found


def _space(path: Path) -> Iterator[LabelledSlice]:
    with np.load(path, allow_pickle=False) as held:
        images, masks = held["images"], held["masks"]
        spacing = (float(held["spacing_mm"][1]), float(held["spacing_mm"][2]))
        step = float(held["spacing_mm"][0])
        numbers = [int(number) for number in held["slice_no"]]
    grids = [labels_on_grid(mask, spacing) for mask in masks]
    positions = [number * step for number in numbers]
    for place, (number, labels, bodies) in enumerate(zip(numbers, grids, bodies_of(grids), strict=True)):
        body_weight = believed(bodies, above=False, below=True) * (1 - pedicle_band(labels, bodies))
        yield LabelledSlice(
            *_images([images[other] for other in _near(positions, place)], spacing),
            bodies, (labels == DISC).astype(np.uint8),
            body_weight.astype(np.uint8), np.ones(labels.shape, dtype=np.uint8),
            path.stem, f"spider {path.stem.split('_')[0]}", number * step, "SPIDER SPACE", "SPACE", part_of(path.stem),
        )  # fmt: skip


def _single(path: Path) -> Iterator[LabelledSlice]:
    with np.load(path, allow_pickle=False) as held:
        image, mask = held["image"], held["mask"]
        spacing = (float(held["spacing_mm"][0]), float(held["spacing_mm"][1]))
        contrast = "T1" if str(held["contrast"]) == "t1" else "T2"
    moved = "transferred" in path.parent.name
    if moved:
        labels = labels_on_grid(mask, spacing)
        discs = (labels == DISC).astype(np.uint8)
    else:
        # Vertebrae with arches, no canal and no discs: the discs are unknown everywhere.
        labels = (labels_on_grid(mask, spacing) > 0).astype(np.uint8) * VERTEBRA
        discs = _nothing(labels.shape)
    bodies = bodies_of([labels])[0]
    if not bodies.any():
        return
    body_weight = believed(bodies, above=True, below=True) * (1 - pedicle_band(labels, bodies))
    if not moved:
        body_weight[_without_body(labels_on_grid(mask, spacing), bodies)] = 0
    disc_weight = np.ones(labels.shape, dtype=np.uint8) if moved else _nothing(labels.shape)
    yield LabelledSlice(
        *_images([image] * 3, spacing), bodies, discs, body_weight.astype(np.uint8), disc_weight,
        path.stem, f"spider {path.stem.split('_')[0]}", 0.0,
        "SPIDER moved masks" if moved else "SPIDER slices", contrast, part_of(path.stem),
    )  # fmt: skip


def _without_body(vertebrae: Labels, bodies: Labels) -> npt.NDArray[np.bool_]:
    """Where vertebrae lie of which no body could be derived: their body is somewhere there."""
    lost = np.zeros(bodies.shape, dtype=bool)
    for number in np.unique(vertebrae[vertebrae > 0]):
        whole = vertebrae == number
        if not bodies[whole].any():
            lost |= whole
    return np.asarray(ndimage.binary_dilation(lost, iterations=3))


CONTRASTS = {"T1": "T1", "TIRM": "TIRM", "T2": "T2", "GRE": "GRE"}


def _body_volume(path: Path, *, as_drawn: bool = False) -> Iterator[LabelledSlice]:
    with np.load(path, allow_pickle=False) as held:
        image, mask, spacing = held["image"], held["mask"], held["spacing_mm"]
        contrast = next(name for start, name in CONTRASTS.items() if str(held["contrast"]).startswith(start))
    source = path.stem.split("_")[0].upper()
    # VB1 was acquired every 4 mm and interpolated; its labels reach S1. The others' planes are all used.
    step = 4 if source == "VB1" else 1
    planes = range(0, image.shape[2], step)
    areas = {plane: int((mask[:, :, plane] > 0).sum()) for plane in planes}
    largest = max(areas.values())
    part = part_of(path.stem)
    all_planes = labels_on_grid((mask > 0).any(axis=2), (float(spacing[0]), float(spacing[1])))
    labelled = [plane for plane in planes if areas[plane]]
    for plane in planes:
        # Volumes are measured on all planes of a test series, without the Dice of those that have no labels.
        away = float(spacing[2]) * max(labelled[0] - plane, plane - labelled[-1])
        beyond = part == "training" and 0 < away <= BEYOND_MM
        if part != "test" and areas[plane] < LEAST_AREA[part] * largest and not beyond:
            continue
        grid = (float(spacing[0]), float(spacing[1]))
        near = beside(plane, neighbour_step(float(spacing[2])), image.shape[2])
        images = _images([image[:, :, other] for other in near], grid)
        drawn = labels_on_grid(mask[:, :, plane], grid)
        versions = {source: drawn}
        if source in INSIDE_MM:
            versions = {source: moved_outward(drawn, INSIDE_MM[source])}
            if part == "test" or as_drawn:
                versions[source + AS_DRAWN] = drawn
        for name, bodies in versions.items():
            believed_of = all_planes if part == "training" and areas[plane] < MOSTLY * largest else bodies
            weight = _nothing(bodies.shape)
            if areas[plane] or beyond:
                weight = believed(believed_of, above=True, below=source != "VB1")
            yield LabelledSlice(
                *images, bodies, _nothing(bodies.shape),
                weight, _nothing(bodies.shape),
                path.stem, path.stem if source != "VB1" or contrast == "T2" else "vb1 group",
                plane * float(spacing[2]), name, contrast, part,
            )  # fmt: skip


def _disc_volume(path: Path) -> Iterator[LabelledSlice]:
    with np.load(path, allow_pickle=False) as held:
        image, mask, spacing = held["image"], held["mask"], held["spacing_mm"]
    areas = (mask > 0).sum(axis=(0, 1))
    part = part_of(path.stem)
    for number in range(round(image.shape[2] / IVD_STEP)):
        plane = min(round(IVD_STEP * number), image.shape[2] - 1)
        if part != "test" and areas[plane] < LEAST_AREA[part] * areas.max():
            continue
        grid = (float(spacing[0]), float(spacing[1]))
        discs = labels_on_grid(mask[:, :, plane], grid)
        weight = believed(discs, above=True, below=False) if areas[plane] else _nothing(discs.shape)
        near = beside(plane, round(IVD_STEP), image.shape[2])
        yield LabelledSlice(
            *_images([image[:, :, other] for other in near], grid), _nothing(discs.shape), discs,
            _nothing(discs.shape), weight,
            path.stem, path.stem, plane * float(spacing[2]), "IVD", "T2", part,
        )  # fmt: skip


def _slices20(path: Path) -> Iterator[LabelledSlice]:
    with np.load(path, allow_pickle=False) as held:
        images, masks = held["image"], held["mask"]
    grid = (ASSUMED_PIXEL_MM, ASSUMED_PIXEL_MM)
    for number, (image, mask) in enumerate(zip(images, masks, strict=True)):
        discs, bodies = (labels_on_grid(mask == value, grid) for value in (1, 2))
        # A few side slices have discs alone, or nothing though vertebrae show at their edges.
        whole = np.full(discs.shape, bool(bodies.any() and discs.any()), dtype=np.uint8)
        name = f"slices20_{number:02d}"
        yield LabelledSlice(
            *_images([image] * 3, grid), bodies, discs, whole, whole, name, name, 0.0, "slices20", "T2", part_of(name)
        )
