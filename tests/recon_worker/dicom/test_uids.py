"""UIDs: `2.25.` and 39 digits, a function of the key alone, useless without it."""

from __future__ import annotations

import hashlib
import hmac
import secrets

import pytest
from pydicom.uid import UID

from recon_worker.dicom.uids import keyed_uid, random_uid_key


def draw(key: bytes, name: str, number: int) -> int:
    """Second implementation of one draw."""
    return int(hmac.new(key, name.encode() + b"\0" + str(number).encode(), hashlib.sha256).hexdigest()[:32], 16)


def test_every_uid_is_valid_and_equally_long():
    key = random_uid_key()
    uids = [keyed_uid(key, f"instance {number}") for number in range(2000)]
    assert len(set(uids)) == 2000
    for uid in uids:
        assert UID(uid).is_valid
        assert len(uid) == len("2.25.") + 39
        assert int(uid[5:]) < 2**128


def test_short_numbers_are_drawn_again_from_the_same_key():
    key = b"\x01" * 32
    redrawn = 0
    for index in range(300):
        name = f"instance {index}"
        number = 0
        while draw(key, name, number) < 10**38:
            number += 1
        redrawn += number > 0
        assert keyed_uid(key, name) == f"2.25.{draw(key, name, number)}"
    assert 50 < redrawn < 130  # 10^38 of 2^128 is 29 %


def test_a_uid_depends_on_every_bit_of_its_key_and_on_its_name():
    key = secrets.token_bytes(32)
    other = bytes([key[0] ^ 1]) + key[1:]
    assert keyed_uid(key, "study") == keyed_uid(key, "study")
    assert keyed_uid(key, "study") != keyed_uid(other, "study")
    assert keyed_uid(key, "study") != keyed_uid(key, "series")


def test_a_short_key_is_refused():
    with pytest.raises(ValueError, match="32 bytes"):
        keyed_uid(b"short", "study")
