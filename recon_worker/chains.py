"""What becomes of one raw file: a reconstruction for every chain that is asked for, and its denoised versions.

One volume at a time: each is handed over as soon as it is made and forgotten here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from recon_worker.data import ChainChoice, InputFault, ReconstructionFault, Volume, chain_choice
from recon_worker.rawdata.open import open_kspace
from recon_worker.reconstruction.chain import Reconstruction, reconstruct
from recon_worker.reconstruction.interpolation import apodization_step, apodize

Report = Callable[[str, float], None]
"""Called with a stage in words and the fraction of the whole job that is done, 0..1."""

RECONSTRUCTED = "reconstructed"

CHAIN_STAGES = {"measuring the noise": (0.05, 0.15), "reconstructing slices": (0.15, 1.0)}
"""Where the chain's stages, each of which counts from 0 to 1, lie in the whole."""
DENOISING_PART = 0.4
"""Of the time of a chain that a network follows."""

SUMMARY_FIELDS = (
    "format",
    "image_matrix",
    "n_slices",
    "n_coils",
    "n_averages",
    "field_of_view_mm",
    "slice_spacing_mm",
    "partial_fourier",
    "lines_acquired",
    "remarks",
)
SUMMARY_TIMES = ("echo_time_ms", "repetition_time_ms")
"""In the summary where the file tells them: they tell a raw file of another sequence with the same matrix."""


@dataclass(frozen=True)
class Chain:
    """One chain and the noise reductions that are asked of it; 0 is the reconstruction itself."""

    choice: ChainChoice
    noise_reduction: tuple[float, ...] = (0.0,)

    @property
    def factors(self) -> tuple[float, ...]:
        """The noise reductions that need the network, ascending."""
        return tuple(sorted(factor for factor in self.noise_reduction if factor > 0))


@dataclass(frozen=True)
class MadeVolume:
    """A volume and which it is.

    Attributes
    ----------
    chain
        Index of its chain in the list that was asked for.
    noise_reduction
        As it was asked for.
    reached
        What the network could take; None for the reconstruction itself.
    """

    chain: int
    noise_reduction: float
    volume: Volume
    reached: float | None = None

    @property
    def name(self) -> str:
        """`reconstructed`, or `denoised-25` for a noise reduction of 0.25."""
        return f"denoised-{100 * self.noise_reduction:g}" if self.noise_reduction else RECONSTRUCTED


@dataclass(frozen=True)
class Described:
    """What is said of one raw file and its chains.

    Attributes
    ----------
    summary
        As in the event "done"; its remarks hold for every chain.
    remarks
        For each chain the sentences that hold for it alone.
    lineage
        For each chain its choice, its noise reductions, and every step with its parameters.
    """

    summary: dict[str, Any]
    remarks: list[list[str]]
    lineage: list[dict[str, Any]]


def chains_of(entries: Sequence[dict[str, Any]]) -> list[Chain]:
    """The chains of an acquisition work order. Raises InputFault where a choice is not possible."""
    return [
        Chain(chain_choice(entry["chain"]), tuple(map(float, entry["noise_reduction"]))) for entry in entries
    ]  # fmt: skip


def check_chains(chains: Sequence[Chain]) -> None:
    """Refuse before the work begins what could not be done at its end.

    Raises
    ------
    InputFault
        If a filter is asked for before the network, or a chain is asked for twice.
    ReconstructionFault
        If the network is not there.
    """
    for chain in chains:
        if chain.factors and chain.choice.apodization != "none":
            raise InputFault(
                "The chain asks for apodization and for noise reduction: the network was trained on unfiltered images.",
                "Leave one of them out.",
            )
    if len({chain.choice for chain in chains}) < len(chains):
        raise InputFault("The same chain is asked for twice.", "Name it once, with all its noise reductions.")
    if any(chain.factors for chain in chains):
        _check_network()


def reconstruct_chains(
    path: Path, chains: Sequence[Chain], *, take: Callable[[MadeVolume], None], report: Report
) -> Described:
    """Reconstruct a raw file with every chain and hand each volume to `take`.

    The file's samples are read once for each chain: to hold them would take gigabytes.

    Raises
    ------
    InputFault
        The file is at fault, or the choice of chain does not suit it.
    ReconstructionFault
        We are.
    """
    check_chains(chains)
    report("reading", 0.0)
    kspace = open_kspace(path)
    device = compute_device()
    remarks: list[list[str]] = []
    described: list[dict[str, Any]] = []
    for index, chain in enumerate(chains):
        before = f"chain {index + 1} of {len(chains)}: " if len(chains) > 1 else ""
        say = _named(before, part(report, index / len(chains), (index + 1) / len(chains)))
        share = 1 - DENOISING_PART if chain.factors else 1.0
        result = reconstruct(kspace, choice=chain.choice, progress=_whole(part(say, 0.0, share)), device=device)
        volume = _apodized(result, chain.choice)
        entry: dict[str, Any] = {
            "chain": chain.choice.as_json(),
            "noise_reduction": list(chain.noise_reduction),
            "reconstruction": {**_with_apodization(result, chain.choice), "device": device},
        }
        if 0 in chain.noise_reduction:
            take(MadeVolume(index, 0.0, volume))
        if chain.factors:
            entry["denoising"] = _denoise(index, result, chain, take, part(say, share, 1.0), device)
        remarks.append(_remarks(result))
        described.append(entry)
        del result, volume
    summary = {name: kspace.summary[name] for name in SUMMARY_FIELDS}
    shared = [sentence for sentence in remarks[0] if all(sentence in others for others in remarks[1:])]
    summary["remarks"] = [*summary["remarks"], *shared]
    timing = kspace.summary.get("timing", {})
    summary |= {name: timing[name] for name in SUMMARY_TIMES if timing.get(name, 0) > 0}
    own = [[sentence for sentence in of_chain if sentence not in shared] for of_chain in remarks]
    return Described(summary, own, described)


def _named(before: str, report: Report) -> Report:
    return lambda stage, fraction: report(f"{before}{stage}", fraction)


def _whole(report: Report) -> Report:
    """The chain's progress, stage by stage, as progress of the whole."""

    def progress(stage: str, fraction: float) -> None:
        first, last = CHAIN_STAGES.get(stage, (0.15, 1.0))
        report(stage, first + (last - first) * fraction)

    return progress


def _apodized(result: Reconstruction, choice: ChainChoice) -> Volume:
    return apodize(result.volume, choice.apodization, line_noise=result.line_noise)


def _with_apodization(result: Reconstruction, choice: ChainChoice) -> dict[str, Any]:
    """The chain's lineage with the step that follows it, where one is chosen."""
    if choice.apodization == "none":
        return result.lineage
    _, rows, columns = result.volume.array.shape
    step = apodization_step((columns, rows), choice.apodization, result.line_noise)
    return {**result.lineage, "steps": [*result.lineage["steps"], step]}


def _remarks(result: Reconstruction) -> list[str]:
    return list(dict.fromkeys(result.remarks))


def _denoise(
    index: int,
    result: Reconstruction,
    chain: Chain,
    take: Callable[[MadeVolume], None],
    report: Report,
    device: str,
) -> dict[str, Any]:
    """Hand over the denoised versions of one reconstruction; returns the network's own lineage."""
    from recon_worker.denoising.colour import line_noise
    from recon_worker.denoising.denoise import denoise

    if result.volume.noise_std is None:
        raise ReconstructionFault(
            "This chain gives no noise map, and noise is reduced by a part of what is known.",
            "Choose a chain with a noise map, or no noise reduction.",
        )
    colour = line_noise(result.lineage)
    denoised = denoise(result.volume, chain.factors, line_noise=colour, progress=report, device=device)
    for factor in chain.factors:
        take(MadeVolume(index, factor, denoised.volumes.pop(factor), denoised.reached[factor]))
    return denoised.lineage


def _check_network() -> None:
    """Refuse before the work begins where the network is not there, or is not the one of its card."""
    from recon_worker.denoising.weights import load_weights

    load_weights(device=compute_device())


def compute_device() -> str:
    """Where the chain computes: `READERSTUDY_DEVICE`, else the GPU if there is one ("cuda"), else "cpu"."""
    return os.environ.get("READERSTUDY_DEVICE") or ("cuda" if torch.cuda.is_available() else "cpu")


def part(report: Report, first: float, last: float) -> Report:
    """Progress of a part as progress of the whole."""
    return lambda stage, fraction: report(stage, first + (last - first) * min(max(fraction, 0.0), 1.0))
