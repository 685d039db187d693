"""Errors of SENSE, GRAPPA and L1-wavelet on the simulated spine, lines left out of a fully sampled acquisition.

    python -m benchmarks.parallel_imaging [OUT] [--size small|full] [--sequence "SAG T2 FS"] [--strength 0.25 0.5 1 2]

Prints the error to the truth in and around the column (root mean square over that of the truth, after one scale) and
writes a picture of each method beside the truth and its difference to OUT.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import ndimage

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from recon_worker.phantom.anatomy import draw_subject
from recon_worker.phantom.protocol import scan_of
from recon_worker.phantom.scanner import set_up
from recon_worker.phantom.simulate import write_sequence
from recon_worker.rawdata.open import open_kspace
from recon_worker.reconstruction.averaging import Coverage, average_lines
from recon_worker.reconstruction.coils import coil_maps, combine
from recon_worker.reconstruction.compressed_sensing import compressed_sensing
from recon_worker.reconstruction.fourier import crop_centre, to_image
from recon_worker.reconstruction.grappa import grappa
from recon_worker.reconstruction.noise import noise_from_scan, whitening_matrix
from recon_worker.reconstruction.sense import regularisation, unfold

REACH = 12
"""Lines on both sides of the centre that are kept."""


def regular(rows: int, every: int) -> np.ndarray:
    """`[ky]`: every n-th line and the block."""
    lines = np.zeros(rows, dtype=bool)
    lines[(rows // 2) % every :: every] = True
    lines[rows // 2 - REACH : rows // 2 + REACH + 1] = True
    return lines


def variable_density(rows: int, like: np.ndarray) -> np.ndarray:
    """`[ky]`: as many lines as `like`, the same block, the others at random and denser in the middle."""
    distance = np.abs(np.arange(rows) - rows // 2)
    lines = distance <= REACH
    chance = np.where(lines, 0, (1 - distance / (rows / 2 + 1)) ** 1.5)
    chosen = np.random.default_rng(1).choice(
        rows, int(like.sum() - lines.sum()), replace=False, p=chance / chance.sum()
    )
    lines[chosen] = True
    return lines


def white_slice(path: Path, index: int) -> torch.Tensor:
    """`[channel, ky, column]` of one slice."""
    kspace = open_kspace(path)
    model = noise_from_scan(kspace.header)
    if model is None:
        raise SystemExit("The simulated file has no noise scan.")
    piece = next(each for each in kspace.slices() if each.index == index)
    lines = average_lines(torch.from_numpy(piece.data), torch.from_numpy(np.ascontiguousarray(piece.acquired)))
    hybrid = crop_centre(to_image(lines, 2), 2, kspace.header.image_matrix[0])
    return torch.tensordot(torch.from_numpy(whitening_matrix(model.covariance)), hybrid, dims=1)


def error(image: np.ndarray, truth: np.ndarray, body: np.ndarray) -> tuple[float, np.ndarray]:
    """The error in the body, and `image` in the scale of the truth."""
    shown, true = np.abs(image), np.abs(truth)
    scaled = shown * (shown * true)[body].sum() / (shown**2)[body].sum()
    return float(np.linalg.norm((scaled - true)[body]) / np.linalg.norm(true[body])), scaled


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", default=Path("test-output/parallel-imaging"))
    parser.add_argument("--size", default="small")
    parser.add_argument("--sequence", default="SAG T2 FS")
    parser.add_argument("--strength", type=float, nargs="+", default=[0.5, 1.0, 2.0])
    options = parser.parse_args()
    torch.set_num_threads(1)
    folder = options.out / f"{options.sequence} {options.size}".lower().replace(" ", "-")
    if not (folder / "truth.npz").exists():
        folder.mkdir(parents=True, exist_ok=True)
        scan = scan_of(options.sequence, protocol="MSK", size=options.size)
        write_sequence(folder, set_up(draw_subject(5, 1), scan, seed=5, number=1, motion=0.0), 5, 1, lambda done: None)
    truth = np.load(folder / "truth.npz")
    index = truth["image"].shape[0] // 2
    shown = np.abs(truth["image"][index]) * truth["sensitivity"][index]
    # Around the column; at the rim of an axial field of view the truth folds the belly onto the back.
    body = ndimage.binary_dilation((truth["bodies"][index] > 0) | (truth["discs"][index] > 0), np.ones((9, 9), bool))
    hybrid = white_slice(folder / "standard.h5", index)
    with torch.inference_mode():
        compare(hybrid, shown, body, options.strength, folder)


def solvers(
    kept: torch.Tensor, maps: torch.Tensor, covered: Coverage, strengths: list[float]
) -> dict[str, Callable[[], torch.Tensor]]:
    """The methods by name."""
    methods = {
        "SENSE": lambda: unfold(kept, maps, covered, regularisation(kept, maps, covered)).image,
        "GRAPPA": lambda: grappa(kept, kept, maps, covered).image,
    }
    for each in strengths:
        methods[f"L1-wavelet {each:g}"] = lambda each=each: compressed_sensing(kept, maps, covered, each).image
    return methods


def compare(hybrid: torch.Tensor, truth: np.ndarray, body: np.ndarray, strengths: list[float], folder: Path) -> None:
    """Print one line a method and write the pictures."""
    rows = hybrid.shape[1]
    maps = coil_maps(hybrid, ky_centre=rows // 2, half_width_steps=REACH, half_width_samples=REACH)
    full = combine(to_image(hybrid, 1), maps).numpy()
    print(f"all {rows} lines: {error(full, truth, body)[0]:.4f}")
    for every in (2, 3, 4):
        for name in ("regular", "variable density"):
            lines = regular(rows, every)
            lines = lines if name == "regular" else variable_density(rows, lines)
            steps = np.flatnonzero(lines)
            covered = Coverage(lines.astype(np.int64), int(steps[0]), int(steps[-1]), rows // 2)
            methods = solvers(hybrid * torch.from_numpy(lines)[:, None], maps, covered, strengths)
            if name != "regular":
                del methods["GRAPPA"]
            print(f"reduction {every}, {name}, {int(lines.sum())} of {rows} lines")
            panels = [np.concatenate([truth, np.zeros_like(truth)])]
            for method, solve in methods.items():
                began = time.process_time()
                image = solve().numpy()
                seconds = time.process_time() - began
                wrong, scaled = error(image, truth, body)
                print(f"    {method:16s} {wrong:.4f}   {seconds:.2f} CPU s")
                panels.append(np.concatenate([scaled, 2 * np.abs(scaled - truth)]))
            # Root of the brightness: with surface coils most of the body is dark.
            picture = np.clip(np.concatenate(panels, axis=1) / np.quantile(truth, 0.995), 0, 1) ** 0.5
            drawn = Image.fromarray((255 * picture).astype(np.uint8))
            drawn = drawn.resize((2 * drawn.width, 2 * drawn.height))
            drawn.save(folder / f"{every}-{name.replace(' ', '-')}.png")


if __name__ == "__main__":
    main()
