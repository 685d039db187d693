"""Cost of this project's chain against slices, coils and averages, as a picture and a table."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np

from against.acquisition import Size, write_acquisition
from against.running import run_child

mpl.use("Agg")
from matplotlib import pyplot as plt

BASE = Size(slices=8, coils=16, averages=1)
SERIES: dict[str, tuple[int, ...]] = {"slices": (2, 4, 8, 16), "coils": (4, 8, 16, 32), "averages": (1, 2, 3, 4)}
PICTURE = "reconstruction-cost.svg"


def draw_cost(folder: Path, pictures: Path, *, runs: int, threads: int) -> None:
    """Measure and draw; prints the table."""
    measured: dict[Size, tuple[float, float]] = {}
    print("| slices | coils | NEX | MB of samples | best CPU s | peak MB |\n|---|---|---|---|---|---|")
    for name, values in SERIES.items():
        for value in values:
            size = replace(BASE, **{name: value})
            if size not in measured:
                measured[size] = _measure(folder, size, runs, threads)
                seconds, peak = measured[size]
                print(
                    f"| {size.slices} | {size.coils} | {size.averages} | {size.megabytes:,.0f} | {seconds:.2f} "
                    f"| {peak:,.0f} |",
                    flush=True,
                )
    figure, axes = plt.subplots(1, len(SERIES), figsize=(9, 2.8), sharey=True, layout="constrained")
    for axis, (name, values) in zip(axes, SERIES.items(), strict=True):
        seconds = [measured[replace(BASE, **{name: value})][0] for value in values]
        axis.plot(values, seconds, "o-", color="#2f5d62", linewidth=1.5, markersize=4)
        axis.set_xlabel("averages (NEX)" if name == "averages" else name)
        axis.set_xticks(values)
        axis.set_xlim(0, max(values) * 1.08)
        axis.grid(alpha=0.3)
        slope = np.polyfit(values, seconds, 1)[0]
        axis.set_title(f"{1000 * slope:.0f} ms for one more", fontsize=9)
    axes[0].set_ylim(bottom=0)
    axes[0].set_ylabel("processor seconds")
    pictures.mkdir(parents=True, exist_ok=True)
    figure.savefig(pictures / PICTURE, metadata={"Date": None})


def _measure(folder: Path, size: Size, runs: int, threads: int) -> tuple[float, float]:
    folder.mkdir(parents=True, exist_ok=True)
    files = write_acquisition(folder, size, lambda done: None)
    measured = [run_child("against.ours", files, threads) for _ in range(runs)]
    shutil.rmtree(folder)
    return min(printed["cpu_seconds"] for printed, _ in measured), max(peak for _, peak in measured)
