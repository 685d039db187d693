"""The five arms of simulated studies, segmented: against the truth and against the Standard arm, as in Table 6."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from recon_worker.data import Volume
from recon_worker.denoising.colour import line_noise
from recon_worker.denoising.denoise import denoise
from recon_worker.morphometry.matching import match_arms
from recon_worker.morphometry.structures import Structure
from recon_worker.one_look import gains_of, on_common_grid, one_look
from recon_worker.phantom.anatomy import draw_subject
from recon_worker.phantom.simulate import simulate_acquisition
from recon_worker.phantom.truth import measure
from recon_worker.rawdata.open import open_kspace
from recon_worker.reconstruction.chain import reconstruct
from recon_worker.segmentation.segment import Segmentation, segment

Row = dict[str, Any]
Say = Callable[[str], None]
SEED = 2026
ARMS = ("Standard", "Fast", "Fast DL25", "Fast DL50", "Fast DL75")
QUANTITIES = {"disc": "disc_height_mm", "body": "body_volume_cm3"}
SIZE = "full"
COILS = (4, 2)
"""Fewer than the scanner's: speed alone is lost with the others."""


def five_arms(number: int, folder: Path, *, seed: int = SEED, size: str = SIZE) -> list[Volume]:
    """Sagittal T1 of one simulated subject as the finishing job makes it: the five arms with one look."""
    paths = []
    for acquisition in ("Standard", "Fast"):
        path = folder / f"{acquisition}.h5"
        simulate_acquisition(
            path, sequence="SAG T1", acquisition=acquisition, seed=seed, number=number, size=size, coils=COILS
        )
        paths.append(path)
    standard, fast = (reconstruct(open_kspace(path)) for path in paths)
    factors = [0.25, 0.5, 0.75]
    denoised = denoise(fast.volume, factors, line_noise=line_noise(fast.lineage)).volumes
    volumes = on_common_grid([standard.volume, fast.volume, *(denoised[factor] for factor in factors)], 0)
    gains = gains_of(volumes, [0, 0, *factors], [0, 1, 1, 1, 1], 0)
    pictures, _ = one_look(volumes, [gains[index] for index in (0, 1, 1, 1, 1)], 0)
    return list(pictures)


def simulated_arms(subjects: int, say: Say, *, seed: int = SEED, size: str = SIZE) -> tuple[list[Row], list[Row]]:
    """Values of every structure, arm and subject beside the truth; and what the series' remarks said."""
    rows: list[Row] = []
    remarks: list[Row] = []
    for number in range(1, subjects + 1):
        say(f"simulated study: subject {number} of {subjects}")
        spine = draw_subject(seed, number).spine
        true = {(one.quantity, one.level): one.value for one in measure(spine)}
        with tempfile.TemporaryDirectory() as folder:
            pictures = five_arms(number, Path(folder), seed=seed, size=size)
        reference: list[Structure] = []
        for arm, picture in zip(ARMS, pictures, strict=True):
            found: Segmentation = segment(picture)
            reference = reference or found.structures
            remarks.append({"subject": number, "arm": arm, "remarks": " ".join(found.remarks)})
            for match in match_arms(reference, found.structures):
                structure = match.structure
                quantity = QUANTITIES[structure.kind]
                if match.level is not None and quantity in structure.measures:
                    value = structure.measures[quantity]
                    rows.append(
                        {"subject": number, "arm": arm, "quantity": quantity, "level": match.level, "value": value,
                         "true": true.get((quantity, match.level))}
                    )  # fmt: skip
    return rows, remarks


def against_truth(rows: list[Row]) -> list[Row]:
    """Mean and mean absolute error of each arm and quantity."""
    found = []
    for quantity in QUANTITIES.values():
        for arm in ARMS:
            held = [row for row in rows if row["arm"] == arm and row["quantity"] == quantity and row["true"]]
            if not held:
                continue
            errors = np.array([row["value"] - row["true"] for row in held])
            true = np.array([row["true"] for row in held])
            found.append(
                {
                    "quantity": quantity,
                    "arm": arm,
                    "n": len(held),
                    "bias": round(float(errors.mean()), 3),
                    "mean_absolute_error": round(float(np.abs(errors).mean()), 3),
                    "bias_percent": round(float(100 * errors.sum() / true.sum()), 2),
                    "r2": round(float(np.corrcoef(true, true + errors)[0, 1] ** 2), 4),
                }
            )
    return found


def against_standard(rows: list[Row]) -> list[Row]:
    """Table 6 of the simulated study: mean, SD and r2 against Standard; bias and SD of the differences."""
    found = []
    for quantity in QUANTITIES.values():
        held = {(row["arm"], row["subject"], row["level"]): row["value"] for row in rows if row["quantity"] == quantity}
        whole = [
            key[1:]
            for key in held
            if key[0] == "Standard" and all((arm, key[1], key[2]) in held for arm in ARMS)
        ]  # fmt: skip
        standard = np.array([held["Standard", subject, level] for subject, level in whole])
        for arm in ARMS:
            values = np.array([held[arm, subject, level] for subject, level in whole])
            if len(values) < 3:
                continue
            entry: Row = {
                "quantity": quantity,
                "arm": arm,
                "n": len(values),
                "mean": round(float(values.mean()), 3),
                "sd": round(float(values.std(ddof=1)), 3),
            }
            if arm != "Standard":
                entry |= {
                    "r2": round(float(np.corrcoef(standard, values)[0, 1] ** 2), 4),
                    "bias": round(float((values - standard).mean()), 3),
                    "sd_of_differences": round(float((values - standard).std(ddof=1)), 3),
                }
            found.append(entry)
    return found
