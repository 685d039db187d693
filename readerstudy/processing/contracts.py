"""The JSON Schemas between web and recon worker (`docs/contracts/`), checked on this side too."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

CHAIN_CHOICE = "chain-choice.schema.json"
FOLDER = Path(__file__).resolve().parent.parent.parent / "docs" / "contracts"


class BrokenContract(Exception):
    """A work order or an event that does not have the agreed form; the message names the place."""


@cache
def _validator(name: str, definition: str = "") -> Draft202012Validator:
    schema = json.loads((FOLDER / f"{name}.schema.json").read_text())
    if definition:
        schema = {"$schema": schema["$schema"], "$defs": schema["$defs"], "$ref": f"#/$defs/{definition}"}
    chain = Resource.from_contents(json.loads((FOLDER / CHAIN_CHOICE).read_text()))
    return Draft202012Validator(schema, registry=Registry().with_resource(CHAIN_CHOICE, chain))


def check_order(kind: str, order: dict[str, Any]) -> None:
    """Raises BrokenContract unless `order` is a work order of `kind` ("acquisition" or "finishing")."""
    _check(_validator(f"{kind}-work-order"), order)


def check_payload(kind: str, event: str, payload: Any) -> None:
    """Raises BrokenContract unless `payload` is what a job of `kind` may send with `event`."""
    definition = f"{kind}_done" if event == "done" else event
    if event not in ("started", "progress", "done", "failed"):
        raise BrokenContract(f"unknown event {event!r}")
    _check(_validator("event", definition), payload)


def _check(validator: Draft202012Validator, content: Any) -> None:
    error = min(validator.iter_errors(content), key=lambda each: list(map(str, each.path)), default=None)
    if error is not None:
        raise BrokenContract(f"{error.json_path}: {error.message[:500]}")


def current(kind: str, order: dict[str, Any]) -> dict[str, Any]:
    """A work order in the words of today's version: an older one, of a job that was queued before an upgrade, asks for
    the paper's chain, no zero filling and no measurement."""
    if kind == "finishing":
        return {"stored_matrix": None, "measure": False, **order, "version": 3}
    if order.get("version") != 1:
        return order
    kept = {name: value for name, value in order.items() if name != "noise_reduction"}
    return {**kept, "version": 2, "chains": [{"chain": {}, "noise_reduction": [0, *order["noise_reduction"]]}]}
