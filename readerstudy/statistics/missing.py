"""What missing ratings do: reader means of one cell, differences of two cells."""

from collections.abc import Collection, Iterable
from fractions import Fraction

from readerstudy.statistics.plan import MissingPolicy
from readerstudy.statistics.scores import Cell


def mean(numbers: Iterable[int | Fraction]) -> Fraction:
    """Exact mean of at least one number."""
    values = list(numbers)
    return Fraction(sum(values)) / len(values)


def completely_rated(cell: Cell, readers: Collection[str]) -> Cell:
    """The patients of a cell that every one of `readers` rated."""
    return {patient: ratings for patient, ratings in cell.items() if all(reader in ratings for reader in readers)}


def reader_means(cell: Cell) -> dict[str, Fraction]:
    """Mean over the readers who rated, for every patient with a rating."""
    return {patient: mean(ratings.values()) for patient, ratings in cell.items()}


def paired_differences(arm: Cell, reference: Cell, policy: MissingPolicy, readers: Collection[str]) -> list[Fraction]:
    """Difference of reader means, arm minus reference, for every patient that has one under the policy.

    Parameters
    ----------
    arm, reference
        Ratings of the two arms in one sequence and category.
    policy
        matched: a reader counts for a patient where he or she rated both arms; available: each arm's mean is over
        whoever rated it; complete: only patients whom all `readers` rated in both arms.
    readers
        The readers of the sequence and category, for "complete".
    """
    if policy == "complete":
        arm, reference = completely_rated(arm, readers), completely_rated(reference, readers)
    differences = []
    for patient, ratings in arm.items():
        others = reference.get(patient, {})
        if policy == "matched":
            both = [reader for reader in ratings if reader in others]
            if both:
                differences.append(mean(ratings[reader] - others[reader] for reader in both))
        elif others:
            differences.append(mean(ratings.values()) - mean(others.values()))
    return differences
