"""Names of the measured levels: discs 1 to 6 are T12-L1 to L5-S1, bodies 1 to 7 are T12 to S1 (docs/contracts)."""

from readerstudy.processing.models import Structure

BODIES = {1: "T12", 2: "L1", 3: "L2", 4: "L3", 5: "L4", 6: "L5", 7: "S1"}
DISCS = {level: f"{BODIES[level]}-{BODIES[level + 1]}" for level in range(1, 7)}
QUANTITIES = {Structure.Kind.DISC: "disc_height_mm", Structure.Kind.BODY: "body_volume_cm3"}
"""What of each kind goes into the study's results."""


def names(kind: str) -> dict[int, str]:
    """Level to name of "disc" or "body"."""
    return DISCS if kind == Structure.Kind.DISC else BODIES
