"""What became of every level that was seen in any arm: measured, or why not. Rows of table 6b.

A statistician asks of measurements what STROBE asks of participants: how many at each stage, and the reasons for those
that are not analysed (von Elm et al., PLoS Med 4:e296, 2007, items 12c and 13).
"""

from collections import Counter
from collections.abc import Iterable
from typing import Any

from readerstudy.processing.levels import QUANTITIES
from readerstudy.processing.measurements import counting, current_measured
from readerstudy.processing.models import MeasuredSeries, Series, Structure
from readerstudy.studies.models import Study

FATES = ("value", "cut", "not_measured", "left_out", "same_level", "not_found", "series_not_measured")
"""Each level of each arm has exactly one.

value: it counts; cut: by the field of view; not_measured: a signal void lies inside, or only a piece was found;
left_out: by the coordinator, with a reason, in this arm or wherever it was found; same_level: two structures claim it;
not_found: seen in another arm alone; series_not_measured: the arm's whole series could not be measured, or is missing.
"""


def structure_fates(study: Study) -> list[dict[str, Any]]:
    """A row for each measured sequence, quantity and arm with anything measured in any arm.

    `series`, and of those `series_failed`; `levels`: of all subjects, seen in any arm; a count for each of FATES, which
    add up to `levels`; `matched`: with a value in every arm that has any, the n of table 6; `level_unsure`: of those
    with a value, how many carry a flag that the count of the levels is unsure, which the coordinator has neither
    confirmed nor corrected; `reasons`: of levels that are left out and of series that failed, in words, with how often,
    most often first.
    """
    arms = list(study.arms.filter(series__study=study, series__is_current=True).distinct().order_by("order"))
    held: dict[Any, dict[tuple[Any, Any], MeasuredSeries]] = {}
    for measured in current_measured(study):
        series = measured.series
        held.setdefault(series.sequence, {})[series.subject_id, series.arm_id] = measured
    made = Counter(Series.objects.filter(study=study, is_current=True).values_list("sequence_id", "arm_id"))
    rows = []
    for sequence in sorted(held, key=lambda one: one.order):
        here = held[sequence]
        in_sequence = [arm for arm in arms if made[sequence.pk, arm.pk]]
        for kind, quantity in QUANTITIES.items():
            fates = _fates(kind, here, [arm.pk for arm in in_sequence])
            values = [{item for item, fate in fates[arm.pk].items() if fate == "value"} for arm in in_sequence]
            matched = set.intersection(*filter(None, values)) if any(values) else set()
            for arm in in_sequence:
                mine = [measured for (_, arm_id), measured in here.items() if arm_id == arm.pk]
                counts = Counter(fates[arm.pk].values())
                rows.append(
                    {
                        "sequence": sequence.name,
                        "quantity": quantity,
                        "arm": arm.name,
                        "series": made[sequence.pk, arm.pk],
                        "series_failed": sum(bool(measured.fault_message) for measured in mine),
                        "levels": len(fates[arm.pk]),
                        **{fate: counts[fate] for fate in FATES},
                        "matched": len(matched),
                        "level_unsure": sum(one.level_is_unsure for each in mine for one in _with_value(kind, each)),
                        "reasons": _reasons(kind, mine),
                    }
                )
    return rows


def _fates(
    kind: str, here: dict[tuple[Any, Any], MeasuredSeries], arms: list[Any]
) -> dict[Any, dict[tuple[Any, int], str]]:
    """By arm what became of each (subject, level) that any arm shows."""
    found: dict[tuple[Any, Any], dict[int, str]] = {
        place: _of_series([one for one in measured.structures.all() if one.kind == kind], kind)
        for place, measured in here.items()
    }
    seen = sorted({(subject, level) for (subject, _), levels in found.items() for level in levels}, key=str)
    # What is left out wherever it was found is no level that another arm missed.
    stays = {
        (subject, level)
        for (subject, _), levels in found.items()
        for level, fate in levels.items()
        if fate != "left_out"
    }
    return {
        arm: {
            item: found[item[0], arm].get(item[1], "not_found" if item in stays else "left_out")
            if (item[0], arm) in here and not here[item[0], arm].fault_message
            else "series_not_measured"
            for item in seen
        }
        for arm in arms
    }


def _with_value(kind: str, measured: MeasuredSeries) -> list[Structure]:
    structures = [one for one in measured.structures.all() if one.kind == kind]
    return [one for one in counting(structures) if QUANTITIES[Structure.Kind(kind)] in one.measures]


def _of_series(structures: list[Structure], kind: str) -> dict[int, str]:
    values = {one.effective_level for one in counting(structures) if QUANTITIES[Structure.Kind(kind)] in one.measures}
    claimed: dict[int, list[Structure]] = {}
    for one in structures:
        claimed.setdefault(one.effective_level, []).append(one)
    return {level: "value" if level in values else _why_not(held) for level, held in claimed.items()}


def _why_not(held: Iterable[Structure]) -> str:
    staying = [one for one in held if not one.excluded_reason]
    if not staying:
        return "left_out"
    if len(staying) > 1:
        return "same_level"
    return "cut" if staying[0].state == Structure.State.CUT else "not_measured"


def _reasons(kind: str, mine: list[MeasuredSeries]) -> str:
    told: Counter[str] = Counter()
    for measured in mine:
        structures = [one for one in measured.structures.all() if one.kind == kind]
        left_out = {level for level, fate in _of_series(structures, kind).items() if fate == "left_out"}
        told.update(
            _plain(one.excluded_reason) for one in structures if one.excluded_reason and one.effective_level in left_out
        )
    failed = Counter(_plain(measured.fault_message) for measured in mine if measured.fault_message)
    return "; ".join(
        [f"{reason} ({times})" for reason, times in told.most_common()]
        + [f"{reason} ({times} series)" for reason, times in failed.most_common()]
    )


def _plain(reason: str) -> str:
    """On one line, without its full stop; what a spreadsheet would take for a formula is set in quotes."""
    line = " ".join(reason.split()).rstrip(".")
    return f"“{line}”" if line.startswith(("=", "+", "-", "@")) else line
