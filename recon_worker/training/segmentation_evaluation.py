"""The evaluation suite of the segmenters: every measure on held-out data, printed and written as a report."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from recon_worker.segmentation.weights import FOLDER, NAMES, load_weights, read_card, write_card
from recon_worker.training import segmentation_arms, segmentation_real, segmentation_series
from recon_worker.training.mask_agreement import agreement
from recon_worker.training.segmentation_report import summary, write_report
from recon_worker.training.spine_images import LabelledSlice

Say = Callable[[str], None]
SUBJECTS = 8
TILE = (300, 240)


def evaluate(slices: list[LabelledSlice], folder: Path, *, say: Say, quick: bool = False) -> dict[str, Any]:
    """Measure the installed weights; writes `report.md`, `numbers.json` and pictures to `folder`.

    Pictures of real data are named `real-*.png` and are not for the repository: the data are not ours.
    """
    began = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: load_weights(name) for name in NAMES}
    numbers: dict[str, Any] = {
        "weights": {name: ready.sha256 for name, ready in weights.items()},
        "thresholds": {name: ready.threshold for name, ready in weights.items()},
        "training": {name: ready.card.get("training", {}) for name, ready in weights.items()},
        "quick": quick,
    }
    all_cases = segmentation_real.cases(slices, weights, say)
    if all_cases:
        rows = segmentation_real.overlaps(all_cases, weights)
        bodies, merged = segmentation_real.bodies_against_masks(all_cases, weights)
        numbers["dice"] = rows
        numbers["dice_by_source"] = segmentation_real.means(rows, "source")
        numbers["dice_by_contrast"] = segmentation_real.means(segmentation_real.in_convention(rows), "contrast")
        numbers["bodies"], numbers["merged"] = bodies, merged
        numbers["volumes"] = segmentation_real.volumes(bodies)
        numbers["series"] = segmentation_series.measured_series(all_cases, weights)
        numbers["drawn_discs"] = segmentation_series.drawn_discs(all_cases, weights)
        say("how far the masks agree among themselves")
        numbers["agreement"] = [row for kind in NAMES for row in agreement(slices, kind, weights[kind])]
        numbers["worst"] = segmentation_real.worst(segmentation_real.in_convention(rows))
        contact_sheet(all_cases, numbers["worst"], weights, folder / "real-worst.png")
    subjects = 1 if quick else SUBJECTS
    arms, remarks = segmentation_arms.simulated_arms(subjects, say, size="small" if quick else segmentation_arms.SIZE)
    numbers["arms"], numbers["arms_remarks"] = arms, remarks
    numbers["arms_against_truth"] = segmentation_arms.against_truth(arms)
    numbers["arms_against_standard"] = segmentation_arms.against_standard(arms)
    if not quick:
        small, _ = segmentation_arms.simulated_arms(SUBJECTS, say, size="small")
        numbers["small_arms_against_standard"] = segmentation_arms.against_standard(small)
    numbers["minutes"] = round((time.monotonic() - began) / 60, 1)
    lines = summary(numbers)
    for line in lines:
        say(line)
    (folder / "numbers.json").write_text(json.dumps(numbers, indent=1) + "\n")
    write_report(folder / "report.md", numbers)
    if not quick:
        for name in NAMES:
            card = read_card(name)
            write_card(FOLDER, name, {**card, "metrics": {"summary": lines}})
    return numbers


def contact_sheet(
    all_cases: list[segmentation_real.Case], rows: list[dict[str, Any]], weights: dict[str, Any], path: Path
) -> None:
    """The cases of `rows` on their middle labelled plane: mask green, ours red, both yellow; where unknown, blue."""
    known = dict(segmentation_real.by_name(all_cases))
    tiles = []
    for row in rows:
        case = known[row["source"], row["case"]]
        truth, weight = case.truth[row["kind"]], case.weight[row["kind"]]
        found = segmentation_real.union(segmentation_real.cleaned(case, weights)[row["kind"]], truth.shape)
        misses = (((truth > 0) != found) & (weight > 0)).sum(axis=(1, 2))
        plane = int(np.argmax(misses))
        grey = np.clip(case.images[plane] * 200, 0, 255)
        picture = np.stack([grey] * 3, axis=-1)
        picture[truth[plane] > 0, 1] += 70
        picture[found[plane], 0] += 90
        picture[weight[plane] == 0, 2] += 50
        whole = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
        tile = ImageOps.contain(whole, (TILE[1] * 2, TILE[0] * 2))
        sheet = Image.new("RGB", (TILE[1] * 2, TILE[0] * 2))
        sheet.paste(tile)
        text = f"{row['source']} {row['case']} {row['kind']} {row['cleaned']:.3f}"
        ImageDraw.Draw(sheet).text((6, 6), text, fill="white")
        tiles.append(np.asarray(sheet))
    if not tiles:
        return
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % 5)
    lines = [np.concatenate(tiles[start : start + 5], axis=1) for start in range(0, len(tiles), 5)]
    Image.fromarray(np.concatenate(lines)).save(path)
