"""MR instances written anew from an explicit list of elements: nothing of any source but pixels and geometry numbers.

Deleting what tells the arm from a scanner's header never ends (docs/blinding.md); so nothing is copied. Every element
below is a constant, a keyed UID, a count, or a number that was parsed and written again with a fixed width. All series
of one subject and sequence therefore have the same header, byte for byte, except UIDs.

Source: DICOM PS3.3 A.4 (MR Image IOD), C.7.6.2 (Image Plane), C.8.3.1 (MR Image); PS3.10 section 7 (file format).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage

from recon_worker.data import Volume
from recon_worker.dicom.frames import WINDOW_CENTRE, WINDOW_WIDTH, describe, write_frames, write_preview
from recon_worker.dicom.orientation import Edges, edge_letters
from recon_worker.dicom.uids import keyed_uid

IMPLEMENTATION_CLASS_UID = UID("2.25.186183159206484382523920881276290851379")
IMPLEMENTATION_VERSION_NAME = "READERSTUDY_1"

BITS_STORED = 12
LARGEST_PIXEL = 2**BITS_STORED - 1

CONSTANT: tuple[tuple[str, object], ...] = (
    ("ImageType", ["ORIGINAL", "PRIMARY", "OTHER"]),
    ("SOPClassUID", MRImageStorage),
    ("StudyDate", "20000101"),
    ("StudyTime", "000000"),
    ("AccessionNumber", ""),
    ("Modality", "MR"),
    ("Manufacturer", ""),
    ("ReferringPhysicianName", ""),
    ("PatientName", "Anonymous^"),
    ("PatientID", "Anonymous"),
    ("PatientBirthDate", ""),
    ("PatientSex", ""),
    ("PatientIdentityRemoved", "YES"),
    ("DeidentificationMethod", "Written anew from pixel values and geometry"),
    ("BodyPartExamined", "LSPINE"),
    ("ScanningSequence", "RM"),
    ("SequenceVariant", "NONE"),
    ("ScanOptions", ""),
    ("MRAcquisitionType", "2D"),
    ("RepetitionTime", ""),
    ("EchoTime", ""),
    ("EchoTrainLength", ""),
    ("PatientPosition", "HFS"),
    ("StudyID", "1"),
    ("SeriesNumber", "1"),
    ("PositionReferenceIndicator", ""),
    ("SamplesPerPixel", 1),
    ("PhotometricInterpretation", "MONOCHROME2"),
    ("BitsAllocated", 16),
    ("BitsStored", BITS_STORED),
    ("HighBit", BITS_STORED - 1),
    ("PixelRepresentation", 0),
    ("BurnedInAnnotation", "NO"),
    ("LongitudinalTemporalInformationModified", "REMOVED"),
    ("WindowCenter", f"{WINDOW_CENTRE:04d}"),
    ("WindowWidth", f"{WINDOW_WIDTH:04d}"),
)
"""Equal in every instance of every study. Repetition time, echo time and echo train length tell the protocol: empty,
as their type 2 allows."""

VARYING: tuple[str, ...] = (
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "InstanceNumber",
    "SliceThickness",
    "SpacingBetweenSlices",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "Rows",
    "Columns",
    "PixelSpacing",
    "PixelData",
)
"""The rest of the allow-list: keyed UIDs, the position in the series, geometry, pixels."""


@dataclass(frozen=True)
class AuthoredFile:
    """One file of a series folder: path relative to the folder, and what was written."""

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True)
class AuthoredSeries:
    """A finished series folder.

    Attributes
    ----------
    folder
        Where it was written.
    rows, columns, slices
        Extents of frames.u16.
    spacing_mm
        (slice, row, column).
    window
        (centre, width) of the first look, constant.
    edges
        Letters at the picture's edges.
    files
        Every file of the folder, in the order written.
    preview
        Path of the preview relative to the folder.
    """

    folder: Path
    rows: int
    columns: int
    slices: int
    spacing_mm: tuple[float, float, float]
    window: tuple[int, int]
    edges: Edges
    files: tuple[AuthoredFile, ...]
    preview: str


def author_series(volume: Volume, *, uid_key: bytes, out: Path) -> AuthoredSeries:
    """Write a series folder: `dicom/0001.dcm` ..., `frames.u16`, `series.json`, `preview.png`.

    Parameters
    ----------
    volume
        uint16 `[slice, row, column]` in reading orientation, values 0..4095.
    uid_key
        Secret of this series (32 bytes or more), from which all of its UIDs follow.
    out
        Folder to write into; made if missing.

    Raises
    ------
    ValueError
        If the pixels are not 12-bit uint16 or the geometry cannot be written (see `author_instances`).
    """
    out.mkdir(parents=True, exist_ok=True)
    description = describe(volume)
    paths = author_instances(volume, uid_key=uid_key, out=out / "dicom")
    paths += write_frames(volume, description, out)
    preview = write_preview(volume, out / "preview.png")
    files = tuple(_fingerprint(path, out) for path in [*paths, preview])
    slices, rows, columns = volume.array.shape
    return AuthoredSeries(
        folder=out,
        rows=rows,
        columns=columns,
        slices=slices,
        spacing_mm=(description["spacing_mm"][0], description["spacing_mm"][1], description["spacing_mm"][2]),
        window=(WINDOW_CENTRE, WINDOW_WIDTH),
        edges=edge_letters(volume),
        files=files,
        preview=preview.name,
    )


def author_instances(volume: Volume, *, uid_key: bytes, out: Path) -> list[Path]:
    """Write one MR instance a slice, `out/0001.dcm` and on, in slice order; returns their paths.

    Arguments as for `author_series`. Study, series and Frame of Reference UID are the series' own: a shared one
    would let a reader group the arms of a subject.

    Raises
    ------
    ValueError
        If the array is not uint16 up to 4095, or a position, spacing or direction has no fixed-width form.
    """
    if volume.array.dtype != np.uint16 or (volume.array.size and int(volume.array.max()) > LARGEST_PIXEL):
        raise ValueError("Stored pixels are uint16 with 12 bits.")
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for index in range(volume.array.shape[0]):
        path = out / f"{index + 1:04d}.dcm"
        dcmwrite(path, instance(volume, index, uid_key=uid_key), enforce_file_format=True)
        paths.append(path)
    return paths


def instance(volume: Volume, index: int, *, uid_key: bytes) -> Dataset:
    """The MR instance of slice `index` as a data set with file meta information (nothing is written)."""
    _, rows, columns = volume.array.shape
    slice_mm, row_mm, column_mm = volume.spacing_mm
    dataset = Dataset()
    for keyword, value in CONSTANT:
        setattr(dataset, keyword, value)
    dataset.SOPInstanceUID = keyed_uid(uid_key, f"instance {index + 1}")
    dataset.StudyInstanceUID = keyed_uid(uid_key, "study")
    dataset.SeriesInstanceUID = keyed_uid(uid_key, "series")
    dataset.FrameOfReferenceUID = keyed_uid(uid_key, "frame of reference")
    dataset.InstanceNumber = f"{index + 1:04d}"
    dataset.SliceThickness = length_text(volume.slice_thickness_mm)
    dataset.SpacingBetweenSlices = length_text(slice_mm)
    dataset.ImagePositionPatient = [position_text(value) for value in volume.position_mm((index, 0, 0))]
    # DICOM names first the direction in which a row runs (column index increasing), then that of a column.
    dataset.ImageOrientationPatient = [cosine_text(value) for axis in (2, 1) for value in volume.direction(axis)]
    dataset.Rows, dataset.Columns = rows, columns
    dataset.PixelSpacing = [length_text(row_mm), length_text(column_mm)]
    dataset.PixelData = np.ascontiguousarray(volume.array[index], dtype="<u2").tobytes()
    dataset["PixelData"].VR = "OW"

    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    dataset.file_meta = meta
    return dataset


def position_text(value: float) -> str:
    """A position in mm as DS of 12 characters, to a millionth: `+0012.345678`."""
    return _fixed(value, "+012.6f", 12)


def cosine_text(value: float) -> str:
    """A direction cosine as DS of 12 characters: `-0.123456789`."""
    return _fixed(value, "+.9f", 12)


def length_text(value: float) -> str:
    """A positive length in mm as DS of 12 characters: `000.62500000`."""
    if not value > 0:
        raise ValueError(f"A spacing of {value} mm cannot be written.")
    return _fixed(value, "012.8f", 12)


def _fixed(value: float, form: str, width: int) -> str:
    decimals = int(form.rstrip("f").rsplit(".", 1)[1])
    text = format(round(float(value), decimals) + 0.0, form)  # + 0.0: never a negative zero
    if not np.isfinite(value) or len(text) != width:
        raise ValueError(f"The geometry value {value} has no form of {width} characters.")
    return text


def _fingerprint(path: Path, folder: Path) -> AuthoredFile:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return AuthoredFile(path.relative_to(folder).as_posix(), digest, path.stat().st_size)


def allowed_keywords() -> Sequence[str]:
    """Every element that an authored instance may have."""
    return [keyword for keyword, _ in CONSTANT] + list(VARYING)
