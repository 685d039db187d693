"""The segmenters' numbers as a report: Markdown tables beside the bars they are held to."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

from recon_worker.segmentation.edges_and_voids import NEXT_LEVELS, SMALL
from recon_worker.training.mask_convention import INSIDE_MM
from recon_worker.training.report import Row, table, verdict
from recon_worker.training.segmentation_real import in_convention, means
from recon_worker.training.spine_images import AS_DRAWN

BODY_BAR, BODY_CONTRAST_BAR = 0.94, 0.90
DISC_BAR, DISC_SET_BAR = 0.91, 0.87
NAMING_BAR = 0.99
VOLUME_BIAS_BAR, VOLUME_R2_BAR = 4.0, 0.98
HEIGHT_BAR = 0.3
HEIGHT_R2_BAR, ARM_VOLUME_R2_BAR = 0.87, 0.99
PAPER_SD = {"disc_height_mm": 2.30, "body_volume_cm3": 9.33}


def summary(numbers: dict[str, Any]) -> list[str]:
    """One line a bar: the figure, and whether it is reached."""
    lines: list[str] = []
    if "dice" in numbers:
        lines += _dice(numbers) + _bodies(numbers) + (_series(numbers) if "series" in numbers else [])
    for row in numbers["arms_against_truth"]:
        if row["quantity"] == "disc_height_mm" and row["arm"] == "Standard":
            lines.append(
                f"disc height against the simulator's truth, Standard arm, {row['n']} discs: mean error "
                f"{row['bias']:+.2f} mm, mean absolute error {row['mean_absolute_error']:.2f} mm (bar {HEIGHT_BAR}): "
                + verdict(row["mean_absolute_error"] < HEIGHT_BAR)
            )
        if row["quantity"] == "body_volume_cm3" and row["arm"] == "Standard":
            lines.append(
                f"body volume against the simulator's truth, Standard arm, {row['n']} bodies: bias "
                f"{row['bias_percent']:+.1f} %, r2 {row['r2']:.3f} (held to no bar)"
            )
    for row in numbers["arms_against_standard"]:
        if "r2" in row and row["arm"] in ("Fast DL50", "Fast DL75"):
            bar = HEIGHT_R2_BAR if row["quantity"] == "disc_height_mm" else ARM_VOLUME_R2_BAR
            paper = PAPER_SD[row["quantity"]]
            lines.append(
                f"{row['arm']} against Standard, {row['quantity']}, n {row['n']}, SD {row['sd']:.2f} (the paper's "
                f"{paper}): r2 {row['r2']:.3f} (bar {bar}): {verdict(row['r2'] >= bar)}; bias {row['bias']:+.2f}, "
                f"SD of differences {row['sd_of_differences']:.2f}"
            )
    for row in numbers.get("small_arms_against_standard", []):
        if "r2" in row and row["arm"] in ("Fast DL50", "Fast DL75"):
            lines.append(
                f"the same at the demonstration's coarse matrix, {row['arm']}, {row['quantity']}, n {row['n']}: r2 "
                f"{row['r2']:.3f}, bias {row['bias']:+.2f}, SD of differences {row['sd_of_differences']:.2f}"
            )
    return lines


def _dice(numbers: dict[str, Any]) -> list[str]:
    lines = []
    rows = in_convention(numbers["dice"])
    patients: dict[str, list[float]] = {}
    for row in rows:
        if row["kind"] == "bodies":
            patients.setdefault(row["patient"], []).append(row["cleaned"])
    mean = sum(sum(held) / len(held) for held in patients.values()) / len(patients)
    contrasts = {row["contrast"]: row["cleaned"] for row in numbers["dice_by_contrast"] if row["kind"] == "bodies"}
    lines.append(f"Dice of bodies, mean over {len(patients)} patients: {mean:.3f} (bar {BODY_BAR}): "
                 + verdict(mean >= BODY_BAR))  # fmt: skip
    drawn = [row for row in numbers["dice"] if row["source"].endswith(AS_DRAWN)]
    if drawn:
        one = [
            row["cleaned"] for row in rows if row["source"] in {row["source"].removesuffix(AS_DRAWN) for row in drawn}
        ]
        told = ", ".join(f"{row['case']} {row['cleaned']:.3f}" for row in drawn)
        lines.append(
            f"of these, VB1's {len(drawn)} series are counted with masks moved {INSIDE_MM['VB1']:g} mm outward (on the "
            f"1 mm grid 1 mm at endplates, 0.9 mm in the mean): mean {sum(one) / len(one):.3f}; as drawn: {told}"
        )
    told = ", ".join(f"{name} {value:.3f}" for name, value in contrasts.items())
    lines.append(
        f"no contrast of bodies under {BODY_CONTRAST_BAR}: {told}: "
        + verdict(min(contrasts.values()) >= BODY_CONTRAST_BAR)
    )
    if drawn:
        in_both = {row["source"].removesuffix(AS_DRAWN) for row in drawn}
        as_drawn = [*(row for row in rows if row["source"] not in in_both), *drawn]
        held = [row for row in means(as_drawn, "contrast") if row["kind"] == "bodies"]
        changed = {row["contrast"]: row["cleaned"] for row in held if row["cleaned"] != contrasts[row["contrast"]]}
        told = ", ".join(f"{name} {value:.3f}" for name, value in changed.items())
        lines.append(
            f"the same with VB1's masks as drawn: {told}: {verdict(min(changed.values()) >= BODY_CONTRAST_BAR)}"
        )
    sets = {
        f"{row['source']}": row["cleaned"]
        for row in numbers["dice_by_source"]
        if row["kind"] == "discs" and row["source"] != "SPIDER moved masks"
    }
    if sets:
        held = [row for row in rows if row["kind"] == "discs" and row["contrast"] in ("T2", "SPACE")]
        by_patient: dict[str, list[float]] = {}
        for row in held:
            if row["source"] != "SPIDER moved masks":
                by_patient.setdefault(row["patient"], []).append(row["cleaned"])
        mean = sum(sum(one) / len(one) for one in by_patient.values()) / max(len(by_patient), 1)
        told = ", ".join(f"{name} {value:.3f}" for name, value in sets.items())
        lines.append(
            f"Dice of discs on T2 and SPACE, mean over {len(by_patient)} patients: {mean:.3f} (bar {DISC_BAR}): "
            f"{verdict(mean >= DISC_BAR)}; by set {told} (bar {DISC_SET_BAR}): "
            + verdict(min(sets.values()) >= DISC_SET_BAR)
        )
    for contrast in ("T1", "T2"):
        moved = [
            row["cleaned"]
            for row in rows
            if (row["kind"], row["source"], row["contrast"]) == ("discs", "SPIDER moved masks", contrast)
        ]
        if moved:
            lines.append(
                f"Dice of discs on {contrast}, masks moved there from SPACE (1-2 pixels off, held to no bar), "
                f"{len(moved)} patients: {sum(moved) / len(moved):.3f}"
            )
    return lines


def _series(numbers: dict[str, Any]) -> list[str]:
    rows = [row for row in numbers.get("series", []) if "fault" not in row]
    lines = []
    for kind in ("bodies", "discs"):
        held = [row for row in rows if row["kind"] == kind]
        patients = {row["patient"] for row in held}
        wrong = {row["patient"] for row in held if row["named_right"] < row["found"]}
        lines.append(
            f"names as a study gets them: {sum(row['named_right'] for row in held)} of "
            f"{sum(row['found'] for row in held)} {kind} of {len(held)} series right; "
            f"{len(wrong)} of {len(patients)} patients with a wrong name"
        )
    right = [row for row in rows if row["named_right"] == row["found"]]
    unsure = [row for row in right if row["count_unsure"]]
    lines.append(f"series with right names whose count is flagged as unsure: {len(unsure)} of {len(right)}")
    sides = [row["at_the_side"] for row in rows if row["kind"] == "bodies"]
    told = {state: sum(side[state] for side in sides) for state in ("cut", "flagged", "excluded", "measured")}
    lines.append(
        f"of {sum(told.values())} drawn bodies with more than a quarter of their largest area in an outermost slice "
        f"{told['cut']} are reported as cut, {told['flagged']} measured and flagged, {told['excluded']} left out, "
        f"{told['measured']} measured without a word"
    )
    discs = numbers.get("drawn_discs", [])
    total = {name: sum(row[name] for row in discs) for name in ("discs", "not_found", "in_pieces", "with_another")}
    lines.append(
        f"of {total['discs']} drawn discs {total['not_found']} are not found, {total['in_pieces']} found in pieces, "
        f"{total['with_another']} in one with another"
    )
    faults = [row["case"] for row in numbers.get("series", []) if "fault" in row]
    return [*lines, *([f"no spine found: {', '.join(faults)}"] if faults else [])]


def _bodies(numbers: dict[str, Any]) -> list[str]:
    rows = in_convention(numbers["bodies"])
    found = [row for row in rows if row["found"]]
    named = [row for row in found if row["named"] == row["level"]]
    share = len(named) / max(len(found), 1)
    merged = sum(row["merged"] for row in in_convention(numbers["merged"]))
    lines = [
        f"levels named right: {len(named)} of {len(found)} bodies found ({100 * share:.1f} %, bar 99 %): "
        f"{verdict(share >= NAMING_BAR)}; {len(rows) - len(found)} of {len(rows)} labelled bodies not found",
        f"two bodies merged: {merged} (bar 0): {verdict(merged == 0)}",
        f"of the median volume of those beside it the smallest drawn body has {_smallest(rows, 'manual_cm3'):.2f}, the "
        f"smallest of ours {_smallest(rows, 'ours_cm3'):.2f} (below {SMALL} it is flagged)",
    ]
    for row in numbers["volumes"]:
        whose = f"body volume against manual masks, {row['source']} {row['contrast']}".strip()
        if row["source"].endswith(AS_DRAWN):
            lines.append(
                f"{whose}, n {row['bodies']}: bias {row['bias_percent']:+.1f} %, r2 {row['r2']:.3f} (no bar: masks of "
                "another convention)"
            )
            continue
        lines.append(
            f"{whose}, n {row['bodies']}: bias {row['bias_percent']:+.1f} % (bar {VOLUME_BIAS_BAR:g}): "
            f"{verdict(abs(row['bias_percent']) < VOLUME_BIAS_BAR)}; r2 {row['r2']:.3f} (bar {VOLUME_R2_BAR}): "
            + verdict(row["r2"] >= VOLUME_R2_BAR)
        )
    return lines


def _smallest(rows: list[Row], volume: str) -> float:
    """The least volume of a body as a part of the median of those beside it."""
    held: dict[tuple[str, str], dict[int, float]] = {}
    for row in rows:
        if row[volume]:
            held.setdefault((row["source"], row["case"]), {})[row["level"]] = row[volume]
    parts = []
    for bodies in held.values():
        for level, value in bodies.items():
            beside = [other for at, other in bodies.items() if at != level and abs(at - level) <= NEXT_LEVELS]
            parts += [value / median(beside)] if beside else []
    return min(parts)


def write_report(path: Path, numbers: dict[str, Any]) -> None:
    """The report with all tables."""
    lines = [
        "# Evaluation of the segmenters",
        "",
        "Written by `make evaluate-segmentation`; all numbers are in `numbers.json`. Dice is counted where labels are "
        'to be believed; "cleaned" is after 3D clean-up, before levels are named. No held-out patient was trained on; '
        "the split is in the cards.",
        "",
        *[f"- {line}" for line in _networks(numbers)],
        "",
        "## Against the bars",
        "",
        *[f"- {line}" for line in summary(numbers)],
        "",
    ]
    tables: list[tuple[str, list[Row] | None]] = [
        ("Dice by data set (mean over patients; lowest patient)", numbers.get("dice_by_source")),
        ("Dice by contrast", numbers.get("dice_by_contrast")),
        (
            "How far the masks agree: Dice as it is, and at the shift and threshold that suit each patient's own mask",
            numbers.get("agreement"),
        ),
        ("The ten worst cases (contact sheet: `real-worst.png`, not in the repository)", numbers.get("worst")),
        ("Body volumes against manual masks", numbers.get("volumes")),
        ("Simulated studies: against the truth", numbers["arms_against_truth"]),
        ("Simulated studies: Table 6, against the Standard arm", numbers["arms_against_standard"]),
        ("The same at the demonstration's matrix", numbers.get("small_arms_against_standard")),
        ("What the simulated series' remarks said", _remarks(numbers["arms_remarks"])),
    ]
    for title, rows in tables:
        if rows is not None:
            lines += [f"## {title}", "", *table(rows), ""]
    path.write_text("\n".join(lines))


def _networks(numbers: dict[str, Any]) -> list[str]:
    """Each network's hash, threshold, and training back to its first."""
    return [
        f"{name} network `{digest[:16]}`, threshold {numbers['thresholds'][name]:g}: "
        + _trained(numbers["training"][name])
        for name, digest in numbers["weights"].items()
    ]


def _trained(training: dict[str, Any]) -> str:
    told = (
        f"{training['steps']} steps in {training['minutes']:g} minutes (`{training['command']}`), validation Dice "
        + ", ".join(f"{value:.3f}" for value in training["validation_dice"])
    )
    before = training.get("began_with")
    return f"{told}, begun with `{before['sha256'][:16]}`: {_trained(before)}" if before else told


def _remarks(rows: list[Row]) -> list[Row]:
    """Each remark once, with the number of series and of subjects."""
    held: dict[str, list[Row]] = {}
    for row in rows:
        if row["remarks"]:
            held.setdefault(row["remarks"], []).append(row)
    return [
        {"remarks": remark, "series": len(mine), "subjects": len({row["subject"] for row in mine})}
        for remark, mine in held.items()
    ]
