"""Nothing of the patient comes out of any raw format: not in `inspect`, not in a header, not in a refusal."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from recon_worker.data import InputFault
from recon_worker.rawdata.inspection import inspect_file
from recon_worker.rawdata.open import open_kspace
from tests.recon_worker.formats import FORMATS, PLANTED, write_format

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "raw"
DATES = ("1970-01-01", "19700101", "2020-02-02")
WORDS = re.compile(rb"[A-Za-z][A-Za-z0-9^_. -]{6,}")
"""Runs of bytes that read as a word, a name or an identity."""


def _refusal(path: Path) -> str:
    """What is said of the file after its samples were cut off, and after every place was."""
    said = []
    whole = path.read_bytes()
    for part in (0.2, 0.6, 0.9):
        cut = path.with_name("cut" + path.suffix)
        cut.write_bytes(whole[: int(part * len(whole))])
        try:
            for _piece in open_kspace(cut).slices():
                pass
        except InputFault as fault:
            said.append(str(fault))
    return " ".join(said)


@pytest.mark.parametrize("name", FORMATS)
def test_no_planted_field_comes_out(tmp_path: Path, name: str):
    path = write_format(tmp_path, name)
    holds = b"".join(file.read_bytes() for file in tmp_path.iterdir() if file.suffix != ".cfl")
    found = inspect_file(path)
    if name != "ge-scanarchive":  # there the fields lie within base64 and gzip
        assert PLANTED.encode() in holds
    assert found["reconstructable"] is True
    shown = json.dumps(found) + repr(open_kspace(path).header) + _refusal(path)
    assert PLANTED not in shown
    assert not any(date in shown for date in DATES)
    assert str(tmp_path) not in shown


@pytest.mark.skipif(not SHARED.exists(), reason="the shared folder with real raw data is not here")
@pytest.mark.parametrize("name", ["twix_gre_skyra.dat", "twix_epi_skyra.dat", "P20480_GRE.7"])
def test_no_word_of_a_real_header_comes_out(tmp_path: Path, name: str):
    """Every word of seven letters and more in the header: only those that we would write anyway may appear."""
    whole = (SHARED / name).read_bytes()
    length = 213684 if name.endswith(".7") else 10240 + int.from_bytes(whole[10240:10244], "little")
    found = inspect_file(SHARED / name)
    shown = json.dumps(found, ensure_ascii=False)
    ours = {"Siemens", "cartesian", "thickness", "acquisition", "partition", "readout", "phase correction"}
    words = {match.decode("ascii").strip() for match in WORDS.findall(whole[:length])}
    came_out = {word for word in words if word in shown and word not in ours}
    assert not came_out
