"""Table 5: agreement among readers as Conger's kappa with quadratic weights, missing ratings included."""

import math
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations

from readerstudy.statistics.distributions import student_t_quantile
from readerstudy.statistics.missing import mean
from readerstudy.statistics.scores import Cell

BANDS = (
    (Fraction(1, 5), "slight"),
    (Fraction(2, 5), "fair"),
    (Fraction(3, 5), "moderate"),
    (Fraction(4, 5), "substantial"),
    (Fraction(1), "almost perfect"),
)
"""The paper's reading of kappa; each band includes its upper end."""


@dataclass(frozen=True)
class AgreementRow:
    """One row of table 5: kappa, its standard error (Gwet's linearisation), 95 % interval by t(n - 1), band."""

    sequence: str
    arm: str
    category: str
    n_patients: int
    n_readers: int
    kappa: float | None
    se: float | None
    ci_low: float | None
    ci_high: float | None
    band: str | None
    reason: str | None


@dataclass(frozen=True)
class ConfidentKappa:
    """Conger's kappa as an exact fraction, and the exact variance of its estimate (None with one patient)."""

    kappa: Fraction
    variance: Fraction | None


class NotEstimable(ValueError):
    """Kappa cannot be computed; the message is the reason that the table shows."""


def band(kappa: Fraction) -> str | None:
    """The paper's word for a kappa, decided on the unrounded value; none for exactly 0, which it leaves unassigned."""
    if kappa < 0:
        return "no"
    if kappa == 0:
        return None
    return next(word for upper, word in BANDS if kappa <= upper)


def conger_kappa(cell: Cell) -> ConfidentKappa:
    """Conger's kappa with quadratic weights in disagreement form: 1 - observed / expected.

    Parameters
    ----------
    cell
        {patient: {reader: score}}; patients and readers without any rating are left out by their absence.

    Raises
    ------
    NotEstimable
        With fewer than two readers, no patient rated by two, or no variation at all.

    Notes
    -----
    Observed: the mean squared difference over a patient's pairs of readers, averaged over patients with two readers or
    more. Expected: for each pair of readers the mean squared difference of a grade of the one and a grade of the
    other, over all that each rated. The range of the scale cancels, so the category list has no influence.
    Point and variance: Gwet, Handbook of Inter-Rater Reliability, 4th ed. 2014, as in irrCAC's conger.kappa.raw:
    Conger 1980 extended to missing ratings; n counts the patients with one rating or more.
    """
    patients = [ratings for ratings in cell.values() if ratings]
    readers = list(dict.fromkeys(reader for ratings in patients for reader in ratings))
    r, n = len(readers), len(patients)
    if r < 2:
        raise NotEstimable("Fewer than two readers have ratings.")
    observed = [_observed_disagreement(list(ratings.values())) for ratings in patients]
    paired = [value for value in observed if value is not None]
    if not paired:
        raise NotEstimable("No patient was rated by two readers.")

    own = {reader: [ratings[reader] for ratings in patients if reader in ratings] for reader in readers}
    count = {reader: len(own[reader]) for reader in readers}
    first = {reader: mean(own[reader]) for reader in readers}
    second = {reader: mean(score * score for score in own[reader]) for reader in readers}
    all_first, all_second = sum(first.values()), sum(second.values())

    def expected_against_others(reader: str, score: int) -> Fraction:
        """Sum over the other readers of the mean squared difference of `score` from their grades."""
        others_first, others_second = all_first - first[reader], all_second - second[reader]
        return (r - 1) * Fraction(score * score) - 2 * score * others_first + others_second

    against = {
        (reader, score): expected_against_others(reader, score) for reader in readers for score in set(own[reader])
    }
    reader_expected = {reader: mean(against[reader, score] for score in own[reader]) for reader in readers}
    pairs = r * (r - 1)
    expected = sum(reader_expected.values(), Fraction(0)) / pairs
    if expected == 0:
        raise NotEstimable("All readers gave one and the same grade to all patients.")
    ratio = mean(paired) / expected
    kappa = 1 - ratio
    if n < 2:
        return ConfidentKappa(kappa, None)

    share = Fraction(n, len(paired))
    squares = Fraction(0)
    for ratings, disagreement in zip(patients, observed, strict=True):
        influence = sum(
            (Fraction(n, count[reader]) * (against[reader, score] - reader_expected[reader])
             for reader, score in ratings.items()),
            Fraction(0),
        ) / pairs  # fmt: skip
        point = Fraction(0) if disagreement is None else share * (1 - disagreement / expected)
        squares += (point + 2 * ratio * influence / expected - kappa) ** 2
    return ConfidentKappa(kappa, squares / (n * (n - 1)))


def _observed_disagreement(scores: list[int]) -> Fraction | None:
    """Mean squared difference over all pairs of readers of one patient; None with one rating."""
    if len(scores) < 2:
        return None
    return mean((a - b) ** 2 for a, b in combinations(scores, 2))


def agree(sequence: str, arm: str, category: str, cell: Cell) -> AgreementRow:
    """The row of table 5 for one sequence, arm and category."""
    n = sum(1 for ratings in cell.values() if ratings)
    readers = len({reader for ratings in cell.values() for reader in ratings})
    try:
        result = conger_kappa(cell)
    except NotEstimable as error:
        return AgreementRow(
            sequence, arm, category, n, readers, None, None, None, None, None,
            "No patient has a rating." if n == 0 else str(error),
        )  # fmt: skip
    word = band(result.kappa)
    reason = "A kappa of exactly 0 has no band." if word is None else None
    kappa = float(result.kappa)
    if result.variance is None:
        return AgreementRow(
            sequence, arm, category, n, readers, kappa, None, None, None, word, "One patient has no standard error."
        )
    se = math.sqrt(result.variance)
    reach = student_t_quantile(0.975, n - 1) * se
    return AgreementRow(
        sequence, arm, category, n, readers, kappa, se, kappa - reach, min(1.0, kappa + reach), word, reason
    )
