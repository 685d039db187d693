"""The floor: what no implementation on this machine can avoid, measured kernel by kernel on data of this size.

Reading every byte once (warm cache), the Fourier transforms and the matrix products; nothing is shifted, copied,
checked or kept in between, and all buffers are warm.
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
REPEATS = 3


def main() -> None:
    """Print seconds a series: reading, fourier, matrix."""
    task = read_task()
    torch.set_num_threads(task.threads)
    extents = [int(word) for word in task.files.kspace.with_suffix(".hdr").read_text().split("\n")[1].split()]
    samples, rows, coils, slices = (extents[axis] for axis in (0, 1, 3, 13))
    columns = samples // 2
    lines = torch.randn(coils, rows, samples, dtype=torch.complex64)
    hybrid, out = torch.randn(coils, rows * columns, dtype=torch.complex64), torch.empty(coils, rows * columns).cfloat()
    wide, image = torch.empty_like(lines), torch.empty(coils, rows, columns).cfloat()
    matrix = torch.randn(coils, coils, dtype=torch.complex64)
    kernels: dict[str, Callable[[], object]] = {
        "readout transform": lambda: torch.fft.ifft(lines, dim=2, out=wide),
        "whitening": lambda: torch.matmul(matrix, hybrid, out=out),
        "phase-encode transform of the coil images": lambda: torch.fft.ifft(out.view(image.shape), dim=1, out=image),
        "phase-encode transform of the maps": lambda: torch.fft.ifft(out.view(image.shape), dim=1, out=image),
        "combination": lambda: torch.linalg.vecdot(out, hybrid, dim=0),
    }
    with torch.inference_mode():
        seconds = {name: slices * _best(kernel) for name, kernel in kernels.items()}
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
