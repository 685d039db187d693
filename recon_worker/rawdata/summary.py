"""What `inspect` prints: the acquisition in the words of the field, by an allow-list; no patient field can enter."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from recon_worker.data import InputFault, KSpaceHeader


def orientation_name(normal: tuple[float, float, float]) -> str:
    """"sagittal", "coronal" or "axial", by the largest component of the slice direction `[x, y, z]` (LPS)."""
    return ("sagittal", "coronal", "axial")[int(np.argmax(np.abs(normal)))]


def slice_spacing_mm(header: KSpaceHeader) -> float:
    """Distance of neighbouring slice centres; the thickness where there is one slice only."""
    if len(header.planes) < 2:
        return header.slice_thickness_mm
    first, second = (np.asarray(plane.centre_mm) for plane in header.planes[:2])
    return float(np.linalg.norm(second - first))


def summarise(header: KSpaceHeader, lines: npt.NDArray[np.bool_], *, calibration_lines: int = 0) -> dict[str, Any]:
    """Plain JSON types only.

    Parameters
    ----------
    lines
        `[ky]`: which phase-encode steps were acquired at least once in every slice.

    Raises
    ------
    InputFault
        If there is no such step.
    """
    steps = np.flatnonzero(lines)
    if not len(steps):
        raise InputFault(
            "The slices have no phase-encode line in common: the acquisition is incomplete.",
            "Check that the export from the scanner finished.",
        )
    before, after = header.ky_centre - steps[0], steps[-1] - header.ky_centre
    gaps = int(steps[-1] - steps[0] + 1 - len(steps))
    return {
        "format": header.format,
        "orientation": orientation_name(header.planes[0].slice_direction),
        "image_matrix": list(header.image_matrix),
        "encoded_matrix": list(header.encoded_matrix),
        "n_slices": header.n_slices,
        "n_coils": header.n_coils,
        "n_averages": header.n_averages,
        "field_of_view_mm": [round(length, 3) for length in header.image_field_of_view_mm],
        "slice_thickness_mm": round(header.slice_thickness_mm, 3),
        "slice_spacing_mm": round(slice_spacing_mm(header), 3),
        # An undersampled acquisition ends up to one step of its lines earlier on either side.
        "partial_fourier": bool(abs(int(before) - int(after)) > int(np.diff(steps).max(initial=1))),
        "undersampled": gaps > 0,
        "lines_acquired": len(steps),
        "calibration_lines": calibration_lines,
        "noise_scan": header.noise is not None,
        "timing": dict(header.timing),
        "remarks": list(header.remarks),
    }
