"""The cards of the segmenters' weights: what they were trained on, how, and what they reach."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recon_worker.segmentation.network import Architecture, VNet, parameters
from recon_worker.training.mask_convention import INSIDE_MM
from recon_worker.training.segmenter import PEAK_RATE, slice_probability
from recon_worker.training.spine_images import (
    AS_DRAWN,
    TEST_FILES,
    TEST_SPIDER,
    VALIDATION_FILES,
    VALIDATION_SPIDER,
    LabelledSlice,
)

SOURCES = [
    {
        "name": "SPIDER lumbar spine MRI (T2 SPACE slices with vertebrae, discs and canal)",
        "terms": "CC BY 4.0",
        "cite": "van der Graaf et al., Sci Data 11:264 (2024)",
    },
    {"name": "Lumbar bodies VB1", "terms": "research use, cite", "cite": "Zukic et al., Comput Graph Forum 33 (2014)"},
    {
        "name": "Lumbar bodies VB2 (Zenodo record 22304)",
        "terms": "for research, cite",
        "cite": "Chu et al., PLoS ONE 10:e0143327 (2015)",
    },
    {"name": "MyoSegmenTUM spine (VB3)", "terms": "open, cite", "cite": "Burian et al., BMC Med Imaging (2019)"},
    {"name": "Lumbar discs IVD", "terms": "cite", "cite": "Ramos et al., Ribeirao Preto"},
    {"name": "Twenty labelled sagittal slices (slices20)", "terms": "MIT repository, source undocumented", "cite": ""},
    {"name": "This project's lumbar spine simulator", "terms": "as this project", "cite": ""},
]
CONVENTION = {
    "bodies": "vertebral body without arch, up to and with its dark cortical rim, as VB2, VB3 and SPIDER draw it; VB1 "
    f"outlines the marrow alone and is moved {INSIDE_MM['VB1']:g} mm outward, for training and test",
    "discs": "all between two endplates within the annulus, as SPIDER draws it",
}
THRESHOLDS = np.round(np.arange(0.3, 0.75, 0.05), 2)
SAME_DICE = 0.001
"""Differences below this say nothing with some thirty validation slices."""


def load_segmenter(path: Path) -> tuple[str, VNet, dict[str, Any]]:
    """Kind, network with the averaged weights, and facts of a checkpoint."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    network = VNet(Architecture.from_json(content["architecture"]))
    network.load_state_dict(content["averaged"])
    network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    facts = {
        "steps": content["step"],
        "minutes": round(content["seconds"] / 60, 1),
        "minutes_planned": content["minutes"],
        "validation_dice": [round(score, 4) for _, score in content["validation"][-1:]],
        "peak_rate": content.get("peak_rate", PEAK_RATE),
        **({"began_with": content["began_with"]} if content.get("began_with") else {}),
    }
    return content["kind"], network, facts


def best_threshold(network: VNet, slices: list[LabelledSlice], kind: str) -> tuple[float, dict[str, float]]:
    """The threshold of the best mean Dice over the validation slices, and the Dice of each.

    Thresholds within `SAME_DICE` of the best are equal: of these the one nearest to one half, where the outline lies
    that was drawn.
    """
    scores: dict[float, list[float]] = {float(threshold): [] for threshold in THRESHOLDS}
    for one in slices:
        labels, weight = one.labels(kind)
        if one.part != "validation" or not weight.any():
            continue
        probability = slice_probability(network, one.planes)
        truth, where = labels > 0, weight > 0
        for threshold, held in scores.items():
            found = (probability > threshold) & where
            size = found.sum() + (truth & where).sum()
            held.append(float(2 * (found & truth).sum() / size) if size else 1.0)
    means = {threshold: float(np.mean(held)) if held else 0.0 for threshold, held in scores.items()}
    good = [threshold for threshold, mean in means.items() if mean >= max(means.values()) - SAME_DICE]
    best = min(good, key=lambda threshold: abs(threshold - 0.5))
    return best, {f"{threshold:g}": round(mean, 4) for threshold, mean in means.items()}


def new_card(kind: str, network: VNet, slices: list[LabelledSlice], training: dict[str, Any]) -> dict[str, Any]:
    """Card without metrics of the test; the threshold is chosen on the validation slices."""
    threshold, means = best_threshold(network, slices, kind)
    counts: dict[str, Counter[str]] = {}
    for one in slices:
        if one.labels(kind)[1].any() and not one.source.endswith(AS_DRAWN):
            counts.setdefault(one.part, Counter())[one.source] += 1
    return {
        "name": f"lumbar spine segmenter: {kind}",
        "task": f"{kind} on sagittal lumbar spine MRI, one slice at a time",
        "convention": CONVENTION[kind],
        "parameters": parameters(network),
        "precision": "float16",
        "threshold": threshold,
        "dice_by_threshold": means,
        "data": SOURCES,
        "slices": {part: dict(sorted(count.items())) for part, count in sorted(counts.items())},
        "split": {
            "by": "patient, over all data sets",
            "test": sorted(TEST_FILES) + [f"SPIDER {number}" for number in sorted(TEST_SPIDER)],
            "validation": sorted(VALIDATION_FILES) + [f"SPIDER {number}" for number in sorted(VALIDATION_SPIDER)],
        },
        "training": training,
        "metrics": {"summary": ["not evaluated yet: make evaluate-segmentation"]},
    }
