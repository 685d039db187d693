"""Numbers and settings as the results page writes them; decisions are made before, on unrounded values."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

NOT_ESTIMABLE = "not estimable"


def number(value: float | None, decimals: int) -> str:
    """A number with a true minus sign and no negative zero."""
    if value is None:
        return NOT_ESTIMABLE
    text = f"{value:.{decimals}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", "−")


def p_value(p: float | None) -> str:
    """A P as the journal prints it: three decimals without the leading zero, "< .001" below."""
    if p is None:
        return NOT_ESTIMABLE
    if p < 0.001:
        return "< .001"
    return f"{p:.3f}".removeprefix("0")


def interval(low: float | None, high: float | None, decimals: int) -> str:
    """An interval, or a dash."""
    if low is None or high is None:
        return "–"
    return f"{number(low, decimals)} to {number(high, decimals)}"


FAMILIES = {
    "sequence-category": "FDR within sequence and criterion",
    "category": "FDR within criterion",
    "sequence": "FDR within sequence",
    "all": "FDR over all comparisons",
    "none": "not adjusted",
}
MISSING = {
    "matched": "A reader counts for a subject where both series were graded (matched readers).",
    "available": "Each mean is over the readers who graded (available readers).",
    "complete": "Only subjects whom all readers graded enter (complete readers).",
}
BANDS = {
    "no": "no agreement", "slight": "slight", "fair": "fair", "moderate": "moderate", "substantial": "substantial",
    "almost perfect": "almost perfect",
}  # fmt: skip


def margins(plan: Mapping[str, Any]) -> str:
    """The margins, each with the criteria that share it: "−0.5 (Apparent SNR, …); +0.2 (Presence of Artifacts)"."""
    sharing: dict[str, list[str]] = {}
    for name, criterion in plan["criteria"].items():
        sharing.setdefault(criterion["margin"], []).append(name)
    if len(sharing) == 1:
        return signed(next(iter(sharing)))
    return "; ".join(f"{signed(margin)} ({', '.join(names)})" for margin, names in sharing.items())


def signed(margin: str) -> str:
    """A margin with its sign: a true minus, or a plus."""
    return f"−{margin.lstrip('-')}" if margin.startswith("-") else f"+{margin}"


COUNTS_AS = {
    "worst": ("counts as the worst grade", "count as the worst grade"),
    "missing": ("is missing", "are missing"),
}
"""What becomes of one that could not be graded, and of several."""


def completeness(counts: Mapping[str, int], image_quality: str) -> str:
    """How much of what was to be graded was graded; `image_quality` is what the plan says of the not gradable."""
    sentences = [f"In all sequences, {counts['graded']} of {counts['expected']} grades by {people(counts['readers'])}"]
    for cause, words, counted in (
        ("image_quality", "because of image quality", COUNTS_AS[image_quality]),
        ("technical", "for a technical reason", COUNTS_AS["missing"]),
    ):
        if counts[cause]:
            sentences.append(f"{counts[cause]} could not be graded {words} and {counted[counts[cause] != 1]}")
    if not counts["image_quality"] and not counts["technical"]:
        sentences.append("none ungradable")
    given = sum(counts[kind] for kind in ("graded", "image_quality", "technical", "not_signed_off"))
    if given < counts["expected"]:
        sentences.append(f"{counts['expected'] - given} not given")
    if counts["not_signed_off"]:
        sentences.append(f"{counts['not_signed_off']} on series that were not signed off do not enter")
    return "; ".join(sentences) + "."


def people(readers: int) -> str:
    """ "three readers"."""
    words = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
    return f"{words[readers] if readers < len(words) else readers} reader{'' if readers == 1 else 's'}"


def level(alpha: str) -> str:
    """Level of the interval that goes with a one-sided alpha: "90 %"."""
    return f"{float(100 * (1 - 2 * Fraction(alpha))):g} %"


def alpha_text(alpha: str) -> str:
    """ ".05"."""
    return alpha.removeprefix("0")


def noise_reductions(rows: Sequence[Mapping[str, Any]]) -> str:
    """The note on noise reduction: "Noise reduction reached: Fast DL75 66 to 70 % of the 75 % asked; ..."; empty where
    every arm got what it asked for, or none asks for any."""
    parts = []
    for row in rows:
        asked, least, most = (round(100 * row[name]) for name in ("asked", "least", "most"))
        if least < asked:
            reached = f"{least} %" if least == most else f"{least} to {most} %"
            parts.append(f"{row['arm']} {reached} of the {asked} % asked")
    return f"Noise reduction reached in the subjects: {'; '.join(parts)}." if parts else ""
