"""GE ScanArchives: files of known content, and a real scanner's file beside the P-file of the same scan."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from recon_worker.data import InputFault
from recon_worker.rawdata.open import open_kspace
from tests.recon_worker.ge_files import control_stream, phantom, readouts, write_archive, write_pfile

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "raw"


def test_readouts_are_put_where_the_control_stream_says(tmp_path: Path):
    data = phantom()
    kspace = open_kspace(write_archive(tmp_path / "scan.h5", data))
    header = kspace.header
    assert header.format == "ge-scanarchive"
    assert (header.n_slices, header.n_coils, header.image_matrix) == (3, 4, (40, 40))
    for _twice in range(2):
        for index, piece in enumerate(kspace.slices()):
            assert np.array_equal(piece.data[0], data[index])
    remarks = " ".join(kspace.summary["remarks"])
    assert "experimental" in remarks
    assert "place of the slices in the patient is unknown" in remarks
    assert "SECRET" not in repr(header) + json.dumps(kspace.summary)
    of_the_p_file = open_kspace(write_pfile(tmp_path / "P00001.7", data)).summary
    differing = {name for name in of_the_p_file if of_the_p_file[name] != kspace.summary[name]}
    assert differing == {"format", "remarks"}


def test_another_order_of_acquisition_gives_the_same_samples(tmp_path: Path):
    """Lines from the centre outwards, slices outside: the control stream decides, nothing else."""
    data, words = phantom(), control_stream(3, 40)
    order = np.argsort(np.abs(np.arange(40) - 20), kind="stable")
    words[:-1, 8], words[:-1, 10] = np.repeat(np.arange(3), 40), np.tile(order, 3) + 1
    for index, piece in enumerate(open_kspace(write_archive(tmp_path / "scan.h5", data, words=words)).slices()):
        assert np.array_equal(piece.data[0], data[index])


def _changed(place: tuple[int, int], value: int) -> np.ndarray:
    words = control_stream(3, 40)
    words[place] = value
    return words


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (_changed((7, 4), 2), "records that are not understood"),
        (_changed((7, 7), 2), "records that are not understood"),
        (_changed((7, 9), 1), "records that are not understood"),
        (_changed((7, 15), 1), "records that are not understood"),
        (_changed((7, 0), 48), "records that are not understood"),
        (_changed((7, 20), 8), "records that are not understood"),
        (_changed((7, 3), 0), "records that are not understood"),
        (_changed((-1, 4), 1), "records that are not understood"),
        (_changed((7, 8), 3), "slices or lines that its header does not have"),
        (_changed((7, 10), 41), "slices or lines that its header does not have"),
        (_changed((7, 10), 0), "slices or lines that its header does not have"),
        (_changed((7, 10), 5), "a line of a slice twice"),
    ],
)
def test_a_control_stream_that_is_not_understood_is_refused(tmp_path: Path, words: np.ndarray, sentence: str):
    path = write_archive(tmp_path / "scan.h5", phantom(), words=words)
    with pytest.raises(InputFault, match=sentence) as caught:
        open_kspace(path)
    assert "ISMRMRD" in str(caught.value)


@pytest.mark.parametrize(("word", "value"), [(0, 48), (1, 5), (7, 2), (8, 5), (9, 64), (10, 9)])
def test_readouts_that_do_not_follow_the_control_stream_are_refused(tmp_path: Path, word: int, value: int):
    """Length, time, frames, coils, samples, running number."""
    data, words = phantom(), control_stream(3, 40)
    frames = readouts(data, words)
    frames[30, :48].view("<u4")[word] = value
    kspace = open_kspace(write_archive(tmp_path / "scan.h5", data, frames=frames))
    with pytest.raises(InputFault, match="do not follow its control stream"):
        list(kspace.slices())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"counts": (121, 119, 0)}, "119 readouts"),
        ({"counts": (240, 240, 0)}, "240 readouts"),
        ({"counts": (121, 120, 1)}, "not understood"),
        ({"counts": (121, 0, 0)}, "not understood"),
        ({"segments": 2}, "several segments"),
        ({"version": 2}, "another version"),
        ({"header": b"short"}, "header of 5 bytes"),
        ({"expanded": 121 * 44 + 16000}, "more than its segment holds"),
    ],
)
def test_archives_of_another_kind_are_refused(tmp_path: Path, changes: dict, sentence: str):
    data = phantom()
    if "expanded" in changes:
        changes = {**changes, "frames": readouts(data, control_stream(3, 40))[:20], "counts": (121, 120, 0)}
    path = write_archive(tmp_path / "scan.h5", data, **changes)
    with pytest.raises(InputFault, match=sentence):
        open_kspace(path)


def test_the_headers_own_refusals_hold_here_too(tmp_path: Path):
    """Several passes, another sequence: as in a P-file, whose header it is."""
    for changes, words in (({"passes": 2}, "several passes"), ({"sequence": b"fse-xl"}, "pulse sequence")):
        head = write_pfile(tmp_path / "P00001.7", phantom(), **changes).read_bytes()[:213684]
        path = write_archive(tmp_path / "scan.h5", phantom(), header=head)
        with pytest.raises(InputFault, match=rf"ScanArchive.*{words}"):
            open_kspace(path)


def test_segments_are_expanded_only_as_far_as_there_are_readouts(tmp_path: Path):
    """Each declares 128 MB in one piece; a reader that lets HDF5 expand them needs as much memory."""
    path = write_archive(tmp_path / "scan.h5", phantom(), expanded=2**27)
    script = (
        "import sys; from pathlib import Path; from recon_worker.rawdata.open import open_kspace\n"
        # Not ru_maxrss, which begins with that of the process that started this one.
        "status = lambda: Path('/proc/self/status').read_text().splitlines()\n"
        "peak = lambda: next(int(line.split()[1]) for line in status() if line.startswith('VmHWM'))\n"
        "before = peak(); list(open_kspace(Path(sys.argv[1])).slices()); print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 30_000  # kilobytes


def test_parts_that_lie_elsewhere_or_are_missing(tmp_path: Path):
    path = write_archive(tmp_path / "scan.h5", phantom())
    with h5py.File(path, "a") as file:
        del file["Acquisition/StorageMetaData.xml"]
    with pytest.raises(InputFault, match=r"without StorageMetaData\.xml"):
        open_kspace(path)
    with h5py.File(path, "a") as file:
        file["Acquisition/StorageMetaData.xml"] = h5py.ExternalLink("other.h5", "/a")
    with pytest.raises(InputFault, match="outside itself"):
        open_kspace(path)


@pytest.mark.skipif(
    not (SHARED / "ScanArchive_GRE.h5").exists(), reason="the shared folder with real raw data is not here"
)
def test_a_real_archive_holds_the_samples_of_the_p_file_of_the_same_scan():
    archive, p_file = open_kspace(SHARED / "ScanArchive_GRE.h5"), open_kspace(SHARED / "P20480_GRE.7")
    assert archive.summary["n_slices"] == 7
    for mine, truth in zip(archive.slices(), p_file.slices(), strict=True):
        assert np.array_equal(mine.data, truth.data)
