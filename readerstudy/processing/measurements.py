"""Measured discs and bodies, shaped: the rows that results are made of, and the coordinator's page."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from readerstudy.processing.levels import QUANTITIES, names, quantities
from readerstudy.processing.models import LEVEL_UNSURE, MeasuredSeries, Structure
from readerstudy.processing.policies import OBJECTS
from readerstudy.processing.slices import side_by_side
from readerstudy.studies.models import Sequence, Study, Subject

STANDS_OUT = {"disc": 3.0, "body": 0.15}
"""Difference from the reference arm that is worth a look: millimetres of height, part of the volume."""
DIGITS = {"disc": 1, "body": 1}
UNITS = {"disc": "mm", "body": "cm³"}
NO_CALL_TO_LOOK = (
    "Cut by the field of view", "With a signal void", "Found in part", "Much smaller than the bodies beside",
    "Large in an outermost slice", "Perhaps two bodies in one", "Found in pieces", "Levels above T12 show",
    "Pixels of", "With another piece",
)  # fmt: skip
"""How remarks on a series begin that count nothing: marked at their structures, or nothing to correct."""
PLAIN_FLAG = "it is large in an outermost slice"
"""So begins what is said of a structure and calls no look: it is true of most in a narrow slab, whoever looks."""
OF_THE_COUNT = (
    "The count of the levels needs a look", "All structures lie", "Left out, since once matched",
)  # fmt: skip
"""How remarks begin that hold no longer once a coordinator has confirmed the count."""
COUNTS_NOWHERE = "the level counts in no arm's comparison"
WHY_NOT = {"measured": "at one level with another", "cut": "cut", "excluded": "not measured"}
"""By state of a structure, why a level of an arm has no value."""
GROUPS_A_PAGE = 8
"""Each is some 100 kilobytes of page."""
TITLES = {"disc": "Disc height", "body": "Body volume"}


def measurement_rows(study: Study, *, nothing_left_out: bool = False) -> list[dict[str, Any]]:
    """What counts in the results: sequence, quantity, arm, patient, level, level_name, value; a row each.

    Of the current series; not what is cut, excluded, or claims a level that another structure of its series claims too.
    With `nothing_left_out` as if the coordinator had excluded none of what was measured (`returning`).
    """
    rows = []
    for measured in current_measured(study):
        series, structures = measured.series, list(measured.structures.all())
        for structure in [*counting(structures), *(returning(structures) if nothing_left_out else [])]:
            for quantity in quantities(structure.kind):
                value = structure.measures.get(quantity)
                if value is not None:
                    rows.append(
                        {
                            "sequence": series.sequence.name,
                            "quantity": quantity,
                            "arm": series.arm.name,
                            "patient": series.subject.code,
                            "level": structure.effective_level,
                            "level_name": names(structure.kind)[structure.effective_level],
                            "value": float(value),
                        }
                    )
    return rows


def page(study: Study, shown: str = "") -> dict[str, Any]:
    """The Measurements page: `groups`, one a subject and measured sequence, and `attention`, how many need a look.

    `on_page` are the `GROUPS_A_PAGE` groups among which is the one whose anchor is `shown`, else the first ones, `here`
    their anchors; `earlier` and `later` the anchors with which the pages beside this one begin, empty if there is none.
    """
    arms = list(study.arms.order_by("order"))
    found: dict[tuple[Any, Any], dict[Any, MeasuredSeries]] = {}
    for measured in current_measured(study):
        series = measured.series
        found.setdefault((series.subject, series.sequence), {})[series.arm_id] = measured
    groups = [_group(subject, sequence, arms, here) for (subject, sequence), here in found.items()]
    place = next((number for number, group in enumerate(groups) if group["anchor"] == shown), 0)
    first = place - place % GROUPS_A_PAGE
    starts = [group["anchor"] for group in groups[::GROUPS_A_PAGE]]
    return {
        "groups": groups,
        "on_page": groups[first : first + GROUPS_A_PAGE],
        "earlier": starts[first // GROUPS_A_PAGE - 1] if first else "",
        "later": starts[first // GROUPS_A_PAGE + 1] if first + GROUPS_A_PAGE < len(groups) else "",
        "here": {group["anchor"] for group in groups[first : first + GROUPS_A_PAGE]},
        "arms": arms,
        "attention": sum(group["attention"] for group in groups),
        "several_sequences": len({group["sequence"] for group in groups}) > 1,
        "sequences": [sequence.name for sequence in study.sequences.filter(is_measured=True)],
    }


def anchor(subject: Subject, sequence: Sequence) -> str:
    """Where a subject and sequence stand on the page; no code of a subject holds a full stop."""
    return f"{subject.code}.{sequence.pk}"


def current_measured(study: Study) -> QuerySet[MeasuredSeries]:
    """What was measured in the current series, by subject, sequence and arm."""
    return (
        MeasuredSeries.objects.filter(series__study=study, series__is_current=True)
        .select_related("series__arm", "series__subject", "series__sequence", "count_confirmed_by")
        .prefetch_related("structures__excluded_by")
        .order_by("series__subject__code", "series__sequence__order", "series__arm__order")
    )


def measured_of(subject: Subject, sequence_id: UUID) -> list[MeasuredSeries]:
    """What was measured in the current series of a subject and sequence, by arm."""
    return list(current_measured(subject.study).filter(series__subject=subject, series__sequence_id=sequence_id))


def as_seen(found: Iterable[MeasuredSeries]) -> str:
    """Levels, what is left out and what is confirmed as they stand, as a short word: another word, and something
    changed."""
    held = list(found)
    standing = sorted(
        (one.pk, one.effective_level, one.beyond, bool(one.excluded_reason))
        for measured in held
        for one in measured.structures.all()
    )
    confirmed = sorted((measured.pk, bool(measured.count_confirmed_reason)) for measured in held)
    return hashlib.sha256(repr((standing, confirmed)).encode()).hexdigest()[:16]


def counting(structures: Iterable[Structure]) -> list[Structure]:
    """Of one series: what is measured, not left out, and alone at its level."""
    held = [one for one in structures if _has_value(one)]
    claims = Counter((one.kind, one.effective_level) for one in structures if not one.excluded_reason)
    return [one for one in held if claims[one.kind, one.effective_level] == 1]


def returning(structures: Iterable[Structure]) -> list[Structure]:
    """Of one series: what was measured and left out by the coordinator, and would count if it had not been.

    Corrections of levels stay. Where another structure has the level, or two that were left out do, none returns: what
    is meant by the level is not known then.
    """
    held = list(structures)
    taken = {(one.kind, one.effective_level) for one in held if not one.excluded_reason}
    claims = Counter((one.kind, one.effective_level) for one in held if one.excluded_reason)
    return [
        one
        for one in held
        if one.excluded_reason and one.state == Structure.State.MEASURED
        and (place := (one.kind, one.effective_level)) not in taken and claims[place] == 1
    ]  # fmt: skip


def _group(subject: Any, sequence: Any, arms: list[Any], here: dict[Any, MeasuredSeries]) -> dict[str, Any]:
    reference = next((arm.id for arm in arms if arm.is_reference), None)
    slider, places = side_by_side([_sheet(here.get(arm.id)) for arm in arms])
    pictures = [
        {
            "arm": arm,
            "measured": here.get(arm.id),
            "series": _series(here.get(arm.id)),
            "slice": place,
            "objects": _objects(here.get(arm.id)),
        }
        for arm, place in zip(arms, places, strict=True)
    ]
    tables = [_table(kind, arms, here, reference) for kind in ("disc", "body")]
    said: dict[tuple[str, bool], list[str]] = {}
    for arm in arms:
        if arm.id in here:
            looks = _looks(here[arm.id])
            for text in [*here[arm.id].remarks, *_fault(here[arm.id])]:
                said.setdefault((text, text in looks), []).append(arm.name)
    attention = sum(cell["attention"] for table in tables for row in table["rows"] for cell in row["cells"])
    return {
        "anchor": anchor(subject, sequence),
        "subject": subject,
        "sequence": sequence,
        "seen": as_seen(here.values()),
        "count": _count(list(here.values())),
        "can_shift": [arm for arm in arms if arm.id in here and here[arm.id].structures.all()],
        "pictures": pictures,
        "slider": slider,
        "tables": tables,
        "remarks": [{"arms": held, "text": text, "look": look} for (text, look), held in said.items()],
        "attention": attention + sum(bool(_looks(measured)) for measured in here.values()),
    }


def _count(measured: list[MeasuredSeries]) -> dict[str, Any]:
    """Whether the count of levels is `unsure`, and who `confirmed` it, when and why, if all arms are."""
    found = [one for one in measured if one.structures.all()]
    renamed = any(one.matched_level and not one.corrected_level for each in found for one in each.structures.all())
    confirmed = found[0] if found and all(one.count_confirmed_reason for one in found) else None
    unsure = renamed or any(_of_the_count(one) and not _is_settled(one) for one in found)
    return {"unsure": unsure, "confirmed": confirmed}


def _is_settled(measured: MeasuredSeries) -> bool:
    """Whether the coordinator has confirmed the count of the series, or corrected or left out all that it counts."""
    structures = measured.structures.all()
    corrected = all(one.corrected_level is not None or one.excluded_reason for one in structures)
    return bool(measured.count_confirmed_reason or (structures and corrected))


def _of_the_count(measured: MeasuredSeries) -> list[str]:
    """Remarks on the whole series that the coordinator settles by confirming the count."""
    return [text for text in measured.remarks if text.startswith(OF_THE_COUNT)]


def _series(measured: MeasuredSeries | None) -> Any:
    return measured.series if measured and measured.overlay else None


def _objects(measured: MeasuredSeries | None) -> dict[str, str]:
    """Of OBJECTS those that were written."""
    names = {file["path"].rsplit("/", 1)[-1] for file in measured.files} if measured else set()
    return {name: says for name, says in OBJECTS.items() if name in names}


def _sheet(measured: MeasuredSeries | None) -> Any:
    return measured.sheet if measured and measured.overlay else None


def _fault(measured: MeasuredSeries) -> list[str]:
    return [f"{measured.fault_message} {measured.fault_action}".strip()] if measured.fault_message else []


def _looks(measured: MeasuredSeries) -> list[str]:
    """What is said of the whole series and to be looked at."""
    settled = _of_the_count(measured) if _is_settled(measured) else []
    told = [text for text in measured.remarks if not text.startswith(NO_CALL_TO_LOOK) and text not in settled]
    return [*told, *_fault(measured)]


def _table(kind: str, arms: list[Any], here: dict[Any, MeasuredSeries], reference: Any) -> dict[str, Any]:
    by_arm = {
        arm_id: [one for one in measured.structures.all() if one.kind == kind] for arm_id, measured in here.items()
    }
    quantity = QUANTITIES[Structure.Kind(kind)]
    levels = sorted({one.effective_level for held in by_arm.values() for one in held})
    rows = []
    for level in levels:
        placed = {arm_id: [one for one in held if one.effective_level == level] for arm_id, held in by_arm.items()}
        base = _value(placed.get(reference, []), quantity)
        cells = [_cell(arm, placed.get(arm.id), kind, quantity, base, arm.id == reference) for arm in arms]
        holders = [arm for arm in arms if counting(placed.get(arm.id, []))]
        if holders:  # what one arm has and another not drops from all
            for cell in cells:
                # A series that failed is counted once, not at every level.
                if cell["arm"] not in holders and cell["arm"].id in here and not _fault(here[cell["arm"].id]):
                    _drops(cell, next((arm for arm in holders if arm.is_reference), holders[0]))
        rows.append({"name": names(kind)[level], "level": level, "cells": cells})
    return {
        "kind": kind,
        "title": TITLES[kind],
        "unit": UNITS[kind],
        "rows": rows,
        "levels": list(names(kind).items()),
    }


def _drops(cell: dict[str, Any], holder: Any) -> None:
    """Mark an arm that has no value at a level where `holder` has one, with why."""
    why = next((WHY_NOT[one["structure"].state] for one in cell["entries"] if not one["excluded"]), "left out")
    cell["attention"] = True
    cell["drops"] = f"{why if cell['entries'] else 'not found'} here, measured in {holder.name}: {COUNTS_NOWHERE}"
    for entry in cell["entries"]:
        entry["notes"].append(cell["drops"])
        entry["look"] = True


def _has_value(structure: Structure) -> bool:
    return structure.state == Structure.State.MEASURED and not structure.excluded_reason


def _value(structures: list[Structure], quantity: str) -> float | None:
    held = [one for one in counting(structures) if quantity in one.measures]
    return float(held[0].measures[quantity]) if held else None


def _cell(
    arm: Any, structures: list[Structure] | None, kind: str, quantity: str, base: float | None, is_reference: bool
) -> dict[str, Any]:
    """One arm at one level: each structure with its value, what is said of it, and whether that is to be looked at."""
    entries = []
    claims = sum(not one.excluded_reason for one in structures or [])
    for one in structures or []:
        value = one.measures.get(quantity) if one.state == Structure.State.MEASURED else None
        cut = one.state == Structure.State.CUT  # its state says so
        # A doubt about the count is one of the whole series, and marked there.
        doubts = [flag for flag in one.flags if LEVEL_UNSURE in flag]
        plain = [flag for flag in one.flags if flag.startswith(PLAIN_FLAG)]
        looks = [flag for flag in one.flags if flag not in doubts + plain and not (cut and "field of view" in flag)]
        if one.matched_level and not one.corrected_level:
            renamed = f"named {names(kind)[one.level]} in its own series, matched by position"
            (doubts if one.measured.count_confirmed_reason else looks).append(renamed)
        if claims > 1 and not one.excluded_reason:
            looks.append("two structures of the series have this level: none counts")
        if value is not None and base and not is_reference:
            difference = float(value) - base
            if abs(difference) > (STANDS_OUT[kind] if kind == "disc" else STANDS_OUT[kind] * base):
                looks.append(f"{difference:+.{DIGITS[kind]}f} {UNITS[kind]} from the reference")
        told = [] if one.state == Structure.State.MEASURED else [one.get_state_display()]
        if doubts and one.measured.count_confirmed_reason:
            doubts.append("the count of levels is confirmed")
        if one.corrected_level:
            found = names(kind)[one.matched_level or one.level]
            told.append(f"corrected by hand, found as {found}: {one.corrected_reason}".removesuffix(": "))
        if one.beyond:
            told.append(f"{'above' if one.beyond < 0 else 'below'} the levels that have a name since all were shifted")
        entries.append(
            {
                "structure": one,
                "value": None if value is None else f"{float(value):.{DIGITS[kind]}f}",
                "notes": [*told, *plain, *doubts, *looks],
                "look": bool(looks) and not one.excluded_reason,
                "excluded": one.excluded_reason,
            }
        )
    attention = any(entry["look"] for entry in entries)
    return {"arm": arm, "entries": entries, "attention": attention, "missing": structures == [], "drops": ""}
