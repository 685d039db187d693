"""The store: whole files or none, no path outside it, faults in words; the same on a local disk and on S3."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from recon_worker.store import SCRATCH, StorageFault, Store
from tests.recon_worker.object_storage import object_storage

HOLDS_SCRATCH = """
import sys, time
from recon_worker.store import Store
with Store(sys.argv[1]).scratch() as folder:
    (folder / "big").write_bytes(b"x")
    print("in", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    folder = tmp_path / "storage"
    folder.mkdir()
    return Store(folder.as_uri())


def source(tmp_path: Path, content: bytes = b"content") -> Path:
    path = tmp_path / "source"
    path.write_bytes(content)
    return path


def check_round_trip(store: Store, tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    stored, is_new = store.put(source(tmp_path, content), "work/one/file")
    assert is_new
    assert (stored.path, stored.bytes, stored.sha256) == (
        "work/one/file",
        len(content),
        hashlib.sha256(content).hexdigest(),
    )
    with store.open_read("work/one/file") as file:
        assert file.read() == content
    with store.local_copy("work/one/file") as path:
        assert path.read_bytes() == content
    assert store.size("work/one/file") == len(content)
    assert store.sha256("work/one/file") == stored.sha256

    again, is_new = store.put(source(tmp_path, content), "work/one/file")
    assert (again, is_new) == (stored, False)
    changed, is_new = store.put(source(tmp_path, b"other"), "work/one/file")
    assert is_new and changed.bytes == 5

    store.put(source(tmp_path), "work/two/deep/file")
    store.remove("work/one")
    store.remove("work/never there")
    assert not store.exists("work/one/file")
    assert store.exists("work/two/deep/file")
    store.remove_files(["work/two/deep/file"])
    assert not store.exists("work/two/deep/file")
    with pytest.raises(StorageFault):
        store.open_read("work/one/file")


def test_what_is_put_can_be_read_and_removed(store, tmp_path):
    check_round_trip(store, tmp_path)
    left = {path.name for path in (tmp_path / "storage").rglob("*")}
    assert left <= {SCRATCH, "work"}


def test_a_local_copy_of_a_local_file_is_the_file(store, tmp_path):
    store.put(source(tmp_path), "raw/file")
    with store.local_copy("raw/file") as path:
        assert path == tmp_path / "storage/raw/file"
    assert path.exists()


def test_a_file_of_another_disk_is_copied(store, tmp_path):
    elsewhere = Path("/dev/shm")
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system at /dev/shm")
    local = elsewhere / f"store-test-{os.getpid()}"
    local.write_bytes(b"content")
    try:
        stored, _ = store.put(local, "raw/file")
    finally:
        local.unlink(missing_ok=True)
    assert stored.bytes == 7 and (tmp_path / "storage/raw/file").read_bytes() == b"content"


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../b", "", "a\\b", "a\0b"])
def test_no_path_leads_out_of_the_store(store, path):
    for action in (store.open_read, store.exists, store.remove, store.sha256):
        with pytest.raises(ValueError):
            action(path)


def test_a_full_disk_is_one_sentence_and_leaves_nothing(store, tmp_path, monkeypatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)  # where a full disk shows itself at last
    with pytest.raises(StorageFault, match=r"^The disk is full\. Free some space, then start again\.$"):
        store.put(source(tmp_path), "work/file")
    assert [path.name for path in (tmp_path / "storage").rglob("*") if path.is_file()] == []


def test_scratch_of_a_killed_process_is_cleared_away_and_that_of_a_living_one_is_not(store, tmp_path):
    killed = subprocess.Popen(
        [sys.executable, "-c", HOLDS_SCRATCH, (tmp_path / "storage").as_uri()], stdout=subprocess.PIPE
    )
    assert killed.stdout is not None and killed.stdout.readline() == b"in\n"
    scratch = tmp_path / "storage" / SCRATCH
    with store.scratch() as mine:
        assert len(list(scratch.iterdir())) == 2
        killed.kill()
        killed.wait()
        killed.stdout.close()
        with store.scratch() as second:
            assert set(scratch.iterdir()) == {mine, second}
    assert list(scratch.iterdir()) == []


def test_another_kind_of_url_is_refused():
    with pytest.raises(StorageFault, match="file:///folder or s3://bucket/prefix"):
        Store("http://somewhere/else")


@pytest.mark.acceptance
def test_the_same_on_s3(tmp_path):
    with object_storage() as url:
        check_round_trip(Store(url), tmp_path)
