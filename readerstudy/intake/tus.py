"""Headers of the tus resumable upload protocol 1.0.0. https://tus.io/protocols/resumable-upload"""

import base64
import binascii
from dataclasses import dataclass
from typing import ClassVar

from django.http import HttpRequest

VERSION = "1.0.0"
EXTENSIONS = "creation,checksum,expiration,termination"
CHUNK_TYPE = "application/offset+octet-stream"
CHECKSUM_MISMATCH = 460
SHA256_BYTES = 32


@dataclass
class Malformed(Exception):
    """A request that does not follow the protocol."""

    what: str
    status: int = 400
    action: ClassVar[str] = "Reload the page and choose the file again."


def require_version(request: HttpRequest) -> None:
    """Raises Malformed (412) unless the client speaks our version."""
    if request.headers.get("Tus-Resumable") != VERSION:
        raise Malformed(f"Tus-Resumable must be {VERSION}.", 412)


def natural_number(request: HttpRequest, header: str) -> int:
    """The value of a header that holds a natural number. Raises Malformed."""
    text = request.headers.get(header, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Malformed(f"{header} must be a natural number.")
    return int(text)


def metadata(request: HttpRequest) -> dict[str, str]:
    """The pairs of Upload-Metadata ("key base64,key base64"), decoded. Raises Malformed."""
    pairs: dict[str, str] = {}
    for part in filter(None, (each.strip() for each in request.headers.get("Upload-Metadata", "").split(","))):
        key, _, value = part.partition(" ")
        try:
            pairs[key] = base64.b64decode(value, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise Malformed("Upload-Metadata must hold pairs of a key and a base64 value.") from error
    return pairs


def checksum(request: HttpRequest) -> bytes | None:
    """The SHA-256 digest of Upload-Checksum, None without that header. Raises Malformed."""
    text = request.headers.get("Upload-Checksum")
    if text is None:
        return None
    algorithm, _, value = text.partition(" ")
    if algorithm != "sha256":
        raise Malformed("The only checksum algorithm here is sha256.")
    try:
        digest = base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise Malformed("Upload-Checksum must be base64.") from error
    if len(digest) != SHA256_BYTES:
        raise Malformed("Upload-Checksum must hold 32 bytes.")
    return digest
