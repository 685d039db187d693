"""Names of the measured levels: discs 1 to 6 are T12-L1 to L5-S1, bodies 1 to 7 are T12 to S1 (docs/contracts)."""

from readerstudy.processing.models import Structure

BODIES = {1: "T12", 2: "L1", 3: "L2", 4: "L3", 5: "L4", 6: "L5", 7: "S1"}
DISCS = {level: f"{BODIES[level]}-{BODIES[level + 1]}" for level in range(1, 7)}
QUANTITIES = {Structure.Kind.DISC: "disc_height_mm", Structure.Kind.BODY: "body_volume_cm3"}
"""What of each kind the paper measures: on the Measurements page, and in Table 6."""
BEYOND_THE_PAPER = {Structure.Kind.DISC: ("disc_mean_height_mm", "disc_area_mm2"), Structure.Kind.BODY: ()}
"""What else of each kind goes into the study's results."""
ALL_QUANTITIES = (*QUANTITIES.values(), *(one for more in BEYOND_THE_PAPER.values() for one in more))
"""In the order of the results: the paper's first."""


def quantities(kind: str) -> tuple[str, ...]:
    """What of a kind goes into the study's results, the paper's first."""
    return QUANTITIES[Structure.Kind(kind)], *BEYOND_THE_PAPER[Structure.Kind(kind)]


def names(kind: str) -> dict[int, str]:
    """Level to name of "disc" or "body"."""
    return DISCS if kind == Structure.Kind.DISC else BODIES
