"""The command line as scripts use it: exit status, one sentence on standard error, nothing left of a failure."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pydicom
import pytest

from recon_worker.__main__ import main
from recon_worker.denoising import weights
from recon_worker.rawdata.open import open_kspace
from recon_worker.reconstruction.chain import reconstruct
from tests.recon_worker.queue_server import wait_for
from tests.recon_worker.support import Protocol, simulate, write_scan

ROOT = Path(__file__).resolve().parent.parent.parent
SHARED = ROOT.parent / "shared" / "data" / "raw"
PROTOCOL = Protocol(n_slices=3)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scan(tmp_path_factory.mktemp("raw") / "scan.h5", simulate(PROTOCOL, noise_level=0.02))


@pytest.fixture(scope="module")
def coiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With coils enough to unfold."""
    protocol = Protocol(rows=48, n_coils=8, n_slices=2)
    return write_scan(tmp_path_factory.mktemp("coiled") / "scan.h5", simulate(protocol, noise_level=0.01))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some seconds of work."""
    protocol = Protocol(n_slices=40, columns=192, rows=192)
    return write_scan(tmp_path_factory.mktemp("large") / "scan.h5", simulate(protocol, noise_scan=False))


def command(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "recon_worker", *map(str, words)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        timeout=120,
    )


@dataclass
class Said:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """The same without the seconds that a new interpreter takes."""

    def run(*words: object) -> Said:
        try:
            status = main([str(word) for word in words])
        except SystemExit as error:
            status = error.code
        return Said(status, *capsys.readouterr())

    return run


def assert_refused(said: Said, words: str) -> None:
    assert said.returncode == 1
    assert said.stdout == ""
    lines = said.stderr.splitlines()
    assert len(lines) == 1 and words in lines[0] and lines[0].endswith("."), said.stderr
    assert "Traceback" not in said.stderr


def tree(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_reconstruct_writes_a_dicom_series_and_the_arrays(raw, tmp_path):
    out = tmp_path / "deep" / "out"
    said = command("reconstruct", raw, out, "--save-arrays", tmp_path / "arrays" / "scan.npz")
    assert said.returncode == 0, said.stderr
    assert said.stdout == f"{out / 'reconstructed'}\n"
    assert tree(tmp_path) == {
        "deep",
        "deep/out",
        "deep/out/reconstructed",
        "arrays",
        "arrays/scan.npz",
        *(f"deep/out/reconstructed/{number:04d}.dcm" for number in (1, 2, 3)),
    }
    expected = reconstruct(open_kspace(raw)).volume
    with np.load(tmp_path / "arrays/scan.npz", allow_pickle=False) as arrays:
        assert arrays["image"].dtype == np.complex64 and arrays["noise_std"].dtype == np.float32
        assert arrays["image"].shape == arrays["noise_std"].shape == (3, 40, 48)
        np.testing.assert_allclose(arrays["spacing_mm"], (4.4, 2.5, 2.0))
        np.testing.assert_allclose(arrays["image"], expected.array, rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(arrays["affine"], expected.affine)
    instances = [pydicom.dcmread(path) for path in sorted((out / "reconstructed").iterdir())]
    assert len({instance.SeriesInstanceUID for instance in instances}) == 1
    # Sagittal: head up, anterior left, from right to left.
    assert [round(float(value)) for value in instances[0].ImageOrientationPatient] == [0, 1, 0, 0, 0, -1]
    assert [float(instance.ImagePositionPatient[0]) for instance in instances] == pytest.approx([5.0, 9.4, 13.8])
    assert 3400 < np.percentile(np.stack([instance.pixel_array for instance in instances]), 99.9) < 3600


def test_inspect_prints_json_without_patient_fields(raw):
    said = command("inspect", raw)
    assert (said.returncode, said.stderr) == (0, "")
    summary = json.loads(said.stdout)
    assert summary["format"] == "ismrmrd"
    assert (summary["image_matrix"], summary["n_slices"], summary["n_coils"]) == ([48, 40], 3, 4)
    assert "SECRET" not in said.stdout


def bad_files(folder: Path, raw: Path) -> dict[str, Path]:
    content = raw.read_bytes()
    made = {
        "empty": b"",
        "a text": b"Dear scanner, please send the data.\n" * 100,
        "cut off": content[: len(content) // 2],
        "a DICOM image": b"\0" * 128 + b"DICM" + b"\0" * 500,
        "cut after its signature": content[:100],
        "random bytes": np.random.default_rng(0).bytes(100_000),
        "an archive": b"PK\x03\x04" + bytes(1000),
    }
    files = {}
    for name, bytes_of in made.items():
        files[name] = folder / f"{name.replace(' ', '-')}.h5"
        files[name].write_bytes(bytes_of)
    files["2 GB of zeros"] = folder / "zeros.h5"
    with files["2 GB of zeros"].open("wb") as file:
        file.truncate(2_000_000_000)  # sparse
    files["a folder"] = folder / "folder.h5"
    files["a folder"].mkdir()
    files["not there"] = folder / "nowhere.h5"
    files["no ordinary file"] = folder / "pipe.h5"
    os.mkfifo(files["no ordinary file"])
    return files


KINDS = [
    "empty",
    "a text",
    "cut off",
    "a DICOM image",
    "cut after its signature",
    "random bytes",
    "an archive",
    "2 GB of zeros",
    "a folder",
    "not there",
    "no ordinary file",
]


@pytest.mark.parametrize("kind", KINDS)
def test_bad_input_is_one_sentence_and_leaves_nothing(kind, raw, tmp_path, run):
    (tmp_path / "in").mkdir()
    bad = bad_files(tmp_path / "in", raw)[kind]
    before = tree(tmp_path)
    assert_refused(run("reconstruct", bad, tmp_path / "out", "--save-arrays", tmp_path / "arrays.npz"), " ")
    assert tree(tmp_path) == before


def test_a_script_sees_the_same(tmp_path):
    """Through the door: exit status and streams of a process of its own."""
    (tmp_path / "bad").write_bytes(bytes(1000))
    assert_refused(command("reconstruct", tmp_path / "bad", tmp_path / "out"), "zeros")
    assert command("reconstruct").returncode == 2


def test_inspect_refuses_in_the_same_way(tmp_path, run):
    (tmp_path / "bad").write_bytes(bytes(1000))
    assert_refused(run("inspect", tmp_path / "bad"), "zeros")


def test_a_series_that_is_there_is_never_overwritten(raw, tmp_path, run):
    (tmp_path / "reconstructed").mkdir()
    (tmp_path / "reconstructed/mine.txt").write_text("keep")
    assert_refused(run("reconstruct", raw, tmp_path), "is not empty")
    assert tree(tmp_path) == {"reconstructed", "reconstructed/mine.txt"}
    (tmp_path / "file").write_text("")
    assert_refused(run("reconstruct", raw, tmp_path / "file"), "is a file")


def test_noise_reduction_without_its_network_is_refused_in_words(raw, tmp_path, run, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.setattr(weights, "load_weights", partial(weights.load_weights, tmp_path / "empty"))
    said = run("reconstruct", raw, tmp_path / "out", "--noise-reduction", "0.25", "0.5")
    assert_refused(said, "Install the application again")
    assert not (tmp_path / "out").exists()


def pixels(folder: Path) -> np.ndarray:
    return np.stack([pydicom.dcmread(path).pixel_array for path in sorted(folder.iterdir())])


def test_chains_from_a_file_and_from_text_with_one_look(coiled, tmp_path, run):
    (tmp_path / "sense.yaml").write_text("undersampling: 2\ncalibration_lines: 13\n")
    out = tmp_path / "out"
    words = ["reconstruct", coiled, out, "--stored-matrix", 64, 64, "--chain", "{}", tmp_path / "sense.yaml"]
    said = run(*words, '{"apodization": "mild"}')
    assert said.returncode == 0, said.stderr
    folders = [out / f"chain-{number}" / "reconstructed" for number in (1, 2, 3)]
    assert said.stdout == "".join(f"{folder}\n" for folder in folders)
    assert "Chain 2: " in said.stderr and "Chain 1: " not in said.stderr
    pictures = [pixels(folder) for folder in folders]
    assert {one.shape for one in pictures} == {(2, 64, 64)}
    assert not np.array_equal(pictures[0], pictures[1]) and not np.array_equal(pictures[0], pictures[2])
    assert np.median(pictures[1][pictures[0] > 1000] / pictures[0][pictures[0] > 1000]) == pytest.approx(1, abs=0.05)
    assert_refused(run(*words), f"{folders[0]} is not empty")


def test_denoised_series_and_arrays(coiled, tmp_path, run):
    out = tmp_path / "out"
    words = ["reconstruct", coiled, out, "--noise-reduction", "0.75", "0.25", "--save-arrays", tmp_path / "a.npz"]
    said = run(*words)
    assert said.returncode == 0, said.stderr
    names = ["reconstructed", "denoised-25", "denoised-75"]
    assert said.stdout == "".join(f"{out / name}\n" for name in names)
    assert len({pixels(out / name).tobytes() for name in names}) == 3
    with np.load(tmp_path / "a.npz") as arrays:
        assert set(arrays) == {"image", "denoised_25", "denoised_75", "noise_std", "spacing_mm", "affine"}
        assert arrays["denoised_25"].shape == arrays["image"].shape


def test_one_chain_needs_no_folder_of_its_own(coiled, tmp_path, run):
    said = run("reconstruct", coiled, tmp_path / "out", "--chain", '{"undersampling": 2, "calibration_lines": 13}')
    assert said.stdout == f"{tmp_path / 'out' / 'reconstructed'}\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("undersampling: 9", "“undersampling” of the chain is 9. Write a whole number from 1 to 8."),
        ("undersample: 2", "The chain has the unknown entry “undersample”."),
        ("- undersampling", "is not a list of named entries"),
        ("{undersampling: ", "is neither YAML nor JSON"),
        ("apodization: mild", "trained on unfiltered images"),
        (None, "cannot be read"),
    ],
)
def test_a_wrong_chain_is_one_sentence(content, words, raw, tmp_path, run):
    path = tmp_path / "chain.yaml"
    if content is not None:
        path.write_text(content)
    said = run("reconstruct", raw, tmp_path / "out", "--noise-reduction", "0.5", "--chain", path)
    assert_refused(said, words)
    assert not (tmp_path / "out").exists()


def test_arrays_are_for_one_chain_and_the_matrix_has_its_least(raw, tmp_path, run):
    words = ["reconstruct", raw, tmp_path / "out"]
    assert_refused(run(*words, "--chain", "{}", "{}", "--save-arrays", tmp_path / "a.npz"), "saved for one chain")
    assert_refused(run(*words, "--chain", "{}", "{}"), "same chain is asked for twice")
    assert_refused(run(*words, "--stored-matrix", 32, 32), "is smaller than the acquired one of 48 x 40")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_said_before_the_work(raw, tmp_path, run):
    (tmp_path / "file").write_text("")
    for words in ([raw, tmp_path / "file" / "out"], [raw, tmp_path / "out", "--save-arrays", tmp_path / "file/a.npz"]):
        assert_refused(run("reconstruct", *words), "is a file. Name a folder.")
    assert tree(tmp_path) == {"file"}


def can_mount() -> bool:
    """Whether this machine lets us make a small disk in a name space of our own."""
    script = "mount -t tmpfs -o size=64k none /mnt"
    return subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True).returncode == 0


@pytest.mark.parametrize("full", ["out", "arrays"])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(full, raw, tmp_path):
    if not can_mount():
        pytest.skip("this machine does not let a user mount a small disk")
    disk = tmp_path / "disk"
    disk.mkdir()
    # 11 kB of DICOM do not fit on 8 kB, 70 kB of arrays not on 16 kB.
    size, out = ("8k", disk / "out") if full == "out" else ("16k", tmp_path / "out")
    words = ["reconstruct", raw, out, *(["--save-arrays", disk / "arrays.npz"] if full == "arrays" else [])]
    script = 'mount -t tmpfs -o size=$1 none "$2" && shift 2 && "$@"; echo "exit $?"; find "$0" -mindepth 1'
    said = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script, disk, size, disk, sys.executable, "-m", "recon_worker", *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert said.stdout == "exit 1\n"
    assert said.stderr == "The disk is full. Free some space, then start again.\n"
    assert tree(tmp_path) == {"disk"}


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["reconstruct"],
        ["reconstruct", "only-one"],
        ["simulate", "out"],
        ["nonsense"],
        ["simulate", "out", "--subjects", "0"],
        ["simulate", "out", "--subjects", "1", "--size", "huge"],
        ["reconstruct", "a", "b", "--noise-reduction", "1.5"],
    ],
)
def test_wrong_usage_is_two(words, tmp_path, run):
    said = run(*words)
    assert said.returncode == 2
    assert "usage: python -m recon_worker" in said.stderr


@pytest.mark.parametrize("name", ["simulate", "inspect", "reconstruct"])
def test_every_command_explains_itself(name, run):
    said = run(name, "--help")
    assert said.returncode == 0
    assert "Exit status: 0 done; 1 failed" in said.stdout


def test_a_terminal_gets_a_bar(raw, tmp_path):
    reader, writer = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "recon_worker", "reconstruct", raw, tmp_path / "out"],
        stderr=writer,
        stdout=subprocess.DEVNULL,
        cwd=ROOT,
    )
    os.close(writer)
    shown = b""
    while True:
        try:
            piece = os.read(reader, 4096)
        except OSError:  # the terminal's other end has gone
            break
        if not piece:
            break
        shown += piece
    os.close(reader)
    assert process.wait() == 0
    assert b"reconstructing slices" in shown and b"[###" in shown and b"100 %" in shown


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_command_that_is_stopped_leaves_nothing(number, large, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "recon_worker", "reconstruct", large, tmp_path / "out"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        # A shell's background job ignores Ctrl-C, and so would what it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    wait_for(lambda: "libtorch_python" in Path(f"/proc/{process.pid}/maps").read_text(), seconds=60)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said == "Stopped; nothing was written.\n"
    assert tree(tmp_path) == set()


@pytest.mark.skipif(not (SHARED / "twix_gre_skyra.dat").exists(), reason="the shared scanner data are not here")
def test_a_real_scanners_file_becomes_a_series(tmp_path):
    said = command("reconstruct", SHARED / "twix_gre_skyra.dat", tmp_path / "out")
    assert said.returncode == 0, said.stderr
    (path,) = (tmp_path / "out/reconstructed").iterdir()
    picture = pydicom.dcmread(path).pixel_array
    assert picture.shape == (160, 160)
    # A disc of water fills the middle; the corners hold air.
    assert picture[30:70, 60:120].mean() > 8 * picture[:12, :12].mean()
