"""The commands of the segmenters: train one of the two networks, install its weights, evaluate both."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from recon_worker.data import InputFault
from recon_worker.segmentation.network import Architecture, widened
from recon_worker.segmentation.weights import FOLDER, NAMES, load_weights, write_weights
from recon_worker.training.loss_plot import plot_losses
from recon_worker.training.mask_convention import rims_by_source
from recon_worker.training.sacral_lean import measure
from recon_worker.training.segmenter import PEAK_RATE, SegmenterTrainer
from recon_worker.training.segmenter_card import load_segmenter, new_card
from recon_worker.training.spine_augmentation import PLANES
from recon_worker.training.spine_images import LabelledSlice, real_slices
from recon_worker.training.spine_pool import SIMULATED_SUBJECTS, labelled_pool

DATA = Path("../shared/data")
WORK = Path("state/segmenter")
WIDTH = 12

Say = Callable[[str], None]


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser], say: Say) -> None:
    """`segmenter`, `export-segmenter` and `evaluate-segmentation`."""
    train = commands.add_parser("segmenter", help="train one of the two segmenters")
    train.add_argument("--minutes", type=float, required=True, help="time of the whole training, resumed parts too")
    train.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu or cuda")
    train.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    train.add_argument("--from-installed", action="store_true", help="begin with the installed weights")
    train.add_argument("--peak-rate", type=float, default=PEAK_RATE, help="largest learning rate")
    train.add_argument("--threads", type=int, help="CPU threads")
    train.add_argument("--width", type=int, default=WIDTH, help="channels at full resolution")
    train.set_defaults(command=lambda chosen: _train(chosen, say))
    export = commands.add_parser("export-segmenter", help="install a segmenter's weights with their card")
    export.add_argument("--checkpoint", type=Path, help="default: the last one of the working folder")
    export.set_defaults(command=lambda chosen: _export(chosen, say))
    for command in (train, export):
        command.add_argument("--net", choices=NAMES, required=True)
    evaluate = commands.add_parser("evaluate-segmentation", help="measure the installed weights and write the report")
    evaluate.add_argument("--quick", action="store_true", help="fewer simulated subjects")
    evaluate.add_argument("--report", type=Path, default=Path("docs/segmentation"), help="folder of the report")
    evaluate.set_defaults(command=lambda chosen: _evaluate(chosen, say))
    convention = commands.add_parser("mask-convention", help="where the data sets draw their bodies' outlines")
    convention.add_argument("--data", type=Path, default=DATA, help="labelled images")
    convention.set_defaults(command=lambda chosen: _convention(chosen, say))
    lean = commands.add_parser("sacral-lean", help="how far S1 and L5 lie back below the body above, in real spines")
    lean.add_argument("--data", type=Path, default=DATA, help="labelled images")
    lean.set_defaults(command=lambda chosen: measure(chosen.data, say))
    for command in (train, export, evaluate):
        command.add_argument(
            "--data", type=Path, default=DATA, help="labelled images; without them the simulator alone"
        )
        command.add_argument("--work", type=Path, default=WORK, help="folder for checkpoints and prepared slices")
        command.add_argument("--subjects", type=int, default=SIMULATED_SUBJECTS, help="simulated subjects to train on")


def _pool(chosen: argparse.Namespace, say: Say) -> list[LabelledSlice]:
    data = chosen.data if (chosen.data / "spine").is_dir() else None
    say("labelled images: " + (str(data) if data else "none, the simulator alone"))
    name = f"slices-{chosen.subjects}{'' if data else '-simulated'}.npz"
    told: set[tuple[str, int]] = set()

    def show(stage: str, fraction: float) -> None:
        step = (stage, int(4 * fraction))
        if step not in told:
            told.add(step)
            say(f"{stage}: {100 * fraction:.0f} %")

    return labelled_pool(data, chosen.work / name, show, subjects=chosen.subjects)


def _train(chosen: argparse.Namespace, say: Say) -> None:
    if chosen.minutes <= 0:
        raise InputFault("A training takes more than 0 minutes.", "Name the minutes with --minutes.")
    if chosen.device == "cuda" and not torch.cuda.is_available():
        raise InputFault("There is no GPU on this machine.", "Train with --device cpu.")
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    installed = load_weights(chosen.net) if chosen.from_installed else None
    begin = widened(installed.network, PLANES) if installed else None
    trainer = SegmenterTrainer(
        chosen.net,
        _pool(chosen, say),
        chosen.work,
        minutes=chosen.minutes,
        device=chosen.device,
        # A training that begins with installed weights has their width.
        architecture=begin.architecture if begin else Architecture(chosen.width, planes=PLANES),
        peak_rate=chosen.peak_rate,
    )
    if installed and begin:
        trainer.begin_with(begin, {"sha256": installed.sha256, **installed.card["training"]})
    trainer.run(say, resume=chosen.resume)
    plot_losses(trainer.progress.losses, chosen.work / f"{chosen.net}-losses.png", "loss (Dice and cross-entropy)")
    say(f"checkpoint: {trainer.checkpoint}; Dice of unseen slices: {trainer.dice(trainer.unseen):.4f}")


def _export(chosen: argparse.Namespace, say: Say) -> None:
    path = chosen.checkpoint or chosen.work / f"{chosen.net}.pt"
    if not path.exists():
        raise InputFault(f"There is no checkpoint {path}.", "Train first, or name it with --checkpoint.")
    kind, network, facts = load_segmenter(path)
    if kind != chosen.net:
        raise InputFault(f"The checkpoint {path} is of the network for {kind}.", f"Name it with --net {kind}.")
    command = f"python -m recon_worker.training segmenter --net {kind} --minutes {facts['minutes_planned']:g}"
    command += f" --peak-rate {facts['peak_rate']:g}" + (" --from-installed" if "began_with" in facts else "")
    # Its threshold is chosen as installed: with the numbers rounded to half precision.
    card = new_card(kind, network.half().float(), _pool(chosen, say), {**facts, "command": command})
    digest = write_weights(FOLDER, kind, network, card)
    say(f"installed {digest}, threshold {card['threshold']:g}")


def _convention(chosen: argparse.Namespace, say: Say) -> None:
    if not (chosen.data / "spine").is_dir():
        raise InputFault(f"There are no labelled images in {chosen.data}.", "Name their folder with --data.")
    say("Where the signal has fallen half way from marrow to rim, mm outside the outline; training and validation:")
    slices = real_slices(chosen.data, lambda stage, fraction: None, as_drawn=True)
    for source, places in rims_by_source(slices).items():
        low, middle, high = np.percentile(places, (25, 50, 75))
        say(f"{source:14} {len(places):4} slices  median {middle:+.2f}  quartiles {low:+.2f} {high:+.2f}")


def _evaluate(chosen: argparse.Namespace, say: Say) -> None:
    from recon_worker.training.segmentation_evaluation import evaluate

    evaluate(_pool(chosen, say), chosen.report, quick=chosen.quick, say=say)
