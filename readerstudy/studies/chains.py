"""The chain of an arm: what a study may choose of the reconstruction, checked, complete, and in words.

The choices and their defaults, the paper's chain, stand in `docs/contracts/chain-choice.schema.json`.
"""

import json
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings

from readerstudy.faults import Refusal
from readerstudy.studies import words


@cache
def _choices() -> dict[str, dict[str, Any]]:
    path = Path(settings.BASE_DIR) / "docs" / "contracts" / "chain-choice.schema.json"
    properties: dict[str, dict[str, Any]] = json.loads(path.read_text())["properties"]
    return properties


def paper_chain() -> dict[str, Any]:
    """The paper's chain: every choice at its default."""
    return {name: _whole(rule["default"]) for name, rule in _choices().items()}


def canonical_chain(content: Any, whose: str = "The chain") -> dict[str, Any]:
    """The choice that `content` describes, every entry written out, so that equal chains are equal.

    Parameters
    ----------
    content
        Entries that differ from the paper's chain.
    whose
        Who is at fault in a sentence: "The chain of the arm Fast SENSE 2".

    Raises
    ------
    Refusal
        If an entry is unknown or has an impossible value, in one sentence.
    """
    if not isinstance(content, Mapping):
        raise Refusal(f"{whose} is not a list of named entries.", "Write it as “name: value” lines.")
    known = _choices()
    chosen = paper_chain()
    for name, value in content.items():
        if name not in known:
            raise Refusal(f"{whose} has the unknown entry “{name}”.", f"Known are {', '.join(known)}.")
        chosen[name] = _checked(name, value, known[name], whose)
    if chosen["pattern"] == "variable density" and chosen["parallel_imaging"] == "GRAPPA":
        raise Refusal(
            f"{whose} asks for GRAPPA with a variable density pattern, and GRAPPA fills in regular gaps only.",
            "Choose the regular pattern, or SENSE or L1-wavelet.",
        )
    if chosen["undersampling"] > 1 and chosen["echo_phase_correction"]:
        raise Refusal(
            f"{whose} drops lines on purpose, and echo phase correction needs all lines.", "Choose one of the two."
        )
    return chosen


def _checked(name: str, value: Any, rule: Mapping[str, Any], whose: str) -> Any:
    types = rule.get("type", [])
    if value is None and "null" in types:
        return None
    what = f"“{name}” of {whose[0].lower()}{whose[1:]}"
    if "enum" in rule:
        if not isinstance(value, str) or value not in rule["enum"]:
            raise Refusal(f"{what} cannot be “{value}”.", f"Choose one of {', '.join(rule['enum'])}.")
        return value
    if types == "boolean":
        if not isinstance(value, bool):
            raise Refusal(f"{what} is neither true nor false.", "Write true or false.")
        return value
    if types == "number":
        most = rule["maximum"]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
            raise Refusal(f"{what} is “{value}”.", f"Write a number above 0, at most {most}.")
        return _whole(value)
    if type(value) is not int or not rule["minimum"] <= value <= rule["maximum"]:
        raise Refusal(f"{what} is “{value}”.", f"Write a whole number from {rule['minimum']} to {rule['maximum']}.")
    return value


def _whole(value: Any) -> Any:
    """1.0 as 1, so that equal numbers are written alike (in the trail as well)."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def chain_from_form(entered: Mapping[str, str], prefix: str = "chain-") -> dict[str, Any]:
    """The entries of a form as a chain's content: numbers as numbers; what is left empty is the paper's. What is no
    number stays a text and is refused by `canonical_chain`."""
    content: dict[str, Any] = {}
    for name, rule in _choices().items():
        text = entered.get(prefix + name, "").strip().replace(",", ".")
        if rule.get("type") == "boolean":
            content[name] = text == "yes"
        elif not text:
            continue
        elif "enum" in rule:
            content[name] = text
        else:
            content[name] = _number(text, whole=rule.get("type") != "number")
    return content


def _number(text: str, *, whole: bool) -> Any:
    try:
        return int(text) if whole else float(text)
    except ValueError:
        return text


def chain_fields(entered: Mapping[str, str], prefix: str = "chain-") -> list[dict[str, Any]]:
    """What the form asks for, with what was entered or the paper's choice."""
    paper = paper_chain()
    return [
        {
            "name": prefix + name,
            "label": words.CHAIN[name],
            "choices": rule.get("enum", []),
            "is_switch": rule.get("type") == "boolean",
            "value": entered.get(prefix + name, "" if paper[name] is None else paper[name]),
        }
        for name, rule in _choices().items()
    ]


def check_together(chain: Mapping[str, Any], noise_reduction: Decimal, arm: str) -> None:
    """Refuse a filter in front of the network: it was trained on unfiltered images."""
    if noise_reduction > 0 and chain["apodization"] != "none":
        raise Refusal(
            f"The arm {arm} has apodization and noise reduction, and the network wants unfiltered images.",
            "Leave one of them out.",
        )


def difference_from_paper(chain: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a canonical chain that differ from the paper's."""
    return {name: value for name, value in chain.items() if value != paper_chain()[name]}


def chain_in_words(chain: Mapping[str, Any]) -> str:
    """What a canonical chain does otherwise than the paper's: "SENSE, every 2nd line, 24 calibration lines"; empty for
    the paper's chain."""
    other = difference_from_paper(chain)
    said: list[str] = []
    if chain["undersampling"] > 1:
        count = chain["undersampling"]
        lines = f"every {_ordinal(count)} line" if chain["pattern"] == "regular" else f"one of {count} lines at random"
        said += [chain["parallel_imaging"], lines, f"{chain['calibration_lines']} calibration lines"]
    else:
        if "parallel_imaging" in other:
            said.append(f"{chain['parallel_imaging']} where lines are missing")
        if "calibration_lines" in other:
            said.append(f"{chain['calibration_lines']} calibration lines")
    if chain["parallel_imaging"] == "L1-wavelet" and "wavelet_strength" in other:
        said.append(f"threshold {chain['wavelet_strength']:g} of the noise")
    if chain["coil_maps"] != "calibration block":
        said.append(f"{chain['coil_maps']} coil maps")
    if chain["virtual_coils"]:
        said.append(f"compressed to {chain['virtual_coils']} coils")
    if chain["echo_phase_correction"]:
        said.append("echo phase correction")
    if "partial_fourier" in other:
        said.append(f"partial Fourier by {chain['partial_fourier']}")
    if chain["apodization"] != "none":
        said.append(f"{chain['apodization']} apodization")
    return ", ".join(said)


def _ordinal(count: int) -> str:
    return str(count) + {2: "nd", 3: "rd"}.get(count, "th")
