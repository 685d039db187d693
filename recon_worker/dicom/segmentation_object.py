"""DICOM SEG: one binary segment a structure, with a tracking UID of its own, on the grid of the series.

Source: DICOM PS3.3 A.51 (Segmentation IOD), C.8.20. Written with highdicom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.sr.coding import Code

from recon_worker.data import Volume
from recon_worker.dicom.anatomy_codes import ANATOMY, CATEGORY
from recon_worker.dicom.derived import (
    MANUFACTURER,
    MODEL,
    SERIAL_NUMBER,
    SeriesReference,
    reference_images,
    write_settled,
)
from recon_worker.dicom.uids import keyed_uid
from recon_worker.lineage import VERSION
from recon_worker.morphometry.structures import Kind, Structure

Labels = npt.NDArray[np.uint8]

SERIES_NUMBER = 101
ALGORITHM_FAMILY = Code("123110", "DCM", "Artificial Intelligence")


@dataclass(frozen=True)
class WrittenSegmentation:
    """Where a segmentation lies and how its segments are referred to.

    Attributes
    ----------
    path
        The file.
    series_uid, instance_uid
        Of the segmentation itself.
    segments
        (kind, level) to the number of its segment, from 1.
    tracking
        (kind, level) to its tracking UID.
    """

    path: Path
    series_uid: str
    instance_uid: str
    segments: dict[tuple[Kind, int], int]
    tracking: dict[tuple[Kind, int], str]


def write_segmentation(
    volume: Volume,
    labels: dict[Kind, Labels],
    structures: Sequence[Structure],
    *,
    reference: SeriesReference,
    uid_key: bytes,
    path: Path,
) -> WrittenSegmentation:
    """Write the label maps of a series as a DICOM segmentation.

    Parameters
    ----------
    volume
        The series `[slice, row, column]`; only its geometry is used.
    labels
        "disc" and "body": uint8 label maps on the grid of `volume`, 0 = none.
    structures
        What was found; a segment is made of each that has voxels, discs first, from the head down.
    reference
        The images of the series.
    uid_key
        Secret from which the UIDs follow.
    path
        Where to write.

    Raises
    ------
    ValueError
        If there is no structure with voxels.
    """
    import highdicom

    found = sorted(
        {(one.kind, one.level) for one in structures if (labels[one.kind] == one.level).any()},
        key=lambda one: (one[0] != "disc", one[1]),
    )
    if not found:
        raise ValueError("No structure has a voxel.")
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name="V-Net, two-dimensional", family=ALGORITHM_FAMILY, version=VERSION
    )
    tracking = {(kind, level): keyed_uid(uid_key, f"tracking {kind} {level}") for kind, level in found}
    descriptions = []
    for number, (kind, level) in enumerate(found, start=1):
        anatomy = ANATOMY[kind][level]
        descriptions.append(
            highdicom.seg.SegmentDescription(
                segment_number=number,
                segment_label=anatomy.label,
                segmented_property_category=CATEGORY,
                segmented_property_type=anatomy.structure,
                algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
                algorithm_identification=algorithm,
                tracking_uid=tracking[kind, level],
                tracking_id=anatomy.label,
                anatomic_regions=[anatomy.region] if anatomy.region else None,
                display_color=highdicom.color.CIELabColor.from_rgb(*anatomy.colour),
            )
        )
    pixels = np.stack([labels[kind] == level for kind, level in found], axis=-1).astype(np.uint8)
    written = WrittenSegmentation(
        path=path,
        series_uid=keyed_uid(uid_key, "segmentation series"),
        instance_uid=keyed_uid(uid_key, "segmentation"),
        segments={one: number for number, one in enumerate(found, start=1)},
        tracking=tracking,
    )
    dataset = highdicom.seg.Segmentation(
        source_images=reference_images(volume, reference),
        pixel_array=pixels,
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=descriptions,
        series_instance_uid=written.series_uid,
        series_number=SERIES_NUMBER,
        sop_instance_uid=written.instance_uid,
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL,
        software_versions=VERSION,
        device_serial_number=SERIAL_NUMBER,
        content_label="SPINE",
        content_description="Intervertebral discs and vertebral bodies",
        series_description="Segmentation of discs and vertebral bodies",
    )
    # Of type 2 in the Content Identification Macro (PS3.3 table 10-12): there and empty, nobody drew by hand.
    dataset.ContentCreatorName = ""
    write_settled(dataset, uid_key=uid_key, name="segmentation", path=path)
    return written
