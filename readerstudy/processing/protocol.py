"""Does a file hold what its place in the protocol says? A remark for the coordinator, never a refusal: some scanners
average before they write."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from readerstudy.processing.wording import number


def remark(summary: Mapping[str, Any], *, nex: Decimal, others: Mapping[str, Decimal]) -> str:
    """One sentence where a file has the averages of another acquisition of its sequence instead of its own; else empty.

    Standard and Fast have the same matrix, so a file in the wrong one of the two rows is seen by its averages alone.

    Parameters
    ----------
    summary
        Of the event "done": n_averages, partial_fourier.
    nex
        What the protocol says for this place; below 1 is one average with partial Fourier.
    others
        The same for the sequence's other acquisitions, by name.
    """
    if _fits(summary, nex):
        return ""
    for name, other in others.items():
        if _fits(summary, other):
            held = "1 average" if summary["n_averages"] == 1 else f"{summary['n_averages']} averages"
            partial = ", partial Fourier" if summary["partial_fourier"] else ""
            return (
                f"The file has {held}{partial}: that is {name} (NEX {number(other)}), not NEX {number(nex)}. "
                "Check that it belongs here."
            )
    return ""


def _fits(summary: Mapping[str, Any], nex: Decimal) -> bool:
    averages, partial = summary["n_averages"], summary["partial_fourier"]
    return bool(averages == 1 and partial) if nex < 1 else bool(averages == nex and not partial)
