"""Unique identifiers that tell nothing: `2.25.` and 128 bits of a keyed hash (DICOM PS3.5 B.2, ISO/IEC 9834-8).

The key is a random secret of one series. Without it a UID cannot be recomputed from anything known (an unsalted hash
of a scanner's UID can: its inputs are enumerable), and with it the same series always gets the same UIDs, so that a
job which runs twice writes the same bytes. All UIDs have the same length: a header's length tells nothing either.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

DIGITS = 39
"""Decimal digits of the number after `2.25.`; the largest 128-bit number has 39."""

KEY_BYTES = 32


def random_uid_key() -> bytes:
    """A new key for one series."""
    return secrets.token_bytes(KEY_BYTES)


def keyed_uid(key: bytes, name: str) -> str:
    """The UID called `name` ("study", "instance 7", ...) under `key`: `2.25.` and exactly 39 digits.

    HMAC-SHA-256 over the name and a counter, first 128 bits; redrawn with the next counter while the number has
    fewer digits (about three draws in ten).

    Raises
    ------
    ValueError
        If the key is shorter than 32 bytes.
    """
    if len(key) < KEY_BYTES:
        raise ValueError(f"The key of a series has {KEY_BYTES} bytes.")
    draw = 0
    while True:
        digest = hmac.new(key, f"{name}\x00{draw}".encode(), hashlib.sha256).digest()
        number = str(int.from_bytes(digest[:16], "big"))
        if len(number) == DIGITS:
            return f"2.25.{number}"
        draw += 1
