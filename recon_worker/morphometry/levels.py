"""Names of the levels: discs T12-L1 to L5-S1, bodies T12 to S1, counted from the head down."""

BODY_NAMES = {1: "T12", 2: "L1", 3: "L2", 4: "L3", 5: "L4", 6: "L5", 7: "S1"}
DISC_NAMES = {level: f"{BODY_NAMES[level]}-{BODY_NAMES[level + 1]}" for level in range(1, 7)}
LOWEST_DISC = 6
"""L5-S1: what the others are counted from."""


def level_name(kind: str, level: int) -> str:
    """Name of a level of a "disc" or a "body"."""
    return (DISC_NAMES if kind == "disc" else BODY_NAMES)[level]
