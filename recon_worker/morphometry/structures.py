"""One disc or vertebral body of a series: where it is, what it is called, what was measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["disc", "body"]
State = Literal["measured", "cut", "excluded"]


@dataclass(frozen=True)
class Structure:
    """A segmented structure.

    Attributes
    ----------
    level, name
        As named in its own series (`levels`).
    state
        "cut": it leaves the field of view and is not measured; "excluded": not measured for what `flags` say.
    measures
        `disc_height_mm`, `disc_mean_height_mm`, `disc_area_mm2`, `body_volume_cm3`: what was measured.
    centroid_mm
        LPS millimetres.
    flags
        What a coordinator should know before believing name or values, in words.
    """

    kind: Kind
    level: int
    name: str
    state: State
    measures: dict[str, float]
    centroid_mm: tuple[float, float, float]
    flags: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Plain values, for the event and the database."""
        return {
            "kind": self.kind,
            "level": self.level,
            "name": self.name,
            "state": self.state,
            "measures": dict(self.measures),
            "centroid_mm": list(self.centroid_mm),
            "flags": list(self.flags),
        }
