"""The analysis plan: everything that could change a result and is decided before the first read."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, cast, get_args

from readerstudy.statistics.faults import AnalysisFault
from readerstudy.statistics.scores import ScoreTable
from readerstudy.statistics.signed_rank import Alternative

Family = Literal["sequence-category", "category", "sequence", "all", "none"]
MissingPolicy = Literal["matched", "available", "complete"]
Better = Literal["higher", "lower"]
ImageQualityCause = Literal["worst", "missing"]

KEYS = ("reference_arm", "alpha", "family", "missing", "cannot_grade_image_quality", "criteria")
CRITERION_KEYS = ("scale", "better", "margin")


@dataclass(frozen=True)
class CriterionPlan:
    """How one category is scored and tested.

    Attributes
    ----------
    margin
        Noninferiority margin of the difference (arm minus reference) as decimal text: negative where higher is better.
    better
        Which end of the scale is good.
    scale
        Least and greatest score, or None where the plan does not say (scores are then not checked against it).
    """

    margin: str
    better: Better = "higher"
    scale: tuple[int, int] | None = (1, 5)

    @property
    def exact_margin(self) -> Fraction:
        """The margin as the exact fraction that its text says."""
        return Fraction(self.margin)

    @property
    def alternative(self) -> Alternative:
        """The side that the difference must lie on for noninferiority."""
        return "greater" if self.better == "higher" else "less"

    @property
    def worst_score(self) -> int | None:
        """The bad end of the scale."""
        if self.scale is None:
            return None
        return self.scale[0] if self.better == "higher" else self.scale[1]


PAPER_CRITERIA: Mapping[str, CriterionPlan] = {
    "Apparent SNR": CriterionPlan("-0.5"),
    "Anatomical Structures": CriterionPlan("-0.5"),
    "Diagnostic Confidence": CriterionPlan("-0.5"),
    "Overall Image Quality": CriterionPlan("-0.5"),
    "Presence of Artifacts": CriterionPlan("0.2", "lower", (0, 1)),
}
"""Categories of Table 3 of Han et al., Pain Medicine 2023, with the margins of its methods section."""


@dataclass(frozen=True)
class AnalysisPlan:
    """The plan of one analysis; the defaults are the paper's.

    Attributes
    ----------
    reference_arm
        The arm that all others are compared with.
    alpha
        One-sided level of the noninferiority tests.
    family
        Which comparisons share one false discovery rate.
    missing
        What a missing rating does to a difference: docs/statistics.md, "Missing ratings".
    cannot_grade_image_quality
        What "cannot be graded because of image quality" counts as: the worst score, or missing.
    criteria
        By category name, in the order of the tables.
    """

    reference_arm: str = "Standard"
    alpha: Fraction = Fraction(1, 20)
    family: Family = "sequence-category"
    missing: MissingPolicy = "matched"
    cannot_grade_image_quality: ImageQualityCause = "worst"
    criteria: Mapping[str, CriterionPlan] = field(default_factory=lambda: dict(PAPER_CRITERIA))

    def as_mapping(self) -> dict[str, Any]:
        """The plan as PLAN.json says it, with every default written out."""
        return {
            "reference_arm": self.reference_arm,
            "alpha": _decimal_text(self.alpha),
            "family": self.family,
            "missing": self.missing,
            "cannot_grade_image_quality": self.cannot_grade_image_quality,
            "criteria": {
                name: {
                    **({} if criterion.scale is None else {"scale": list(criterion.scale)}),
                    "better": criterion.better,
                    "margin": criterion.margin,
                }
                for name, criterion in self.criteria.items()
            },
        }

    def check(self, scores: ScoreTable) -> None:
        """Refuse scores that this plan cannot analyse (AnalysisFault names the row)."""
        for rating in scores.ratings:
            criterion = self.criteria.get(rating.category)
            if criterion is None:
                raise AnalysisFault(
                    f'Row {rating.row}: the category "{rating.category}" has no margin in the plan.',
                    f"Known are {', '.join(self.criteria)}; give the margin of any other under criteria in PLAN.json.",
                )
            if rating.score is not None and criterion.scale is not None:
                least, greatest = criterion.scale
                if not least <= rating.score <= greatest:
                    raise AnalysisFault(
                        f"Row {rating.row}: the score {rating.score} is outside the scale {least} to {greatest} "
                        f"of {rating.category}.",
                        "Correct the score, or the scale in PLAN.json.",
                    )
        if self.reference_arm not in scores.arms:
            raise AnalysisFault(
                f'The reference arm "{self.reference_arm}" has no row in the score table.',
                f"Its arms are {', '.join(scores.arms)}; name the reference as reference_arm in PLAN.json.",
            )


def plan_from_mapping(content: Mapping[str, Any]) -> AnalysisPlan:
    """The plan of a mapping as in PLAN.json; what it leaves out is the paper's default.

    Raises
    ------
    AnalysisFault
        For an unknown key, a value that cannot be, or a margin that is not exact.
    """
    _refuse_unknown_keys(content, KEYS, "The analysis plan")
    default = AnalysisPlan()
    reference_arm = content.get("reference_arm", default.reference_arm)
    if not isinstance(reference_arm, str) or not reference_arm.strip():
        raise AnalysisFault("reference_arm of the analysis plan is not a name.", "Give the name of an arm.")
    alpha = _exact(content.get("alpha", "0.05"), "alpha of the analysis plan")
    if not 0 < alpha < Fraction(1, 2):
        raise AnalysisFault("alpha of the analysis plan is not between 0 and 0.5.", "Write for example 0.05.")
    criteria_content = content.get("criteria", {})
    if not isinstance(criteria_content, Mapping):
        raise AnalysisFault("criteria of the analysis plan is not a mapping.", "Write {category: {margin: ...}}.")
    given = {str(name).strip(): _criterion(str(name).strip(), entry) for name, entry in criteria_content.items()}
    criteria = {**given, **{name: criterion for name, criterion in PAPER_CRITERIA.items() if name not in given}}
    if set(given) <= set(PAPER_CRITERIA):
        criteria = {name: criteria[name] for name in PAPER_CRITERIA}
    return AnalysisPlan(
        reference_arm=reference_arm.strip(),
        alpha=alpha,
        family=cast(Family, _choice(content, "family", get_args(Family), default.family)),
        missing=cast(MissingPolicy, _choice(content, "missing", get_args(MissingPolicy), default.missing)),
        cannot_grade_image_quality=cast(
            ImageQualityCause,
            _choice(
                content, "cannot_grade_image_quality", get_args(ImageQualityCause), default.cannot_grade_image_quality
            ),
        ),
        criteria=criteria,
    )


def read_plan(path: Path) -> AnalysisPlan:
    """The plan of a PLAN.json file; numbers in it are taken as the decimals that are written. Raises AnalysisFault."""
    try:
        content = json.loads(
            path.read_text(encoding="utf-8-sig"), parse_float=Decimal, object_pairs_hook=_without_repeats
        )
        json.dumps(content, default=str, ensure_ascii=False).encode()  # half a surrogate pair could not be written
    except AnalysisFault:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise AnalysisFault(f"{path} cannot be read: {reason}.", "Check the path of the plan.") from error
    except UnicodeDecodeError as error:
        raise AnalysisFault(f"{path.name} is not a text file in UTF-8.", "Save the plan as JSON in UTF-8.") from error
    except (ValueError, RecursionError) as error:  # also a number of thousands of digits
        where = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise AnalysisFault(f"{path.name} is not valid JSON{where}.", "Correct the plan.") from error
    if not isinstance(content, dict):
        raise AnalysisFault(f"{path.name} is not a mapping.", "Write the plan as {...}.")
    return plan_from_mapping(content)


def mapping_sha256(content: Mapping[str, Any]) -> str:
    """SHA-256 (hex) over the canonical JSON of a plan: sorted keys, no spaces, UTF-8."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _criterion(name: str, entry: Any) -> CriterionPlan:
    whose = f"the criterion {name}"
    if not isinstance(entry, Mapping):
        raise AnalysisFault(f"The plan of {whose} is not a mapping.", 'Write {"margin": "-0.5", ...}.')
    _refuse_unknown_keys(entry, CRITERION_KEYS, f"The plan of {whose}")
    known = PAPER_CRITERIA.get(name)
    if "margin" not in entry and known is None:
        raise AnalysisFault(f"The plan gives no margin for {whose}.", 'Give one, for example "margin": "-0.5".')
    raw_margin = entry["margin"] if "margin" in entry or known is None else known.margin
    margin = _exact(raw_margin, f"The margin of {whose}")
    if known is not None:
        default_better: str = known.better
    else:
        default_better = "lower" if margin > 0 else "higher"
    better = cast(Better, _choice(entry, "better", get_args(Better), default_better))
    if (better == "higher" and margin > 0) or (better == "lower" and margin < 0):
        raise AnalysisFault(
            f"The margin of {whose} is {raw_margin}, but {better} scores are better there.",
            "A margin is negative where higher is better and positive where lower is better.",
        )
    scale = known.scale if known is not None else None
    if "scale" in entry:
        scale = _scale(entry["scale"], whose)
    return CriterionPlan(margin=str(raw_margin).strip(), better=better, scale=scale)


def _scale(value: Any, whose: str) -> tuple[int, int]:
    if (
        isinstance(value, list | tuple)
        and len(value) == 2
        and all(isinstance(end, int) and not isinstance(end, bool) for end in value)
        and value[0] < value[1]
    ):
        return value[0], value[1]
    raise AnalysisFault(f"The scale of {whose} is not two ascending whole numbers.", "Write for example [1, 5].")


def _exact(value: Any, what: str) -> Fraction:
    """The exact number that a decimal text, a Decimal or a whole number says; a float is refused."""
    if isinstance(value, str | Decimal) or (isinstance(value, int) and not isinstance(value, bool)):
        try:
            number = Decimal(value.strip() if isinstance(value, str) else value)
            if number.is_finite() and abs(number.adjusted()) < 20:
                return Fraction(number)
        except InvalidOperation:
            pass
    raise AnalysisFault(f"{what} is not a decimal number written as text.", 'Write it like "-0.5".')


def _choice(content: Mapping[str, Any], key: str, choices: tuple[str, ...], default: str) -> str:
    value = content.get(key, default)
    if value not in choices:
        raise AnalysisFault(f'{key} of the analysis plan cannot be "{value}".', f"Choose one of {', '.join(choices)}.")
    return str(value)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The mapping of a JSON object. JSON readers keep the last of equal names; a plan must not be read in two ways."""
    names: set[str] = set()
    for name, _ in pairs:
        if name.strip() in names:
            raise AnalysisFault(f'The analysis plan has the entry "{name.strip()}" twice.', "Keep one of the two.")
        names.add(name.strip())
    return dict(pairs)


def _refuse_unknown_keys(content: Mapping[str, Any], known: tuple[str, ...], whose: str) -> None:
    unknown = [str(key) for key in content if key not in known]
    if unknown:
        raise AnalysisFault(f'{whose} has the unknown entry "{unknown[0]}".', f"Known are {', '.join(known)}.")


def _decimal_text(number: Fraction) -> str:
    return format((Decimal(number.numerator) / Decimal(number.denominator)).normalize(), "f")
