"""Measurements of several arms as a table: what is matched in all of them, described and compared (tables 6 and 6a)."""

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from readerstudy.statistics.faults import AnalysisFault
from readerstudy.statistics.measurement_agreement import CLUSTERED, agreement, regression

COLUMNS = ("quantity", "arm", "patient", "level", "value")
SEQUENCE = "sequence"
"""A further column that may be there: what is measured in several sequences is analysed in each."""
PAPER_QUANTITIES = ("disc_height_mm", "body_volume_cm3")
"""Of the paper's Table 6; any other is beyond it."""
LEAST, MOST = 1e-9, 1e9
"""Magnitudes between which a value lies unless it is 0: whatever is measured is there in a unit of its kind, and
squares and products of these are numbers."""
FEWEST_PAIRS = 3
TOO_FEW = "Fewer than 3 pairs."
NONE_MATCHED = "No patient and level has a value in every arm."
ALL_EQUAL = "All values of the arm or of the reference are equal."
POOLED = "pooled"

Item = tuple[str, str]
"""Patient and level."""
Part = tuple[str, str]
"""Sequence and quantity."""


@dataclass(frozen=True)
class Measurement:
    """One value of one arm: `quantity` names what and in which unit (`disc_height_mm`), `level` where.

    `sequence` is empty where there is no more than one.
    """

    quantity: str
    arm: str
    patient: str
    level: str
    value: float
    sequence: str = ""


class MeasurementTable:
    """Measurements, each at most once for a sequence, quantity, arm, patient and level.

    Raises AnalysisFault for one that stands twice.
    """

    def __init__(self, rows: Iterable[Measurement]) -> None:
        self._values: dict[Part, dict[str, dict[Item, float]]] = {}
        for row in rows:
            arms = self._values.setdefault((row.sequence, row.quantity), {})
            cell = arms.setdefault(row.arm, {})
            if (row.patient, row.level) in cell:
                raise AnalysisFault(
                    f"{row.quantity} of {row.arm}, patient {row.patient}, level {row.level} stands twice.",
                    "Keep one of the two rows, or name their sequences in a column.",
                )
            cell[row.patient, row.level] = row.value

    @property
    def parts(self) -> list[Part]:
        """Sequences and quantities, as they appear."""
        return list(self._values)

    def matched(self, part: Part, first: str = "") -> dict[str, dict[Item, float]]:
        """By arm the values of the patients and levels that every arm of `part` has, in one order.

        Arms as they appear, `first` before the others.
        """
        held = self._values[part]
        arms = sorted(held, key=lambda arm: arm != first)
        common = [item for item in held[arms[0]] if all(item in held[arm] for arm in arms)]
        return {arm: {item: held[arm][item] for item in common} for arm in arms}


def read_measurements(path: Path) -> MeasurementTable:
    """Measurements from a CSV file with the columns `COLUMNS`; others are ignored.

    Raises
    ------
    AnalysisFault
        With the row, where something is missing, is no number that can be a measurement, or stands twice, and for a
        level with the name of the rows of all levels.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or [])]
            if missing:
                raise AnalysisFault(
                    f"{path.name} has no column {', '.join(missing)}.", f"Its first line names {', '.join(COLUMNS)}."
                )
            rows = [_row(line, reader.line_num) for line in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AnalysisFault(f"{path} cannot be read: {error}.", "Give a CSV file in UTF-8.") from error
    if not rows:
        raise AnalysisFault(f"{path.name} holds no measurement.", "Leave --measurements away, or fill the file.")
    return MeasurementTable(rows)


def _row(line: Mapping[str, Any], number: int) -> Measurement:
    if None in line:  # what DictReader calls fields beyond the columns
        raise AnalysisFault(f"Row {number} has more fields than there are columns.", "Write values with a point.")
    texts = {name: (line[name] or "").strip() for name in COLUMNS}
    for name, text in texts.items():
        if not text:
            raise AnalysisFault(f"Row {number}: {name} is empty.", "Leave out what was not measured.")
    try:
        value = float(texts["value"])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise AnalysisFault(f"Row {number}: the value {texts['value']} is no number.", "Write it with a point.")
    if value and not LEAST <= abs(value) <= MOST:
        why = "too large: more than a billion" if abs(value) > MOST else "too small: less than a billionth"
        raise AnalysisFault(
            f"Row {number}: the value {texts['value']} is {why} is no measurement.",
            "Correct it, or write all values of the quantity in another unit.",
        )
    if value <= 0 and texts["quantity"] in PAPER_QUANTITIES:
        raise AnalysisFault(
            f"Row {number}: {texts['quantity']} is {texts['value']}, but a height or volume is more than 0.",
            "Correct it, or leave out what was not measured.",
        )
    if texts["level"].casefold() == POOLED:
        raise AnalysisFault(
            f"Row {number}: a level is called {texts['level']}, as the rows of all levels together are.",
            "Give the level another name.",
        )
    sequence = (line.get(SEQUENCE) or "").strip()
    return Measurement(texts["quantity"], texts["arm"], texts["patient"], texts["level"], value, sequence)


def analyse_measurements(table: MeasurementTable, reference_arm: str) -> dict[str, Any]:
    """Tables 6 and 6a in full precision.

    Returns
    -------
    dict
        `table6`: for each sequence (None where there is no more than one), quantity and arm n, mean and standard
        deviation of what is matched in all arms; against the reference n_pairs, r, r2, slope and intercept (least
        squares of the arm on the reference), bias (arm minus reference) and the limits of agreement. `table6a`: the
        same comparison with intervals, pooled and by level. `in_paper` says of each row whether the paper's Table 6 has
        its quantity.
        None = not estimable, `reason` says why. `measurements_reason`: a sentence for each sequence and quantity that
        is left out because the reference arm has no value of it, else None.

    Raises
    ------
    AnalysisFault
        If the reference arm has no value of any sequence and quantity.
    """
    described: list[dict[str, Any]] = []
    compared: list[dict[str, Any]] = []
    left_out: list[str] = []
    for sequence, quantity in table.parts:
        cells = table.matched((sequence, quantity), reference_arm)
        if reference_arm not in cells:
            part = f"{quantity} of {sequence}" if sequence else quantity
            left_out.append(f"{part} has no values of the reference arm {reference_arm}.")
            continue
        reference = cells[reference_arm]
        for arm, cell in cells.items():
            in_paper = quantity in PAPER_QUANTITIES
            key = {SEQUENCE: sequence or None, "quantity": quantity, "in_paper": in_paper, "arm": arm}
            comparison = _comparison(cell, reference, is_reference=arm == reference_arm)
            described.append({**key, **_described(list(cell.values())), **comparison})
            if arm != reference_arm:
                compared += [{**key, **row} for row in _compared(cell, reference)]
    reason = " ".join(left_out) or None
    if reason and not described:
        raise AnalysisFault(reason, "Name the reference in the plan.")
    return {"table6": described, "table6a": compared, "measurements_reason": reason}


def sensitivity(
    tables: Mapping[str, Any], other: Mapping[str, Any], counts: Mapping[tuple[Any, Any, Any], int]
) -> list[dict[str, Any]]:
    """Table 6c: table 6 and the pooled rows of table 6a once more, over values of which fewer were left out.

    Parameters
    ----------
    tables, other
        Of `analyse_measurements`: of the values that count, and of these and those that were left out.
    counts
        By sequence (None where there is no more than one), quantity and arm how many values `other` has more.

    Returns
    -------
    list
        A row for each of `other["table6"]` of sequences and quantities where `counts` has any: `left_out` (of the arm),
        `n_without` (the n of table 6), then as table 6 and 6a. Empty where nothing was left out.
    """
    whole = {_place(row): row for row in tables["table6"]}
    pooled = {_place(row): row for row in other["table6a"] if row["level"] == POOLED}
    changed = {place[:2] for place, count in counts.items() if count}
    rows = []
    for row in other["table6"]:
        place = _place(row)
        if place[:2] in changed:
            key = {name: row[name] for name in (SEQUENCE, "quantity", "in_paper", "arm")}
            described = {name: row[name] for name in ("n", "mean", "sd", "n_pairs", "reason")}
            compared = {name: pooled.get(place, {}).get(name) for name in COMPARED}
            without = whole[place]["n"] if place in whole else 0
            rows.append({**key, "left_out": counts.get(place, 0), "n_without": without, **described, **compared})
    return rows


def _place(row: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    return row[SEQUENCE], row["quantity"], row["arm"]


def _described(values: list[float]) -> dict[str, Any]:
    n = len(values)
    mean = math.fsum(values) / n if n else None
    sd = None
    if mean is not None and n > 1:
        sd = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    return {"n": n, "mean": mean, "sd": sd}


def _comparison(cell: Mapping[Item, float], reference: Mapping[Item, float], *, is_reference: bool) -> dict[str, Any]:
    empty = dict.fromkeys(("n_pairs", "r", "r2", "slope", "intercept", "bias", "loa_low", "loa_high"))
    if is_reference:
        return {**empty, "reason": None if cell else NONE_MATCHED}
    if len(cell) < FEWEST_PAIRS:
        return {**empty, "n_pairs": len(cell), "reason": TOO_FEW if cell else NONE_MATCHED}
    x, y = _pairs(cell, reference)
    line = regression(x, y)
    found = agreement(x, y)
    return {
        "n_pairs": len(cell),
        "r": line.r,
        "r2": line.r2,
        "slope": line.slope,
        "intercept": line.intercept,
        "bias": found.bias,
        "loa_low": found.loa_low,
        "loa_high": found.loa_high,
        "reason": None if line.r is not None else ALL_EQUAL,
    }


def _pairs(cell: Mapping[Item, float], reference: Mapping[Item, float]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([reference[item] for item in cell]), np.array(list(cell.values()))


def _compared(cell: Mapping[Item, float], reference: Mapping[Item, float]) -> list[dict[str, Any]]:
    levels = sorted({level for _, level in cell}, key=_in_order)
    rows = []
    for level in [POOLED, *levels]:
        held = {item: value for item, value in cell.items() if level in (POOLED, item[1])}
        row: dict[str, Any] = {"level": level, "n_pairs": len(held)}
        if len(held) < FEWEST_PAIRS:
            rows.append({**row, **dict.fromkeys(COMPARED), "reason": TOO_FEW if held else NONE_MATCHED})
            continue
        x, y = _pairs(held, reference)
        line, found = regression(x, y), agreement(x, y, [patient for patient, _ in held])
        reason = None if line.r is not None else ALL_EQUAL
        rows.append({**row, **line.as_mapping(), **found.as_mapping(), "reason": reason})
    return rows


def _in_order(level: str) -> tuple[bool, int, str]:
    """Numbers by size before names."""
    return not level.isdecimal(), int(level) if level.isdecimal() else 0, level


COMPARED = (
    "r", "r2", "slope", "slope_low", "slope_high", "intercept", "intercept_low", "intercept_high", "bias", "bias_low",
    "bias_high", "sd_of_differences", "loa_low", "loa_low_from", "loa_low_to", "loa_high", "loa_high_from",
    "loa_high_to", "icc", "icc_low", "icc_high", "n_patients", "cluster_reason",
    *(f"cluster_{name}_{end}" for name in CLUSTERED for end in ("low", "high")),
)  # fmt: skip
"""What table 6a says of each comparison: intervals are 95 %; those of a cluster bootstrap by patient come last."""
