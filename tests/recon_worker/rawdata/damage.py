"""Damaged copies of every raw format, read one after the other in a process with little memory.

    python -m tests.recon_worker.rawdata.damage FOLDER FIRST_SEED COPIES [FORMAT ...]

Prints JSON: for each format how many copies were read, how many refused, the longest CPU time of one and everything
that ended otherwise than in an image or a sentence. A copy that hangs HDF5 hangs this process: `FOLDER/current` names
it.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from recon_worker.data import InputFault
from recon_worker.rawdata.inspection import inspect_file
from recon_worker.rawdata.open import open_kspace
from tests.recon_worker.formats import FORMATS, write_format

MEMORY_BYTES = 1024**3
"""What reading a copy may allocate beyond the imports; the files themselves are below a megabyte."""


def damaged(whole: bytes, random: np.random.Generator) -> bytes:
    """A copy that is cut off, has single bits turned, bytes exchanged, or a piece twice; in the first part of the file
    (where headers lie) more often than behind."""
    data = bytearray(whole)
    kind = random.integers(0, 5)
    if kind == 0:
        return bytes(data[: int(random.integers(0, len(data)))])
    reach = len(data) if random.random() < 0.4 else min(len(data), 24_000)
    if kind == 1:
        for place in random.integers(0, reach, int(random.integers(1, 20))):
            data[place] ^= 1 << int(random.integers(0, 8))
    elif kind == 2:
        for place in random.integers(0, max(1, reach - 8), int(random.integers(1, 4))):
            pieces = (bytes(8), b"\xff" * 8, b"\xff" * 3 + b"\x7f" + bytes(4), random.bytes(8))
            data[place : place + 8] = pieces[int(random.integers(0, 4))]
    elif kind == 3:
        # A number of a text header becomes another one.
        digits = [i for i in random.integers(0, reach, 400) if 48 <= data[i] < 58][:3]
        for place in digits:
            data[place] = int(random.integers(45, 58))
    else:
        start, length = int(random.integers(0, reach)), int(random.integers(1, 2000))
        data[start:start] = data[start : start + length]
    return bytes(data)


def _read(path: Path) -> str:
    """What became of one copy: "read", "refused", or how else it ended."""
    try:
        for piece in open_kspace(path).slices():
            if not np.isfinite(piece.data[..., 0]).all():
                return "samples that are not numbers came out"
        inspect_file(path)
    except InputFault as fault:
        sentence = str(fault)
        is_sentence = sentence.endswith(".") and "\n" not in sentence and str(path.parent) not in sentence
        return "refused" if is_sentence and len(sentence) < 500 else f"no sentence: {sentence!r}"
    except BaseException:
        return traceback.format_exc()[-3000:]
    return "read"


def run(folder: Path, first_seed: int, copies: int, formats: list[str]) -> dict[str, Any]:
    """Read `copies` damaged copies of each format; see the module's description."""
    said: dict[str, Any] = {}
    for name in formats:
        home = folder / name
        home.mkdir(parents=True)
        original = write_format(home, name)
        files = [original] if name != "bart" else [original, original.with_suffix(".cfl")]
        contents = [file.read_bytes() for file in files]
        result: dict[str, Any] = {"read": 0, "refused": 0, "longest_s": 0.0, "others": []}
        for seed in range(first_seed, first_seed + copies):
            random = np.random.default_rng([seed, len(name)])
            which = int(random.integers(0, len(files)))
            for index, (file, content) in enumerate(zip(files, contents, strict=True)):
                file.write_bytes(damaged(content, random) if index == which else content)
            (folder / "current").write_text(f"{name} {seed}")
            began = time.process_time()
            end = _read(original)
            result["longest_s"] = max(result["longest_s"], round(time.process_time() - began, 3))
            if end in ("read", "refused"):
                result[end] += 1
            else:
                result["others"].append({"seed": seed, "end": end})
        said[name] = result
        shutil.rmtree(home)
    # Not ru_maxrss: that of a large parent is inherited when the process is started.
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    said["peak_bytes"] = int(peak.split()[1]) * 1024
    return said


def read_damaged_copies(folder: Path, *, first_seed: int, copies: int, timeout_s: float) -> dict[str, Any]:
    """`run` in a process of its own, whose memory is limited; a hang is an assertion that names the copy."""
    module = "tests.recon_worker.rawdata.damage"
    command = [sys.executable, "-m", module, str(folder), str(first_seed), str(copies)]
    root = Path(__file__).resolve().parents[3]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, cwd=root)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"Reading hangs at {(folder / 'current').read_text()}.") from None
    assert done.returncode == 0, f"{(folder / 'current').read_text()}: {done.stderr[-3000:]}"
    return dict(json.loads(done.stdout))


def main() -> None:
    folder, first_seed, copies = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    used = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (used + MEMORY_BYTES, used + MEMORY_BYTES))
    sys.stdout.write(json.dumps(run(folder, first_seed, copies, sys.argv[4:] or list(FORMATS))))


if __name__ == "__main__":
    main()
