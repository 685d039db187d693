"""The results page of one sequence, made from a stored result: figures and tables as the template shows them."""

from collections.abc import Mapping, Sequence
from typing import Any

from readerstudy.results import charts, words

Row = Mapping[str, Any]


def sequence_names(content: Mapping[str, Any]) -> list[str]:
    """Sequences that have results, in the study's order."""
    return list(dict.fromkeys(row["sequence"] for row in content["table3"]))


def sequence_page(
    content: Mapping[str, Any], boxes: Sequence[Row], *, sequence: str, arms: Sequence[str], colours: Mapping[str, str]
) -> dict[str, Any]:
    """Everything that the template shows of one sequence.

    Parameters
    ----------
    content, boxes
        Of the stored result.
    arms
        All arms in the study's order; those without results in this sequence are left out.
    colours
        By arm.
    """
    plan = content["plan"]
    tables = {
        name: {(row["arm"], row["category"]): row for row in content[name] if row["sequence"] == sequence}
        for name in ("table3", "table4", "table5")
    }
    present = {arm for arm, _ in tables["table3"]}
    shown = [arm for arm in arms if arm in present]
    compared = [arm for arm in shown if arm != plan["reference_arm"]]
    rated = {category for _, category in tables["table3"]}
    categories = [category for category in plan["criteria"] if category in rated]

    def lines(names: Sequence[str], table: str, cell: Any) -> list[dict[str, Any]]:
        return [
            {
                "arm": arm,
                "colour": colours[arm],
                "cells": [None if (row := tables[table].get((arm, category))) is None else cell(row)
                          for category in categories],
            }
            for arm in names
        ]  # fmt: skip

    remarks = [
        f"{row['arm']}, {row['category']}: {row['reason']}"
        for table in tables.values() for row in table.values() if row["reason"]
    ]  # fmt: skip
    return {
        "categories": categories,
        "reference": plan["reference_arm"],
        "means": lines(shown, "table3", _mean_cell),
        "noninferiority": lines(compared, "table4", _noninferiority_cell),
        "agreement": lines(shown, "table5", _agreement_cell),
        "remarks": list(dict.fromkeys(remarks)),
        "figures": _figures(plan, boxes, tables["table4"], sequence, categories, shown, compared, colours),
        "subjects": max((row["n_patients"] for row in tables["table3"].values()), default=0),
        "level": words.level(plan["alpha"]),
        "alpha": words.alpha_text(plan["alpha"]),
        "family": words.FAMILIES[plan["family"]],
        "missing": words.MISSING[plan["missing"]],
        "margins": words.margins({"criteria": {name: plan["criteria"][name] for name in categories}}),
    }


def _mean_cell(row: Row) -> dict[str, Any]:
    return {"value": words.number(row["mean"], 2), "sd": words.number(row["sd"], 2), "n": row["n_patients"]}


def _noninferiority_cell(row: Row) -> dict[str, Any]:
    adjusted = words.p_value(row["p_adjusted"])
    if row["pseudomedian"] is None:
        return {"value": words.NOT_ESTIMABLE, "p": "", "noninferior": False, "details": row["reason"]}
    details = (
        f"{row['n_pairs']} pairs, {row['n_at_margin']} at the margin; V {row['statistic']:g}; "
        f"P {words.p_value(row['p_raw'])} before adjustment"
    )
    return {
        "value": words.number(row["pseudomedian"], 3),
        "interval": words.interval(row["ci_low"], row["ci_high"], 2),
        "p": f"{adjusted}*" if row["noninferior"] else adjusted,
        "noninferior": row["noninferior"],
        "details": details,
    }


def _agreement_cell(row: Row) -> dict[str, Any]:
    if row["kappa"] is None:
        return {"value": words.NOT_ESTIMABLE, "interval": "", "band": "", "strong": False}
    return {
        "value": words.number(row["kappa"], 3),
        "interval": words.interval(row["ci_low"], row["ci_high"], 2),
        "band": words.BANDS.get(row["band"] or "", ""),
        "strong": row["band"] in ("moderate", "substantial", "almost perfect"),
    }


def _figures(
    plan: Row, boxes: Sequence[Row], comparisons: Mapping[tuple[str, str], Row], sequence: str,
    categories: Sequence[str], shown: Sequence[str], compared: Sequence[str], colours: Mapping[str, str],
) -> dict[str, list[dict[str, Any]]]:  # fmt: skip
    """Figures by place; criteria that share scale, margin and direction share one."""
    groups: dict[tuple[int, int, str, str], list[str]] = {}
    for category in categories:
        criterion = plan["criteria"][category]
        scale = criterion.get("scale") or _observed_scale(boxes, category)
        groups.setdefault((scale[0], scale[1], criterion["margin"], criterion["better"]), []).append(category)
    scores, differences = [], []
    for (least, greatest, margin, better), names in groups.items():
        mine = [box for box in boxes if box["sequence"] == sequence and box["category"] in names]
        scores.append(
            charts.box_plots(mine, categories=names, arms=shown, colours=colours, scale=(least, greatest))
        )
        rows = [row for (_, category), row in comparisons.items() if category in names]
        if rows:
            differences.append(
                charts.differences(
                    rows, categories=names, arms=compared, colours=colours, margin=float(margin), better=better
                )
            )
    return {
        "scores": [_shown(figure, f"scores-{number}") for number, figure in enumerate(scores)],
        "differences": [_shown(figure, f"differences-{number}") for number, figure in enumerate(differences)],
    }


def _observed_scale(boxes: Sequence[Row], category: str) -> tuple[int, int]:
    values = [box[end] for box in boxes if box["category"] == category for end in ("low", "high")]
    return (int(min(values)), int(max(values)) + 1) if values else (0, 1)


def _shown(figure: charts.Figure, identifier: str) -> dict[str, Any]:
    return {
        "id": identifier,
        "description": figure.description,
        "specification": figure.specification,
        "weight": figure.weight,
    }
