"""Presets: whole study definitions as data, read from `fixtures/presets/`."""

from pathlib import Path
from typing import Any

import jsonschema
import yaml

from readerstudy.faults import Refusal
from readerstudy.settings.state import BASE_DIR

PRESETS = BASE_DIR / "fixtures" / "presets"

_TEXT = {"type": "string", "minLength": 1, "maxLength": 80}
_DECIMAL = {"type": "string", "pattern": r"^-?\d+(\.\d+)?$"}

SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "title", "sequences", "acquisitions", "arms", "criteria", "plan", "reader_rules", "protocols"],
    "properties": {
        "name": _TEXT,
        "title": {"type": "string", "minLength": 1, "maxLength": 200},
        "sequences": {"type": "array", "items": _TEXT, "minItems": 1, "uniqueItems": True},
        "acquisitions": {"type": "array", "items": _TEXT, "minItems": 1, "uniqueItems": True},
        "arms": {
            "type": "array",
            "minItems": 2,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["name", "acquisition", "noise_reduction", "colour"],
                "properties": {
                    "name": _TEXT,
                    "acquisition": _TEXT,
                    "noise_reduction": _DECIMAL,
                    "reference": {"type": "boolean"},
                    "colour": {"type": "string", "pattern": "^#[0-9a-f]{6}$"},
                },
            },
        },
        "criteria": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["name", "scale", "better", "margin", "anchors"],
                "properties": {
                    "name": _TEXT,
                    "scale": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
                    "better": {"enum": ["higher", "lower"]},
                    "margin": _DECIMAL,
                    "anchors": {"type": "object", "additionalProperties": {"type": "string"}},
                },
            },
        },
        "plan": {"type": "object"},
        "reader_rules": {"type": "object"},
        "protocols": {"type": "array", "items": {"type": "object", "required": ["name", "lines"]}},
    },
}


def preset_names() -> list[str]:
    """Names of the presets, sorted."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def load_preset(name: str) -> dict[str, Any]:
    """A preset by its name.

    Raises
    ------
    Refusal
        If there is no such preset, or it is not complete and consistent; the sentence names the place.
    """
    if name not in preset_names():
        raise Refusal(f"There is no preset {name!r}.", f"Choose one of: {', '.join(preset_names())}.")
    return read_preset(PRESETS / f"{name}.yaml")


def read_preset(path: Path) -> dict[str, Any]:
    """A preset from a file, checked. Anchors get text keys, as JSON has them. Raises Refusal."""
    preset = yaml.safe_load(path.read_text())
    if isinstance(preset, dict):
        for criterion in preset.get("criteria") or []:
            if isinstance(criterion, dict) and isinstance(criterion.get("anchors"), dict):
                criterion["anchors"] = {str(key): text for key, text in criterion["anchors"].items()}
    faults = list(jsonschema.Draft202012Validator(SCHEMA).iter_errors(preset))
    if faults:
        place = ".".join(str(step) for step in faults[0].absolute_path) or "the file"
        raise Refusal(f"The preset {path.stem} is wrong at {place}: {faults[0].message}.", "Correct the file.")
    _check_consistency(path.stem, preset)
    return dict(preset)


def _check_consistency(name: str, preset: dict[str, Any]) -> None:
    def refuse(what: str) -> None:
        raise Refusal(f"The preset {name} is wrong: {what}.", "Correct the file.")

    references = [arm["name"] for arm in preset["arms"] if arm.get("reference")]
    if len(references) != 1:
        refuse(f"{len(references)} arms are the reference, and exactly one must be")
    if preset["plan"].get("reference_arm", references[0]) != references[0]:
        refuse("the plan's reference arm is not the arm marked as reference")
    for arm in preset["arms"]:
        if arm["acquisition"] not in preset["acquisitions"]:
            refuse(f"arm {arm['name']} names the unknown acquisition {arm['acquisition']}")
    for criterion in preset["criteria"]:
        lowest, highest = criterion["scale"]
        if lowest >= highest:
            refuse(f"the scale of {criterion['name']} does not ascend")
        if set(criterion["anchors"]) != {str(value) for value in range(lowest, highest + 1)}:
            refuse(f"{criterion['name']} needs one written anchor for each score from {lowest} to {highest}")
    for protocol in preset["protocols"]:
        for sequence, line in protocol["lines"].items():
            if sequence not in preset["sequences"]:
                refuse(f"protocol {protocol['name']} names the unknown sequence {sequence}")
            if set(line["nex"]) != set(preset["acquisitions"]) or set(line["scan_time"]) != set(line["nex"]):
                refuse(f"protocol {protocol['name']}, {sequence}: NEX and scan time are needed for every acquisition")
