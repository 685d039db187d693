"""The installed segmenters on held-out real data: Dice, names, detection, volumes, against manual masks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recon_worker.segmentation.cleaning import Instance, instances
from recon_worker.segmentation.naming import name_levels
from recon_worker.segmentation.weights import Weights
from recon_worker.training.segmenter import slice_probability
from recon_worker.training.spine_images import AS_DRAWN, LabelledSlice, Labels

Row = dict[str, Any]
Say = Callable[[str], None]
Mask = npt.NDArray[np.bool_]

LOWEST_LEVEL = {"VB1": 7, "VB2": 6, "VB3": 6}
"""Level of the lowest labelled body: S1, or L5."""
OVERLAP = 0.5
MIDDLE = 0.85
ALL = "all, in one convention"


@dataclass(frozen=True)
class Case:
    """One held-out series: planes `[slice, row, column]`, what was seen, and what the masks say."""

    name: str
    patient: str
    source: str
    contrast: str
    spacing_mm: tuple[float, float, float]
    images: npt.NDArray[np.float32]
    probability: dict[str, npt.NDArray[np.float32]]
    truth: dict[str, Labels]
    weight: dict[str, Labels]

    @property
    def is_volume(self) -> bool:
        """Whether it has neighbouring planes, so that volumes and names can be told."""
        return len(self.images) >= 4 and self.source.removesuffix(AS_DRAWN) in (*LOWEST_LEVEL, "IVD")


def cases(slices: list[LabelledSlice], weights: dict[str, Weights], say: Say) -> list[Case]:
    """Both networks on all test slices, by series."""
    groups: dict[tuple[str, str], list[LabelledSlice]] = {}
    for one in slices:
        if one.part == "test":
            groups.setdefault((one.source, one.name), []).append(one)
    found = []
    for number, ((source, name), group) in enumerate(sorted(groups.items())):
        say(f"held-out series {number + 1} of {len(groups)}: {source} {name}")
        group.sort(key=lambda one: one.position_mm)
        steps = np.diff([one.position_mm for one in group])
        found.append(
            Case(
                name,
                group[0].patient,
                source,
                group[0].contrast,
                (float(np.median(steps)) if len(steps) else 4.0, 1.0, 1.0),
                np.stack([one.image.astype(np.float32) for one in group]),
                {
                    kind: np.stack([slice_probability(ready.network, one.planes) for one in group])
                    for kind, ready in weights.items()
                },
                {kind: np.stack([one.labels(kind)[0] for one in group]) for kind in weights},
                {kind: np.stack([one.labels(kind)[1] for one in group]) for kind in weights},
            )
        )
    return found


def cleaned(case: Case, weights: dict[str, Weights]) -> dict[str, list[Instance]]:
    """Single structures by kind; a lone slice is taken twice, since the clean-up wants neighbours."""
    probability = {
        kind: (found if len(found) > 1 else np.repeat(found, 2, axis=0)) for kind, found in case.probability.items()
    }
    discs, bodies = probability["discs"], probability["bodies"]
    body_only = np.where((discs > bodies) & (discs > OVERLAP), 0, bodies).astype(np.float32)
    return {
        "bodies": instances(body_only, case.spacing_mm, "body", weights["bodies"].threshold),
        "discs": instances(discs, case.spacing_mm, "disc", weights["discs"].threshold),
    }


def union(found: list[Instance], shape: tuple[int, ...]) -> Mask:
    """All instances as one mask of the case's own planes."""
    mask = np.zeros(shape, dtype=bool)
    for instance in found:
        mask |= instance.mask[: shape[0]]
    return mask


def dice(found: Mask, truth: Labels, weight: Labels) -> float:
    """Dice over all planes where labels are to be believed."""
    where = weight > 0
    both = (found & (truth > 0) & where).sum()
    size = (found & where).sum() + ((truth > 0) & where).sum()
    return float(2 * both / size) if size else 1.0


def overlaps(all_cases: list[Case], weights: dict[str, Weights]) -> list[Row]:
    """Dice of every case and kind, as the network sees it and after clean-up."""
    rows = []
    for case in all_cases:
        pieces = cleaned(case, weights)
        for kind, ready in weights.items():
            truth, weight = case.truth[kind], case.weight[kind]
            if not weight.any() or not (truth > 0).any():
                continue
            raw = dice(case.probability[kind] > ready.threshold, truth, weight)
            clean = dice(union(pieces[kind], truth.shape), truth, weight)
            rows.append(
                {
                    "kind": kind,
                    "source": case.source,
                    "contrast": case.contrast,
                    "patient": case.patient,
                    "case": case.name,
                    "raw": round(raw, 4),
                    "cleaned": round(clean, 4),
                }
            )
    return rows


def in_convention(rows: list[Row]) -> list[Row]:
    """Without those of masks as drawn that were brought to the common convention: each series once."""
    return [row for row in rows if not row["source"].endswith(AS_DRAWN)]


def means(rows: list[Row], by: str) -> list[Row]:
    """Mean over patients of each kind and group, and the lowest patient."""
    found = []
    for kind in ("bodies", "discs"):
        for group in sorted({row[by] for row in rows if row["kind"] == kind}):
            held: dict[str, list[Row]] = {}
            for row in rows:
                if row["kind"] == kind and row[by] == group:
                    held.setdefault(row["patient"], []).append(row)
            entry: Row = {"kind": kind, by: group, "patients": len(held)}
            for name in ("raw", "cleaned"):
                patients = [float(np.mean([row[name] for row in mine])) for mine in held.values()]
                entry |= {name: round(float(np.mean(patients)), 4), f"{name}_lowest": round(min(patients), 4)}
            found.append(entry)
    return found


def bodies_against_masks(all_cases: list[Case], weights: dict[str, Weights]) -> tuple[list[Row], list[Row]]:
    """Of every labelled body of the volumes: found, named, volumes; and of every volume: merged and false bodies.

    Masks as drawn have rows of their own beside those in the common convention.
    """
    rows: list[Row] = []
    merged: list[Row] = []
    for case in all_cases:
        source = case.source.removesuffix(AS_DRAWN)
        if source not in LOWEST_LEVEL or not case.is_volume:
            continue
        pieces = cleaned(case, weights)
        # Slice, row, column to LPS: rows go down, columns back.
        affine = np.zeros((4, 4))
        affine[3, 3] = 1
        affine[0, 0], affine[2, 1], affine[1, 2] = case.spacing_mm[0], -case.spacing_mm[1], case.spacing_mm[2]
        spine = name_levels(pieces["bodies"], pieces["discs"], affine)
        truth = case.truth["bodies"]
        numbers = from_below(truth)
        touched = [
            sum(float((instance.mask & (truth == number)).sum() > 0.3 * (truth == number).sum()) for number in numbers)
            for instance in pieces["bodies"]
        ]
        merged.append(
            {"case": case.name, "source": case.source, "merged": sum(count > 1 for count in touched),
             "named": len(spine.bodies), "remarks": "; ".join(spine.remarks)}
        )  # fmt: skip
        for rank, number in enumerate(numbers):
            mask = truth == number
            best = max(spine.bodies, key=lambda one: int((one.instance.mask & mask).sum()), default=None)
            shared = 0 if best is None else int((best.instance.mask & mask).sum())
            piece = None
            if best is not None and shared > OVERLAP * mask.sum():
                piece = best
            level = LOWEST_LEVEL[source] - rank
            whole = _is_whole(mask)
            if level < 1:
                continue
            cube = float(np.prod(case.spacing_mm)) / 1000
            areas = mask.sum(axis=(1, 2))
            middle = areas > MIDDLE * areas.max()
            rows.append(
                {
                    "case": case.name,
                    "source": case.source,
                    "contrast": case.contrast,
                    "level": level,
                    "found": piece is not None,
                    "named": None if piece is None else piece.level,
                    "whole": whole,
                    "manual_cm3": round(float(mask.sum()) * cube, 3),
                    "ours_cm3": None if piece is None else round(float(piece.instance.mask.sum()) * cube, 3),
                    "middle_error_cm3": None
                    if piece is None
                    else round(float(piece.instance.mask[middle].sum() - areas[middle].sum()) * cube, 3),
                }
            )
    return rows, merged


def from_below(truth: Labels) -> list[int]:
    """Numbers of the labels `[slice, row, column]`, the lowest structure first."""
    numbers = [int(number) for number in np.unique(truth[truth > 0])]
    return sorted(numbers, key=lambda number: -float(np.nonzero(truth == number)[1].mean()))


def _is_whole(mask: Mask) -> bool:
    return not (mask[:, [0, -1]].any() or mask[:, :, [0, -1]].any() or mask[0].any() or mask[-1].any())


def volumes(rows: list[Row]) -> list[Row]:
    """Bias, spread and r2 of body volumes against manual masks, by source and contrast, and of all together.

    r2 also with the errors of the middle slices alone (over `MIDDLE` of the largest drawn area), and of the others.
    """
    found = []
    groups = sorted({(row["source"], row["contrast"]) for row in rows})
    for source, contrast in [*groups, (ALL, "")]:
        held = [
            row
            for row in (rows if contrast else in_convention(rows))
            if row["found"]
            and row["whole"]
            and (source == ALL or (row["source"], row["contrast"]) == (source, contrast))
        ]
        if len(held) < 3:
            continue
        manual = np.array([row["manual_cm3"] for row in held])
        ours = np.array([row["ours_cm3"] for row in held])
        relative = 100 * (ours / manual - 1)
        in_the_middle = np.array([row["middle_error_cm3"] for row in held])
        found.append(
            {
                "source": source,
                "contrast": contrast,
                "bodies": len(held),
                "manual_mean_cm3": round(float(manual.mean()), 2),
                "bias_percent": round(float(100 * (ours.sum() / manual.sum() - 1)), 2),
                "sd_percent": round(float(relative.std(ddof=1)), 2),
                "r2": round(float(np.corrcoef(manual, ours)[0, 1] ** 2), 4),
                "r2_with_middle_errors_alone": round(float(np.corrcoef(manual, manual + in_the_middle)[0, 1] ** 2), 4),
                "r2_with_side_errors_alone": round(float(np.corrcoef(manual, ours - in_the_middle)[0, 1] ** 2), 4),
            }
        )
    return found


def worst(rows: list[Row], count: int = 10) -> list[Row]:
    """The cases of lowest Dice after clean-up."""
    return sorted(rows, key=lambda row: float(row["cleaned"]))[:count]


def by_name(all_cases: list[Case]) -> Iterator[tuple[tuple[str, str], Case]]:
    """Cases by source and name."""
    for case in all_cases:
        yield (case.source, case.name), case
