"""From the raw file to the complex combined image: this project beside BART and sigpy, and the distance to the floor.

    python benchmarks/reconstruction.py             the comparison, 24 slices of 352 x 224, 32 coils, NEX 1 and 2
    python benchmarks/reconstruction.py --plot      cost against slices, coils and averages, into docs/pictures/
    python benchmarks/reconstruction.py --quick     a small acquisition, once: does the script still run

Every contender runs in a process of its own on the same number of threads, in turn, with its file in the cache. Seconds
count from the opened file to the image in memory, without imports. Quote ratios of one run: machines differ.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import statistics
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE), str(ROOT)]

from against.acquisition import Files, Size, measure_error, write_acquisition  # noqa: E402
from against.running import run_child  # noqa: E402

OURS = "this project"
MEMORY_BOUND_MB = 1500
TIMES_FASTER, TIMES_FLOOR = 3.0, 2.0


@dataclass
class Contender:
    """One implementation and what was measured of it, a value a run."""

    name: str
    module: str
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    peak_mb: float = 0.0
    error: float = float("nan")


def contenders() -> list[Contender]:
    """This project, and those of the peers that are installed."""
    found = [Contender(OURS, "against.ours")]
    if shutil.which("bart"):
        found.append(Contender("BART", "against.bart_chain"))
    else:
        print("BART is not installed (Debian package bart): left out.")
    if importlib.util.find_spec("sigpy"):
        found.append(Contender("sigpy", "against.sigpy_chain"))
    else:
        print("sigpy is not installed (requirements-bench.txt): left out.")
    return found


def measure(contender: Contender, files: Files, threads: int) -> None:
    """One run."""
    import numpy as np

    printed, peak = run_child(contender.module, files, threads)
    contender.seconds.append(printed["seconds"])
    contender.cpu_seconds.append(printed["cpu_seconds"])
    contender.peak_mb = max(contender.peak_mb, peak)
    contender.error = measure_error(np.load(files.folder / "image.npy"), files)


def compare(folder: Path, size: Size, *, runs: int, threads: int, judge: bool = True) -> bool:
    """Measure all contenders in turn, print the table; whether the bar is met (always, where none is judged)."""
    print(
        f"\n{size.columns} x {size.rows} x {size.slices} slices, {size.coils} coils, readout oversampled twice, "
        f"NEX {size.averages}: {size.megabytes:,.0f} MB of samples; {threads} threads, {runs} runs in turn\n"
    )
    files = Files(folder) if Files(folder).truth.exists() else write(folder, size)
    found = contenders()
    floors = []
    for number in range(runs):
        show(number / runs, "measuring")
        for contender in found:
            measure(contender, files, threads)
        floors.append(run_child("against.floor", files, threads)[0])
    show(1.0, "measuring")
    floor = {name: min(each[name] for each in floors) for name in floors[0]}
    print("| | best s | median s | best CPU s | peak MB | error | slower than ours (best) |")
    print("|---|---|---|---|---|---|---|")
    ours = found[0]
    for each in found:
        print(
            f"| {each.name} | {min(each.seconds):.2f} | {statistics.median(each.seconds):.2f} "
            f"| {min(each.cpu_seconds):.2f} | {each.peak_mb:,.0f} | {each.error:.4f} "
            f"| {min(each.seconds) / min(ours.seconds):.1f} |"
        )
    return not judge or verdict(ours, found[1:], floor)


def verdict(ours: Contender, peers: list[Contender], floor: dict[str, float]) -> bool:
    """Print the floor and whether the bar is met."""
    total, best = sum(floor.values()), min(ours.seconds)
    print(f"\nFloor {total:.2f} s: " + ", ".join(f"{name} {seconds:.2f}" for name, seconds in floor.items()))
    print(f"Distance to the floor: {best / total:.1f} times")
    fast = best <= TIMES_FLOOR * total
    if peers:
        peer = min(peers, key=lambda each: min(each.seconds))
        times = min(peer.seconds) / best
        fast = fast or times >= TIMES_FASTER
        print(f"Fastest peer: {peer.name}, {times:.1f} times slower")
    accurate = all(ours.error <= 1.005 * each.error for each in peers)
    small = ours.peak_mb < MEMORY_BOUND_MB
    print(
        f"At least {TIMES_FASTER:g} times faster or within {TIMES_FLOOR:g} of the floor: {_word(fast)}; "
        f"error not above theirs: {_word(accurate)}; under {MEMORY_BOUND_MB:,} MB: {_word(small)}"
    )
    return fast and accurate and small


def _word(met: bool) -> str:
    return "yes" if met else "NO"


def write(folder: Path, size: Size) -> Files:
    """The acquisition, with a progress bar."""
    folder.mkdir(parents=True, exist_ok=True)
    return write_acquisition(folder, size, lambda done: show(done, "writing the acquisition"))


def show(done: float, what: str) -> None:
    """A progress bar on standard error, on a terminal."""
    if sys.stderr.isatty():
        print(f"\r{what} [{'#' * round(30 * done):30}]", end="\n" if done >= 1 else "", file=sys.stderr, flush=True)


def main() -> int:
    """Exit code 1 if the bar is not met in the full comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small acquisition, one run; judges nothing")
    parser.add_argument("--plot", action="store_true", help="cost against slices, coils and averages, as a picture")
    parser.add_argument("--runs", type=int, default=3, help="runs of each contender (default 3)")
    parser.add_argument("--threads", type=int, default=2, help="threads of every contender (default 2)")
    parser.add_argument("--averages", type=int, nargs="+", default=[1, 2], help="NEX to measure (default 1 2)")
    parser.add_argument("--keep", type=Path, help="folder for the acquisitions (4 GB and 2 GB), used again next time")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reconstruction-benchmark-") as name:
        folder = given.keep or Path(name)
        if given.quick:
            size = Size(slices=2, coils=8, averages=2, columns=96, rows=80)
            compare(folder / "quick", size, runs=1, threads=given.threads, judge=False)
            return 0
        if given.plot:
            from against.cost import draw_cost

            draw_cost(folder / "cost", ROOT / "docs" / "pictures", runs=given.runs, threads=given.threads)
            return 0
        met = True
        for averages in given.averages:
            place = folder / f"nex{averages}"
            met &= compare(place, Size(averages=averages), runs=given.runs, threads=given.threads)
            if not given.keep:
                shutil.rmtree(place)
        return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
