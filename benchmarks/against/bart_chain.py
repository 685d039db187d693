"""The cheapest chain in BART: whiten, caldir, matched filter, one slice after the other.

BART gets its own file of samples, already sorted (no conversion is counted), keeps what lies between its commands in
memory (a folder on tmpfs where there is one), averages and crops first, and computes its whitening matrix once.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from against.acquisition import CALIBRATION
from against.child import finish, read_task, start_clock

SHARED_MEMORY = Path("/dev/shm")
READ, PHASE, COIL, AVERAGE = 1, 2, 8, 1024
"""Bit masks of BART's axes."""
SLICE_AXIS = 13


def main() -> None:
    """Reconstruct one acquisition."""
    task = read_task()
    environment = {**os.environ, "OMP_NUM_THREADS": str(task.threads)}

    def bart(*arguments: object) -> None:
        words = ["bart", *(str(argument) for argument in arguments)]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, env=environment)

    extents = [int(word) for word in task.files.kspace.with_suffix(".hdr").read_text().split("\n")[1].split()]
    samples, rows, averages, slices = (extents[axis] for axis in (0, 1, 10, 13))
    columns = samples // 2
    images = []
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None) as name:
        place = Path(name)
        clock = start_clock()
        for number in range(slices):
            bart("slice", SLICE_AXIS, number, task.files.kspace, place / "lines")
            if averages > 1:
                bart("avg", AVERAGE, place / "lines", place / "mean")
            bart("fft", "-iu", READ, place / ("mean" if averages > 1 else "lines"), place / "wide")
            bart("resize", "-c", 0, columns, place / "wide", place / "hybrid")
            if number == 0:
                bart("whiten", "-n", place / "hybrid", task.files.noise, place / "white", place / "matrix")
                bart("extract", 0, 0, 8, task.files.noise, place / "few")
            else:
                bart("whiten", "-o", place / "matrix", place / "hybrid", place / "few", place / "white")
            bart("fft", "-u", READ, place / "white", place / "kspace")
            bart("caldir", CALIBRATION, place / "kspace", place / "maps")
            bart("fft", "-iu", PHASE, place / "white", place / "images")
            bart("fmac", "-C", "-s", COIL, place / "images", place / "maps", place / "image")
            images.append(np.fromfile(place / "image.cfl", np.complex64).reshape(rows, columns))
        finish(clock, task, np.stack(images))


if __name__ == "__main__":
    main()
