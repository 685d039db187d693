"""The figures of the results page as Vega-Lite 6 specifications, from plain values; drawn in the browser.

https://vega.github.io/vega-lite/docs/spec.html. The colour of an arm is study data and the same in all figures.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
INK, MUTE, GRID, MARGIN, NONINFERIOR = "#1c232b", "#68727d", "#e4e8ec", "#b4493c", "#eef4ee"
FONT = 'system-ui, "Segoe UI", Roboto, sans-serif'
ROW_STEP = 13
"""Height of one interval in the figure of differences, in pixels."""
NAME_WIDTH = 158
"""Room for the names of the criteria left of the differences, in pixels."""


@dataclass(frozen=True)
class Figure:
    """A specification, its name for screen readers, and its share of the width beside its neighbours."""

    name: str
    description: str
    specification: dict[str, Any]
    weight: int


def box_plots(
    boxes: Sequence[Mapping[str, Any]],
    *,
    categories: Sequence[str],
    arms: Sequence[str],
    colours: Mapping[str, str],
    scale: tuple[int, int],
) -> Figure:
    """Box plots of the reader mean, arms side by side within each category of one scale.

    Parameters
    ----------
    boxes
        Rows with category, arm, n_patients, low, lower_quartile, median, upper_quartile, high, outliers.
    scale
        Least and greatest possible score.
    """
    shown = [
        {**{key: box[key] for key in box if key != "outliers"}, "category_arm": f"{box['category']}, {box['arm']}"}
        for box in boxes
    ]
    outliers = [
        {"category": box["category"], "arm": box["arm"], "value": value} for box in boxes for value in box["outliers"]
    ]
    binary = scale == (0, 1)
    x = {
        "field": "category",
        "type": "nominal",
        "sort": list(categories),
        "scale": {"paddingInner": 0.22, "paddingOuter": 0.08},
        "axis": {
            "title": None, "labelAngle": 0, "domain": False, "ticks": False, "labelPadding": 10, "labelLimit": 0,
            "labelExpr": _lines_expression(categories), "labelOverlap": False, "labelLineHeight": 14,
        },
    }  # fmt: skip
    offset = {"field": "arm", "type": "nominal", "sort": list(arms), "scale": {"paddingInner": 0.3}}
    stroke = {"field": "arm", "type": "nominal", "scale": _colour_scale(arms, colours), "legend": None}
    axis: dict[str, Any] = {
        "title": None, "domain": False, "ticks": False, "labelPadding": 8,
        "values": [0, 0.5, 1] if binary else list(range(scale[0], scale[1] + 1)),
    }  # fmt: skip
    y_scale = {"domain": list(scale), "nice": False, "zero": False}
    tooltip = [
        {"field": "category", "title": "Criterion"},
        {"field": "arm", "title": "Arm"},
        {"field": "n_patients", "title": "Subjects"},
        {"field": "median", "title": "Median", "format": ".2f"},
        {"field": "lower_quartile", "title": "Lower quartile", "format": ".2f"},
        {"field": "upper_quartile", "title": "Upper quartile", "format": ".2f"},
    ]

    def layer(mark: dict[str, Any], low: str, high: str) -> dict[str, Any]:
        return {
            "data": {"values": shown},
            "mark": mark,
            "encoding": {
                "x": x, "xOffset": offset, "stroke": stroke, "tooltip": tooltip,
                "y": {"field": low, "type": "quantitative", "scale": y_scale, "axis": axis},
                "y2": {"field": high},
            },
        }  # fmt: skip

    layers = [
        layer({"type": "rule", "strokeWidth": 1.2}, "low", "high"),
        layer({"type": "bar", "fill": "#fff", "strokeWidth": 1.6}, "lower_quartile", "upper_quartile"),
        layer({"type": "bar", "fill": "#fff", "strokeWidth": 2.6}, "median", "median"),
    ]
    if outliers:
        alone = {
            "x": x, "xOffset": offset, "stroke": stroke,
            "y": {"field": "value", "type": "quantitative", "scale": y_scale, "axis": axis},
            "tooltip": [{"field": "category"}, {"field": "arm"}, {"field": "value", "format": ".2f"}],
        }  # fmt: skip
        mark = {"type": "point", "shape": "circle", "size": 18, "strokeWidth": 1.2, "filled": False}
        layers.append({"data": {"values": outliers}, "mark": mark, "encoding": alone})
    description = (
        f"Box plots of the mean score over readers, scale {scale[0]} to {scale[1]}: "
        + "; ".join(f"{box['category_arm']} median {box['median']:.2f}" for box in shown)
        + "."
    )
    return Figure(
        name="scores", description=description, weight=len(categories),
        specification={**frame(description), "width": "container", "height": 180 + 30 * len(arms), "layer": layers},
    )  # fmt: skip


def differences(
    rows: Sequence[Mapping[str, Any]],
    *,
    categories: Sequence[str],
    arms: Sequence[str],
    colours: Mapping[str, str],
    margin: float,
    better: str,
) -> Figure:
    """Forest plot of the differences from the reference arm, with the margin and the side that is noninferior.

    Parameters
    ----------
    rows
        Rows of table 4 (category, arm, pseudomedian, ci_low, ci_high, noninferior) with one margin.
    arms
        Without the reference arm.
    """
    shown = [
        {
            **{key: row[key] for key in ("category", "arm", "pseudomedian", "ci_low", "ci_high")},
            "verdict": "noninferior" if row["noninferior"] else "not shown",
        }
        for row in rows
        if row["pseudomedian"] is not None
    ]
    ends = ("pseudomedian", "ci_low", "ci_high")
    reached = [row[end] for row in shown for end in ends if row[end] is not None]
    low, high = min([*reached, margin, 0.0]), max([*reached, margin, 0.0])
    room = max(0.12 * (high - low), 0.05)
    domain = [low - room, high + room]
    x_scale = {"domain": domain, "nice": False, "zero": False}
    x_axis = {"title": None, "grid": False, "domain": False, "ticks": False, "labelPadding": 8, "tickCount": 6}
    y = {
        "field": "category",
        "type": "nominal",
        "sort": list(categories),
        "scale": {"paddingInner": 0.18, "paddingOuter": 0.1},
        "axis": {
            "title": None, "domain": False, "ticks": False, "labelColor": INK, "labelFontSize": 12.5,
            # Left-aligned, and the same room in every figure, so that figures above each other line up.
            "labelAlign": "left", "labelPadding": NAME_WIDTH, "labelLimit": NAME_WIDTH - 8,
            "minExtent": NAME_WIDTH, "maxExtent": NAME_WIDTH,
        },
    }  # fmt: skip
    offset = {"field": "arm", "type": "nominal", "sort": list(arms), "scale": {"paddingInner": 0.2}}
    colour_scale = _colour_scale(arms, colours)
    stroke = {"field": "arm", "type": "nominal", "scale": colour_scale, "legend": None}
    tooltip = [
        {"field": "category", "title": "Criterion"},
        {"field": "arm", "title": "Arm"},
        {"field": "pseudomedian", "title": "Pseudomedian", "format": ".3f"},
        {"field": "ci_low", "title": "Interval from", "format": ".3f"},
        {"field": "ci_high", "title": "to", "format": ".3f"},
        {"field": "verdict", "title": "Noninferiority"},
    ]
    here = {"type": "quantitative", "scale": x_scale, "axis": x_axis}
    sides = [margin, domain[1]] if better == "higher" else [domain[0], margin]
    margin_text = f"margin {margin:+g}" if better == "lower" else f"margin {margin:g}"
    layers: list[dict[str, Any]] = [
        {
            "data": {"values": [{"from": sides[0], "to": sides[1]}]},
            "mark": {"type": "rect", "color": NONINFERIOR, "tooltip": None},
            "encoding": {"x": {"field": "from", **here}, "x2": {"field": "to"}},
        },
        {
            "data": {"values": [{"at": 0}]},
            "mark": {"type": "rule", "color": "#c9d0d7", "tooltip": None},
            "encoding": {"x": {"field": "at", **here}},
        },
        {
            "data": {"values": [{"at": margin}]},
            "mark": {"type": "rule", "color": MARGIN, "strokeDash": [4, 3], "tooltip": None},
            "encoding": {"x": {"field": "at", **here}},
        },
        {
            "data": {"values": [{"at": margin, "text": margin_text.replace("-", "−")}]},
            "mark": {
                "type": "text", "color": MARGIN, "fontSize": 11.5, "align": "right", "dx": -6, "y": -8, "tooltip": None,
                # Left of its line on both sides: there is always room there, over the names or over the figure.
            },
            "encoding": {"x": {"field": "at", **here}, "text": {"field": "text"}},
        },
        {
            "data": {"values": [row for row in shown if row["ci_low"] is not None]},
            "mark": {"type": "rule", "strokeWidth": 2},
            "encoding": {
                "y": y, "yOffset": offset, "stroke": stroke, "tooltip": tooltip,
                "x": {"field": "ci_low", **here}, "x2": {"field": "ci_high"},
            },
        },
    ]  # fmt: skip
    for verdict in ("not shown", "noninferior"):
        filled = verdict == "noninferior"
        point: dict[str, Any] = {
            "y": y, "yOffset": offset, "stroke": stroke, "tooltip": tooltip, "x": {"field": "pseudomedian", **here},
            "fill": {"field": "arm", "type": "nominal", "scale": colour_scale, "legend": None}
            if filled
            else {"value": "#fff"},
        }  # fmt: skip
        layers.append(
            {
                "data": {"values": [row for row in shown if row["verdict"] == verdict]},
                "mark": {"type": "point", "shape": "circle", "size": 60, "strokeWidth": 2, "opacity": 1},
                "encoding": point,
            }
        )
    description = (
        f"Differences from the reference arm, noninferiority margin {margin:g}: "
        + "; ".join(
            f"{row['category']}, {row['arm']} {row['pseudomedian']:.3f}"
            + (f" ({row['ci_low']:.3f} to {row['ci_high']:.3f})" if row["ci_low"] is not None else "")
            + (", noninferior" if row["verdict"] == "noninferior" else "")
            for row in shown
        )
        + "."
    )
    height = len(categories) * (ROW_STEP * len(arms) + 20)
    return Figure(
        name="differences", description=description, weight=len(categories),
        specification={**frame(description), "width": "container", "height": max(height, 40), "layer": layers},
    )  # fmt: skip


def _lines_expression(names: Sequence[str]) -> str:
    """Vega expression that breaks names of several words into two lines of about equal length."""

    def lines(name: str) -> list[str]:
        words = name.split(" ")
        breaks = [(" ".join(words[:at]), " ".join(words[at:])) for at in range(1, len(words))]
        return list(min(breaks, key=lambda pair: max(map(len, pair)))) if len(name) > 14 and breaks else [name]

    return f"{json.dumps({name: lines(name) for name in names})}[datum.label]"


def _colour_scale(arms: Sequence[str], colours: Mapping[str, str]) -> dict[str, Any]:
    return {"domain": list(arms), "range": [colours[arm] for arm in arms]}


def frame(description: str) -> dict[str, Any]:
    """What all figures share: fonts, colours, room."""
    return {
        "$schema": SCHEMA,
        "description": description,
        "background": None,
        "padding": {"left": 2, "right": 6, "top": 14, "bottom": 2},
        "autosize": {"type": "fit-x", "contains": "padding"},
        "config": {
            "font": FONT,
            "view": {"stroke": None},
            "axis": {"labelColor": MUTE, "labelFontSize": 11.5, "gridColor": GRID},
            "axisX": {"grid": False},
            "bar": {"continuousBandSize": 16},
        },
    }
