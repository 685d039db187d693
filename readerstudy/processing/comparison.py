"""Do two acquisitions of one subject and sequence fit? They must, to be read as one sequence."""

from collections.abc import Sequence
from math import isclose
from typing import Any

TOLERANCE_MM = 0.05
"""Headers carry millimetres as rounded decimals; a twentieth of a millimetre is no other protocol."""

LARGEST_RATIO_OF_TIMES = 1.5
"""Echo and repetition times vary with the patient's weight (Table 1 of the paper); more is another sequence."""

TIMES = {"echo_time_ms": "TE", "repetition_time_ms": "TR"}


def difference(summary: dict[str, Any], other: dict[str, Any], *, other_name: str) -> str:
    """One sentence on how an acquisition differs from the other one, empty if they fit.

    Parameters
    ----------
    summary, other
        Summaries of the event "done": image_matrix [columns, rows], n_slices, field_of_view_mm [read, phase],
        slice_spacing_mm, and where the files tell them echo_time_ms and repetition_time_ms.
    other_name
        Name of the other acquisition ("Standard").
    """
    here: list[str] = []
    there: list[str] = []
    if summary["image_matrix"] != other["image_matrix"]:
        here.append(f"matrix {_times(summary['image_matrix'])}")
        there.append(_times(other["image_matrix"]))
    if summary["n_slices"] != other["n_slices"]:
        here.append(_slices(summary["n_slices"]))
        there.append(_slices(other["n_slices"]) if there else str(other["n_slices"]))
    if not all(map(_close, summary["field_of_view_mm"], other["field_of_view_mm"])):
        here.append(f"field of view {_times(summary['field_of_view_mm'])} mm")
        there.append(f"{_times(other['field_of_view_mm'])} mm")
    if not _close(summary["slice_spacing_mm"], other["slice_spacing_mm"]):
        here.append(f"slice spacing {_number(summary['slice_spacing_mm'])} mm")
        there.append(f"{_number(other['slice_spacing_mm'])} mm")
    for key, name in TIMES.items():
        if key in summary and key in other and _other_sequence(summary[key], other[key]):
            here.append(f"{name} {_number(summary[key])} ms")
            there.append(f"{_number(other[key])} ms")
    if not here:
        return ""
    sentence = f"{_listed(here)}, but {other_name} has {_listed(there)}."
    return sentence[0].upper() + sentence[1:]


def too_large_for(stored_matrix: list[int] | None, image_matrix: list[int]) -> str:
    """One sentence where the acquired matrix (both: columns, rows) exceeds the one that its sequence is stored in."""
    if stored_matrix is None or all(a <= b for a, b in zip(image_matrix, stored_matrix, strict=True)):
        return ""
    return f"Matrix {_times(image_matrix)}, but the study stores this sequence in {_times(stored_matrix)}."


def _close(a: float, b: float) -> bool:
    return isclose(a, b, rel_tol=0, abs_tol=TOLERANCE_MM)


def _other_sequence(time: float, other: float) -> bool:
    return max(time, other) > LARGEST_RATIO_OF_TIMES * min(time, other)


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def _times(values: Sequence[float]) -> str:
    return " × ".join(_number(value) for value in values)


def _slices(number: int) -> str:
    return "1 slice" if number == 1 else f"{number} slices"


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
