"""Draws the spine of a subject from random numbers: sizes, lordosis, scoliosis, disc height and wear."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline, PchipInterpolator
from scipy.ndimage import gaussian_filter1d

from recon_worker.phantom.pathology import NO_FINDINGS, Findings
from recon_worker.phantom.shapes import Frame, Vector
from recon_worker.phantom.spine import Body, Curve, Disc, Spine

_PRESACRAL = ("L5", "L4", "L3", "L2", "L1", "T12", "T11", "T10", "T9", "T8")
_LEVEL = {name: level for level, name in enumerate(("T12", "L1", "L2", "L3", "L4", "L5", "S1"), start=1)}
# half width, half depth, height (mm), wedge (degrees)
_BODY = {
    "L5": (26.0, 17.2, 26.0, 8.0),
    "L4": (25.0, 17.2, 26.8, 3.0),
    "L3": (24.0, 17.0, 27.0, 1.5),
    "L2": (22.8, 16.6, 26.6, 0.0),
    "L1": (21.8, 16.0, 26.0, -2.0),
    "T12": (21.0, 15.5, 25.0, -3.0),
    "T11": (19.5, 15.0, 23.5, -3.5),
    "T10": (18.0, 14.6, 22.5, -3.5),
    "T9": (17.0, 14.2, 21.5, -3.5),
    "T8": (16.5, 14.0, 21.0, -3.5),
    "S1": (26.0, 16.8, 29.0, -2.0),
    "S2": (20.0, 11.2, 24.0, -9.0),
    "S3": (16.0, 8.6, 20.0, -17.0),
    "S4": (13.0, 7.0, 17.0, -19.0),
    "S5": (10.0, 5.6, 14.0, -18.0),
}
# height (mm) and wedge (degrees) of the disc below the body
_DISC = {
    "L5": (9.0, 12.0),
    "L4": (9.6, 9.0),
    "L3": (9.0, 7.0),
    "L2": (8.0, 5.0),
    "L1": (7.0, 3.5),
    "T12": (6.0, 1.5),
    "T11": (4.8, 0.5),
    "T10": (4.2, 0.0),
    "T9": (4.0, 0.0),
    "T8": (4.0, 0.0),
}
_GRADE_HEIGHT = {1: 1.04, 2: 1.0, 3: 0.92, 4: 0.74, 5: 0.5}


_RUDIMENTARY = 0.4
"""Height of the last disc of a sacralised L5 as a share of what it would be."""


def _disc_name(above: str) -> str:
    """The lumbar or thoracic disc below the body `above`."""
    below = {"L5": "S1"}.get(above) or _PRESACRAL[_PRESACRAL.index(above) - 1]
    return f"{above}-{below}"


def _frame(centre: Vector, tilt: float, lean: float) -> Frame:
    """A frame tilted forward by `tilt` and leaning to the left by `lean` (radians)."""
    w = np.array([np.sin(lean), -np.sin(tilt) * np.cos(lean), np.cos(tilt) * np.cos(lean)])
    v = np.array([0.0, np.cos(tilt), np.sin(tilt)])
    u = np.cross(v, w)
    u /= np.linalg.norm(u)
    v = np.cross(w, u)
    return Frame(centre_mm=centre, axes=np.stack([u, v, w]))


def _body(name: str, frame: Frame, size: float, rng: np.random.Generator, wear: float) -> Body:
    half_width, half_depth, height, wedge = _BODY[name]
    sacral = name.startswith("S")
    taper = {"S1": 0.30, "S2": 0.22, "S3": 0.2, "S4": 0.2, "S5": 0.3}.get(name, 0.0)
    return Body(
        name=name,
        level=_LEVEL.get(name, 0),
        frame=frame,
        half_width=half_width * size * float(rng.normal(1, 0.02)),
        half_depth=half_depth * size * float(rng.normal(1, 0.015)),
        height=height * size,
        wedge=float(np.radians(wedge)),
        concavity=(0.6, 0.4) if sacral else (float(rng.uniform(0.9, 2.0)), float(rng.uniform(1.1, 2.6))),
        waist=0.03 if sacral else float(rng.uniform(0.07, 0.11)),
        taper=taper,
        spurs=0.0 if sacral else wear * float(rng.uniform(0.5, 2.2)),
    )


def _grades(rng: np.random.Generator) -> dict[str, int]:
    """Degeneration of each disc: more in older subjects, and towards the sacrum."""
    age = rng.uniform(0, 1)
    grades = {}
    for position, name in enumerate(_PRESACRAL):
        strain = {0: 1.0, 1: 1.0, 2: 0.45, 3: 0.2}.get(position, 0.0)
        grades[name] = int(np.clip(np.round(1.2 + 1.9 * age + strain * rng.uniform(0, 2.0) + rng.normal(0, 0.4)), 1, 5))
    return grades


def draw_spine(rng: np.random.Generator, findings: Findings = NO_FINDINGS) -> Spine:
    """A random adult spine from T8 to S5 with the middle of L3 at the origin (LPS, mm).

    `findings` change the sizes and places of what they are in, and nothing else of the same draw.
    """
    size = float(np.clip(rng.normal(0.985, 0.065), 0.85, 1.1))
    slope = float(np.radians(np.clip(rng.normal(38, 4.0), 30, 46)))
    # The lordosis goes with the sacral slope, so that the thoracolumbar junction leans back by 3-14 degrees.
    lordosis = float(np.clip((np.degrees(slope) + np.clip(rng.normal(9, 2.5), 3, 14)) / 45.0, 0.8, 1.35))
    curve_amplitude = float(np.clip(rng.normal(0, 4.0), -8, 8))
    curve_centre = float(rng.uniform(-25, 35))
    disc_height = float(np.clip(rng.normal(0.96, 0.12), 0.75, 1.25))
    grades = _grades(rng)

    bodies: list[Body] = []
    gaps: list[dict[str, Any]] = []
    # From the promontory up: the middle of the upper sacral endplate is the start.
    place = np.zeros(3)
    tilt = slope
    for name in _PRESACRAL:
        grade = grades[name]
        height = _DISC[name][0] * size * disc_height * _GRADE_HEIGHT[grade] * float(rng.normal(1, 0.06))
        if name == "L5" and findings.sacralised:
            height *= _RUDIMENTARY
        # A narrow disc cannot open as far behind as the wedge of a healthy one would ask.
        wedge = np.radians(_DISC[name][1]) * lordosis * min(1.0, height / (_DISC[name][0] * size)) * rng.normal(1, 0.12)
        middle = tilt - wedge / 2
        gaps.append({"name": name, "centre": place.copy(), "tilt": middle, "height": height, "grade": grade})
        step = np.array([0.0, -np.sin(middle), np.cos(middle)])
        forward = -findings.slips.get(_disc_name(name), 0.0) * np.array([0.0, np.cos(middle), np.sin(middle)])
        gaps[-1]["centre"] = place + (step * height + forward) / 2
        place = place + step * height + forward
        tilt = tilt - wedge
        body_wedge = np.radians(_BODY[name][3]) * lordosis
        tilt_body = tilt - body_wedge / 2
        body_height = _BODY[name][2] * size
        if name in findings.fractures:
            lost = findings.fractures[name].height_loss * body_height
            body_wedge -= np.arctan(lost / (1.9 * _BODY[name][1] * size))
            tilt_body = tilt - body_wedge / 2
            body_height -= lost / 2
        axis = np.array([0.0, -np.sin(tilt_body), np.cos(tilt_body)])
        wear = max(0.0, (grade - 2) / 3)
        body = _body(name, _frame(place + axis * body_height / 2, tilt_body, 0.0), size, rng, wear)
        body = replace(body, wedge=float(body_wedge), height=float(body_height), nodes=findings.nodes.get(name, ()))
        if name in findings.fractures:
            body = replace(body, concavity=(body.concavity[0] + 1.2, body.concavity[1]))
        bodies.append(body)
        place = place + axis * body_height
        tilt = tilt - body_wedge
    # From the promontory down.
    place = np.zeros(3)
    tilt = slope
    for name in ("S1", "S2", "S3", "S4", "S5"):
        body_wedge = np.radians(_BODY[name][3])
        tilt_body = tilt + body_wedge / 2
        body_height = _BODY[name][2] * size
        axis = np.array([0.0, -np.sin(tilt_body), np.cos(tilt_body)])
        bodies.insert(0, _body(name, _frame(place - axis * body_height / 2, tilt_body, 0.0), size, rng, 0.0))
        tilt = tilt + body_wedge
        gap = 2.2 if name == "S1" else 1.0
        middle_axis = np.array([0.0, -np.sin(tilt), np.cos(tilt)])
        gaps.insert(
            0,
            {
                "name": name,
                "centre": place - axis * body_height - middle_axis * gap / 2,
                "tilt": tilt,
                "height": gap,
                "grade": 3,
            },
        )
        place = place - axis * body_height - middle_axis * gap
    gaps.pop(0)  # nothing below S5

    # The whole moves so that L3 is in the middle, and bends sideways.
    shift = next(body for body in bodies if body.name == "L3").frame.centre_mm.copy()

    def bend(position: Vector, tilt_here: float) -> Frame:
        moved = position - shift
        phase = (moved[2] - curve_centre) / 110.0
        moved[0] = curve_amplitude * np.exp(-(phase**2))
        lean = float(np.arctan(curve_amplitude * -2 * phase / 110.0 * np.exp(-(phase**2))))
        return _frame(moved, tilt_here, lean)

    bent = []
    for body in bodies:
        tilt_here = float(np.arctan2(-body.frame.axes[2, 1], body.frame.axes[2, 2]))
        bent.append(replace(body, frame=bend(body.frame.centre_mm, tilt_here)))
    bodies = bent[::-1]

    discs = []
    named = {body.name: body for body in bodies}
    order = [body.name for body in bodies]
    for gap_data in gaps:
        # A gap is named after the body above it in the lumbar spine and sacrum alike, once they are in order.
        frame = bend(gap_data["centre"], gap_data["tilt"])
        above = min(
            (b for b in bodies if b.frame.centre_mm[2] > frame.centre_mm[2]), key=lambda b: b.frame.centre_mm[2]
        )
        below = named[order[order.index(above.name) + 1]]
        disc = _disc(above, below, frame, gap_data["height"], gap_data["grade"], rng)
        if disc.name == "L5-S1" and findings.sacralised:
            disc = replace(disc, bulge=-3.0, protrusion=0.0)
        elif disc.name in findings.herniations:
            side = disc.protrusion_side or 3.5
            disc = replace(disc, protrusion=findings.herniations[disc.name], protrusion_side=side)
        discs.append(disc)
    discs.sort(key=lambda disc: -disc.frame.centre_mm[2])
    return Spine(bodies=tuple(bodies), discs=tuple(discs), curve=_curve(bodies, discs, size), size=size)


def _disc(above: Body, below: Body, frame: Frame, height: float, grade: int, rng: np.random.Generator) -> Disc:
    sacral = above.name.startswith("S")
    level = 0 if sacral or above.name not in _LEVEL else _LEVEL[above.name]
    bulge = -0.8 if sacral else {1: 0.0, 2: 0.3, 3: 0.9, 4: 1.6, 5: 1.8}[grade] * float(rng.uniform(0.6, 1.3))
    protrudes = level >= 3 and grade >= 3 and rng.random() < 0.45
    return Disc(
        name=f"{above.name}-{below.name}",
        level=level,
        frame=frame,
        above=above,
        below=below,
        height=height,
        grade=grade,
        bulge=bulge,
        protrusion=float(rng.uniform(1.5, 4.5)) if protrudes else 0.0,
        protrusion_side=float(rng.normal(0, 4)) if protrudes else 0.0,
    )


def _curve(bodies: list[Body], discs: list[Disc], size: float) -> Curve:
    """Tables along z of the bodies' walls and the spinous tips."""
    knots = []
    for body in bodies:
        back = body.frame.position(0.0, body.back_mm * (1 - body.taper / 2) * (1 - 0.45 * body.waist), 0.0)
        front = body.frame.position(0.0, -1.08 * body.half_depth * (1 - body.taper / 2) * (1 - body.waist), 0.0)
        knots.append((back, front, abs(float(body.frame.axes[2, 2]))))
    for disc in discs:
        back = disc.frame.position(0.0, 0.90 * disc.half_depth, 0.0)
        front = disc.frame.position(0.0, -1.06 * disc.half_depth, 0.0)
        knots.append((back, front, abs(float(disc.frame.axes[2, 2]))))
    z_mm = np.arange(-210.0, 260.0, 1.0)

    def table(points: list[tuple[float, float]]) -> Vector:
        points = sorted(points)
        kept = [points[0]]
        for point in points[1:]:
            if point[0] > kept[-1][0] + 1.5:
                kept.append(point)
        zs, values = np.array([k[0] for k in kept]), np.array([k[1] for k in kept])
        inside = np.clip(z_mm, zs[0], zs[-1])
        return np.asarray(PchipInterpolator(zs, values)(inside), dtype=np.float64)

    tips = []
    for body in bodies:
        reach = {"S": 17.0, "T": 42.0}.get(body.name[0], 48.0) * size
        if body.name == "L5":
            reach = 42.0 * size
        tip = body.frame.position(0.0, body.back_mm + reach, -14.0 if not body.name.startswith("S") else 0.0)
        tips.append((float(tip[2]), float(tip[1])))
    tips.sort()
    kept = [tips[0]]
    for place in tips[1:]:
        if place[0] > kept[-1][0] + 3:
            kept.append(place)
    spline = CubicSpline([k[0] for k in kept], [k[1] for k in kept])
    tip_y = np.asarray(spline(np.clip(z_mm, kept[0][0], kept[-1][0])), dtype=np.float64)
    back = table([(float(k[0][2]), float(k[0][1])) for k in knots])
    return Curve(
        z_mm=z_mm,
        values={
            "canal": gaussian_filter1d(back, 16.0, mode="nearest"),
            "x": table([(float(k[0][2]), float(k[0][0])) for k in knots]),
            "y": back,
            "front": table([(float(k[1][2]), float(k[1][1])) for k in knots]),
            "slope": table([(float(k[0][2]), k[2]) for k in knots]),
            "tip": tip_y,
            "back": gaussian_filter1d(tip_y, 14.0, mode="nearest"),
        },
    )
