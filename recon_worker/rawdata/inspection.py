"""What is in a raw file, also in one that cannot be reconstructed: in numbers and in words, by an allow-list."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recon_worker.rawdata.contents import UnsuitableAcquisition
from recon_worker.rawdata.open import open_kspace

FORMAT_NAMES = {
    "ismrmrd": "ISMRMRD",
    "siemens-twix": "Siemens twix",
    "fastmri": "fastMRI",
    "bart": "BART",
    "ge-pfile": "GE P-file",
    "ge-scanarchive": "GE ScanArchive",
}
WITH_PLACES = ("ismrmrd", "siemens-twix")
"""Formats from which the place of the slices in the patient is taken."""


def inspect_file(path: Path) -> dict[str, Any]:
    """What `python -m recon_worker inspect` prints: plain JSON types, no patient fields.

    Always `format`, `reconstructable` and `words`; for a file that can be reconstructed the summary of its acquisition,
    for another one whose headers could be read `refused` (why, and what to do) and what its readouts are.

    Raises
    ------
    InputFault
        If the file is no raw data or its headers cannot be read.
    """
    try:
        summary = open_kspace(path).summary
    except UnsuitableAcquisition as fault:
        contents = fault.contents
        return {"reconstructable": False, "words": words_of_contents(contents), "refused": str(fault), **contents}
    return {"reconstructable": True, "words": words_of_summary(summary), **summary}


def words_of_summary(summary: Mapping[str, Any]) -> str:
    """One sentence on an acquisition that can be reconstructed."""
    columns, rows = summary["image_matrix"]
    read_mm, phase_mm = summary["field_of_view_mm"]
    sampling = [
        "undersampled" if summary["undersampled"] else "",
        "with partial Fourier" if summary["partial_fourier"] else "",
    ]
    said = " ".join(part for part in sampling if part) or "fully sampled"
    place = f"{summary['orientation']} " if summary["format"] in WITH_PLACES else ""
    parts = [
        f"{FORMAT_NAMES[summary['format']]}: {_many(summary['n_slices'], f'{place}slice', f'{place}slices')} "
        f"of {columns} x {rows} pixels in {read_mm:.0f} x {phase_mm:.0f} mm, "
        f"{summary['slice_thickness_mm']:g} mm thick",
        _many(summary["n_coils"], "coil", "coils"),
        _many(summary["n_averages"], "average", "averages"),
        f"{summary['lines_acquired']} of {summary['encoded_matrix'][1]} lines ({said})",
    ]
    if summary["calibration_lines"]:
        parts.append(_many(summary["calibration_lines"], "separate calibration line", "separate calibration lines"))
    parts.append("with a noise scan" if summary["noise_scan"] else "without a noise scan")
    return ", ".join(parts) + "."


def words_of_contents(contents: Mapping[str, Any]) -> str:
    """One sentence on the readouts of a file that cannot be reconstructed."""
    readouts, counters = contents["readouts"], contents["counters"]
    matrix = " x ".join(str(extent) for extent in contents["matrix"])
    coils, samples = (" or ".join(str(value) for value in contents[name]) for name in ("n_coils", "samples"))
    software = f" ({contents['software']})" if "software" in contents else ""
    parts = [
        f"{FORMAT_NAMES[contents['format']]}{software}: {_many(readouts['all'], 'readout', 'readouts')}, "
        f"{readouts['imaging']} of them imaging with {samples} samples in {coils} coils, matrix {matrix}",
        *(_many(count, kind) for kind, count in readouts.items() if kind not in ("all", "imaging") and count),
        *(f"{name.replace('_', ' ')}: {count}" for name, count in counters.items() if count > 1),
    ]
    if contents.get("sampled_on_ramps"):
        parts.append("sampled on the ramps of the readout gradient")
    return ", ".join(parts) + "."


def _many(count: int, one: str, more: str | None = None) -> str:
    return f"{count:,} {one if count == 1 or more is None else more}"
