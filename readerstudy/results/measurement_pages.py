"""The measurements of the results page: table 6, what a reviewer asks beyond it, and the scatter of figure 6."""

from collections.abc import Mapping, Sequence
from typing import Any

from readerstudy.results import measurement_charts, words
from readerstudy.statistics.measurements import PAPER_QUANTITIES, POOLED

Row = Mapping[str, Any]

TITLES = {
    "disc_height_mm": ("Intervertebral disc height", "mm"), "body_volume_cm3": ("Vertebral body volume", "cm³"),
    "disc_mean_height_mm": ("Mean disc height", "mm"), "disc_area_mm2": ("Disc area", "mm²"),
}  # fmt: skip
DIGITS = {"disc_area_mm2": 1}
"""Of means and differences; 2 of all others."""


def measurement_page(
    content: Mapping[str, Any], rows: Sequence[Row], *, arms: Sequence[str], colours: Mapping[str, str]
) -> list[dict[str, Any]]:
    """What the template shows, a part for each quantity; empty where nothing was measured.

    Parameters
    ----------
    content
        Of the stored result.
    rows
        The measured values themselves, for the figures.
    arms, colours
        All arms in the study's order, and the colour of each.
    """
    reference = content["plan"]["reference_arm"]
    table6, table6a, table6c = (content.get(name, []) for name in ("table6", "table6a", "table6c"))
    keys = list(dict.fromkeys((row["sequence"], row["quantity"]) for row in table6))
    parts = []
    for number, (sequence, quantity) in enumerate(keys):
        described = {row["arm"]: row for row in table6 if (row["sequence"], row["quantity"]) == (sequence, quantity)}
        compared = [row for row in table6a if (row["sequence"], row["quantity"]) == (sequence, quantity)]
        mine = [row for row in rows if (row["sequence"], row["quantity"]) == (sequence, quantity)]
        title, unit = TITLES.get(quantity, (quantity, ""))
        digits, in_paper = DIGITS.get(quantity, 2), quantity in PAPER_QUANTITIES
        again = [row for row in table6c if (row["sequence"], row["quantity"]) == (sequence, quantity)]
        shown = [arm for arm in arms if arm in described]
        others = [arm for arm in shown if arm != reference]
        parts.append(
            {
                "identifier": f"measured-{number}",
                "title": title,
                "sequence": sequence,
                "unit": unit,
                "in_paper": in_paper,
                "reference": reference,
                "n": described[reference]["n"],
                "reason": described[reference]["reason"],
                "lines": {arm: _line(described[arm], described[reference]["mean"], digits) for arm in shown},
                "agreement": [
                    {"arm": row["arm"], "colour": colours[row["arm"]], **_agreement(row, digits)}
                    for row in compared
                    if row["level"] == POOLED
                ],
                "cluster_reason": next((row.get("cluster_reason") for row in compared if row["level"] == POOLED), None),
                "levels": _levels(compared, others, colours, _names(mine), digits),
                "nothing_left_out": [_beside(row, compared, colours, digits) for row in again],
                "figures": measurement_charts.figures(
                    f"measured-{number}", unit, _points(mine, shown, reference), arms=others, reference=reference,
                    colours=colours, lines={arm: described[arm] for arm in others},
                ) if in_paper else {"scatter": [], "differences": []},
            }
        )  # fmt: skip
    return parts


def table6_lines(parts: Sequence[Row], *, arms: Sequence[str], colours: Mapping[str, str]) -> list[dict[str, Any]]:
    """Table 6 as the paper has it: a line for each arm, a cell for each part of `measurement_page`, None where the arm
    was not measured."""
    measured = [arm for arm in arms if any(arm in part["lines"] for part in parts)]
    return [
        {"arm": arm, "colour": colours[arm], "cells": [part["lines"].get(arm) for part in parts]} for arm in measured
    ]


FATES = {
    "value": "Measured", "cut": "Cut by the field of view", "not_measured": "Void or piece", "left_out": "Left out",
    "same_level": "Level claimed twice", "not_found": "Not found", "series_not_measured": "Series not measured",
    "matched": "In every arm", "level_unsure": "Level unsure",
}  # fmt: skip
"""Columns of table 6b on the page."""


def table6b_parts(content: Mapping[str, Any], *, colours: Mapping[str, str]) -> list[dict[str, Any]]:
    """What became of the levels, a part for each sequence and quantity; empty for results from before it was told."""
    parts: dict[tuple[str, str], dict[str, Any]] = {}
    for row in content.get("table6b", []):
        title, _ = TITLES.get(row["quantity"], (row["quantity"], ""))
        part = parts.setdefault(
            (row["sequence"], row["quantity"]),
            {"title": title, "sequence": row["sequence"], "levels": row["levels"], "lines": []},
        )
        cells = [row.get(fate, "–") for fate in FATES]  # results from before may lack one
        colour = colours[row["arm"]]
        part["lines"].append({"arm": row["arm"], "colour": colour, "cells": cells, "reasons": row["reasons"]})
    return list(parts.values())


def measured_by(content: Mapping[str, Any]) -> str:
    """The foot line of the tables: which networks, thresholds and software measured; empty where nothing tells."""
    held = content.get("measured_by", [])
    told = [one for one in held if one["weights"]]
    if not told:
        return ""
    sentences = []
    for one in told:
        thresholds, software = one["thresholds"] or {}, one["software"]
        networks = " and ".join(
            f"{name} {sha256[:12]}…" + (f" (threshold {thresholds[name]:g})" if name in thresholds else "")
            for name, sha256 in sorted(one["weights"].items(), reverse=True)
        )
        code = "{name} {version} (sources {source_sha256:.12}…)".format(**software) if software else ""
        count = f"{one['series']} series by " if len(held) > 1 else ""
        sentences.append(f"{count}the networks {', '.join(filter(None, (networks, code)))}")
    silent = sum(one["series"] for one in held if not one["weights"])
    if silent:
        sentences.append(f"of {silent} series it is not told")
    return f"Measured{':' if len(held) > 1 else ' by'} {'; '.join(sentences)}."


def _line(row: Row, reference_mean: float | None, digits: int) -> dict[str, Any]:
    away = None
    if row["n_pairs"] and reference_mean:
        away = f"{words.number(100 * (row['mean'] / reference_mean - 1), 2)} %"
    return {
        "away": away,
        "mean": words.number(row["mean"], digits),
        "sd": "" if row["sd"] is None else words.number(row["sd"], digits),
        "r2": "" if row["r2"] is None else words.number(row["r2"], 2),
        "equation": equation(row),
    }


def equation(row: Row) -> str:
    """The regression line in words, empty where there is none."""
    if row["slope"] is None:
        return ""
    sign = "−" if row["intercept"] < 0 else "+"
    return f"y = {words.number(row['slope'], 2)} x {sign} {words.number(abs(row['intercept']), 2)}"


def _agreement(row: Row, digits: int) -> dict[str, Any]:
    if row["bias"] is None:
        return {"reason": row["reason"]}

    def estimate(name: str, digits: int = digits) -> dict[str, str]:
        low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
        clustered = row[f"cluster_{name}_low"], row[f"cluster_{name}_high"]
        return {
            "value": words.number(row[name], digits),
            "interval": "" if low is None else words.interval(low, high, digits),
            "clustered": "" if clustered[0] is None else words.interval(*clustered, digits),
        }

    limits = {name: estimate(name) for name in ("loa_low", "loa_high")}
    for name, limit in limits.items():
        limit["interval"] = words.interval(row[f"{name}_from"], row[f"{name}_to"], digits)
    return {
        "estimates": [
            estimate("bias"), *limits.values(), estimate("icc", 3), estimate("r2", 3), estimate("slope", 2),
            estimate("intercept"),
        ],
        "reason": None,
    }  # fmt: skip


def _beside(row: Row, compared: Sequence[Row], colours: Mapping[str, str], digits: int) -> dict[str, Any]:
    """A line of table 6c: what the table of agreement says, and what it would say with nothing left out."""
    counted: Row = next((one for one in compared if (one["arm"], one["level"]) == (row["arm"], POOLED)), {})

    def told(one: Row, n: int) -> list[str]:
        if one.get("bias") is None:
            return [str(n), "–", "–", "–"]
        limits = words.interval(one["loa_low"], one["loa_high"], digits)
        return [str(n), words.number(one["bias"], digits), limits, words.number(one["icc"], 3)]

    return {
        "arm": row["arm"],
        "colour": colours[row["arm"]],
        "left_out": row["left_out"],
        "counted": told(counted, row["n_without"]),
        "nothing_left_out": told(row, row["n"]),
    }


def _names(rows: Sequence[Row]) -> dict[str, str]:
    """Names of the levels, as table 6a numbers them."""
    return {str(row["level"]): row["level_name"] for row in rows}


def _levels(
    compared: Sequence[Row], arms: Sequence[str], colours: Mapping[str, str], names: Mapping[str, str], digits: int
) -> dict[str, Any]:
    """Bias, limits and ICC by level: heads of the columns from the head down, and a line an arm."""
    levels = list(dict.fromkeys(row["level"] for row in compared if row["level"] != POOLED))
    cells = {(row["arm"], row["level"]): row for row in compared}
    return {
        "heads": [{"name": names[level], "n": cells[arms[0], level]["n_pairs"]} for level in levels],
        "lines": [
            {
                "arm": arm,
                "colour": colours[arm],
                "cells": [_of_level(cells[arm, level], digits) for level in levels],
            }
            for arm in arms
        ],
    }


def _of_level(row: Row, digits: int) -> dict[str, str]:
    def interval(low: str, high: str, decimals: int) -> str:
        return "" if row[low] is None else words.interval(row[low], row[high], decimals)

    return {
        "bias": words.number(row["bias"], digits),
        "limits": interval("loa_low", "loa_high", digits),
        "icc": words.number(row["icc"], 2),
        "icc_interval": interval("icc_low", "icc_high", 2),
    }


def _points(rows: Sequence[Row], arms: Sequence[str], reference: str) -> list[dict[str, Any]]:
    """A point for each arm, subject and level that every arm has; without the subject's name."""
    held = {(row["arm"], row["patient"], row["level_name"]): row["value"] for row in rows}
    items = [
        (patient, level)
        for arm, patient, level in held
        if arm == reference and all((one, patient, level) in held for one in arms)
    ]
    return [
        {
            "arm": arm,
            "level": level,
            "reference": held[reference, patient, level],
            "value": held[arm, patient, level],
            "mean": (held[arm, patient, level] + held[reference, patient, level]) / 2,
            "difference": held[arm, patient, level] - held[reference, patient, level],
        }
        for arm in arms
        if arm != reference
        for patient, level in items
    ]
