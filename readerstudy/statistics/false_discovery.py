"""Benjamini and Hochberg's false discovery rate."""

from collections.abc import Sequence


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """Adjusted P, in the order given: q(i) = min over j >= i of m P(j)/j, capped at 1 (R's p.adjust "BH")."""
    m = len(p_values)
    order = sorted(range(m), key=lambda index: p_values[index], reverse=True)
    adjusted = [0.0] * m
    smallest = 1.0
    for place, index in enumerate(order):
        smallest = min(smallest, m * p_values[index] / (m - place))
        adjusted[index] = smallest
    return adjusted
