"""The door for people and scripts: `python -m recon_worker simulate | inspect | reconstruct | segment`."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from recon_worker.data import ChainChoice, InputFault, ReconstructionFault, chain_choice
from recon_worker.store import StorageFault, storage_fault

RAW_FILE = (
    "ISMRMRD (HDF5), Siemens twix, fastMRI, GE P-file or ScanArchive (experimental), or either file of a BART pair"
)
EXIT_CODES = "Exit status: 0 done; 1 failed, with one sentence on standard error; 2 wrong usage."
CHAIN_HELP = (
    "A CHAIN names what is done otherwise than in the paper: undersampling (keep every n-th line, 1 to 8), pattern "
    "(regular, variable density), calibration_lines (13 to 64), parallel_imaging (SENSE, GRAPPA, L1-wavelet), "
    "coil_maps (calibration block, ESPIRiT), virtual_coils (4 to 128), echo_phase_correction (true, false), "
    "partial_fourier (POCS, homodyne, zero filling), wavelet_strength (up to 10), apodization (none, mild); for "
    'example --chain {"undersampling":2} sense-3.yaml.'
)


def _factor(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="python -m recon_worker",
        description="From raw k-space to DICOM series and their measurements, without the web application.",
        epilog=EXIT_CODES,
    )
    top.add_argument("--traceback", action="store_true", help="on failure also print where in the program it happened")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    simulate = commands.add_parser(
        "simulate",
        help="write simulated raw acquisitions of the lumbar spine, with their truth",
        description="Write ISMRMRD files of simulated subjects (sagittal T2 FS, sagittal T1, axial T2; Standard and "
        "Fast acquisition each), manifest.json, truth.npz for each, and measurements.csv with the true disc heights "
        "and body volumes.",
        epilog=EXIT_CODES,
    )
    simulate.add_argument("out", type=Path, metavar="OUT", help="folder to write into; made if missing")
    simulate.add_argument("--subjects", type=_count, required=True, metavar="N", help="how many subjects")
    simulate.add_argument("--seed", type=int, default=0, metavar="S", help="equal seeds give equal data (default 0)")
    simulate.add_argument(
        "--size",
        choices=["small", "full"],
        default="full",
        help="matrix and slices: as in the paper, or seconds a subject",
    )

    inspect = commands.add_parser(
        "inspect",
        help="say what a raw file holds, as JSON",
        description="Print what a raw k-space file holds, as JSON, without any patient field.",
        epilog=EXIT_CODES,
    )
    inspect.add_argument("raw", type=Path, metavar="RAW", help=RAW_FILE)

    reconstruct = commands.add_parser(
        "reconstruct",
        help="reconstruct a raw file to DICOM series",
        description="Reconstruct a raw k-space file: noise whitening, averaging, coil combination, partial Fourier, "
        "intensity correction. Writes DICOM series into OUT/reconstructed/, OUT/denoised-25/ and so on; with several "
        "chains into OUT/chain-1/reconstructed/, OUT/chain-2/reconstructed/ ... All have the brightness of the first.",
        epilog=f"{CHAIN_HELP} {EXIT_CODES}",
    )
    reconstruct.add_argument("raw", type=Path, metavar="RAW", help=RAW_FILE)
    reconstruct.add_argument("out", type=Path, metavar="OUT", help="folder for the series; made if missing")
    reconstruct.add_argument(
        "--noise-reduction",
        type=_factor,
        nargs="+",
        default=[],
        metavar="F",
        help="also write denoised series with these noise reduction factors, such as 0.25 0.5 0.75",
    )
    reconstruct.add_argument(
        "--chain",
        nargs="+",
        default=[],
        metavar="CHAIN",
        help="what differs from the paper's chain: a YAML or JSON file, or JSON text; several are computed one after "
        "the other",
    )
    reconstruct.add_argument(
        "--stored-matrix",
        type=_count,
        nargs=2,
        metavar=("COLUMNS", "ROWS"),
        help="zero fill the slices to this matrix, such as 512 512, before magnitude",
    )
    reconstruct.add_argument(
        "--save-arrays",
        type=Path,
        metavar="FILE.npz",
        help="also save the complex images and their noise map: image, denoised_25 ... (complex64), noise_std "
        "(float32; all slice, row, column), spacing_mm, affine (voxel index to DICOM coordinates); for one chain",
    )
    segment = commands.add_parser(
        "segment",
        help="find and measure the discs and vertebral bodies of a series",
        description="Segment the intervertebral discs and vertebral bodies of a sagittal MR series, name their levels "
        "and measure them. Writes into OUT: labels.npz (discs, bodies: uint8, slice, row, column; discs 1 to 6 = "
        "T12-L1 to L5-S1, bodies 1 to 7 = T12 to S1), measurements.csv (quantity, level, value; disc_height_mm and "
        "body_volume_cm3), structures.json (all that was found, also what was not measured and why), overlay.png (to "
        "look at), segmentation.dcm (DICOM SEG) and report.dcm (DICOM SR). The last two hold UIDs and geometry of the "
        "series and nothing else of its headers.",
        epilog=EXIT_CODES,
    )
    segment.add_argument("series", type=Path, metavar="SERIES", help="folder with the DICOM images of one series")
    segment.add_argument("out", type=Path, metavar="OUT", help="folder to write into; made if missing")
    return top


class Progress:
    """A bar on a terminal. Elsewhere, in a script's log, a line for each stage and each quarter, and only once the work
    has taken some seconds: what fails at once says its one sentence alone."""

    WIDTH = 30
    QUIET_SECONDS = 10.0

    def __init__(self) -> None:
        self._is_terminal = sys.stderr.isatty()
        self._began: float | None = None
        self._said: tuple[str, int] | None = None
        self._length = 0

    def __call__(self, stage: str, fraction: float) -> None:
        """Show where the work is."""
        percent = int(100 * min(max(fraction, 0.0), 1.0))
        if self._began is None:
            self._began = time.monotonic()
        if self._is_terminal:
            full = self.WIDTH * percent // 100
            line = f"[{'#' * full}{'.' * (self.WIDTH - full)}] {percent:3d} %  {stage}"
            print("\r" + line.ljust(self._length), end="", file=sys.stderr, flush=True)
            self._length = len(line)
        elif self._said != (stage, percent // 25) and time.monotonic() - self._began > self.QUIET_SECONDS:
            self._said = (stage, percent // 25)
            print(f"{percent:3d} %  {stage}", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Leave the bar's line."""
        if self._is_terminal and self._length:
            print("\r" + " " * self._length + "\r", end="", file=sys.stderr, flush=True)
            self._length = 0


def _simulate(arguments: argparse.Namespace, progress: Progress) -> None:
    from recon_worker.phantom.simulate import simulate_study

    out: Path = arguments.out
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputFault(f"{out} is not an empty folder.", "Name another one.")
    manifest = simulate_study(
        out, subjects=arguments.subjects, seed=arguments.seed, size=arguments.size, progress=progress
    )
    progress.end()
    print(manifest)


def _inspect(arguments: argparse.Namespace, progress: Progress) -> None:
    from recon_worker.rawdata.inspection import inspect_file

    print(json.dumps(inspect_file(arguments.raw), indent=2, ensure_ascii=False))


def _reconstruct(arguments: argparse.Namespace, progress: Progress) -> None:
    from recon_worker.by_hand import reconstruct_to_folder

    chains = [_chain(text) for text in arguments.chain] or [ChainChoice()]
    if arguments.save_arrays is not None and len(chains) > 1:
        raise InputFault("Arrays are saved for one chain.", "Name one chain, or leave --save-arrays out.")
    done = reconstruct_to_folder(
        arguments.raw,
        arguments.out,
        noise_reduction=sorted(set(arguments.noise_reduction)),
        chains=chains,
        stored_matrix=tuple(arguments.stored_matrix) if arguments.stored_matrix else None,
        save_arrays=arguments.save_arrays,
        report=progress,
    )
    progress.end()
    for remark in done["summary"]["remarks"]:
        print(remark, file=sys.stderr)
    for number, remarks in enumerate(done["remarks"], start=1):
        for remark in remarks:
            print(f"Chain {number}: {remark}", file=sys.stderr)
    for folder in done["folders"]:
        print(arguments.out / folder)


def _segment(arguments: argparse.Namespace, progress: Progress) -> None:
    from recon_worker.by_hand import segment_to_folder

    remarks = segment_to_folder(arguments.series, arguments.out, report=progress)
    progress.end()
    for remark in remarks:
        print(remark, file=sys.stderr)
    print(arguments.out)


def _chain(text: str) -> ChainChoice:
    """The chain in a file or in JSON text. Raises InputFault."""
    try:
        if text.lstrip().startswith("{"):
            content = json.loads(text)
        else:
            import yaml

            try:
                content = yaml.safe_load(Path(text).read_text(encoding="utf-8"))
            except yaml.YAMLError as error:
                raise ValueError from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputFault(f"The chain {text} cannot be read.", "Name a YAML or JSON file, or write JSON.") from error
    except ValueError as error:
        raise InputFault(f"The chain {text} is neither YAML nor JSON.", "Correct it.") from error
    if not isinstance(content, dict):
        raise InputFault(f"The chain {text} is not a list of named entries.", "Write it as “name: value” lines.")
    return chain_choice(content)


COMMANDS = {"simulate": _simulate, "inspect": _inspect, "reconstruct": _reconstruct, "segment": _segment}


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    arguments = parser().parse_args(words)
    progress = Progress()
    try:
        COMMANDS[arguments.command](arguments, progress)
    except BrokenPipeError:  # the reader of our output has gone, `| head` for instance
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (Exception, KeyboardInterrupt) as error:
        progress.end()
        if arguments.traceback:
            traceback.print_exc()
        print(_sentence(error), file=sys.stderr)
        return 1
    return 0


def _sentence(error: BaseException) -> str:
    """One line that says what is wrong and what to do."""
    if isinstance(error, MemoryError):
        return "The file needs more memory than this machine has. Run it on a larger one."
    if isinstance(error, KeyboardInterrupt):
        return "Stopped; nothing was written."
    if isinstance(error, OSError):
        error = storage_fault(error)
    if isinstance(error, InputFault | StorageFault | ReconstructionFault):
        return " ".join(str(error).split())
    return (
        f"The program failed on this input ({type(error).__name__}: {' '.join(str(error).split())[:200]}); "
        "this is our fault: run it again with --traceback before the command and report what it prints."
    )


if __name__ == "__main__":
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # told to stop: clear away what is half-written, as for Ctrl-C
    sys.exit(main())
