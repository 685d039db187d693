"""CPU seconds of the coil maps of one slice, of the calibration block and by ESPIRiT, beside BART's `ecalib`.

python -m benchmarks.coil_maps
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from recon_worker.reconstruction.coil_compression import centre_of_readout
from recon_worker.reconstruction.coils import coil_maps
from recon_worker.reconstruction.espirit import MOST_STEPS, espirit_maps
from recon_worker.reconstruction.fourier import to_kspace

COILS, ROWS, COLUMNS = 32, 224, 352


def _slice() -> torch.Tensor:
    """`[channel, ky, column]` whitened k-space of a disc seen by coils around it, in noise."""
    y, x = np.meshgrid(np.linspace(-1, 1, ROWS), np.linspace(-1, 1, COLUMNS), indexing="ij")
    disc = ((x**2 + y**2) < 0.7) * (1 + 0.3 * np.cos(9 * x) * np.cos(7 * y))
    angle = 2 * np.pi * np.arange(COILS)[:, None, None] / COILS
    distance = (x - 1.2 * np.cos(angle)) ** 2 + (y - 1.2 * np.sin(angle)) ** 2
    images = 200 * disc * np.exp(-distance + 1j * (angle + x * np.sin(angle)))
    random = np.random.default_rng(1)
    images = images + random.standard_normal(images.shape) + 1j * random.standard_normal(images.shape)
    return to_kspace(torch.from_numpy(images.astype(np.complex64)), 1)


def main() -> None:
    """Print one line each."""
    torch.set_num_threads(1)
    hybrid, centre = _slice(), ROWS // 2
    began = time.process_time()
    maps = coil_maps(hybrid, ky_centre=centre, half_width_steps=16, half_width_samples=16.0)
    print(f"calibration block: {time.process_time() - began:.2f} CPU s")
    began = time.process_time()
    block = to_kspace(hybrid[:, centre - MOST_STEPS : centre + MOST_STEPS + 1], 2)
    espirit_maps(centre_of_readout(block, MOST_STEPS), maps)
    print(f"ESPIRiT, from these: {time.process_time() - began:.2f} CPU s")
    if shutil.which("bart") is None:
        print("BART is not installed (Debian package bart).")
        return
    with tempfile.TemporaryDirectory() as folder:
        samples = to_kspace(hybrid, 2).numpy().transpose(2, 1, 0)[:, :, None, :]
        Path(folder, "k.hdr").write_text(f"# Dimensions\n{COLUMNS} {ROWS} 1 {COILS}\n")
        samples.ravel(order="F").tofile(Path(folder, "k.cfl"))
        subprocess.run(["bart", "ecalib", "-m1", "-r25", "k", "maps"], cwd=folder, check=True, capture_output=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"bart ecalib -m1 -r25: {used.ru_utime + used.ru_stime:.2f} CPU s")


if __name__ == "__main__":
    main()
