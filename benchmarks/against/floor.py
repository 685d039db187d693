"""The floor: what no implementation on this machine can avoid, measured kernel by kernel on data of this size.

Reading every byte once (warm cache), the Fourier transforms and the matrix products, each in the fastest form found:
whole slices in memory, buffers warm, a few coils at a time, nothing shifted, copied or checked. Kernels are measured on
one core and divided by the number of threads, as if they shared the work without loss.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from against.child import read_task

BUFFER = 8 * 2**20
REPEATS = 5
COILS_AT_ONCE = 4


def main() -> None:
    """Print seconds a series: reading, fourier, matrix."""
    task = read_task()
    torch.set_num_threads(1)
    extents = [int(word) for word in task.files.kspace.with_suffix(".hdr").read_text().split("\n")[1].split()]
    samples, rows, coils, slices = (extents[axis] for axis in (0, 1, 3, 13))
    columns = samples // 2
    lines = torch.randn(coils, rows, samples, dtype=torch.complex64).split(COILS_AT_ONCE)
    images = torch.randn(coils, columns * rows, dtype=torch.complex64)
    out = torch.empty_like(images)
    matrix = torch.randn(coils, coils, dtype=torch.complex64)

    def combine() -> None:
        total = torch.zeros_like(images[0])
        for image, one in zip(images, out, strict=True):
            total.addcmul_(image, one)

    def along_phase() -> None:
        torch.fft.ifft(images.view(coils, columns, rows), dim=2)

    kernels: dict[str, Callable[[], object]] = {
        "readout transform": lambda: [torch.fft.ifft(some, dim=2) for some in lines],
        "whitening": lambda: torch.matmul(matrix, images, out=out),
        "phase-encode transform of coil images": along_phase,
        "phase-encode transform of maps": along_phase,
        "combination": combine,
    }
    with torch.inference_mode():
        seconds = {name: slices * _best(kernel) / task.threads for name, kernel in kernels.items()}
    print(json.dumps({"reading": _best(lambda: _read(task.files.raw)), **seconds}))


def _best(kernel: Callable[[], object]) -> float:
    found = []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        kernel()
        found.append(time.perf_counter() - begin)
    return min(found)


def _read(path: Path) -> None:
    buffer = np.empty(BUFFER, dtype=np.uint8)
    with path.open("rb", buffering=0) as file:
        while file.readinto(memoryview(buffer)):
            pass


if __name__ == "__main__":
    main()
