"""Sizes in words."""

UNITS = ("kB", "MB", "GB", "TB")


def in_words(n_bytes: int) -> str:
    """1932735283 becomes "1.9 GB" (powers of ten, as file managers show them)."""
    if n_bytes < 1000:
        return f"{n_bytes} bytes"
    value, unit = n_bytes / 1000, 0
    while value >= 999.5 and unit < len(UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.1f} {UNITS[unit]}" if value < 99.5 else f"{value:.0f} {UNITS[unit]}"
