"""24 slices of 352 x 224 with 25, 50 and 75 % of the noise removed, beside BM3D and non-local means, in one run.

Bars: under 20 s on two free cores, memory under 1.5 GB, at most a tenth of BM3D's time a slice; exit code 1 where one
is missed. Seconds of a machine that does something else besides say nothing: CPU seconds are printed beside them.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from recon_worker.data import Volume
from recon_worker.denoising.denoise import denoise
from recon_worker.denoising.weights import load_weights
from recon_worker.training.peers import block_matching, non_local_means

SLICES, ROWS, COLUMNS = 24, 224, 352
SIGMA = 0.05
SECONDS_BAR, MEMORY_BAR_MB, PEER_SHARE_BAR = 20.0, 1500.0, 0.1


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far, in MB (not that of the process that started it)."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else float("nan")


def main() -> int:
    """Print seconds (wall and CPU), memory and ratios; 1 where a bar is missed."""
    import torch  # after recon_worker, which says how its threads wait

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=SLICES)
    chosen = parser.parse_args()
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:ROWS, :COLUMNS]
    truth = (0.5 + 0.3 * (np.sin(x / 9) * np.cos(y / 13) > 0) + 0.1 * np.sin(x / 40)).astype(np.float32)
    noise = rng.standard_normal((chosen.slices, ROWS, COLUMNS, 2), dtype=np.float32).view(np.complex64)[..., 0]
    array = (truth + np.float32(SIGMA) * noise).astype(np.complex64)
    volume = Volume(array, np.eye(4), 1.0, np.full(array.shape, SIGMA, dtype=np.float32))
    load_weights()
    before = peak_memory_mb()
    wall, cpu = time.perf_counter(), time.process_time()
    denoise(volume, [0.25, 0.5, 0.75])
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = peak_memory_mb()
    print(f"this network, {chosen.slices} slices, three factors, {torch.get_num_threads()} threads:")
    print(f"  {wall:.1f} s wall, {cpu:.1f} CPU s; memory {peak:.0f} MB at most, {peak - before:.0f} MB of it here")
    ours = cpu / chosen.slices
    shares = {}
    for name, method in (("BM3D", block_matching), ("non-local means", non_local_means)):
        begun = time.process_time()
        method(np.ascontiguousarray(array[0].real), SIGMA)
        seconds = time.process_time() - begun
        shares[name] = ours / seconds
        print(f"  {name}: {seconds:.2f} CPU s a slice; this network takes {ours / seconds:.3f} of it")
    met = {
        f"under {SECONDS_BAR:g} s": wall < SECONDS_BAR,
        f"under {MEMORY_BAR_MB:g} MB": peak < MEMORY_BAR_MB,
        f"at most {PEER_SHARE_BAR:g} of BM3D's time": shares["BM3D"] <= PEER_SHARE_BAR,
    }
    print("  " + "; ".join(f"{bar}: {'yes' if reached else 'NO'}" for bar, reached in met.items()))
    if torch.cuda.is_available():
        first = denoise(volume, [0.75], device="cpu").volumes[0.75].array
        wall = time.perf_counter()
        second = denoise(volume, [0.75], device="cuda").volumes[0.75].array
        difference = np.abs(first - second).max() / np.abs(first).max()
        print(f"  GPU: {time.perf_counter() - wall:.1f} s, largest relative difference to the CPU {difference:.1e}")
    return 0 if all(met.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
