"""Damaged copies of every format end in an image or in a sentence, within seconds and a gigabyte.

The long form, thousands of copies, is in `tests/acceptance/test_damaged_files.py`.
"""

from __future__ import annotations

from pathlib import Path

from tests.recon_worker.formats import FORMATS
from tests.recon_worker.rawdata.damage import MEMORY_BYTES, read_damaged_copies


def test_every_damaged_copy_ends_in_an_image_or_a_sentence(tmp_path: Path):
    said = read_damaged_copies(tmp_path, first_seed=0, copies=50, timeout_s=300)
    for name in FORMATS:
        result = said[name]
        assert result["others"] == []
        assert result["read"] + result["refused"] == 50
        assert result["refused"] >= 20  # else the copies are hardly damaged
        assert result["longest_s"] < 3.0
    assert said["peak_bytes"] < MEMORY_BYTES
