"""The evaluation suite: every acceptance measure of the denoiser on held-out data, printed and written as a report."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from recon_worker.denoising.weights import FOLDER, load_weights, read_card, write_card
from recon_worker.training import evaluation_detail, evaluation_noise, evaluation_peers
from recon_worker.training.evaluation_pictures import montage, noise_spectra
from recon_worker.training.evaluation_raw import raw_files
from recon_worker.training.images import CleanImage
from recon_worker.training.report import summary, write_report

Say = Callable[[str], None]
SLICES = 16
NOISE_IMAGES = 3


def evaluate(
    images: list[CleanImage], folder: Path, *, say: Say, quick: bool = False, raw: Path | None = None
) -> dict[str, Any]:
    """Measure the installed weights; writes `report.md`, `numbers.json` and pictures to `folder`.

    Parameters
    ----------
    images
        The whole pool; only its test part is used.
    quick
        Fewer images and draws, for a first look.
    raw
        Folder of real raw files (phantoms), if there is one.
    """
    ready = load_weights()
    folder.mkdir(parents=True, exist_ok=True)
    real = evaluation_peers.held_out(images, 4 if quick else SLICES)
    drawn = _simulated(images, 1 if quick else NOISE_IMAGES)
    few = (real[: 1 if quick else NOISE_IMAGES]) + drawn
    draws = 6 if quick else evaluation_noise.DRAWS
    numbers: dict[str, Any] = {
        "weights_sha256": ready.sha256,
        "training": ready.card.get("training", {}),
        "suppression": ready.calibration.suppression,
        "quick": quick,
        "real_slices": [f"{image.name} ({image.kind})" for image in real],
    }
    steps: list[tuple[str, Callable[[], Any]]] = [
        ("peers", lambda: evaluation_peers.compare(real) if real else None),
        ("residual", lambda: evaluation_noise.residual_noise(few, draws=draws)),
        ("bias", lambda: evaluation_noise.bias(few, draws=2 * draws)),
        ("pure_noise", evaluation_noise.pure_noise),
        ("homogeneity", lambda: evaluation_noise.homogeneity(few[0])),
        ("wrong_noise_level", lambda: evaluation_noise.wrong_noise_level(few[-2:])),
        ("edges", evaluation_detail.edges),
        ("thin_lines", lambda: evaluation_detail.thin_lines(draws=4 if quick else 12)),
        ("lesions", lambda: evaluation_detail.lesions(real or drawn, draws=4 if quick else 12)),
        ("raw", lambda: raw_files(raw, folder) if raw and raw.is_dir() else None),
        ("pictures", lambda: _pictures(real, drawn, folder)),
    ]
    for name, step in steps:
        begun = time.process_time()
        numbers[name] = step()
        say(f"{name}: {time.process_time() - begun:.0f} CPU s")
        if name == "residual":
            numbers["residual_verdict"] = evaluation_noise.judge_residual(numbers["residual"])
        # Written after every step: an evaluation that is cut short leaves what it has.
        (folder / "numbers.json").write_text(json.dumps(numbers, indent=1) + "\n")
    for line in summary(numbers):
        say(line)
    write_report(numbers, folder)
    card = read_card()
    card["metrics"] = {"from": "python -m recon_worker.training evaluate", "summary": summary(numbers)}
    write_card(FOLDER, card)
    return numbers


def _simulated(images: list[CleanImage], count: int) -> list[CleanImage]:
    """Slices of held-out simulated subjects, each of another subject or place."""
    found = [image for image in images if image.kind == "simulated" and image.part == "test"]
    return found[:: max(1, len(found) // max(count, 1))][:count]


def _pictures(real: list[CleanImage], drawn: list[CleanImage], folder: Path) -> dict[str, Any]:
    shown = [*real[:2], *drawn[:1]]
    names = []
    for number, image in enumerate(shown):
        for snr, nex in ((12, 1.0), (25, 0.5)) if number == 0 else ((12, 1.0),):
            name = f"{'real' if image.part == 'test' and image.kind != 'simulated' else 'simulated'}-{number + 1}"
            name += f"-snr-{snr}{'-half-nex' if nex < 1 else ''}.png"
            montage(image, snr, nex, folder / name)
            names.append({"file": name, "slice": f"{image.name} ({image.kind})", "snr": snr, "nex": nex})
    return {"montages": names, "spectra": noise_spectra(shown[0], 12, folder / "noise-spectra.png")}
