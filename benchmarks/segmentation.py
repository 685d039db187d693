"""24 slices of 352 x 224 with both networks and all measurements; the V-Net beside a plain U-Net of the same size.

Bars: a whole simulated series, from magnitude to named and measured structures, in under 15 s on two free cores; exit
code 1 where it is missed. The U-Net (Ronneberger 2015, two convolutions of kernel 3 with batch norm and ReLU a level,
max pooling, no residuals) has the width that brings its parameters nearest to the V-Net's (both are printed), random
numbers for weights, and the same input; only its time says anything. Seconds of a machine that does something else
besides say nothing: CPU seconds are printed beside them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from recon_worker.data import Volume
from recon_worker.phantom.simulate import simulate_acquisition
from recon_worker.rawdata.open import open_kspace
from recon_worker.reconstruction.chain import reconstruct
from recon_worker.segmentation.network import VNet, parameters
from recon_worker.segmentation.probabilities import probabilities
from recon_worker.segmentation.segment import segment
from recon_worker.segmentation.weights import load_weights

import torch  # isort: skip  after recon_worker, which says how its threads wait

SLICES, ROWS, COLUMNS = 24, 352, 224
SECONDS_BAR = 15.0
SEED = 2026


class PlainUNet(torch.nn.Module):
    """The peer: `[batch, plane, row, column]` to logits `[batch, 1, row, column]`; sides are multiples of 16."""

    def __init__(self, width: int, planes: int) -> None:
        super().__init__()
        channels = [width * 2**level for level in range(5)]
        self.encoder = torch.nn.ModuleList(
            self._stage(inputs, outputs) for inputs, outputs in pairwise([planes, *channels])
        )
        self.up = torch.nn.ModuleList(
            torch.nn.ConvTranspose2d(coarse, fine, 2, 2) for fine, coarse in pairwise(channels)
        )
        self.decoder = torch.nn.ModuleList(self._stage(2 * fine, fine) for fine in channels[:-1])
        self.last = torch.nn.Conv2d(channels[0], 1, 1)

    @staticmethod
    def _stage(inputs: int, outputs: int) -> torch.nn.Sequential:
        parts: list[torch.nn.Module] = []
        for count in (inputs, outputs):
            convolution = torch.nn.Conv2d(count, outputs, 3, padding=1, bias=False)
            parts += [convolution, torch.nn.BatchNorm2d(outputs), torch.nn.ReLU()]
        return torch.nn.Sequential(*parts)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Logits."""
        kept, features = [], image
        for level, stage in enumerate(self.encoder):
            features = stage(features if level == 0 else torch.nn.functional.max_pool2d(features, 2))
            kept.append(features)
        for level in reversed(range(len(self.up))):
            features = self.decoder[level](torch.cat([self.up[level](features), kept[level]], dim=1))
        logits: torch.Tensor = self.last(features)
        return logits


def peer_of_size(count: int, planes: int) -> PlainUNet:
    """The plain U-Net whose number of parameters is nearest to `count`."""
    return min((PlainUNet(width, planes) for width in range(4, 40)), key=lambda one: abs(parameters(one) - count))


def simulated_series(slices: int) -> Volume:
    """Magnitude `[slice, row, column]` of a small simulated sagittal T1 scan, interpolated to the paper's matrix."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan.h5"
        simulate_acquisition(path, sequence="SAG T1", acquisition="Standard", seed=SEED, size="small", coils=(2, 1))
        found = reconstruct(open_kspace(path)).volume
    image = torch.from_numpy(np.abs(found.array))
    size = (slices, ROWS, COLUMNS)
    whole = torch.nn.functional.interpolate(image[None, None], size, mode="trilinear", align_corners=False)[0, 0]
    affine = found.affine.copy()
    for axis, (before, after) in enumerate(zip(found.array.shape, size, strict=True)):
        affine[:, axis] *= before / after
    return Volume(whole.numpy(), affine, found.slice_thickness_mm)


def timed(call: object) -> tuple[float, float]:
    """Wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()  # type: ignore[operator]
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> int:
    """Print seconds and the ratio to the peer; 1 where the bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=SLICES)
    chosen = parser.parse_args()
    series = simulated_series(chosen.slices)
    ready = load_weights("bodies")
    discs = load_weights("discs")
    found = segment(series)
    measured = [one for one in found.structures if one.measures]
    runs = [timed(lambda: segment(series)) for _ in range(3)]
    wall, cpu = min(runs)
    print(f"both networks and all measurements, {series.array.shape}, {torch.get_num_threads()} threads:")
    print(f"  {wall:.1f} s wall, {cpu:.1f} CPU s; {len(found.structures)} structures, {len(measured)} measured")
    networks, _ = min(timed(lambda: [probabilities(series, one) for one in (ready, discs)]) for _ in range(2))
    print(f"  the two networks alone: {networks:.1f} s")

    planes = ready.network.architecture.planes
    peer = peer_of_size(parameters(ready.network), planes).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    image = torch.randn(4, planes, 256, 256).contiguous(memory_format=torch.channels_last)

    def run(network: torch.nn.Module) -> tuple[float, float]:
        with torch.inference_mode():
            return timed(lambda: network(image))

    vnet: VNet = ready.network
    pairs = [(run(vnet)[1], run(peer)[1]) for _ in range(8)][2:]
    ours, theirs = (float(np.median(times)) for times in zip(*pairs, strict=True))
    print(f"  V-Net, {parameters(vnet):,} parameters: {1000 * ours / 4:.0f} CPU ms a slice of 256 x 256")
    print(
        f"  plain U-Net, {parameters(peer):,} parameters: {1000 * theirs / 4:.0f} CPU ms; "
        f"the V-Net takes {ours / theirs:.2f} of it"
    )
    met = wall < SECONDS_BAR
    print(f"  under {SECONDS_BAR:g} s: {'yes' if met else 'NO'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
