"""What a study may choose of the reconstruction chain. The defaults are the paper's chain.

The same choice is written in an arm of a study ("Fast, SENSE 2"), in a work order and in the lineage: plain names and
values, described in `docs/contracts/chain-choice.schema.json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from recon_worker.data.faults import InputFault

ParallelImaging = Literal["SENSE", "GRAPPA", "L1-wavelet"]
Pattern = Literal["regular", "variable density"]
CoilMaps = Literal["calibration block", "ESPIRiT"]
PartialFourier = Literal["POCS", "homodyne", "zero filling"]
Apodization = Literal["none", "mild"]

LARGEST_UNDERSAMPLING = 8
MOST_CALIBRATION_LINES = 64
FEWEST_CALIBRATION_LINES = 13
"""What coil sensitivities need, in any step of the lines: six on both sides of the centre."""
FEWEST_VIRTUAL_COILS = 4
MOST_VIRTUAL_COILS = 128


@dataclass(frozen=True)
class ChainChoice:
    """One chain.

    Attributes
    ----------
    undersampling
        Keep every n-th phase-encode line of the file and drop the others before anything is computed from them: what
        the scan would have given in about an n-th of its time. 1 keeps the file as it is; a file that was acquired
        undersampled is filled in whatever stands here.
    pattern
        Which lines are kept: every n-th, or a random choice, denser in the centre (for L1-wavelet).
    calibration_lines
        Lines in the centre of k-space that are kept all the same.
    parallel_imaging
        How missing lines between the outermost ones are filled in.
    coil_maps
        Coil sensitivities from the windowed calibration block, or by ESPIRiT.
    virtual_coils
        Compress the coils to so many (after whitening); None keeps all.
    echo_phase_correction
        Remove the phase by which odd and even echoes of the train differ, measured at all borders between their bands
        of lines. Needs all lines: not together with undersampling.
    partial_fourier
        How the lines of the missing side are filled in.
    wavelet_strength
        Threshold of L1-wavelet, in units of the noise's standard deviation; 0.5 had the least error on the simulator.
    apodization
        "mild" lowers truncation ringing at the cost of sharpness. Only where no network follows.
    """

    undersampling: int = 1
    pattern: Pattern = "regular"
    calibration_lines: int = 24
    parallel_imaging: ParallelImaging = "SENSE"
    coil_maps: CoilMaps = "calibration block"
    virtual_coils: int | None = None
    echo_phase_correction: bool = False
    partial_fourier: PartialFourier = "POCS"
    wavelet_strength: float = 0.5
    apodization: Apodization = "none"

    def as_json(self) -> dict[str, Any]:
        """Every choice by name, plain JSON types."""
        return asdict(self)

    @property
    def is_linear(self) -> bool:
        """Whether the noise of the result is known without replicas."""
        return self.parallel_imaging != "L1-wavelet"


_CHOICES: dict[str, tuple[Any, ...]] = {
    "pattern": get_args(Pattern),
    "parallel_imaging": get_args(ParallelImaging),
    "coil_maps": get_args(CoilMaps),
    "partial_fourier": get_args(PartialFourier),
    "apodization": get_args(Apodization),
}
_RANGES: dict[str, tuple[int, int]] = {
    "undersampling": (1, LARGEST_UNDERSAMPLING),
    "calibration_lines": (FEWEST_CALIBRATION_LINES, MOST_CALIBRATION_LINES),
    "virtual_coils": (FEWEST_VIRTUAL_COILS, MOST_VIRTUAL_COILS),
}


def chain_choice(content: Mapping[str, Any]) -> ChainChoice:
    """The choice that `content` describes; what it leaves out is the default.

    Raises
    ------
    InputFault
        In one sentence, if a name is unknown or a value is not possible.
    """
    known = [field.name for field in fields(ChainChoice)]
    for name, value in content.items():
        if name not in known:
            raise InputFault(f"The chain has the unknown entry “{name}”.", f"Known are {', '.join(known)}.")
        if name in _CHOICES and value not in _CHOICES[name]:
            raise InputFault(
                f"“{name}” of the chain cannot be “{value}”.", f"Choose one of {', '.join(_CHOICES[name])}."
            )
        if name in _RANGES and not (value is None and name == "virtual_coils"):
            least, most = _RANGES[name]
            if type(value) is not int or not least <= value <= most:
                raise InputFault(f"“{name}” of the chain is {value}.", f"Write a whole number from {least} to {most}.")
        if name == "echo_phase_correction" and not isinstance(value, bool):
            raise InputFault(f"“{name}” of the chain is neither true nor false.", "Write true or false.")
        if name == "wavelet_strength" and (
            isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 10
        ):
            raise InputFault(f"“{name}” of the chain is {value}.", "Write a number above 0, at most 10.")
    choice = ChainChoice(**content)
    if choice.pattern == "variable density" and choice.parallel_imaging == "GRAPPA":
        raise InputFault(
            "GRAPPA fills in regular gaps only, and the chain's pattern is “variable density”.",
            "Choose the regular pattern, or SENSE or L1-wavelet.",
        )
    if choice.undersampling > 1 and choice.echo_phase_correction:
        raise InputFault(
            "Echo phase correction needs all lines, and the chain drops lines on purpose.",
            "Choose one of the two.",
        )
    return choice
