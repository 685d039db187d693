"""The JSON Schemas of `docs/contracts/`, which the web side reads from the same place."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any, Literal

import jsonschema
from referencing import Registry, Resource

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "contracts"

CHAIN_CHOICE = "chain-choice.schema.json"
"""To which the acquisition work order refers."""

Contract = Literal["acquisition-work-order", "finishing-work-order", "event"]


class ContractBroken(Exception):
    """A message that does not follow its schema. The message names the place and the rule."""


@functools.cache
def _validator(contract: Contract) -> Any:
    schema = json.loads((FOLDER / f"{contract}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    chain = Resource.from_contents(json.loads((FOLDER / CHAIN_CHOICE).read_text()))
    return jsonschema.Draft202012Validator(schema, registry=Registry().with_resource(CHAIN_CHOICE, chain))


def check(contract: Contract, message: object) -> None:
    """Raise ContractBroken unless `message` (plain JSON types) follows the schema."""
    error = jsonschema.exceptions.best_match(_validator(contract).iter_errors(message))
    if error is not None:
        raise ContractBroken(f"{contract}, {error.json_path}: {error.message[:300]}")


def current(kind: Literal["acquisition", "finishing"], order: dict[str, Any]) -> dict[str, Any]:
    """A work order in the newest words: version 2 of an acquisition order, version 3 of a finishing order.

    An older one may still lie in the queue when a newer worker starts. Version 1 asks for the paper's chain and for no
    zero filling, a finishing order of version 2 for no measurements. Any other is returned as it is.
    """
    version = order.get("version")
    if kind == "finishing":
        if version == 1:
            return {**order, "version": 3, "stored_matrix": None, "measure": False}
        return {**order, "version": 3, "measure": False} if version == 2 else order
    if version != 1:
        return order
    factors = order.get("noise_reduction", [])
    kept = {name: value for name, value in order.items() if name != "noise_reduction"}
    return {**kept, "version": 2, "chains": [{"chain": {}, "noise_reduction": [0, *factors]}]}
