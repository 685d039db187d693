"""What a Siemens file holds: its software line, and the readouts of one that cannot be reconstructed."""

from __future__ import annotations

from typing import Any

from recon_worker.rawdata.contents import count_readouts
from recon_worker.rawdata.siemens_header import SiemensProtocol
from recon_worker.rawdata.siemens_readouts import NOT_IMAGING, Readouts, flag_bits

FORMAT = "siemens-twix"
KINDS = {"phase correction": "PHASCOR", "noise": "NOISEADJSCAN", "backwards": "REFLECT", "calibration": "PATREFSCAN"}
COUNTERS = {
    "lines": "Lin", "slices": "Sli", "averages": "Ave", "partitions": "Par", "echo_times": "Eco",
    "cardiac_phases": "Phs", "repetitions": "Rep", "sets": "Set",
}  # fmt: skip

UNCHECKED = {
    "VB": "A Siemens VB file: read by its open descriptions, which were not checked on a real VB file here; compare "
    "left and right and the position of the slices with the scanner's own images.",
    "XA": "A Siemens XA file: matrix and lengths come from the same header entries as in VE, places of the slices from "
    "the readouts; not checked on a real XA file here, so compare left and right and the position of the slices with "
    "the scanner's own images.",
}
"""What the coordinator is told of software lines of which no real file was at hand."""


def software_line(protocol: SiemensProtocol, readouts: Readouts) -> str:
    """"VB", "VD/VE" or "XA" (which keeps the layout of VE)."""
    if not readouts.is_ve:
        return "VB"
    return "XA" if protocol.numaris_x else "VD/VE"


def readout_contents(protocol: SiemensProtocol, readouts: Readouts, measurements: int) -> dict[str, Any]:
    """What a measurement holds that cannot be reconstructed; plain JSON types, no patient fields."""
    kinds = {"imaging": ~readouts.has(NOT_IMAGING)}
    kinds |= {kind: readouts.has(flag_bits(flag)) for kind, flag in KINDS.items()}
    heads = readouts.heads
    counters = {name: heads["Counter"][part] for name, part in COUNTERS.items()}
    return {
        "format": FORMAT,
        "software": software_line(protocol, readouts),
        "measurements": measurements,
        "dimensions": 3 if protocol.three_dimensional else 2,
        "trajectory": "cartesian" if protocol.cartesian else "other",
        "sampled_on_ramps": protocol.regridding is not None,
        "matrix": [protocol.base_resolution, protocol.phase_encoding_lines],
        "field_of_view_mm": [round(protocol.read_fov_mm, 3), round(protocol.phase_fov_mm, 3)],
        "slice_thickness_mm": round(protocol.slice_thickness_mm, 3),
        **count_readouts(kinds, counters, coils=heads["UsedChannels"], samples=heads["SamplesInScan"]),
        "timing": dict(protocol.timing),
    }
