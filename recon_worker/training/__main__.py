"""`python -m recon_worker.training`: train denoiser and segmenters, install their weights, calibrate, evaluate."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from recon_worker.data import InputFault, ReconstructionFault
from recon_worker.denoising.weights import FOLDER, load_network, write_card, write_weights
from recon_worker.training.calibrate import calibrate
from recon_worker.training.denoiser import PEAK_RATE, Trainer
from recon_worker.training.images import CleanImage
from recon_worker.training.loss_plot import plot_losses
from recon_worker.training.model_card import load_checkpoint, new_card
from recon_worker.training.pool import SHAPES, SIMULATED_SUBJECTS, image_pool
from recon_worker.training.segmenter_command import add_commands

DATA = Path("../shared/data")
WORK = Path("state/denoiser")
SUPPRESSION = 0.0


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 done, 1 the input is at fault (one sentence on standard error), 2 wrong usage."""
    chosen = _parser().parse_args(arguments)
    try:
        chosen.command(chosen)
    except (InputFault, ReconstructionFault) as fault:
        print(fault, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m recon_worker.training", description=__doc__)
    commands = parser.add_subparsers(required=True)
    train = commands.add_parser("denoiser", help="train the denoiser")
    train.add_argument(
        "--minutes", type=float, required=True, help="time of the whole training, resumed parts included"
    )
    train.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu or cuda")
    train.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    train.add_argument("--from-installed", action="store_true", help="begin with the installed weights")
    train.add_argument("--peak-rate", type=float, default=PEAK_RATE, help="largest learning rate")
    train.add_argument("--threads", type=int, help="CPU threads")
    train.set_defaults(command=_train)
    export = commands.add_parser("export", help="install a checkpoint's weights with card and calibration")
    export.add_argument("--checkpoint", type=Path, help="default: the last one of the working folder")
    export.add_argument("--suppression", type=float, default=SUPPRESSION, help="0 to 1: more noise out, less detail")
    export.set_defaults(command=_export)
    again = commands.add_parser("calibrate", help="calibrate the installed weights again")
    again.add_argument("--suppression", type=float, help="0 to 1; default: as installed")
    again.set_defaults(command=_calibrate)
    evaluate = commands.add_parser("evaluate", help="measure the installed weights and write the report")
    evaluate.add_argument("--quick", action="store_true", help="fewer images and draws")
    evaluate.add_argument("--report", type=Path, default=Path("docs/denoising"), help="folder of the report")
    evaluate.set_defaults(command=_evaluate)
    for command in (train, export, again, evaluate):
        command.add_argument("--data", type=Path, default=DATA, help="real images; without them the simulator alone")
        command.add_argument("--work", type=Path, default=WORK, help="folder for checkpoints and prepared images")
        command.add_argument("--subjects", type=int, default=SIMULATED_SUBJECTS, help="simulated subjects to train on")
        command.add_argument("--shapes", type=int, default=SHAPES, help="images of drawn shapes to train on")
    add_commands(commands, _say)
    return parser


def _pool(chosen: argparse.Namespace) -> list[CleanImage]:
    data = chosen.data if (chosen.data / "spine").is_dir() else None
    print("real images: " + (str(data) if data else "none, the simulator alone"), flush=True)
    name = f"images-{chosen.subjects}-{chosen.shapes}{'' if data else '-simulated'}.npz"
    return image_pool(data, chosen.work / name, _show, subjects=chosen.subjects, shapes=chosen.shapes)


def _show(stage: str, fraction: float) -> None:
    end = "\r" if sys.stdout.isatty() else "\n"
    if sys.stdout.isatty() or round(fraction * 100) % 25 == 0:
        print(f"{stage}: {100 * fraction:.0f} %", end=end, flush=True)


def _say(line: str) -> None:
    print(line, flush=True)


def _train(chosen: argparse.Namespace) -> None:
    if chosen.minutes <= 0:
        raise InputFault("A training takes more than 0 minutes.", "Name the minutes with --minutes.")
    if chosen.device == "cuda" and not torch.cuda.is_available():
        raise InputFault("There is no GPU on this machine.", "Train with --device cpu.")
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    images = _pool(chosen)
    trainer = Trainer(
        [image for image in images if image.part == "training"],
        chosen.work,
        minutes=chosen.minutes,
        device=chosen.device,
        peak_rate=chosen.peak_rate,
    )
    if chosen.from_installed:
        network, digest, card = load_network()
        trainer.begin_with(network, {"sha256": digest, **card["training"]})
    trainer.run(_say, resume=chosen.resume)
    plot_losses(trainer.progress.losses, chosen.work / "losses.png")
    _say(f"checkpoint: {trainer.checkpoint}; loss curve: {chosen.work / 'losses.png'}")
    unseen = [image for image in images if image.part == "validation"]
    _say(f"squared error on patches of unseen images: {-trainer.gain(unseen):.2f} dB")


def _export(chosen: argparse.Namespace) -> None:
    path = chosen.checkpoint or chosen.work / "checkpoint.pt"
    if not path.exists():
        raise InputFault(f"There is no checkpoint {path}.", "Train first, or name it with --checkpoint.")
    images = _pool(chosen)
    network, facts = load_checkpoint(path)
    command = f"python -m recon_worker.training denoiser --minutes {facts['minutes_planned']:g}"
    command += f" --peak-rate {facts['peak_rate']:g}" + (" --from-installed" if "began_with" in facts else "")
    card = new_card(network, images, {**facts, "command": command})
    card["metrics"] = {"summary": ["not evaluated yet: make evaluate-denoiser"]}
    # Calibrated as installed: with the numbers rounded to half precision.
    card["calibration"] = _tables(network.half().float(), images, chosen.suppression)
    digest = write_weights(FOLDER, network, card)
    _say(f"installed {digest}")


def _calibrate(chosen: argparse.Namespace) -> None:
    network, _, card = load_network()
    suppression = card["calibration"]["suppression"] if chosen.suppression is None else chosen.suppression
    card["calibration"] = _tables(network, _pool(chosen), suppression)
    write_card(FOLDER, card)


def _tables(network: torch.nn.Module, images: list[CleanImage], suppression: float) -> dict[str, object]:
    held_out = [image for image in images if image.part == "validation"]
    # Every other scene is real where there are real images.
    real = [image for image in held_out if image.kind != "simulated"]
    drawn = [image for image in held_out if image.kind == "simulated"]
    ordered = [image for pair in zip(real, drawn * len(real), strict=False) for image in pair] if real else drawn
    return calibrate(network, ordered, suppression=suppression, report=_show).as_json()  # type: ignore[arg-type]


def _evaluate(chosen: argparse.Namespace) -> None:
    from recon_worker.training.evaluation import evaluate

    evaluate(_pool(chosen), chosen.report, quick=chosen.quick, say=_say, raw=chosen.data / "raw")


if __name__ == "__main__":
    sys.exit(main())
