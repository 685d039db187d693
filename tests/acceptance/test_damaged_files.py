"""Thousands of damaged copies of every raw format: an image or a sentence, never a crash, a hang or a gigabyte."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.conftest import Note
from tests.recon_worker.formats import FORMATS
from tests.recon_worker.rawdata.damage import MEMORY_BYTES, read_damaged_copies

COPIES = 3000


def test_thousands_of_damaged_copies_end_in_an_image_or_a_sentence(tmp_path: Path, note: Note):
    said = read_damaged_copies(tmp_path, first_seed=100_000, copies=COPIES, timeout_s=1800)
    for name in FORMATS:
        result = said[name]
        counts = f"{result['read']} read, {result['refused']} refused"
        note(f"damaged copies, {name}: {counts}, at most {result['longest_s']} s each")
        assert result["others"] == []
        assert result["longest_s"] < 5.0
    assert said["peak_bytes"] < MEMORY_BYTES
