"""What the chain did, step by step with every parameter, and what of it the coordinator should read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recon_worker.data import ChainChoice, KSpaceHeader
from recon_worker.reconstruction import (
    coils,
    compressed_sensing,
    echo_phase,
    espirit,
    grappa,
    noise,
    replicas,
    sense,
)
from recon_worker.reconstruction.echo_phase import MISSING_LINES
from recon_worker.reconstruction.noise import NoiseModel
from recon_worker.reconstruction.partial_fourier import describe
from recon_worker.reconstruction.slice_chain import MIN_CALIBRATION_REACH, MIN_RECOVERED, SliceResult
from recon_worker.reconstruction.undersampling import Dropped

CHAIN = "conventional"
CHAIN_VERSION = 4


def remarks(
    told: Sequence[SliceResult], choice: ChainChoice, dropped: Dropped | None = None
) -> tuple[str, ...]:
    """Sentences on what was done, for the coordinator only."""
    told_once = [dropped.remark(choice)] if dropped else []
    if choice.echo_phase_correction:
        told_once += _echo_phase_remark(told)
    unfolded = [result for result in told if result.unfolding]
    if not unfolded:
        return tuple(told_once)
    first = unfolded[0]
    if first.unfolding and first.unfolding.remark:
        return (*told_once, first.unfolding.remark)
    step, covered = _unfolding_step(unfolded), first.coverage
    return (
        *told_once,
        f"Undersampled: {covered.missing} of {covered.run_length} lines were filled in from the coil sensitivities "
        f"(SENSE), with {step['g_factor_median']:.2f} times the noise that the shorter scan alone brings; the coils "
        f"determine {100 * step['missing_lines_determined']:.0f} % of what these lines hold.",
    )


def lineage(
    header: KSpaceHeader,
    choice: ChainChoice,
    model: NoiseModel,
    channels: int,
    told: Sequence[SliceResult],
    dropped: Dropped | None = None,
) -> dict[str, Any]:
    """Name, version, choice and steps of the chain; plain JSON types."""
    unfolded = [result for result in told if result.unfolding]
    return {
        "chain": CHAIN,
        "version": CHAIN_VERSION,
        "choice": choice.as_json(),
        "steps": [
            *([dropped.as_json(choice)] if dropped else []),
            {
                "step": "noise whitening",
                "method": "Cholesky factor of the noise covariance",
                "source": model.source,
                "samples": model.samples,
                "bandwidth_ratio": header.noise_bandwidth_ratio if model.source == "noise scan" else 1.0,
                "coils": header.n_coils,
                "channels": channels,
                **noise.parameters(),
            },
            _averaging_step(told),
            {
                "step": "readout oversampling removal",
                "samples": header.encoded_matrix[0],
                "columns": header.image_matrix[0],
            },
            *([_echo_phase_step(told)] if choice.echo_phase_correction else []),
            *_compression_step(told, channels),
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


def _echo_phase_step(told: Sequence[SliceResult]) -> dict[str, Any]:
    found = [result.echo_phases for result in told]
    measured = [each for each in found if each and each.borders]
    step: dict[str, Any] = {
        "step": "echo phase correction",
        "method": "odd against even echoes: lines beside the border of two echoes, predicted from the other one",
        "slices_corrected": sum(1 for each in found if each and not each.reason),
        **echo_phase.parameters(),
    }
    if measured:
        step |= {
            "centre_echo": measured[0].centre_echo,
            "radian": "phase of every second echo against the centre's, for each slice; slope across the image",
            "constant_taken_off": [each.constant for each in measured],
            "slope_taken_off": [each.slope for each in measured],
            "constant_measured": [each.measured[0] for each in measured],
            "constant_deviation": [each.deviation[0] for each in measured],
            "slope_measured": [each.measured[1] for each in measured],
            "slope_deviation": [each.deviation[1] for each in measured],
            "borders": [each.borders for each in measured],
        }
    return step


def _echo_phase_remark(told: Sequence[SliceResult]) -> list[str]:
    """Why echo phases were corrected in no slice; nothing if they were in one."""
    reasons = [result.echo_phases.reason if result.echo_phases else MISSING_LINES for result in told]
    if not reasons or not all(reasons):
        return []
    return [f"Echo phases were not corrected: {max(reasons, key=reasons.count)}."]


def _compression_step(told: Sequence[SliceResult], channels: int) -> list[dict[str, Any]]:
    found = [result.compression for result in told if result.compression]
    if not found:
        return []
    return [
        {
            "step": "coil compression",
            "method": "principal components of each slice's whitened calibration block",
            "channels": channels,
            "virtual_coils": found[0].matrix.shape[0],
            "signal_energy_kept": {
                "least": min(each.energy_kept for each in found),
                "most": max(each.energy_kept for each in found),
            },
        }
    ]


def _combination_step(told: Sequence[SliceResult]) -> dict[str, Any]:
    first = told[0].calibration
    step = {
        "step": "coil combination",
        "method": "matched filter; maps: windowed central block over its root sum of squares, coarser in air",
        "calibration": first.source,
        "calibration_steps": 2 * first.steps + 1,
        "calibration_samples": 2 * int(first.samples) + 1,
        "maps": coils.parameters(),
    }
    found = [result.espirit for result in told if result.espirit]
    if found:
        step |= {
            "method": "matched filter; maps: ESPIRiT, where it finds no signal those of the windowed central block",
            "espirit": espirit.parameters(),
            "virtual_coils_of_subspace": found[0].virtual_coils,
            "subspace": {"least": min(each.subspace for each in found), "most": max(each.subspace for each in found)},
            "part_supported": float(np.mean([each.part_supported for each in found])),
        }
    return step


def _unfolding_step(unfolded: Sequence[SliceResult]) -> dict[str, Any]:
    first = unfolded[0].coverage
    details = [result.unfolding for result in unfolded if result.unfolding]
    missing = [result.coverage.missing for result in unfolded]
    common: dict[str, Any] = {
        "step": "unfolding",
        "slices": len(unfolded),
        "widest_step": first.widest_step,
        "reduction_factor": first.run_length / (first.run_length - first.missing),
        "lines_missing": {"least": min(missing), "most": max(missing)},
    }
    common |= _constants(details[0].method)
    if details[0].method != "SENSE":
        return {**common, **_over_slices([each.numbers for each in details])}
    strengths = [each.numbers["regularisation"] for each in details]
    return {
        **common,
        "method": "SENSE: regularised least squares, solved directly for every image column",
        "iterations": 0,
        "regularisation": {"least": min(strengths), "most": max(strengths)},
        "regularisation_unit": "noise power over signal power of a pixel, median where the image is well seen",
        "g_factor_median": float(np.median([each.numbers["g_factor"] for each in details])),
        "missing_lines_determined": min(each.numbers["recovered"] for each in details),
    }


def _constants(method: str) -> dict[str, Any]:
    """Of a way to fill missing lines in, and what every one of them needs."""
    needed = {"fewest_calibration_lines": 2 * MIN_CALIBRATION_REACH + 1}
    if method == "GRAPPA":
        return {**needed, **grappa.parameters()}
    if method == "L1-wavelet":
        return {**needed, **compressed_sensing.parameters(), **replicas.parameters()}
    return {**needed, "least_part_determined": MIN_RECOVERED, **sense.parameters()}


def _over_slices(numbers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What is told of a method's slices."""
    return {name: _least_and_most([each[name] for each in numbers]) for name in numbers[0]}


def _partial_fourier_step(told: Sequence[SliceResult], choice: ChainChoice) -> dict[str, Any]:
    covered = [result.coverage for result in told]
    along = [result.noise_levels[1] / result.noise_levels[0] for result in told if result.noise_levels[0] > 0]
    return {
        "step": "partial Fourier",
        **describe(choice.partial_fourier, any(each.partial_fourier for each in covered)),
        "lines_acquired": _least_and_most([int(np.count_nonzero(each.counts)) for each in covered]),
        "lines_of_run": _least_and_most([each.run_length for each in covered]),
        "lines_beyond_centre": _least_and_most([each.symmetric for each in covered]),
        "missing_side": max(each.missing_side for each in covered),
        "noise_level": _least_and_most([result.noise_levels[0] for result in told]),
        "noise_level_along_phase": _least_and_most([result.noise_levels[1] for result in told]),
        "noise_along_phase_over_mean": float(np.median(along)) if along else 1.0,
    }


def _least_and_most(values: Sequence[Any]) -> Any:
    """What is the same in all slices once; else the least and the most."""
    alike = all(each == values[0] for each in values)
    return values[0] if alike else {"least": min(values), "most": max(values)}
