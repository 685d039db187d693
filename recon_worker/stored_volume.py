"""Complex volumes as files: between the jobs, and for whoever asks the command line for the arrays."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recon_worker.data import ReconstructionFault, Volume


@dataclass(frozen=True)
class StoredVolume:
    """A volume as an acquisition job stored it, and how much noise was taken from it (0..1)."""

    volume: Volume
    noise_reduction: float


def save_volume(path: Path, volume: Volume, *, noise_reduction: float) -> None:
    """Write a complex volume as `npz` in the layout of docs/contracts/README.md (equal volumes give equal bytes)."""
    arrays: dict[str, Any] = {
        "image": volume.array.astype(np.complex64, copy=False),
        **_noise(volume),
        "affine": volume.affine,
        "slice_thickness_mm": np.float64(volume.slice_thickness_mm),
        "noise_reduction": np.float64(noise_reduction),
    }
    with path.open("wb") as file:
        np.savez(file, **arrays)


def load_volume(path: Path) -> StoredVolume:
    """Read what `save_volume` wrote."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            volume = Volume(
                array=arrays["image"],
                affine=arrays["affine"],
                slice_thickness_mm=float(arrays["slice_thickness_mm"]),
                noise_std=arrays.get("noise_std"),
            )
            return StoredVolume(volume, float(arrays["noise_reduction"]))
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ReconstructionFault(f"The stored volume {path.name} cannot be read ({error}).") from error


def write_arrays(path: Path, volume: Volume, denoised: Mapping[str, Volume] | None = None) -> None:
    """Write the arrays of `reconstruct --save-arrays` as `npz`: image, denoised_25 ..., noise_std, spacing_mm,
    affine."""
    arrays: dict[str, Any] = {
        "image": volume.array,
        **{name: one.array for name, one in (denoised or {}).items()},
        **_noise(volume),
        "spacing_mm": np.array(volume.spacing_mm),
        "affine": volume.affine,
    }
    with path.open("wb") as file:
        np.savez(file, **arrays)


def _noise(volume: Volume) -> dict[str, npt.NDArray[np.float32]]:
    """The noise map, where the chain knows it."""
    return {} if volume.noise_std is None else {"noise_std": volume.noise_std}
