"""Where the stages meet: the acquisition job, the finishing job, and the same chain for the command line.

An acquisition job turns one raw file into complex volumes; a finishing job turns the volumes of one subject and
sequence into authored series with one look. Both write below their own `output`, whole files only; equal orders give
equal bytes. Contracts: docs/contracts/.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from recon_worker.chains import (
    MadeVolume,
    Report,
    chains_of,
    check_chains,
    compute_device,
    part,
    reconstruct_chains,
)
from recon_worker.data import ReconstructionFault, Volume
from recon_worker.dicom.authoring import AuthoredSeries, author_series
from recon_worker.dicom.derived import SeriesReference
from recon_worker.lineage import lineage
from recon_worker.measuring import (
    FILES,
    LABELS,
    OVERLAY,
    Measured,
    Segmenter,
    matched_levels,
    matching_remarks,
    measure_or_say_why,
)
from recon_worker.one_look import gains_of, on_common_grid, one_look
from recon_worker.segmentation.segment import segment
from recon_worker.store import StorageFault, Store, StoredFile, fingerprint
from recon_worker.stored_volume import StoredVolume, load_volume, save_volume

AUTHORING_SHARE = 0.1
"""Of the time of a series that is measured as well."""


def run_acquisition_job(order: dict[str, Any], *, store: Store, report: Report) -> dict[str, Any]:
    """Raw file to complex volumes: for every chain of the order its reconstruction and denoised versions.

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
        The raw file is at fault, or does not suit the chain.
    ReconstructionFault, StorageFault
        We are, or the storage is. Nothing that this run wrote is left then.
    """
    began = time.monotonic()
    chains = chains_of(order["chains"])
    check_chains(chains)
    raw, output = order["raw"], order["output"]
    stored: list[dict[str, Any]] = []
    with _undone_on_failure(store) as put, store.scratch() as folder, store.local_copy(raw["path"]) as path:
        report("checking", 0.0)
        _verify(path, raw)

        def take(made: MadeVolume) -> None:
            local = folder / f"{made.name}.npz"
            save_volume(local, made.volume, noise_reduction=made.noise_reduction)
            file = put(local, f"{output}/{made.chain}/{local.name}")
            local.unlink(missing_ok=True)
            entry = {"chain": made.chain, "name": made.name, "noise_reduction": made.noise_reduction}
            if made.reached is not None:
                entry["noise_reduction_reached"] = made.reached
            stored.append({**entry, **file.as_json()})

        described = reconstruct_chains(path, chains, take=take, report=part(report, 0.02, 0.98))
        for entry in stored:
            entry["remarks"] = described.remarks[entry["chain"]]
    report("storing", 1.0)
    return {
        "volumes": stored,
        "summary": described.summary,
        "lineage": lineage(
            inputs=[raw],
            parameters={"chains": described.lineage},
            outputs=[{name: entry[name] for name in ("path", "sha256", "bytes")} for entry in stored],
        ),
        "seconds": time.monotonic() - began,
    }


def run_finishing_job(
    order: dict[str, Any], *, store: Store, report: Report, segmenter: Segmenter = segment
) -> dict[str, Any]:
    """The volumes of one subject and sequence to authored series with one look, measured where the order says so.

    Common grid and slices, one gain for each acquisition and chain, one intensity map and pixel scale from the
    reference, one stored matrix, reading orientation, authoring; then segmentation of the pixels as stored, with
    `segmenter`. Other arguments, result and errors as for `run_acquisition_job`; InputFault when the acquisitions do
    not fit together or the stored matrix is too small. A series that cannot be measured is finished all the same.
    """
    began = time.monotonic()
    entries, output, reference = order["series"], order["output"], order["reference"]
    if reference >= len(entries):
        raise ReconstructionFault("The work order names a reference that it does not hold.")
    loaded = _load_volumes(entries, store, part(report, 0.0, 0.2))
    report("matching slices", 0.2)
    volumes = on_common_grid([loaded[entry["volume"]["path"]].volume for entry in entries], reference)
    reductions = [loaded[entry["volume"]["path"]].noise_reduction for entry in entries]
    del loaded
    report("matching brightness", 0.3)
    gains = gains_of(volumes, reductions, [entry["acquisition"] for entry in entries], reference)
    matrix: list[int] | None = order["stored_matrix"]
    pictures, scale = one_look(
        volumes,
        [gains[entry["acquisition"]] for entry in entries],
        reference,
        (matrix[0], matrix[1]) if matrix else None,
    )

    described = []
    measured: list[tuple[Measured, list[StoredFile]]] = []
    is_measured = bool(order.get("measure"))  # an order of version 2 does not know of it
    authoring_share = AUTHORING_SHARE if is_measured else 1.0
    with _undone_on_failure(store) as put, store.scratch() as folder:
        for index, (picture, entry) in enumerate(zip(pictures, entries, strict=True)):
            say = part(report, 0.4 + 0.6 * index / len(entries), 0.4 + 0.6 * (index + 1) / len(entries))
            say("authoring", 0.0)
            uid_key = bytes.fromhex(entry["uid_key"])
            series = author_series(picture, uid_key=uid_key, out=folder / str(index))
            path = f"{output}/series/{index}"
            files = [put(series.folder / file.path, f"{path}/{file.path}") for file in series.files]
            described.append(_describe(index, path, series, files))
            if is_measured:
                local = folder / f"measurements-{index}"
                which = f"measuring {index + 1} of {len(entries)}"
                one = _measure(picture, series, uid_key, local, part(say, authoring_share, 1.0), which, segmenter)
                path = f"{output}/measurements/{index}"
                found = [put(local / name, f"{path}/{name}") for name in FILES] if one.segmentation else []
                measured.append((one, found))
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
                "stored_matrix": matrix,
                "measurements": [one.segmentation.lineage if one.segmentation else None for one, _ in measured] or None,
            },
            outputs=[
                *(file for series in described for file in series["files"]),
                *(file.as_json() for _, files in measured for file in files),
            ],
        ),
        "measurements": _measurements(measured, reference) if is_measured else None,
        "seconds": time.monotonic() - began,
    }


def _verify(path: Path, expected: dict[str, Any]) -> None:
    """Compare a stored file with the length and SHA-256 that the order names."""
    if path.stat().st_size != expected["bytes"] or fingerprint(path)[0] != expected["sha256"]:
        raise StorageFault(
            f"The stored file {expected['path']} is not the one that was recorded (other length or checksum).",
            "Upload it again.",
        )


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


def _measure(
    picture: Volume,
    series: AuthoredSeries,
    uid_key: bytes,
    out: Path,
    report: Report,
    which: str,
    segmenter: Segmenter,
) -> Measured:
    return measure_or_say_why(
        picture,
        out=out,
        reference=SeriesReference.of_authored(uid_key, series.slices),
        uid_key=uid_key,
        window=series.window,
        device=compute_device(),
        progress=lambda stage, fraction: report(which, fraction),
        segmenter=segmenter,
    )


def _measurements(measured: list[tuple[Measured, list[StoredFile]]], reference: int) -> list[dict[str, Any]]:
    """What the event says of every series."""
    names = measured[reference][0].structures
    told = []
    for index, (one, files) in enumerate(measured):
        paths = {Path(file.path).name: file.path for file in files}
        told.append(
            {
                "index": index,
                "structures": [
                    {**structure.as_json(), "matched_level": level}
                    for structure, level in matched_levels(names, one.structures)
                ],
                "remarks": [
                    *(one.segmentation.remarks if one.segmentation else []),
                    *matching_remarks(names, one.structures),
                ],
                "files": [file.as_json() for file in files],
                "overlay": paths.get(OVERLAY),
                "sheet": one.sheet.as_json() if one.sheet else None,
                "labels": paths.get(LABELS),
                "fault": {"message": one.fault[0], "action": one.fault[1]} if one.fault else None,
            }
        )
    return told


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
