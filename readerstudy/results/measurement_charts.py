"""Figure 6 as Vega-Lite specifications: each arm against the reference, and their differences (Bland-Altman)."""

from collections.abc import Mapping, Sequence
from typing import Any

from readerstudy.results.charts import INK, MARGIN, frame

Row = Mapping[str, Any]

SCATTER_HEIGHT, DIFFERENCES_HEIGHT = 240, 170
"""In pixels; the panels of a row share its width."""
ROOM_OF_NAMES = 36
"""Left of a panel, for numbers of any length: axes of a row begin alike, and no title runs into a number."""
GREY = "#b5bdc5"


def figures(
    identifier: str,
    unit: str,
    points: Sequence[Row],
    *,
    arms: Sequence[str],
    reference: str,
    colours: Mapping[str, str],
    lines: Mapping[str, Row],
) -> dict[str, list[dict[str, Any]]]:
    """Two figures for each arm, as the template draws them: `scatter` with line of identity, regression line, equation
    and r2; `differences` over means with bias and limits.

    Parameters
    ----------
    identifier
        Begins the id of each figure's element.
    points
        arm, level, reference, value, mean, difference.
    lines
        Row of table 6 by arm.
    """
    ends = [value for point in points for value in (point["reference"], point["value"])]
    apart = [abs(point["difference"]) for point in points]
    made: dict[str, list[dict[str, Any]]] = {"scatter": [], "differences": []}
    if not ends:
        return made
    room = 0.06 * (max(ends) - min(ends) or 1.0)
    domain = [min(ends) - room, max(ends) + room]
    reach = 1.15 * max(*apart, *(abs(lines[arm][end] or 0) for arm in arms for end in ("loa_low", "loa_high")), 0.1)
    for number, arm in enumerate(arms):
        mine = [point for point in points if point["arm"] == arm]
        for kind, figure in (
            ("scatter", _scatter(arm, mine, lines[arm], domain, reference, unit, colours[arm])),
            ("differences", _differences(arm, mine, lines[arm], domain, reach, reference, unit, colours[arm])),
        ):
            made[kind].append({"id": f"{identifier}-{kind}-{number}", **figure})
    return made


def _axis(title: str, *, upright: bool = False) -> dict[str, Any]:
    room = {"minExtent": ROOM_OF_NAMES, "titlePadding": 2} if upright else {}
    return {
        "title": title, "titleFontWeight": "normal", "titleColor": INK, "titleFontSize": 11.5, "domain": False,
        "ticks": False, "tickCount": 5, "grid": True, **room,
    }  # fmt: skip


def _cloud(points: Sequence[Row], x: dict[str, Any], y: dict[str, Any], colour: str, unit: str) -> dict[str, Any]:
    tooltip = [
        {"field": "level", "title": "Level"},
        {"field": "reference", "title": f"Reference, {unit}", "format": ".2f"},
        {"field": "value", "title": f"Arm, {unit}", "format": ".2f"},
        {"field": "difference", "title": "Difference", "format": "+.2f"},
    ]
    return {
        "data": {"values": list(points)},
        "mark": {"type": "point", "shape": "circle", "filled": True, "size": 26, "opacity": 0.65, "color": colour},
        "encoding": {"x": x, "y": y, "tooltip": tooltip},
    }


def _line(ends: list[dict[str, float]], x: dict[str, Any], y: dict[str, Any], mark: dict[str, Any]) -> dict[str, Any]:
    held = {"x": {**x, "field": "x"}, "y": {**y, "field": "y"}}
    return {"data": {"values": ends}, "mark": {"type": "line", "clip": True, "tooltip": None, **mark}, "encoding": held}


def _scatter(
    arm: str, points: Sequence[Row], row: Row, domain: list[float], reference: str, unit: str, colour: str
) -> dict[str, Any]:
    scale = {"domain": domain, "nice": False, "zero": False}
    x = {"field": "reference", "type": "quantitative", "scale": scale, "axis": _axis(f"{reference}, {unit}")}
    y = {"field": "value", "type": "quantitative", "scale": scale, "axis": _axis(f"{arm}, {unit}", upright=True)}
    layers = [_line([{"x": end, "y": end} for end in domain], x, y, {"color": GREY, "strokeDash": [4, 3]})]
    told = "no line"
    if row["slope"] is not None:
        ends = [{"x": end, "y": row["slope"] * end + row["intercept"]} for end in domain]
        layers.append(_line(ends, x, y, {"color": INK, "strokeWidth": 1.4}))
        sign = "−" if row["intercept"] < 0 else "+"
        told = f"y = {row['slope']:.2f} x {sign} {abs(row['intercept']):.2f}"
    told_r2 = "" if row["r2"] is None else f"r² = {row['r2']:.3f}"
    layers.append(_cloud(points, x, y, colour, unit))
    for place, text in enumerate((told, told_r2)):
        layers.append(
            {
                "data": {"values": [{"text": text.replace("-", "−")}]},
                "mark": {"type": "text", "align": "left", "baseline": "top", "fontSize": 11.5, "color": INK,
                         "x": 6, "y": 4 + 15 * place, "tooltip": None},
                "encoding": {"text": {"field": "text"}},
            }
        )  # fmt: skip
    words = ", ".join(filter(None, (told, told_r2)))
    description = f"{arm} against {reference}, {len(points)} pairs: {words}."
    return _figure(description, layers, SCATTER_HEIGHT)


def _differences(
    arm: str, points: Sequence[Row], row: Row, domain: list[float], reach: float, reference: str, unit: str, colour: str
) -> dict[str, Any]:
    x_scale = {"domain": domain, "nice": False, "zero": False}
    y_scale = {"domain": [-reach, reach], "nice": False}
    x = {"field": "mean", "type": "quantitative", "scale": x_scale, "axis": _axis(f"mean of both, {unit}")}
    y_axis = _axis(f"{arm} − {reference}, {unit}", upright=True)
    y = {"field": "difference", "type": "quantitative", "scale": y_scale, "axis": y_axis}
    layers = [_line([{"x": end, "y": 0.0} for end in domain], x, y, {"color": GREY})]
    told = "no limits"
    if row["bias"] is not None:
        for name, mark in (
            ("bias", {"color": INK, "strokeWidth": 1.4}),
            ("loa_low", {"color": MARGIN, "strokeDash": [4, 3]}),
            ("loa_high", {"color": MARGIN, "strokeDash": [4, 3]}),
        ):
            layers.append(_line([{"x": end, "y": row[name]} for end in domain], x, y, mark))
        told = f"bias {row['bias']:+.2f}, limits of agreement {row['loa_low']:.2f} to {row['loa_high']:.2f} {unit}"
    layers.append(_cloud(points, x, y, colour, unit))
    description = f"Differences of {arm} from {reference} over their means, {len(points)} pairs: {told}."
    return _figure(description, layers, DIFFERENCES_HEIGHT)


def _figure(description: str, layers: list[dict[str, Any]], height: int) -> dict[str, Any]:
    specification = {**frame(description), "width": "container", "height": height, "layer": layers}
    return {"description": description, "specification": specification}
