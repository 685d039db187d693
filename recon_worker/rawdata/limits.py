"""What an acquisition may declare before anything is allocated for it.

Headers of raw files are untrusted: a few bytes can declare terabytes. Every number that sizes an array is checked
here first. The limits lie far above any clinical spine protocol (paper: 32 coils, 352 x 224, 84 slices).
"""

from __future__ import annotations

from recon_worker.data import InputFault

MAX_LINES = 500_000
"""Readouts in one file."""
MAX_SAMPLES = 8192
"""Samples of one readout, oversampling included."""
MAX_PHASE_ENCODES = 4096
MAX_COILS = 256
MAX_SLICES = 2048
MAX_AVERAGES = 128
MAX_SLICE_BYTES = 3 * 1024**3
"""Samples of one slice (all averages and coils) in memory."""
MAX_HEADER_BYTES = 64 * 1024**2

_LIMITS = {
    "lines": MAX_LINES,
    "readout samples": MAX_SAMPLES,
    "phase-encode steps": MAX_PHASE_ENCODES,
    "receive coils": MAX_COILS,
    "slices": MAX_SLICES,
    "averages": MAX_AVERAGES,
}


def check_extent(name: str, value: int, *, smallest: int = 1) -> int:
    """`value` if it is a plausible number of `name` (a key of the table above).

    Raises
    ------
    InputFault
        If it is below `smallest` or above the limit.
    """
    if value < smallest:
        raise InputFault(
            f"The file declares {value} {name}.",
            "Check that the export from the scanner finished, or choose another file.",
        )
    if value > _LIMITS[name]:
        raise InputFault(
            f"The file declares {value:,} {name}; at most {_LIMITS[name]:,} are taken.",
            "It is probably damaged; copy it from the scanner again.",
        )
    return value


def check_slice_size(*, averages: int, coils: int, phase_encodes: int, samples: int) -> None:
    """Refuse a slice whose complex64 samples would not fit the worker's memory.

    Raises
    ------
    InputFault
        If averages x coils x phase encodes x samples x 8 bytes exceed `MAX_SLICE_BYTES`.
    """
    size = averages * coils * phase_encodes * samples * 8
    if size > MAX_SLICE_BYTES:
        raise InputFault(
            f"One slice of this file would need {size / 1024**3:.1f} GB of memory "
            f"({averages} averages, {coils} coils, {phase_encodes} x {samples} samples); "
            f"at most {MAX_SLICE_BYTES / 1024**3:.0f} GB are taken.",
            "Check the protocol, or ask for a worker with more memory.",
        )
