"""The readouts of a raw file that cannot be reconstructed, counted by an allow-list of kinds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from recon_worker.data import InputFault


class UnsuitableAcquisition(InputFault):
    """The refusal of a file whose headers could be read; `contents` are plain JSON types without any patient field."""

    def __init__(self, fault: InputFault, contents: dict[str, Any]) -> None:
        super().__init__(fault.what, fault.action)
        self.contents = contents


def count_readouts(
    kinds: Mapping[str, npt.NDArray[np.bool_]],
    counters: Mapping[str, npt.NDArray[np.integer]],
    *,
    coils: npt.NDArray[np.integer],
    samples: npt.NDArray[np.integer],
) -> dict[str, Any]:
    """How many readouts there are of each kind, and how far the imaging ones count.

    Parameters
    ----------
    kinds
        By kind ("imaging", "phase correction", ...): `[readout]`, which ones are.
    counters
        By name ("lines", "slices", ...): `[readout]`, the number of each.
    coils, samples
        `[readout]`.
    """
    imaging = kinds["imaging"]
    shown = imaging if imaging.any() else np.ones_like(imaging)
    return {
        "readouts": {"all": len(imaging), **{kind: int(which.sum()) for kind, which in kinds.items()}},
        "counters": {name: len(np.unique(values[shown])) for name, values in counters.items()},
        "n_coils": sorted({int(value) for value in coils[shown]})[:8],
        "samples": sorted({int(value) for value in samples[shown]})[:8],
    }
