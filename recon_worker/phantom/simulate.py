"""Simulated subjects on disk: raw files of every sequence and acquisition, the truth, and a manifest.

OUT/manifest.json            what is there
OUT/measurements.csv         subject, quantity, level, value: true disc heights and body volumes
OUT/S01/sag-t2-fs/standard.h5, fast.h5, truth.npz, and so on
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from recon_worker.data import InputFault
from recon_worker.phantom.acquisition import Acquisition
from recon_worker.phantom.anatomy import Subject, draw_subject, pathologies
from recon_worker.phantom.coils import draw_noise
from recon_worker.phantom.ismrmrd_file import AcquisitionFile
from recon_worker.phantom.motion import is_restless
from recon_worker.phantom.protocol import ACQUISITIONS, PROTOCOLS, SEQUENCES, SIZES, scan_of
from recon_worker.phantom.scanner import Scanner, SliceSignal, set_up
from recon_worker.phantom.truth import label_slice, measure

Progress = Callable[[str, float], None]
MANIFEST_VERSION = 1
NOISE_READOUTS = 16
SliceTruth = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def slug(name: str) -> str:
    """A sequence or acquisition as part of a path: "SAG T2 FS" is "sag-t2-fs"."""
    return name.lower().replace(" ", "-")


def protocol_of(number: int) -> str:
    """Protocol of subject `number` (from 1): as in the paper, about one in four has the neuroradiology protocol."""
    return PROTOCOLS[1] if number % 4 == 3 else PROTOCOLS[0]


def simulate_study(
    out: Path, *, subjects: int, seed: int, size: str, motion: float = 1.0, progress: Progress | None = None
) -> Path:
    """Write all raw files of `subjects` simulated subjects and return the path of the manifest.

    Parameters
    ----------
    out
        Folder to write into; made if missing.
    subjects, seed
        How many; equal seeds give equal files, and the first subjects of a larger study are those of a smaller one.
    size
        "full": the paper's matrices and 32 coils (about 7 GB a subject); "small": seconds a subject; "tiny": for tests.
    motion
        Amount of movement and flow: 1 as in patients, 0 for subjects that keep still.
    progress
        Called with what is done and the fraction of the whole.

    Raises
    ------
    InputFault
        If the size is unknown, there are no subjects, or the folder cannot be written.
    """
    if size not in SIZES:
        raise InputFault(f'"{size}" is no size.', f"Choose one of {', '.join(SIZES)}.")
    if motion < 0:
        raise InputFault("The amount of movement is negative.", "Name 0 (still subjects) or more; 1 is as in patients.")
    if subjects < 1 or seed < 0:
        raise InputFault("A study has at least one subject and a seed of 0 or more.", "Name other numbers.")
    report = progress or (lambda stage, fraction: None)
    try:
        out.mkdir(parents=True, exist_ok=True)
        files, people, rows = _write_subjects(out, subjects, seed, size, motion, report)
        with (out / "measurements.csv").open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["subject", "quantity", "level", "value"])
            writer.writerows(rows)
        manifest = out / "manifest.json"
        content = {"version": MANIFEST_VERSION, "seed": seed, "size": size, "motion": motion, "subjects": people}
        content["files"] = files
        manifest.write_text(json.dumps(content, indent=2) + "\n")
    except OSError as error:
        raise InputFault(f"{out} cannot be written ({error.strerror or error}).", "Name another folder.") from error
    report("done", 1.0)
    return manifest


def _write_subjects(
    out: Path, subjects: int, seed: int, size: str, motion: float, report: Progress
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[list[Any]]]:
    files: list[dict[str, Any]] = []
    people: list[dict[str, Any]] = []
    rows: list[list[Any]] = []
    steps = subjects * len(SEQUENCES)
    for number in range(1, subjects + 1):
        code = f"S{number:02d}"
        protocol = protocol_of(number)
        subject = draw_subject(seed, number)
        people.append(_person(code, protocol, subject, restless=is_restless(seed, number)))
        rows += [[code, m.quantity, m.level, f"{m.value:.4f}"] for m in measure(subject.spine)]
        for position, sequence in enumerate(SEQUENCES):
            done = (number - 1) * len(SEQUENCES) + position
            folder = Path(code) / slug(sequence)

            def tell(fraction: float, done: int = done, label: str = f"{code} {sequence}") -> None:
                report(label, (done + fraction) / steps)

            tell(0.0)
            scan = scan_of(sequence, protocol=protocol, size=size)
            scanner = set_up(subject, scan, seed=seed, number=number, motion=motion)
            write_sequence(out / folder, scanner, seed, number, tell)
            files += [
                {
                    "subject": code,
                    "sequence": sequence,
                    "acquisition": acquisition,
                    "protocol": protocol,
                    "nex": scan.nex_of(acquisition),
                    "path": str(folder / f"{slug(acquisition)}.h5"),
                    "truth": str(folder / "truth.npz"),
                }
                for acquisition in ACQUISITIONS
            ]
    return files, people, rows


def _person(code: str, protocol: str, subject: Subject, *, restless: bool) -> dict[str, Any]:
    return {
        "subject": code,
        "protocol": protocol,
        "restless": restless,
        "discs": [
            {
                "level": disc.level,
                "name": disc.name,
                "degeneration_grade": disc.grade,
                "protrusion_mm": round(disc.protrusion, 2),
                "endplate_fat_change": round(subject.modic.get(disc.name, 0.0), 2),
            }
            for disc in subject.spine.measured_discs()
        ],
        "pathologies": [pathology.as_json() for pathology in pathologies(subject)],
    }


def write_sequence(
    folder: Path, scanner: Scanner, seed: int, number: int, tell: Callable[[float], None] | None = None
) -> None:
    """Both acquisitions and the truth of one sequence into `folder`; one slice is in memory at a time.

    They are two scans of the same anatomy with their own noise and movements. Nothing half-written is left.
    """
    temporary = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        truths: list[SliceTruth] = []
        with (
            AcquisitionFile(temporary / "standard.h5", scanner.scan, "Standard", scanner.planes) as standard,
            AcquisitionFile(temporary / "fast.h5", scanner.scan, "Fast", scanner.planes) as fast,
        ):
            writers = [
                _AcquisitionWriter(file, scanner, acquisition, seed, number)
                for file, acquisition in ((standard, "Standard"), (fast, "Fast"))
            ]
            for signal in scanner.slices():
                for writer in writers:
                    writer.write(signal)
                truths.append(_truth_of(scanner, signal))
                if tell is not None:
                    tell((signal.index + 1) / len(scanner.planes))
        _save_truth(temporary / "truth.npz", scanner, truths)
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def simulate_acquisition(
    path: Path,
    *,
    sequence: str,
    acquisition: str,
    seed: int = 0,
    number: int = 1,
    protocol: str = "MSK",
    size: str = "tiny",
    slices: int | None = None,
    coils: tuple[int, int] | None = None,
    noise: float = 1.0,
    motion: float = 1.0,
) -> Path:
    """Write one raw file to `path` and its truth beside it (`<name>.truth.npz`, returned), for tests and fixtures.

    `slices` and `coils` (rows, columns) change the scan of that size; `noise` scales the noise of the image samples
    (0: none), the noise scan stays as it is; `motion` scales movement and flow (0: a still object).
    """
    scan = scan_of(sequence, protocol=protocol, size=size)
    scan = replace(scan, n_slices=slices or scan.n_slices, coils=coils or scan.coils)
    scanner = set_up(draw_subject(seed, number), scan, seed=seed, number=number, motion=motion)
    path.parent.mkdir(parents=True, exist_ok=True)
    truths = []
    with AcquisitionFile(path, scan, acquisition, scanner.planes) as file:
        writer = _AcquisitionWriter(file, scanner, acquisition, seed, number, noise)
        for signal in scanner.slices():
            writer.write(signal)
            truths.append(_truth_of(scanner, signal))
    truth = path.with_suffix(".truth.npz")
    _save_truth(truth, scanner, truths)
    return truth


class _AcquisitionWriter:
    """Adds an acquisition's noise to the signal and writes its lines."""

    def __init__(
        self, file: AcquisitionFile, scanner: Scanner, acquisition: str, seed: int, number: int, noise: float = 1.0
    ) -> None:
        self._file = file
        self._scanner = scanner
        self._scan = scanner.scan
        self._acquisition = acquisition
        self._noise = noise
        self._lines = Acquisition(scanner, acquisition, seed=seed, number=number)
        place = [SEQUENCES.index(self._scan.sequence), ACQUISITIONS.index(acquisition)]
        self._rng = np.random.default_rng([seed, number, 4, *place])
        file.write_noise(self._draw(NOISE_READOUTS, 1.0))

    def _draw(self, lines: int, factor: float) -> np.ndarray:
        samples = self._scan.encoded_matrix[0]
        coils = self._scanner.coils
        flat = draw_noise(self._rng, coils.covariance, self._scanner.sigma * factor, lines * samples)
        return flat.reshape(len(flat), lines, samples).transpose(1, 0, 2)

    def write(self, signal: SliceSignal) -> None:
        trains = self._lines.trains
        for average in range(self._scan.averages(self._acquisition)):
            samples = self._lines.lines(signal, average) + self._draw(len(trains.lines), self._noise)
            self._file.write_slice(signal.index, average, trains, samples)


def _truth_of(scanner: Scanner, signal: SliceSignal) -> SliceTruth:
    scan = scanner.scan
    discs, bodies = label_slice(
        scanner.subject.spine,
        scanner.planes[signal.index],
        matrix=scan.matrix,
        field_of_view_mm=scan.field_of_view_mm,
        thickness_mm=scan.thickness_mm,
    )
    return signal.image, discs, bodies, signal.sensitivity


def _save_truth(path: Path, scanner: Scanner, truths: list[SliceTruth]) -> None:
    image, discs, bodies, sensitivity = (np.stack(part) for part in zip(*truths, strict=True))
    columns_mm, rows_mm = scanner.pixel_mm
    np.savez_compressed(
        path,
        image=image,
        discs=discs,
        bodies=bodies,
        sensitivity=sensitivity,
        affine=scanner.affine,
        spacing_mm=np.array([scanner.scan.spacing_mm, rows_mm, columns_mm]),
        noise_std=np.float32(scanner.sigma),
        pathologies=np.array(json.dumps([each.as_json() for each in pathologies(scanner.subject)])),
    )
