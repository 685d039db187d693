"""Where the stages meet: the acquisition job, the finishing job, and the same chain for the command line.

An acquisition job turns one raw file into complex volumes; a finishing job turns the volumes of one subject and
sequence into authored series with one look. Both write below their own `output`, whole files only; equal orders give
equal bytes. Contracts: docs/contracts/.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from recon_worker.data import InputFault, ReconstructionFault, Volume
from recon_worker.dicom.authoring import AuthoredSeries, author_instances, author_series
from recon_worker.dicom.orientation import to_reading_orientation
from recon_worker.dicom.uids import random_uid_key
from recon_worker.lineage import lineage
from recon_worker.rawdata.open import open_kspace
from recon_worker.reconstruction.chain import reconstruct
from recon_worker.reconstruction.grid import common_grid
from recon_worker.reconstruction.intensity import acquisition_gain, intensity_map, stored_pixels, stored_scale
from recon_worker.store import StorageFault, Store, StoredFile, fingerprint, storage_fault
from recon_worker.stored_volume import StoredVolume, load_volume, save_volume, write_arrays

Report = Callable[[str, float], None]
"""Called with a stage in words and the fraction of the whole job that is done, 0..1."""

RECONSTRUCTED = "reconstructed"


def run_acquisition_job(order: dict[str, Any], *, store: Store, report: Report) -> dict[str, Any]:
    """Raw file to complex volume(s).

    Parameters
    ----------
    order
        A checked acquisition work order.
    store
        Where the raw file lies and the volumes go.
    report
        Progress.

    Returns
    -------
    dict
        Payload of the event "done".

    Raises
    ------
    InputFault
        The raw file is at fault.
    ReconstructionFault, StorageFault
        We are, or the storage is. Nothing that this run wrote is left then.
    """
    began = time.monotonic()
    _refuse_noise_reduction(order["noise_reduction"])
    raw, output = order["raw"], order["output"]
    with store.local_copy(raw["path"]) as path:
        report("checking", 0.0)
        _verify(path, raw)
        volume, summary, steps = _reconstruct(path, _part(report, 0.02, 0.95))
    with _undone_on_failure(store) as put, store.scratch() as folder:
        report("storing", 0.95)
        local = folder / f"{RECONSTRUCTED}.npz"
        save_volume(local, volume, noise_reduction=0.0)
        stored = put(local, f"{output}/{local.name}")
    report("storing", 1.0)
    return {
        "volumes": [{"name": RECONSTRUCTED, "noise_reduction": 0.0, **stored.as_json()}],
        "summary": summary,
        "lineage": lineage(
            inputs=[raw],
            parameters={"noise_reduction": [], "reconstruction": steps},
            outputs=[stored.as_json()],
        ),
        "seconds": time.monotonic() - began,
    }


def run_finishing_job(order: dict[str, Any], *, store: Store, report: Report) -> dict[str, Any]:
    """The volumes of one subject and sequence to authored series with one look.

    Common grid and slices, one gain an acquisition, one intensity map and pixel scale from the reference, reading
    orientation, authoring. Arguments, result and errors as for `run_acquisition_job`; InputFault when the
    acquisitions do not fit together.
    """
    began = time.monotonic()
    entries, output, reference = order["series"], order["output"], order["reference"]
    if reference >= len(entries):
        raise ReconstructionFault("The work order names a reference that it does not hold.")
    loaded = _load_volumes(entries, store, _part(report, 0.0, 0.2))
    report("matching slices", 0.2)
    volumes = _on_common_grid([loaded[entry["volume"]["path"]].volume for entry in entries], reference)
    reductions = [loaded[entry["volume"]["path"]].noise_reduction for entry in entries]
    del loaded
    report("matching brightness", 0.3)
    gains = _gains(volumes, reductions, [entry["acquisition"] for entry in entries], reference)
    pictures, scale = _one_look(volumes, [gains[entry["acquisition"]] for entry in entries], reference)

    described = []
    with _undone_on_failure(store) as put, store.scratch() as folder:
        for index, (picture, entry) in enumerate(zip(pictures, entries, strict=True)):
            report("authoring", 0.4 + 0.6 * index / len(entries))
            series = author_series(picture, uid_key=bytes.fromhex(entry["uid_key"]), out=folder / str(index))
            path = f"{output}/series/{index}"
            files = [put(series.folder / file.path, f"{path}/{file.path}") for file in series.files]
            described.append(_describe(index, path, series, files))
    report("storing", 1.0)
    inputs = {entry["volume"]["path"]: entry["volume"] for entry in entries}
    return {
        "series": described,
        "lineage": lineage(
            inputs=list(inputs.values()),
            parameters={
                "reference": reference,
                "series": [
                    {"acquisition": entry["acquisition"], "volume": entry["volume"]["path"]} for entry in entries
                ],
                "gains": {str(acquisition): gain for acquisition, gain in sorted(gains.items())},
                "stored_scale": scale,
            },
            outputs=[file for series in described for file in series["files"]],
        ),
        "seconds": time.monotonic() - began,
    }


def reconstruct_to_folder(
    raw: Path,
    out: Path,
    *,
    noise_reduction: list[float],
    save_arrays: Path | None = None,
    report: Report = lambda stage, fraction: None,
) -> dict[str, Any]:
    """The chain for one raw file by hand: DICOM instances in `out/reconstructed/`, alone in their intensity scale.

    Parameters
    ----------
    raw
        Raw k-space file.
    out
        Folder for the series; made if missing. `out/reconstructed` must not hold anything yet.
    noise_reduction
        Factors of further, denoised series.
    save_arrays
        Where to write `image` (complex64 `[slice, row, column]` on the acquired grid, before intensity correction and
        magnitude), `noise_std` (float32, the same shape and scale, per real or imaginary part), `spacing_mm` (slice,
        row, column) and `affine` as npz, or None.

    Returns
    -------
    dict
        `summary` and `lineage` as in an acquisition job's event.

    Raises
    ------
    InputFault, StorageFault, ReconstructionFault
        As for the jobs. Nothing half-written is left.
    """
    _refuse_noise_reduction(noise_reduction)
    series_folder = out / RECONSTRUCTED
    _check_can_be_made(out)
    if series_folder.exists() and (not series_folder.is_dir() or any(series_folder.iterdir())):
        raise InputFault(f"{series_folder} is not empty.", "Name another folder, or remove it first.")
    if save_arrays is not None:
        _check_can_be_made(save_arrays.parent)
        if save_arrays.is_dir():
            raise InputFault(f"{save_arrays} is a folder.", "Name a file for the arrays.")
    if not raw.is_file():
        found = "a folder" if raw.is_dir() else "no ordinary file" if raw.exists() else "not there"
        raise InputFault(f"{raw} is {found}.", "Name a file with raw k-space.")
    volume, summary, steps = _reconstruct(raw, _part(report, 0.0, 0.9))
    try:
        digest, length = fingerprint(raw)
        report("authoring", 0.9)
        pictures, _ = _one_look([volume], [1.0], 0)
        with _made_folders(out, *([save_arrays.parent] if save_arrays else [])), ExitStack() as temporary:
            work = Path(temporary.enter_context(tempfile.TemporaryDirectory(prefix=".reconstructing-", dir=out)))
            author_instances(next(pictures), uid_key=random_uid_key(), out=work / RECONSTRUCTED)
            if save_arrays is not None:
                report("saving arrays", 0.95)
                beside = save_arrays.with_name(f".{save_arrays.name}.part")
                temporary.callback(beside.unlink, missing_ok=True)
                write_arrays(beside, volume)
                beside.replace(save_arrays)
            if series_folder.exists():
                series_folder.rmdir()
            (work / RECONSTRUCTED).rename(series_folder)
    except OSError as error:
        raise storage_fault(error) from error
    report("done", 1.0)
    return {
        "summary": summary,
        "lineage": lineage(
            inputs=[{"path": raw.name, "sha256": digest, "bytes": length}],
            parameters={"noise_reduction": [], "reconstruction": steps},
            outputs=[],
        ),
    }


def _refuse_noise_reduction(factors: list[float]) -> None:
    if factors:
        raise ReconstructionFault(
            "This version reconstructs without noise reduction: it has no denoising network yet.",
            "Leave the noise reduction factors out.",
        )


def _check_can_be_made(folder: Path) -> None:
    """Say before the work begins that its result would find no place."""
    nearest = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
    if not nearest.is_dir():
        raise InputFault(f"{nearest} is a file.", "Name a folder.")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise InputFault(f"Nothing can be written to {nearest} (permission denied).", "Name another folder.")


def _verify(path: Path, expected: dict[str, Any]) -> None:
    """Compare a stored file with the length and SHA-256 that the order names."""
    if path.stat().st_size != expected["bytes"] or fingerprint(path)[0] != expected["sha256"]:
        raise StorageFault(
            f"The stored file {expected['path']} is not the one that was recorded (other length or checksum).",
            "Upload it again.",
        )


CHAIN_STAGES = {"measuring the noise": (0.05, 0.15), "reconstructing slices": (0.15, 1.0)}
"""Where the chain's stages, each of which counts from 0 to 1, lie in the whole."""

SUMMARY_FIELDS = (
    "format",
    "image_matrix",
    "n_slices",
    "n_coils",
    "n_averages",
    "field_of_view_mm",
    "slice_spacing_mm",
    "partial_fourier",
    "lines_acquired",
    "remarks",
)
SUMMARY_TIMES = ("echo_time_ms", "repetition_time_ms")
"""In the summary where the file tells them: they tell a raw file of another sequence with the same matrix."""


def _reconstruct(path: Path, report: Report) -> tuple[Volume, dict[str, Any], dict[str, Any]]:
    """Volume, summary and the chain's own lineage of one raw file."""
    report("reading", 0.0)
    kspace = open_kspace(path)

    def progress(stage: str, fraction: float) -> None:
        first, last = CHAIN_STAGES.get(stage, (0.15, 1.0))
        report(stage, first + (last - first) * fraction)

    device = compute_device()
    result = reconstruct(kspace, progress=progress, device=device)
    summary = {name: kspace.summary[name] for name in SUMMARY_FIELDS}
    summary["remarks"] = [*summary["remarks"], *result.remarks]
    timing = kspace.summary.get("timing", {})
    summary |= {name: timing[name] for name in SUMMARY_TIMES if timing.get(name, 0) > 0}
    return result.volume, summary, {**result.lineage, "device": device}


def compute_device() -> str:
    """Where the chain computes: `READERSTUDY_DEVICE`, else the GPU if there is one ("cuda"), else "cpu"."""
    return os.environ.get("READERSTUDY_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")


def _load_volumes(entries: list[dict[str, Any]], store: Store, report: Report) -> dict[str, StoredVolume]:
    """The volumes of an order by path, each read once."""
    loaded: dict[str, StoredVolume] = {}
    for index, entry in enumerate(entries):
        report("reading", index / len(entries))
        file = entry["volume"]
        if file["path"] in loaded:
            continue
        with store.local_copy(file["path"]) as path:
            _verify(path, file)
            loaded[file["path"]] = load_volume(path)
    return loaded


def _on_common_grid(volumes: list[Volume], reference: int) -> list[Volume]:
    """All on the reference's grid, in the given order; one geometry, to the last bit: what is written of it must not
    differ by series."""
    order = [reference, *(index for index in range(len(volumes)) if index != reference)]
    matched = dict(zip(order, common_grid([volumes[index] for index in order]), strict=True))
    first = matched[reference]
    return [
        replace(matched[index], affine=first.affine, slice_thickness_mm=first.slice_thickness_mm)
        for index in range(len(volumes))
    ]


def _gains(volumes: list[Volume], reductions: list[float], acquisitions: list[int], reference: int) -> dict[int, float]:
    """One gain an acquisition: 1 for the reference's; for the others measured on their least denoised series."""
    gains = {acquisitions[reference]: 1.0}
    for index in sorted(range(len(volumes)), key=lambda index: (reductions[index], index)):
        if acquisitions[index] not in gains:
            gains[acquisitions[index]] = acquisition_gain(volumes[reference], volumes[index])
    return gains


def _one_look(volumes: list[Volume], gains: list[float], reference: int) -> tuple[Iterator[Volume], float]:
    """Stored pixels of all series in reading orientation, made one at a time, and their common scale."""
    correction = intensity_map(volumes[reference])

    def corrected(index: int) -> npt.NDArray[np.float32]:
        return np.asarray(np.abs(volumes[index].array) * correction * np.float32(gains[index]), dtype=np.float32)

    scale = stored_scale(corrected(reference))
    pictures = (
        to_reading_orientation(volume.with_array(stored_pixels(corrected(index), scale)))
        for index, volume in enumerate(volumes)
    )
    return pictures, scale


def _describe(index: int, path: str, series: AuthoredSeries, files: list[StoredFile]) -> dict[str, Any]:
    return {
        "index": index,
        "path": path,
        "rows": series.rows,
        "columns": series.columns,
        "slices": series.slices,
        "spacing_mm": list(series.spacing_mm),
        "window": list(series.window),
        "edges": asdict(series.edges),
        "files": [file.as_json() for file in files],
        "preview": f"{path}/{series.preview}",
    }


def _part(report: Report, first: float, last: float) -> Report:
    """Progress of a part as progress of the whole."""
    return lambda stage, fraction: report(stage, first + (last - first) * min(max(fraction, 0.0), 1.0))


@contextmanager
def _undone_on_failure(store: Store) -> Iterator[Callable[[Path, str], StoredFile]]:
    """Gives `put`; when the block fails, what `put` wrote is removed. Files that were there before (the same attempt
    run twice) are another run's and stay."""
    written: list[str] = []

    def put(local: Path, path: str) -> StoredFile:
        stored, is_new = store.put(local, path)
        if is_new:
            written.append(path)
        return stored

    try:
        yield put
    except BaseException:
        with suppress(StorageFault):
            store.remove_files(written)
        raise


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
