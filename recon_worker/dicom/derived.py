"""What segmentations and reports have in common: the images they refer to, and that nothing in them is by chance.

Like the images (see `authoring`), these objects tell no patient, no date, no machine and no arm: all but UIDs, geometry
and the result itself is constant, and equal input gives equal bytes.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import MRImageStorage

from recon_worker.data import Volume
from recon_worker.dicom.authoring import CONSTANT, IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, instance
from recon_worker.dicom.uids import KEY_BYTES, keyed_uid

MANUFACTURER = "Reader Study"
MODEL = "Spine measurements"
SERIAL_NUMBER = "1"

logging.getLogger("highdicom").setLevel(logging.WARNING)  # it reports every module that it copies

_CONSTANT_VALUES = dict(CONSTANT)
_DATES = {"DA": "20000101", "TM": "000000", "DT": "20000101000000"}
_HIGHDICOM_ROOT = "1.2.826.0.1.3680043.10.511."
"""Random UIDs that highdicom draws begin so."""


@dataclass(frozen=True)
class SeriesReference:
    """The UIDs by which the images of a series are referred to; `instances` in slice order."""

    study: str
    series: str
    frame_of_reference: str
    instances: tuple[str, ...]

    @classmethod
    def of_authored(cls, uid_key: bytes, slices: int) -> SeriesReference:
        """Of a series that `authoring` wrote with `uid_key`."""
        return cls(
            keyed_uid(uid_key, "study"),
            keyed_uid(uid_key, "series"),
            keyed_uid(uid_key, "frame of reference"),
            tuple(keyed_uid(uid_key, f"instance {index + 1}") for index in range(slices)),
        )


def reference_images(volume: Volume, reference: SeriesReference) -> list[Dataset]:
    """Headers of the images that are referred to: geometry and UIDs, no pixels and nothing else of a source."""
    if len(reference.instances) != volume.array.shape[0]:
        raise ValueError("One instance a slice.")
    empty = volume.with_array(np.zeros(volume.array.shape, dtype=np.uint16))
    images = []
    for index, instance_uid in enumerate(reference.instances):
        image = instance(empty, index, uid_key=bytes(KEY_BYTES))
        del image.PixelData
        image.SOPClassUID = MRImageStorage
        image.SOPInstanceUID = instance_uid
        image.StudyInstanceUID = reference.study
        image.SeriesInstanceUID = reference.series
        image.FrameOfReferenceUID = reference.frame_of_reference
        images.append(image)
    return images


def write_settled(dataset: Dataset, *, uid_key: bytes, name: str, path: Path) -> None:
    """Write an object of highdicom's with its clock readings and random UIDs replaced by constants and keyed UIDs."""
    drawn: dict[str, str] = {}

    def settle(_: Dataset, element: object) -> None:
        vr, value = element.VR, element.value  # type: ignore[attr-defined]
        if vr in _DATES and value:
            element.value = _DATES[vr]  # type: ignore[attr-defined]
        elif vr == "UI" and isinstance(value, str) and value.startswith(_HIGHDICOM_ROOT):
            drawn.setdefault(value, keyed_uid(uid_key, f"{name} {len(drawn) + 1}"))
            element.value = drawn[value]  # type: ignore[attr-defined]

    dataset.walk(settle)
    for keyword in ("PatientIdentityRemoved", "DeidentificationMethod"):
        setattr(dataset, keyword, _CONSTANT_VALUES[keyword])
    dataset.file_meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    dataset.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    dcmwrite(path, dataset, enforce_file_format=True)
