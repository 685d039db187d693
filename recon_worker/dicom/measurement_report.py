"""DICOM SR: the measurements of a series as a Comprehensive 3D SR of template 1500, one group a structure.

Source: DICOM PS3.16 TID 1500 (Measurement Report), TID 1411 (Volumetric ROI Measurements); units of UCUM. Written with
highdicom.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import SegmentationStorage

from recon_worker.data import Volume
from recon_worker.dicom.anatomy_codes import ANATOMY
from recon_worker.dicom.derived import (
    MANUFACTURER,
    MODEL,
    SERIAL_NUMBER,
    SeriesReference,
    reference_images,
    write_settled,
)
from recon_worker.dicom.segmentation_object import WrittenSegmentation
from recon_worker.dicom.uids import keyed_uid
from recon_worker.lineage import VERSION
from recon_worker.morphometry.structures import Structure

SERIES_NUMBER = 102
OWN = "99READERSTUDY"
"""Coding scheme of what no public one names."""

DECIMALS = 4
"""Of the values written: 0.1 micrometre and 0.1 cubic millimetre."""


@dataclass(frozen=True)
class Quantity:
    """How a measure is named: concept, unit, and what else it needs to be understood."""

    name: Code
    unit: Code
    method: Code | None = None
    derivation: Code | None = None


QUANTITIES: dict[str, Quantity] = {
    "disc_height_mm": Quantity(
        Code("121207", "DCM", "Height"),
        Code("mm", "UCUM", "millimeter"),
        # Around the line on which the probability crosses the threshold: corners of the SEG's pixels give more.
        method=Code("rectangle", OWN, "Shortest side of minimum-area rectangle, sub-pixel outline"),
    ),
    "disc_mean_height_mm": Quantity(
        Code("121207", "DCM", "Height"),
        Code("mm", "UCUM", "millimeter"),
        derivation=Code("373098007", "SCT", "Mean"),
    ),
    "disc_area_mm2": Quantity(Code("42798000", "SCT", "Area"), Code("mm2", "UCUM", "square millimeter")),
    "body_volume_cm3": Quantity(
        Code("118565006", "SCT", "Volume"),
        Code("cm3", "UCUM", "cubic centimeter"),
        method=Code("voxels", OWN, "Sum of voxels"),
    ),
}
STATE = Code("state", OWN, "State of the measurement")
STATES = {
    "cut": Code("cut", OWN, "Cut by the field of view, not measured"),
    "excluded": Code("excluded", OWN, "Excluded, not measured"),
}
PROCEDURE = Code("113091000", "SCT", "Magnetic resonance imaging")


def write_measurement_report(
    volume: Volume,
    structures: Sequence[Structure],
    *,
    segmentation: WrittenSegmentation,
    reference: SeriesReference,
    uid_key: bytes,
    path: Path,
) -> None:
    """Write the measurements of a series.

    Every structure that has a segment gets a group that refers to it; measures are written for those of state
    "measured" alone, of the others it is said why there are none. What should be looked at before a name or a value
    is believed (`Structure.flags`) stands in the group as comments.

    Parameters
    ----------
    volume, reference
        The series and its images, as for `write_segmentation`.
    structures
        What was found and measured, in mm, mm2 and cm3.
    segmentation
        As `write_segmentation` returned it; its file is read again.
    uid_key
        Secret from which the UIDs follow.
    path
        Where to write.
    """
    import highdicom
    from highdicom import sr
    from pydicom import dcmread

    images = reference_images(volume, reference)
    groups: list[Any] = []
    for structure in sorted(structures, key=lambda one: (one.kind != "disc", one.level)):
        place = (structure.kind, structure.level)
        if place not in segmentation.segments:
            continue
        anatomy = ANATOMY[structure.kind][structure.level]
        group = sr.VolumetricROIMeasurementsAndQualitativeEvaluations(
            tracking_identifier=sr.TrackingIdentifier(uid=segmentation.tracking[place], identifier=anatomy.label),
            referenced_segment=sr.ReferencedSegment(
                sop_class_uid=SegmentationStorage,
                sop_instance_uid=segmentation.instance_uid,
                segment_number=segmentation.segments[place],
                source_series=sr.SourceSeriesForSegmentation(reference.series),
            ),
            finding_category=Code("91723000", "SCT", "Anatomical Structure"),
            finding_type=anatomy.structure,
            finding_sites=[sr.FindingSite(anatomic_location=anatomy.region or anatomy.structure)],
            measurements=_measurements(structure) if structure.state == "measured" else None,
            qualitative_evaluations=[sr.QualitativeEvaluation(name=STATE, value=STATES[structure.state])]
            if structure.state != "measured"
            else None,
        )
        # TID 1411 is extensible, and a comment (121106, DCM) is how TID 1500 documents carry free text.
        group[0].ContentSequence.extend(
            sr.TextContentItem(codes.DCM.Comment, flag, sr.RelationshipTypeValues.CONTAINS) for flag in structure.flags
        )
        groups.append(group)
    observer = sr.ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=sr.DeviceObserverIdentifyingAttributes(
            uid=keyed_uid(uid_key, "device"),
            name=MODEL,
            manufacturer_name=MANUFACTURER,
            model_name=MODEL,
            serial_number=SERIAL_NUMBER,
        ),
    )
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=PROCEDURE,
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
        referenced_images=images,
    )
    equipment = highdicom.sr.Comprehensive3DSR(
        evidence=[*images, dcmread(segmentation.path)],
        content=content[0],
        series_instance_uid=keyed_uid(uid_key, "report series"),
        series_number=SERIES_NUMBER,
        sop_instance_uid=keyed_uid(uid_key, "report"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=False,
        is_verified=False,
        series_description="Measurements of discs and vertebral bodies",
    )
    equipment.SoftwareVersions = VERSION
    write_settled(equipment, uid_key=uid_key, name="report", path=path)


def _measurements(structure: Structure) -> list[Any]:
    from highdicom import sr

    return [
        sr.Measurement(
            name=quantity.name,
            value=round(float(structure.measures[key]), DECIMALS),
            unit=quantity.unit,
            method=quantity.method,
            derivation=quantity.derivation,
        )
        for key, quantity in QUANTITIES.items()
        if key in structure.measures
    ]
