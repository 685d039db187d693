"""Canonical JSON and its SHA-256: the same content always has the same digest."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from readerstudy.reading.models import Grade


def canonical_json(content: Any) -> str:
    """JSON with sorted keys and no white space. Raises TypeError for what is not plain JSON."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def sha256_of(content: Any) -> str:
    """SHA-256 (hex) of the canonical JSON of `content`."""
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def grades_sha256(grades: Iterable[Grade]) -> str:
    """SHA-256 (hex) over every given row, corrected ones included; the order of the argument does not matter."""
    rows = [
        {
            "id": str(grade.id),
            "presentation": grade.presentation_id,
            "criterion": str(grade.criterion_id),
            "number": grade.number,
            "value": grade.value,
            "cannot_grade": grade.cannot_grade,
            "reason": grade.reason,
            "at": grade.at.isoformat(),
        }
        for grade in grades
    ]
    return sha256_of(sorted(rows, key=lambda row: str(row["id"])))
