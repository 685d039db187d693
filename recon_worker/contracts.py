"""The JSON Schemas of `docs/contracts/`, which the web side reads from the same place."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any, Literal

import jsonschema

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "contracts"

Contract = Literal["acquisition-work-order", "finishing-work-order", "event"]


class ContractBroken(Exception):
    """A message that does not follow its schema. The message names the place and the rule."""


@functools.cache
def _validator(contract: Contract) -> Any:
    schema = json.loads((FOLDER / f"{contract}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def check(contract: Contract, message: object) -> None:
    """Raise ContractBroken unless `message` (plain JSON types) follows the schema."""
    error = jsonschema.exceptions.best_match(_validator(contract).iter_errors(message))
    if error is not None:
        raise ContractBroken(f"{contract}, {error.json_path}: {error.message[:300]}")
