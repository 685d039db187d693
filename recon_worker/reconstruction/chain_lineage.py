"""What the chain did, step by step with every parameter, and what of it the coordinator should read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recon_worker.data import ChainChoice, KSpaceHeader
from recon_worker.reconstruction.noise import NoiseModel
from recon_worker.reconstruction.partial_fourier import describe
from recon_worker.reconstruction.slice_chain import SliceResult

CHAIN = "conventional"
CHAIN_VERSION = 3


def remarks(told: Sequence[SliceResult], choice: ChainChoice) -> tuple[str, ...]:
    """Sentences on what was done, for the coordinator only."""
    unfolded = [result for result in told if result.unfolding]
    if not unfolded:
        return ()
    step, first = _unfolding_step(unfolded), unfolded[0].coverage
    return (
        f"Undersampled: {first.missing} of {first.run_length} lines were filled in from the coil sensitivities "
        f"(SENSE), with {step['g_factor_median']:.2f} times the noise that the shorter scan alone brings; the coils "
        f"determine {100 * step['missing_lines_determined']:.0f} % of what these lines hold.",
    )


def lineage(
    header: KSpaceHeader, choice: ChainChoice, model: NoiseModel, channels: int, told: Sequence[SliceResult]
) -> dict[str, Any]:
    """Name, version, choice and steps of the chain; plain JSON types."""
    unfolded = [result for result in told if result.unfolding]
    return {
        "chain": CHAIN,
        "version": CHAIN_VERSION,
        "choice": choice.as_json(),
        "steps": [
            {
                "step": "noise whitening",
                "method": "Cholesky factor of the noise covariance",
                "source": model.source,
                "samples": model.samples,
                "bandwidth_ratio": header.noise_bandwidth_ratio if model.source == "noise scan" else 1.0,
                "coils": header.n_coils,
                "channels": channels,
            },
            _averaging_step(told),
            {
                "step": "readout oversampling removal",
                "samples": header.encoded_matrix[0],
                "columns": header.image_matrix[0],
            },
            _combination_step(told),
            *([_unfolding_step(unfolded)] if unfolded else []),
            _partial_fourier_step(told, choice),
            {
                "step": "phase oversampling removal",
                "encoded_rows": header.encoded_matrix[1],
                "rows": header.image_matrix[1],
            },
        ],
    }


def _averaging_step(told: Sequence[SliceResult]) -> dict[str, Any]:
    counts = np.concatenate([result.coverage.counts[result.coverage.counts > 0] for result in told])
    return {
        "step": "averaging",
        "method": "complex mean of each line by its own count",
        "averages_per_line": {"least": int(counts.min()), "most": int(counts.max())},
    }


def _combination_step(told: Sequence[SliceResult]) -> dict[str, Any]:
    return {
        "step": "coil combination",
        "method": "matched filter; maps: windowed central block over its root sum of squares, coarser in air",
        "calibration": told[0].calibration.source,
        "calibration_steps": 2 * told[0].calibration.steps + 1,
    }


def _unfolding_step(unfolded: Sequence[SliceResult]) -> dict[str, Any]:
    first = unfolded[0].coverage
    details = [result.unfolding for result in unfolded if result.unfolding]
    missing = [result.coverage.missing for result in unfolded]
    strengths = [each.regularisation for each in details]
    return {
        "step": "unfolding",
        "method": "SENSE: regularised least squares, solved directly for every image column",
        "iterations": 0,
        "slices": len(unfolded),
        "widest_step": first.widest_step,
        "reduction_factor": first.run_length / (first.run_length - first.missing),
        "lines_missing": {"least": min(missing), "most": max(missing)},
        "regularisation": {"least": min(strengths), "most": max(strengths)},
        "regularisation_unit": "noise power of a sample acquired once",
        "g_factor_median": float(np.median([each.g_factor for each in details])),
        "missing_lines_determined": min(each.recovered for each in details),
    }


def _partial_fourier_step(told: Sequence[SliceResult], choice: ChainChoice) -> dict[str, Any]:
    partial = any(result.coverage.partial_fourier for result in told)
    first = told[0].coverage
    return {
        "step": "partial Fourier",
        **describe(choice.partial_fourier, partial),
        "lines_acquired": int(np.count_nonzero(first.counts)),
        "lines_beyond_centre": first.symmetric,
        "noise_level": told[0].noise_levels[0],
        "noise_level_along_phase": told[0].noise_levels[1],
    }
