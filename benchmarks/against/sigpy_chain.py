"""The same chain in sigpy: mean, readout transform and crop, whitening, calibration-block maps, matched filter.

sigpy's own map estimators (ESPIRiT, J-SENSE) take minutes a series, so its user's cheapest way is taken: the windowed
calibration block over its root sum of squares, out of sigpy's transforms. The samples come from BART's file, already
sorted, without any conversion being counted.
"""

from __future__ import annotations

import numpy as np
import sigpy
import sigpy.mri

from against.acquisition import CALIBRATION
from against.child import Task, finish, read_task, start_clock


def _extents(task: Task) -> list[int]:
    return [int(word) for word in task.files.kspace.with_suffix(".hdr").read_text().split("\n")[1].split()]


def main() -> None:
    """Reconstruct one acquisition."""
    task = read_task()
    clock = start_clock()
    extents = _extents(task)
    samples, rows, coils, averages, slices = (extents[axis] for axis in (0, 1, 3, 10, 13))
    noise = np.fromfile(task.files.noise.with_suffix(".cfl"), np.complex64).reshape(coils, -1)
    covariance = sigpy.mri.get_cov(noise)
    columns = samples // 2
    window = np.outer(_window(rows), _window(columns))
    images = []
    with task.files.kspace.with_suffix(".cfl").open("rb") as file:
        for _ in range(slices):
            read = np.fromfile(file, np.complex64, averages * coils * rows * samples)
            lines = read.reshape(averages, coils, rows, samples).mean(axis=0)
            hybrid = sigpy.resize(sigpy.ifft(lines, axes=(-1,)), (coils, rows, columns))
            white = sigpy.mri.whiten(hybrid, covariance).astype(np.complex64)
            kspace = sigpy.fft(white, axes=(-1,))
            low = sigpy.ifft(kspace * window, axes=(-2, -1))
            maps = low / np.sqrt((np.abs(low) ** 2).sum(axis=0))
            images.append((maps.conj() * sigpy.ifft(white, axes=(-2,))).sum(axis=0))
    finish(clock, task, np.stack(images))


def _window(length: int) -> np.ndarray:
    distance = np.abs(np.arange(length) - length // 2) / ((CALIBRATION + 1) / 2)
    return (0.5 * (1 + np.cos(np.pi * np.minimum(distance, 1)))).astype(np.float32)


if __name__ == "__main__":
    main()
