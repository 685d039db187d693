"""The same without the web application: one raw file to DICOM series in a folder, one series to its measurements."""

from __future__ import annotations

import csv
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from recon_worker.chains import Chain, MadeVolume, Report, compute_device, part, reconstruct_chains
from recon_worker.data import ChainChoice, InputFault, Volume
from recon_worker.dicom.authoring import author_instances
from recon_worker.dicom.series import read_image_series
from recon_worker.dicom.uids import random_uid_key
from recon_worker.lineage import lineage
from recon_worker.measuring import FILES, Segmenter, measure_series
from recon_worker.morphometry.structures import Structure
from recon_worker.one_look import gains_of, on_common_grid, one_look
from recon_worker.segmentation.segment import segment
from recon_worker.store import fingerprint, storage_fault
from recon_worker.stored_volume import write_arrays


def reconstruct_to_folder(
    raw: Path,
    out: Path,
    *,
    noise_reduction: Sequence[float] = (),
    chains: Sequence[ChainChoice] = (ChainChoice(),),
    stored_matrix: tuple[int, int] | None = None,
    save_arrays: Path | None = None,
    report: Report = lambda stage, fraction: None,
) -> dict[str, Any]:
    """DICOM instances of every chain and noise reduction, all with one look, that of the first chain.

    Parameters
    ----------
    raw
        Raw k-space file.
    out
        Folder for the series, made if missing: `reconstructed`, `denoised-25` ...; with several chains each in
        `chain-1`, `chain-2` ... None of these folders may hold anything yet.
    noise_reduction
        Factors of further, denoised series of every chain.
    chains
        The chains, at least one.
    stored_matrix
        Columns and rows to which the slices are zero filled, or None for the acquired matrix.
    save_arrays
        Where to write the arrays of the (single) chain as npz, or None: `image`, `denoised_25` ... (complex64 `[slice,
        row, column]` on the acquired grid, before intensity correction, zero filling and magnitude), `noise_std`
        (float32, the same shape and scale, per real or imaginary part), `spacing_mm` (slice, row, column), `affine`.

    Returns
    -------
    dict
        `folders` (paths of the series, relative to `out`), `summary`, `remarks` (for each chain) and `lineage` as in an
        acquisition job's event.

    Raises
    ------
    InputFault, StorageFault, ReconstructionFault
        As for the jobs. Nothing half-written is left.
    """
    wanted = [Chain(choice, (0.0, *noise_reduction)) for choice in chains]
    folders = series_folders(len(wanted), noise_reduction)
    _check_places(raw, [out / folder for folder in folders], save_arrays, out)
    made: list[MadeVolume] = []
    described = reconstruct_chains(raw, wanted, take=made.append, report=part(report, 0.0, 0.9))
    try:
        digest, length = fingerprint(raw)
        report("authoring", 0.9)
        volumes = on_common_grid([one.volume for one in made], 0)
        gains = gains_of(volumes, [one.noise_reduction for one in made], [one.chain for one in made], 0)
        pictures, _ = one_look(volumes, [gains[one.chain] for one in made], 0, stored_matrix)
        with _made_folders(out, *([save_arrays.parent] if save_arrays else [])), ExitStack() as temporary:
            work = Path(temporary.enter_context(tempfile.TemporaryDirectory(prefix=".reconstructing-", dir=out)))
            for picture, folder in zip(pictures, folders, strict=True):
                author_instances(picture, uid_key=random_uid_key(), out=work / folder)
            if save_arrays is not None:
                report("saving arrays", 0.95)
                beside = save_arrays.with_name(f".{save_arrays.name}.part")
                temporary.callback(beside.unlink, missing_ok=True)
                write_arrays(beside, made[0].volume, _denoised(made))
                beside.replace(save_arrays)
            for first in dict.fromkeys(Path(folder).parts[0] for folder in folders):
                place = out / first
                if place.exists():
                    _remove_empty(place)
                (work / first).rename(place)
    except OSError as error:
        raise storage_fault(error) from error
    report("done", 1.0)
    return {
        "folders": folders,
        "summary": described.summary,
        "remarks": described.remarks,
        "lineage": lineage(
            inputs=[{"path": raw.name, "sha256": digest, "bytes": length}],
            parameters={"chains": described.lineage, "stored_matrix": list(stored_matrix) if stored_matrix else None},
            outputs=[],
        ),
    }


MEASUREMENTS, STRUCTURES = "measurements.csv", "structures.json"
QUANTITIES = ("disc_height_mm", "body_volume_cm3")
"""What measurements.csv holds; structures.json holds the rest as well."""


def segment_to_folder(
    series: Path,
    out: Path,
    *,
    report: Report = lambda stage, fraction: None,
    segmenter: Segmenter = segment,
) -> list[str]:
    """Discs and vertebral bodies of a sagittal MR series, segmented, named and measured.

    Parameters
    ----------
    series
        Folder with the DICOM images of one series.
    out
        Folder for `labels.npz` (`discs`, `bodies`: uint8 `[slice, row, column]`; `affine`, `spacing_mm`),
        `measurements.csv` (quantity, level, value: what was measured), `structures.json` (also what was not, and why),
        `overlay.png`, `segmentation.dcm`, `report.dcm`. Made if missing; it may not hold anything yet.
    segmenter
        What finds the structures.

    Returns
    -------
    list of str
        Remarks.

    Raises
    ------
    InputFault, StorageFault, ReconstructionFault
        As for the jobs. Nothing half-written is left.
    """
    _check_can_be_made(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputFault(f"{out} is not empty.", "Name another folder, or empty it first.")
    report("reading", 0.0)
    read = read_image_series(series)
    try:
        with _made_folders(out), tempfile.TemporaryDirectory(prefix=".segmenting-", dir=out) as temporary:
            work = Path(temporary)
            found, _ = measure_series(
                read.volume,
                reference=read.reference,
                uid_key=random_uid_key(),
                out=work,
                device=compute_device(),
                progress=part(report, 0.05, 0.99),
                segmenter=segmenter,
            )
            _write_measurements(work / MEASUREMENTS, found.structures)
            described = {
                "structures": [structure.as_json() for structure in found.structures],
                "remarks": found.remarks,
                "lineage": lineage(
                    # A scanner's names of files may tell the patient: images are named by their place in the stack.
                    inputs=[_fingerprinted(path, f"slice {n}") for n, path in enumerate(read.files, start=1)],
                    parameters={"measurements": found.lineage},
                    outputs=[_fingerprinted(work / name, name) for name in (*FILES, MEASUREMENTS)],
                ),
            }
            (work / STRUCTURES).write_text(json.dumps(described, indent=1) + "\n")
            for name in (*FILES, MEASUREMENTS, STRUCTURES):
                (work / name).rename(out / name)
    except OSError as error:
        raise storage_fault(error) from error
    report("done", 1.0)
    return found.remarks


def _fingerprinted(path: Path, name: str) -> dict[str, Any]:
    digest, length = fingerprint(path)
    return {"path": name, "sha256": digest, "bytes": length}


def _write_measurements(path: Path, structures: Sequence[Structure]) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["quantity", "level", "value"])
        for quantity in QUANTITIES:
            for structure in sorted(structures, key=lambda one: one.level):
                if structure.state == "measured" and quantity in structure.measures:
                    writer.writerow([quantity, structure.level, f"{structure.measures[quantity]:.4f}"])


def series_folders(chains: int, noise_reduction: Sequence[float]) -> list[str]:
    """Folders of the series in the order in which they are made."""
    names = [f"denoised-{100 * factor:g}" for factor in sorted(noise_reduction)]
    before = [f"chain-{number}/" for number in range(1, chains + 1)] if chains > 1 else [""]
    return [f"{folder}{name}" for folder in before for name in ["reconstructed", *names]]


def _denoised(made: Sequence[MadeVolume]) -> dict[str, Volume]:
    return {f"denoised_{100 * one.noise_reduction:g}": one.volume for one in made if one.noise_reduction}


def _check_places(raw: Path, series: Sequence[Path], save_arrays: Path | None, out: Path) -> None:
    """Say before the work begins that its result would find no place, or that there is no file."""
    _check_can_be_made(out)
    for folder in series:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputFault(f"{folder} is not empty.", "Name another folder, or remove it first.")
    for folder in {folder.parent for folder in series} - {out}:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputFault(f"{folder} is not empty.", "Name another folder, or remove it first.")
    if save_arrays is not None:
        _check_can_be_made(save_arrays.parent)
        if save_arrays.is_dir():
            raise InputFault(f"{save_arrays} is a folder.", "Name a file for the arrays.")
    if not raw.is_file():
        found = "a folder" if raw.is_dir() else "no ordinary file" if raw.exists() else "not there"
        raise InputFault(f"{raw} is {found}.", "Name a file with raw k-space.")


def _remove_empty(folder: Path) -> None:
    """Remove a folder that holds nothing but empty folders."""
    for below in sorted(folder.rglob("*"), reverse=True):
        below.rmdir()
    folder.rmdir()


def _check_can_be_made(folder: Path) -> None:
    """Say before the work begins that its result would find no place."""
    nearest = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
    if not nearest.is_dir():
        raise InputFault(f"{nearest} is a file.", "Name a folder.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise InputFault(f"Nothing can be written to {nearest} (permission denied).", "Name another folder.")


@contextmanager
def _made_folders(*folders: Path) -> Iterator[None]:
    """The folders exist inside the block; those that were made for it go when it fails (as far as they are empty)."""
    made: list[Path] = []
    for folder in folders:
        missing = [one for one in (folder, *folder.parents) if not one.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        made += missing
    try:
        yield
    except BaseException:
        for folder in made:
            with suppress(OSError):
                folder.rmdir()
        raise
