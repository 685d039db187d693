"""Reads a sagittal or other MR series of single-frame DICOM images, of a scanner or of our own, as one volume.

Nothing is taken on trust: values are parsed as numbers, and whatever does not make one evenly spaced stack of slices is
refused in words. Of the header only geometry, pixel format and UIDs are read.

Source: DICOM PS3.3 C.7.6.2 (Image Plane), C.7.6.3 (Image Pixel), C.11.1 (Modality LUT).
"""

from __future__ import annotations

import logging
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom import config
from pydicom.errors import InvalidDicomError
from pydicom.uid import DeflatedExplicitVRLittleEndian, EnhancedMRImageStorage, MRImageStorage

from recon_worker.data import InputFault, Volume
from recon_worker.dicom.derived import SeriesReference
from recon_worker.dicom.uids import keyed_uid, random_uid_key

FloatArray = npt.NDArray[np.float64]
Header = dict[str, Any]
"""Values by keyword, of those in `READ` alone."""

READ = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "ImageType",
    "InstanceNumber", "Rows", "Columns", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient",
    "SliceThickness", "SamplesPerPixel", "NumberOfFrames", "BitsStored", "PhotometricInterpretation", "RescaleSlope",
    "RescaleIntercept",
)  # fmt: skip
"""All that is read of a header."""

MOST_FILES = 5000
MOST_PIXELS = 2**28
"""Of a whole series: 256 million."""
FARTHEST_MM = 9999.0
ANGLE_TOLERANCE = 1e-3
"""How far a direction cosine may be off."""
SPACING_TOLERANCE = 0.02
"""How far a slice may lie from its place in an even stack, as a share of the distance between slices."""
UID = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*")
"""DICOM PS3.5, 9.1."""
LONGEST_UID = 64
ONE_SERIES = "Give a folder with the images of one series alone."
COPY_AGAIN = "Export the series again."
WITH_VALID_UIDS = "Export or anonymise it again, so that each study, series and image has a valid UID of its own."


@dataclass(frozen=True)
class ImageSeries:
    """A series as it was found: the volume, the UIDs by which its images are referred to, and their files.

    UIDs and files are in slice order.
    """

    volume: Volume
    reference: SeriesReference
    files: tuple[Path, ...]


@dataclass(frozen=True)
class _Image:
    """One image: its file, its header, and where it lies."""

    path: Path
    header: Header
    position: FloatArray
    along_row: FloatArray
    along_column: FloatArray
    spacing: tuple[float, float]
    matrix: tuple[int, int]

    @property
    def normal(self) -> FloatArray:
        return np.asarray(np.cross(self.along_row, self.along_column))


def read_series(folder: Path) -> Volume:
    """The magnitude images of a series, float32 `[slice, row, column]` after rescaling.

    Slices lie in the order of their instance numbers where these follow the stack, else along its normal; columns run
    along the first direction of the header and rows along the second, as stored.

    Parameters
    ----------
    folder
        Folder with the files, in any order and with any names; files that are not DICOM are passed over. A single file
        is read as a series of one image.

    Raises
    ------
    InputFault
        If it holds no MR images, several series, a localizer among them, images of several echoes or orientations, a
        gap, or numbers that are none.
    """
    with _without_header_values_in_the_log():
        return _read(folder).volume


def read_image_series(folder: Path) -> ImageSeries:
    """As `read_series`, with the UIDs of the images, for objects that refer to them.

    Raises
    ------
    InputFault
        As `read_series`, and for UIDs that nothing can refer to: one that is none, one that two images share.
    """
    with _without_header_values_in_the_log():
        series = _read(folder)
    _check_uids(series)
    return series


@contextmanager
def _without_header_values_in_the_log() -> Iterator[None]:
    """pydicom's warnings about a strange value quote it: a patient's name does not belong into a log."""
    before = config.settings.reading_validation_mode
    config.settings.reading_validation_mode = config.IGNORE
    log = logging.getLogger("pydicom")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        config.settings.reading_validation_mode = before
        log.setLevel(level)


def _read(folder: Path) -> ImageSeries:
    headers = list(_headers(folder))
    if not headers:
        raise InputFault(f"{folder} holds no DICOM image.", "Name the folder of an MR series.")
    _one_series(headers)
    images = [_place(path, header) for path, header in headers]
    images = _one_stack(images)
    first = images[0]
    rows, columns = first.matrix
    if len(images) * rows * columns > MOST_PIXELS:
        raise InputFault(f"The series has {len(images)} images of {columns} x {rows}: too large.", ONE_SERIES)
    array = np.empty((len(images), rows, columns), dtype=np.float32)
    for index, image in enumerate(images):
        array[index] = _pixels(image)
    thickness = _positive(first.header, "SliceThickness", first.path)
    affine = _affine(images, thickness)
    between = float(np.linalg.norm(affine[:3, 0]))
    return ImageSeries(
        Volume(array, affine, thickness or between),
        SeriesReference(
            study=_uid(first, "StudyInstanceUID"),
            series=_uid(first, "SeriesInstanceUID"),
            # Some anonymisers drop it; then the objects made of this series share one that nothing else has.
            frame_of_reference=str(first.header.get("FrameOfReferenceUID") or keyed_uid(random_uid_key(), "frame")),
            instances=tuple(_uid(image, "SOPInstanceUID") for image in images),
        ),
        tuple(image.path for image in images),
    )


def _headers(folder: Path) -> Iterator[tuple[Path, Header]]:
    """Every MR image below the folder, without its pixels."""
    if not folder.exists():
        raise InputFault(f"{folder} is not there.", "Name the folder of an MR series.")
    paths = [folder] if folder.is_file() else sorted(path for path in folder.rglob("*") if path.is_file())
    if len(paths) > MOST_FILES:
        raise InputFault(f"{folder} holds {len(paths)} files.", ONE_SERIES)
    others: Counter[str] = Counter()
    found = 0
    for path in paths:
        header = _header(path)
        if header is None:
            continue
        kind = header.get("SOPClassUID") or ""
        if kind == MRImageStorage:
            found += 1
            yield path, header
        elif kind == EnhancedMRImageStorage:
            raise InputFault(
                f"{path.name} is an enhanced MR image with many frames.", "Export the series as single images."
            )
        else:
            others[str(getattr(kind, "name", "") or "no known object")] += 1
    if others and not found:
        raise InputFault(
            f"{folder} holds no MR images, but {', '.join(sorted(others))}.", "Name the folder of an MR series."
        )


def _header(path: Path) -> Header | None:
    """The header of a file up to its pixels; None if the file is not DICOM."""
    try:
        with path.open("rb") as file:
            if file.read(132)[128:] != b"DICM":
                return None
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
        if dataset.file_meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
            raise InputFault(f"{path.name} is deflated as a whole.", "Export the series uncompressed.")
        if "DirectoryRecordSequence" in dataset:
            return None
        return {keyword: dataset[keyword].value for keyword in READ if keyword in dataset}
    except InputFault:
        raise
    except InvalidDicomError:
        return None
    except OSError as error:
        raise InputFault(f"{path.name} cannot be read ({error.strerror or error}).", COPY_AGAIN) from error
    except Exception as error:  # hostile headers raise whatever they like, RecursionError included
        raise InputFault(f"The header of {path.name} is damaged.", COPY_AGAIN) from error


def _one_series(headers: Sequence[tuple[Path, Header]]) -> None:
    series = Counter(str(header.get("SeriesInstanceUID", "")) for _, header in headers)
    if len(series) > 1:
        sizes = ", ".join(str(count) for count in sorted(series.values(), reverse=True)[:6])
        raise InputFault(f"The folder holds {len(series)} series (of {sizes} images).", ONE_SERIES)
    localizers = [path.name for path, header in headers if "LOCALIZER" in (header.get("ImageType") or [])]
    if localizers:
        raise InputFault(
            f"The folder holds a localizer ({localizers[0]}{', ...' if len(localizers) > 1 else ''}).", ONE_SERIES
        )


def _place(path: Path, header: Header) -> _Image:
    """Where an image lies. Raises InputFault for geometry that is missing or no geometry."""
    position = _numbers(header, "ImagePositionPatient", 3, path)
    directions = _numbers(header, "ImageOrientationPatient", 6, path)
    row_mm, column_mm = _numbers(header, "PixelSpacing", 2, path)
    if not (0 < row_mm < FARTHEST_MM and 0 < column_mm < FARTHEST_MM):
        raise InputFault(f"The pixel spacing of {path.name} is not a length.", COPY_AGAIN)
    if float(np.abs(position).max()) >= FARTHEST_MM:
        raise InputFault(f"{path.name} lies metres away from the scanner's centre.", COPY_AGAIN)
    pair = directions.reshape(2, 3)
    if not np.allclose(pair @ pair.T, np.eye(2), atol=ANGLE_TOLERANCE):
        raise InputFault(f"The directions of {path.name} are not at right angles.", COPY_AGAIN)
    pair = pair / np.linalg.norm(pair, axis=1, keepdims=True)
    matrix = (int(_numbers(header, "Rows", 1, path)[0]), int(_numbers(header, "Columns", 1, path)[0]))
    return _Image(path, header, position, pair[0], pair[1], (float(row_mm), float(column_mm)), matrix)


def _one_stack(images: list[_Image]) -> list[_Image]:
    """The images in slice order. Raises InputFault unless they are one evenly spaced stack."""
    first = images[0]
    if len({image.matrix for image in images}) > 1:
        sizes = sorted({f"{image.matrix[1]} x {image.matrix[0]}" for image in images})
        raise InputFault(f"The images of the series differ in size ({', '.join(sizes)}).", ONE_SERIES)
    for image in images[1:]:
        if not (
            np.allclose(image.along_row, first.along_row, atol=ANGLE_TOLERANCE)
            and np.allclose(image.along_column, first.along_column, atol=ANGLE_TOLERANCE)
        ):
            raise InputFault(
                f"The images of the series are not parallel ({first.path.name}, {image.path.name}).", ONE_SERIES
            )
        if not np.allclose(image.spacing, first.spacing, rtol=1e-4):
            raise InputFault(
                f"The images of the series differ in pixel spacing ({first.path.name}, {image.path.name}).", ONE_SERIES
            )
    ordered = sorted(images, key=lambda image: float(image.position @ first.normal))
    if len(ordered) == 1:
        return ordered
    places = np.array([image.position for image in ordered])
    steps = np.diff(places, axis=0)
    between = float(np.median(np.linalg.norm(steps, axis=1)))
    for one, other, step in zip(ordered, ordered[1:], steps, strict=False):
        if float(np.linalg.norm(step)) < SPACING_TOLERANCE * between or not step @ first.normal > 0:
            raise InputFault(
                f"Several images lie at the same place ({one.path.name}, {other.path.name}): echoes or repetitions.",
                ONE_SERIES,
            )
    even = places[0] + np.linspace(0, 1, len(places))[:, None] * (places[-1] - places[0])
    if float(np.linalg.norm(places - even, axis=1).max()) > max(SPACING_TOLERANCE * between, 0.01):
        raise InputFault(
            "The slices of the series are not evenly spaced: one is missing, or there are two stacks.", COPY_AGAIN
        )
    return ordered[::-1] if _is_numbered_backwards(ordered) else ordered


def _is_numbered_backwards(images: Sequence[_Image]) -> bool:
    numbers = [image.header.get("InstanceNumber") for image in images]
    return all(isinstance(number, int) for number in numbers) and numbers == sorted(numbers, reverse=True)  # type: ignore[type-var]


def _affine(images: Sequence[_Image], thickness: float | None) -> FloatArray:
    first, last = images[0], images[-1]
    affine = np.eye(4)
    if len(images) > 1:
        affine[:3, 0] = (last.position - first.position) / (len(images) - 1)
    else:
        affine[:3, 0] = first.normal * (thickness or 1.0)
    affine[:3, 1] = first.along_column * first.spacing[0]
    affine[:3, 2] = first.along_row * first.spacing[1]
    affine[:3, 3] = first.position
    return affine


def _pixels(image: _Image) -> npt.NDArray[np.float32]:
    """Pixels `[row, column]` of an image after the modality rescaling."""
    name, header = image.path.name, image.header
    if header.get("SamplesPerPixel", 1) != 1:
        raise InputFault(f"{name} is a colour picture.", "Give MR images.")
    if header.get("NumberOfFrames", 1) not in (1, None):
        raise InputFault(f"{name} holds several frames.", "Export the series as single images.")
    try:
        stored = pydicom.dcmread(image.path).pixel_array
    except MemoryError:
        raise
    except Exception as error:
        raise InputFault(f"The pixels of {name} cannot be read.", "Export the series uncompressed.") from error
    if stored.shape != image.matrix:
        raise InputFault(f"{name} holds other pixels than its header says.", COPY_AGAIN)
    stored = _stored_bits(stored, header)
    slope, intercept = (
        float(_numbers(header, keyword, 1, image.path)[0]) if header.get(keyword) is not None else default
        for keyword, default in (("RescaleSlope", 1.0), ("RescaleIntercept", 0.0))
    )
    values = np.asarray(stored, dtype=np.float32) * np.float32(slope) + np.float32(intercept)
    if header.get("PhotometricInterpretation") == "MONOCHROME1":
        values = values.max() + values.min() - values
    return np.asarray(values, dtype=np.float32)


def _stored_bits(stored: npt.NDArray[Any], header: Header) -> npt.NDArray[Any]:
    """Without what old scanners keep in the bits above: an overlay plane, for instance."""
    bits = header.get("BitsStored")
    if not isinstance(bits, int) or bits < 1 or stored.dtype.kind != "u" or bits >= 8 * stored.dtype.itemsize:
        return stored
    return np.asarray(stored & stored.dtype.type(2**bits - 1))


def _numbers(header: Header, keyword: str, count: int, path: Path) -> FloatArray:
    """`count` finite numbers of an element. Raises InputFault."""
    try:
        value: Any = header.get(keyword)
        values = np.asarray([value] if count == 1 else list(value), dtype=np.float64)
    except Exception as error:
        raise InputFault(f"{keyword} of {path.name} is missing or no number.", COPY_AGAIN) from error
    if values.shape != (count,) or not np.isfinite(values).all():
        raise InputFault(f"{keyword} of {path.name} is missing or no number.", COPY_AGAIN)
    return values


def _positive(header: Header, keyword: str, path: Path) -> float | None:
    value = header.get(keyword)
    if value is None or value == "":
        return None
    number = float(_numbers(header, keyword, 1, path)[0])
    return number if number > 0 else None


def _uid(image: _Image, keyword: str) -> str:
    value = str(image.header.get(keyword) or "")
    if not value:
        raise InputFault(f"{image.path.name} has no {keyword}.", COPY_AGAIN)
    return value


def _check_uids(series: ImageSeries) -> None:
    """Refuse UIDs that cannot be copied into an object that refers to the series; their values are not quoted."""
    reference = series.reference
    told = [
        ("StudyInstanceUID of the series", reference.study),
        ("SeriesInstanceUID of the series", reference.series),
        ("FrameOfReferenceUID of the series", reference.frame_of_reference),
        *((f"SOPInstanceUID of {path.name}", uid) for path, uid in zip(series.files, reference.instances, strict=True)),
    ]
    for whose, uid in told:
        if len(uid) > LONGEST_UID or not UID.fullmatch(uid):
            raise InputFault(
                f"The {whose} is no UID (numbers without leading zeros, parted by full stops, {LONGEST_UID} "
                "characters at most): the program that exported or anonymised the series wrote it so.",
                WITH_VALID_UIDS,
            )
    holders: dict[str, Path] = {}
    for path, uid in zip(series.files, reference.instances, strict=True):
        if uid in holders:
            raise InputFault(
                f"Several images of the series have the same SOPInstanceUID ({holders[uid].name}, {path.name}): the "
                "program that exported or anonymised it gave it twice.",
                WITH_VALID_UIDS,
            )
        holders[uid] = path
