"""Held-out series as a whole, in the same steps as a study's: names, cut bodies, torn discs, flags of the count."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

from recon_worker.data import InputFault, Volume
from recon_worker.morphometry.levels import LOWEST_DISC
from recon_worker.segmentation.segment import Segmentation, structures_of
from recon_worker.segmentation.weights import Weights
from recon_worker.training.segmentation_real import LOWEST_LEVEL, Case, Mask, cleaned, from_below
from recon_worker.training.spine_images import AS_DRAWN

Row = dict[str, Any]

OVERLAP = 0.5
PART = 0.15
"""Of a drawn disc: what covers this part of it is a piece of it."""
LEAST_DISC_MM2 = 60.0
UNSURE = "check the level"
"""In the words of every flag that doubts the count."""
AT_THE_SIDE = 0.25
"""A drawn body that has this part of its largest area in an outermost slice may go on beyond it."""


def volume_of(case: Case) -> Volume:
    """The case as a sagittal series from right to left, head up, anterior left."""
    affine = np.eye(4)
    affine[:3, :3] = [[case.spacing_mm[0], 0, 0], [0, 0, case.spacing_mm[2]], [0, -case.spacing_mm[1], 0]]
    return Volume(case.images, affine, case.spacing_mm[0])


def measured_series(all_cases: list[Case], weights: dict[str, Weights]) -> list[Row]:
    """Of every held-out volume: names against the labels, flags of the count, and bodies at the outer slices.

    A volume in which no spine is found has a row that says so.
    """
    rows = []
    for case in all_cases:
        if not case.is_volume or case.source.endswith(AS_DRAWN):
            continue
        row: Row = {"source": case.source, "contrast": case.contrast, "patient": case.patient, "case": case.name}
        try:
            found = structures_of(
                volume_of(case),
                case.probability["discs"],
                case.probability["bodies"],
                thresholds={name: ready.threshold for name, ready in weights.items()},
            )
        except InputFault as fault:
            rows.append({**row, "fault": str(fault)})
            continue
        rows.append({**row, **_against_labels(case, found)})
    return rows


def _against_labels(case: Case, found: Segmentation) -> Row:
    kind = "discs" if case.source == "IVD" else "bodies"
    truth, ours = case.truth[kind], found.discs if kind == "discs" else found.bodies
    # The lowest disc that the IVD set labels is L5-S1.
    lowest = LOWEST_DISC if kind == "discs" else LOWEST_LEVEL[case.source]
    named: list[bool] = []
    at_the_side: dict[str, int] = {"cut": 0, "flagged": 0, "measured": 0, "excluded": 0}
    state = {(one.kind, one.level): one for one in found.structures}
    for rank, number in enumerate(from_below(truth)):
        mask = truth == number
        level = lowest - rank
        if level < 1:
            continue
        votes = np.bincount(ours[mask], minlength=8)[1:]
        if votes.sum() > OVERLAP * mask.sum():
            named.append(int(votes.argmax()) + 1 == level)
            areas = mask.sum(axis=(1, 2))
            one = state["body" if kind == "bodies" else "disc", int(votes.argmax()) + 1]
            if kind == "bodies" and max(areas[0], areas[-1]) > AT_THE_SIDE * areas.max():
                flagged = any("may go on" in flag for flag in one.flags)
                at_the_side["flagged" if one.state == "measured" and flagged else one.state] += 1
    return {
        "kind": kind,
        "found": len(named),
        "named_right": sum(named),
        "count_unsure": any(UNSURE in flag for one in found.structures for flag in one.flags),
        "at_the_side": at_the_side,
        "remarks": " ".join(found.remarks),
    }


def drawn_discs(all_cases: list[Case], weights: dict[str, Weights]) -> list[Row]:
    """Of every case with drawn discs: how many there are, were not found, were found in pieces, or in one with another.

    Discs that touch in no slice count as drawn; those of less than 60 mm2 do not.
    """
    rows = []
    for case in all_cases:
        truth = case.truth["discs"] > 0
        if not case.weight["discs"].any() or not truth.any():
            continue
        labels, count = ndimage.label(truth)
        pixel = case.spacing_mm[1] * case.spacing_mm[2]
        discs = [
            mask
            for mask in (labels == number for number in range(1, count + 1))
            if mask.sum(axis=(1, 2)).max() * pixel >= LEAST_DISC_MM2
        ]
        ours = [instance.mask[: len(truth)] for instance in cleaned(case, weights)["discs"]]
        shares = np.array([[_share(mask, one) for one in ours] for mask in discs]).reshape(len(discs), len(ours))
        rows.append(
            {
                "source": case.source,
                "contrast": case.contrast,
                "case": case.name,
                "discs": len(discs),
                "not_found": int((shares.sum(axis=1) < PART).sum()),
                "in_pieces": int(((shares > PART).sum(axis=1) > 1).sum()),
                "with_another": int(((shares > OVERLAP).sum(axis=0) > 1).sum()),
            }
        )
    return rows


def _share(disc: Mask, ours: Mask) -> float:
    return float((disc & ours).sum() / disc.sum())
