"""The XML header of an ISMRMRD file, read by an allow-list of encoding and timing; nothing else is kept.

Source: ISMRMRD schema (ismrmrd.xsd). The header is untrusted: no document type, no entities, bounded size. Patient,
study and institution elements are never looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree import ElementTree

from recon_worker.data import InputFault
from recon_worker.rawdata.limits import check_extent

MAX_XML_BYTES = 16 * 1024**2
AGAIN = "Convert the acquisition again with a current converter."


@dataclass(frozen=True)
class EncodingSpace:
    """Matrix `(x, y, z)` and field of view `(x, y, z)` in mm."""

    matrix: tuple[int, int, int]
    field_of_view_mm: tuple[float, float, float]


@dataclass(frozen=True)
class Encoding:
    """One encoding of the header.

    `phase_centre` is the encoding step that holds the centre of k-space, None where the header does not say.
    """

    trajectory: str
    encoded: EncodingSpace
    image: EncodingSpace
    phase_centre: int | None
    phase_range: tuple[int, int] | None
    acceleration: int
    echo_train_length: int | None


@dataclass(frozen=True)
class IsmrmrdHeader:
    """What is kept of the header. `timing` in ms (and degrees for the flip angle).

    `siemens`: the samples come from a Siemens scanner, whose directions belong to the other sign of the transform.
    """

    encodings: tuple[Encoding, ...]
    noise_bandwidth: float | None
    timing: dict[str, float]
    siemens: bool


def _local(tag: str) -> str:
    return tag.rsplit("}", 1)[-1]


def _child(element: ElementTree.Element | None, *names: str) -> ElementTree.Element | None:
    for name in names:
        if element is None:
            return None
        element = next((child for child in element if _local(child.tag) == name), None)
    return element


def _number(element: ElementTree.Element | None, *names: str) -> float | None:
    found = _child(element, *names)
    if found is None or not found.text:
        return None
    try:
        value = float(found.text.strip())
    except ValueError:
        raise InputFault(f'The header\'s "{names[-1]}" is not a number.', AGAIN) from None
    if not abs(value) < 1e9:
        raise InputFault(f'The header\'s "{names[-1]}" is not a usable number.', AGAIN)
    return value


def _space(encoding: ElementTree.Element, name: str) -> EncodingSpace:
    matrix = [_number(encoding, name, "matrixSize", axis) for axis in "xyz"]
    field_of_view = [_number(encoding, name, "fieldOfView_mm", axis) for axis in "xyz"]
    if matrix[0] is None or matrix[1] is None or field_of_view[0] is None or field_of_view[1] is None:
        raise InputFault(f"The header lacks matrix or field of view ({name}).", AGAIN)
    sizes = (
        check_extent("readout samples", int(matrix[0])),
        check_extent("phase-encode steps", int(matrix[1])),
        int(matrix[2] or 1),
    )
    lengths = (field_of_view[0], field_of_view[1], field_of_view[2] or 0.0)
    if min(lengths[:2]) <= 0 or max(lengths) > 5000:
        raise InputFault("The field of view in the header is not a usable length.", AGAIN)
    return EncodingSpace(sizes, lengths)


def _encoding(element: ElementTree.Element) -> Encoding:
    encoded = _space(element, "encodedSpace")
    image = _space(element, "reconSpace")
    trajectory = _child(element, "trajectory")
    limits = _child(element, "encodingLimits", "kspace_encoding_step_1")
    minimum, maximum, centre = (_number(limits, name) for name in ("minimum", "maximum", "center"))
    acceleration = _number(element, "parallelImaging", "accelerationFactor", "kspace_encoding_step_1")
    train = _number(element, "echoTrainLength")
    return Encoding(
        trajectory=(trajectory.text or "").strip().lower() if trajectory is not None else "",
        encoded=encoded,
        image=image,
        phase_centre=None if centre is None else int(centre),
        phase_range=None if minimum is None or maximum is None else (int(minimum), int(maximum)),
        acceleration=max(1, int(acceleration or 1)),
        echo_train_length=None if train is None else int(train),
    )


_TIMING = {
    "TR": "repetition_time_ms",
    "TE": "echo_time_ms",
    "TI": "inversion_time_ms",
    "flipAngle_deg": "flip_angle_deg",
    "echo_spacing": "echo_spacing_ms",
}


def parse_header(xml: bytes) -> IsmrmrdHeader:
    """Encodings and timing of an ISMRMRD XML header.

    Raises
    ------
    InputFault
        If the text is no XML, declares a document type or entities, or lacks the encoding.
    """
    if len(xml) > MAX_XML_BYTES:
        raise InputFault("The XML header is larger than 16 MB.", AGAIN)
    if b"<!DOCTYPE" in xml or b"<!ENTITY" in xml:
        raise InputFault("The XML header declares a document type, which no ISMRMRD file needs.", AGAIN)
    try:
        root = ElementTree.fromstring(xml.rstrip(b"\x00 \r\n\t"))
    except (ElementTree.ParseError, ValueError, LookupError):
        raise InputFault("The ISMRMRD header is not readable XML.", AGAIN) from None
    encodings = tuple(_encoding(child) for child in root if _local(child.tag) == "encoding")
    if not encodings:
        raise InputFault("The ISMRMRD header names no encoding.", AGAIN)
    vendor = _child(root, "acquisitionSystemInformation", "systemVendor")
    sequence = _child(root, "sequenceParameters")
    timing = {}
    for element, name in _TIMING.items():
        value = _number(sequence, element)
        if value is not None:
            timing[name] = value
    return IsmrmrdHeader(
        encodings=encodings,
        noise_bandwidth=_number(root, "acquisitionSystemInformation", "relativeReceiverNoiseBandwidth"),
        timing=timing,
        siemens=vendor is not None and (vendor.text or "").strip().lower().startswith("siemens"),
    )
