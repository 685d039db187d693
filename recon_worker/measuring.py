"""Measures a finished series: segmentation, label maps, contact sheet, DICOM SEG and SR, all files of one folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from recon_worker.data import InputFault, ReconstructionFault, Volume
from recon_worker.dicom.derived import SeriesReference
from recon_worker.dicom.measurement_report import write_measurement_report
from recon_worker.dicom.segmentation_object import write_segmentation
from recon_worker.morphometry.matching import match_arms, movement_remark
from recon_worker.morphometry.structures import Structure
from recon_worker.overlay import ContactSheet, write_contact_sheet
from recon_worker.segmentation.segment import Segmentation, segment

Progress = Callable[[str, float], None]

LABELS, OVERLAY, SEGMENTATION, REPORT = "labels.npz", "overlay.png", "segmentation.dcm", "report.dcm"
FILES = (LABELS, OVERLAY, SEGMENTATION, REPORT)
SEGMENT_SHARE = 0.85
"""Of the time: the networks; the rest goes into files."""
NO_NAME = "Left out, since once matched to the reference arm there is no name for their level"
"""So begins a remark on structures above T12 or below S1."""


class Segmenter(Protocol):
    """What finds and measures structures: `segmentation.segment.segment`."""

    def __call__(self, volume: Volume, *, progress: Progress, device: str) -> Segmentation: ...


@dataclass(frozen=True)
class Measured:
    """One measured series, or why it is not.

    Attributes
    ----------
    segmentation
        What was found; None with a fault. Its files are `FILES` in the folder then.
    fault
        (what, action) in words, or None.
    sheet
        Where the slices lie on its contact sheet; None with a fault.
    """

    segmentation: Segmentation | None
    fault: tuple[str, str] | None = None
    sheet: ContactSheet | None = None

    @property
    def structures(self) -> list[Structure]:
        """None were found where there is a fault."""
        return self.segmentation.structures if self.segmentation else []


def measure_series(
    volume: Volume,
    *,
    reference: SeriesReference,
    uid_key: bytes,
    out: Path,
    window: tuple[float, float] | None = None,
    device: str = "cpu",
    progress: Progress = lambda stage, fraction: None,
    segmenter: Segmenter = segment,
) -> tuple[Segmentation, ContactSheet]:
    """Segment and measure a series and write `FILES` into `out`.

    Parameters
    ----------
    volume
        Sagittal magnitudes `[slice, row, column]`.
    reference
        Its DICOM images, to which SEG and SR refer.
    uid_key
        Secret from which the UIDs of SEG and SR follow.
    out
        Folder to write into; made if missing.
    window
        Centre and width of the contact sheet; None: by percentiles.
    device
        Where the networks compute.
    segmenter
        What finds the structures.

    Raises
    ------
    InputFault
        The series cannot be segmented: not sagittal, one slice, no lumbar spine, no numbers. Nothing is written then.
    ReconstructionFault
        The weights are missing or damaged.
    """
    found = segmenter(volume, progress=lambda stage, fraction: progress(stage, SEGMENT_SHARE * fraction), device=device)
    progress("writing measurements", SEGMENT_SHARE)
    out.mkdir(parents=True, exist_ok=True)
    with (out / LABELS).open("wb") as file:
        np.savez_compressed(
            file,
            discs=found.discs,
            bodies=found.bodies,
            affine=volume.affine,
            spacing_mm=np.array(volume.spacing_mm),
        )
    sheet = write_contact_sheet(out / OVERLAY, volume, found.discs, found.bodies, found.structures, window=window)
    written = write_segmentation(
        volume,
        {"disc": found.discs, "body": found.bodies},
        found.structures,
        reference=reference,
        uid_key=uid_key,
        path=out / SEGMENTATION,
    )
    write_measurement_report(
        volume, found.structures, segmentation=written, reference=reference, uid_key=uid_key, path=out / REPORT
    )
    progress("writing measurements", 1.0)
    return found, sheet


def measure_or_say_why(volume: Volume, *, out: Path, **how: Any) -> Measured:
    """As `measure_series`, for a series that is finished whatever comes of its measurement: a failure becomes words.

    Files of a failed measurement may lie in `out`; they are to be thrown away.
    """
    try:
        found, sheet = measure_series(volume, out=out, **how)
        return Measured(found, sheet=sheet)
    except (InputFault, ReconstructionFault) as fault:
        return Measured(None, (fault.what, fault.action))
    except OSError:  # a full disk ends the job: its other files could not be written either
        raise
    except Exception as error:
        if isinstance(error, MemoryError) or "allocate memory" in str(error):
            return Measured(
                None,
                (
                    "The measurement needs more memory than the worker may use.",
                    "Run the worker on a machine with more memory, or raise READERSTUDY_JOB_MEMORY_BYTES.",
                ),
            )
        return Measured(
            None,
            (
                f"The measurement broke ({type(error).__name__}).",
                "Start the job again; if it breaks again, report it with the job's number.",
            ),
        )


def matched_levels(reference: Sequence[Structure], other: Sequence[Structure]) -> list[tuple[Structure, int | None]]:
    """The structures of `other`, each with the level of the reference's structure at its place, None where it is named
    so. Those whose level has no name in the reference's count are left out."""
    if not reference:
        return [(structure, None) for structure in other]
    return [
        (match.structure, None if match.level == match.structure.level else match.level)
        for match in match_arms(list(reference), list(other))
        if match.level is not None
    ]


def matching_remarks(reference: Sequence[Structure], other: Sequence[Structure]) -> list[str]:
    """What the coordinator should know of how `other` was matched to the reference."""
    if not reference:
        return []
    remark = movement_remark(list(reference), list(other))
    nameless = [match.structure.name for match in match_arms(list(reference), list(other)) if match.level is None]
    return [
        *([remark] if remark else []),
        *([f"{NO_NAME}: {', '.join(nameless)}, as named in this series."] if nameless else []),
    ]
