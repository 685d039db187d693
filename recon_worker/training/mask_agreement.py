"""How far the masks of a data set agree among themselves: what a segmenter could reach if it knew each patient's hand.

Of every patient the Dice is taken as it is, and once more with the one shift and the one threshold, for all of the
patient's slices, that suit the patient's own mask best. No network can know these: what is gained by them is what the
masks differ in from patient to patient, in place and in size. The Dice of patients that were trained on says how much
of the rest is the masks', too.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from recon_worker.segmentation.weights import Weights
from recon_worker.training.segmenter import slice_probability
from recon_worker.training.spine_images import AS_DRAWN, LabelledSlice

SHIFTS_MM = (-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0)
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Seen:
    """One slice: the network's probability, the mask, and where it is to be believed; `[row, column]`."""

    probability: npt.NDArray[np.float32]
    truth: Mask
    believed: Mask


def agreement(slices: list[LabelledSlice], kind: str, weights: Weights) -> list[dict[str, Any]]:
    """Mean Dice over patients by source and part, as it is and at each patient's best shift and threshold."""
    series: dict[tuple[str, str, str], list[Seen]] = defaultdict(list)
    for one in slices:
        labels, weight = one.labels(kind)
        if not (labels > 0).any() or not weight.any() or one.source.endswith(AS_DRAWN) or one.source == "simulated":
            continue
        seen = Seen(slice_probability(weights.network, one.planes).astype(np.float32), labels > 0, weight > 0)
        series[one.source, one.part, one.patient].append(seen)
    groups: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for (source, part, _), held in sorted(series.items()):
        groups[source, part].append((_dice(held, 0, 0, weights.threshold), best_dice(held, weights.threshold)))
    return [
        {
            "kind": kind,
            "source": source,
            "part": part,
            "patients": len(pairs),
            "dice": round(float(np.mean([pair[0] for pair in pairs])), 4),
            "at_the_patient_s_own": round(float(np.mean([pair[1] for pair in pairs])), 4),
        }
        for (source, part), pairs in groups.items()
    ]


def best_dice(held: list[Seen], threshold: float) -> float:
    """The best Dice over thresholds, then over shifts at that threshold, then over thresholds again; 1 mm pixels."""
    thresholds = (threshold, *THRESHOLDS)
    best = max(thresholds, key=lambda other: _dice(held, 0, 0, other))
    down, right = max(product(SHIFTS_MM, SHIFTS_MM), key=lambda place: _dice(held, place[0], place[1], best))
    return max(_dice(held, down, right, other) for other in thresholds)


def _dice(held: list[Seen], down: float, right: float, threshold: float) -> float:
    shared = size = 0
    for seen in held:
        moved = seen.probability
        if down or right:
            moved = ndimage.shift(moved, (down, right), order=1)
        found = (moved > threshold) & seen.believed
        truth = seen.truth & seen.believed
        shared += 2 * int((found & truth).sum())
        size += int(found.sum() + truth.sum())
    return shared / size if size else 1.0
