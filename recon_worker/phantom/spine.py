"""The chain of vertebral bodies and discs of one subject: sizes, curves, wear, and the distance to each surface.

Level numbers as everywhere in the product: discs 1-6 are T12-L1 ... L5-S1, bodies 1-7 are T12, L1 ... S1. A body is the
vertebral body alone with its cortical rim, without arch; a disc is nucleus and annulus between two endplates.

Sizes: adult lumbar morphometry (Gilad and Nissan 1986; Zhou 2000, CT): bodies 25-29 mm high, 34 mm deep, 40-52 mm
wide; supine lordosis L1-S1 about 35-60 degrees, sacral slope 30-45 degrees.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recon_worker.phantom.pathology import SchmorlNode
from recon_worker.phantom.shapes import Array, Coordinates, Frame, Numbers, Vector, ellipse, rounded_intersection

CORNER_MM = 2.2
"""Rounding of the rim of endplates."""


@dataclass(frozen=True)
class Body:
    """One vertebral body.

    Attributes
    ----------
    name
        "T12", "L1", ... "S1".
    level
        1-7 for T12-S1, 0 for a body that is not measured.
    half_width, half_depth, height
        Half extents of the endplates (left-right, front-back) and the height at the rim's middle, mm.
    wedge
        Angle between the two endplates, radians; positive: higher in front.
    concavity
        Depth of the (upper, lower) endplate's hollow, mm.
    waist
        Share by which the body is narrower at mid height.
    taper
        Share by which the lower end is smaller than the upper (sacrum).
    spurs
        Length of osteophytes at the rim, mm.
    nodes
        Schmorl nodes in the endplates.
    """

    name: str
    level: int
    frame: Frame
    half_width: float
    half_depth: float
    height: float
    wedge: float
    concavity: tuple[float, float]
    waist: float
    taper: float
    spurs: float
    nodes: tuple[SchmorlNode, ...] = ()

    @property
    def reach_mm(self) -> float:
        """Radius around the centre that holds the whole body."""
        return float(np.sqrt(self.half_width**2 + (1.1 * self.half_depth) ** 2 + (self.height / 2 + 4) ** 2)) + 5

    @property
    def back_mm(self) -> float:
        """Where the posterior wall lies along v at the midline."""
        return self.half_depth * 0.88

    def section(self, u: Array, v: Array, scale: Numbers = 1.0) -> Array:
        """Distance to the outline seen from above: rounded in front, flat and slightly hollow behind."""
        a = self.half_width * scale
        front = self.half_depth * 1.08 * scale
        back = self.half_depth * 0.94 * scale
        outline = ellipse(u, v, a, np.where(v < 0, front, back), 2.5)
        hollow = v - (back - np.float32(0.07 * self.half_depth) * np.exp(-((u / np.float32(9.0)) ** 2)))
        return np.asarray(np.maximum(outline, hollow), dtype=np.float32)

    def plate_heights(self, u: Array, v: Array) -> tuple[Array, Array]:
        """Height of the upper and depth of the lower endplate above and below the centre, mm."""
        tilt = v * np.float32(np.tan(self.wedge / 2))
        radius = (u / np.float32(self.half_width)) ** 2 + ((v - np.float32(1.5)) / np.float32(self.half_depth)) ** 2
        hollow = np.maximum(1 - radius / np.float32(0.9), 0)
        hollow = hollow * (2 - hollow)
        half = np.float32(self.height / 2)
        upper = half - tilt - np.float32(self.concavity[0]) * hollow
        lower = half - tilt - np.float32(self.concavity[1]) * hollow
        for node in self.nodes:
            away = (u - np.float32(node.u_mm)) ** 2 + (v - np.float32(node.v_mm)) ** 2
            dent = np.float32(node.depth_mm) * np.exp(-((away / np.float32(node.radius_mm**2)) ** 2))
            if node.upper:
                upper = upper - dent
            else:
                lower = lower - dent
        return np.asarray(upper, dtype=np.float32), np.asarray(lower, dtype=np.float32)

    def distance(self, points: Coordinates) -> Array:
        """Distance to the surface at LPS `points`, mm, negative inside."""
        u, v, w = self.frame.local(points)
        return self.local_distance(u, v, w)

    def local_distance(self, u: Array, v: Array, w: Array) -> Array:
        """As `distance`, for coordinates of the body's own frame."""
        relative = np.clip(w * np.float32(2 / self.height), -1.25, 1.25)
        waist = np.where(v > self.half_depth * 0.5, np.float32(0.45 * self.waist), np.float32(self.waist))
        scale = 1 - waist * (1 - np.minimum(relative * relative, 1)) - np.float32(self.taper) * (1 - relative) / 2
        if self.spurs:
            rim = np.exp(-(((np.abs(w) - np.float32(self.height / 2)) / np.float32(3.0)) ** 2))
            scale = scale + np.float32(self.spurs / self.half_depth) * rim * (v < self.half_depth * 0.6)
        side = self.section(u, v, np.asarray(scale, dtype=np.float32))
        upper, lower = self.plate_heights(u, v)
        ends = np.maximum(w - upper, -w - lower)
        return rounded_intersection(side, np.asarray(ends, dtype=np.float32), CORNER_MM)


@dataclass(frozen=True)
class Disc:
    """One intervertebral disc between two bodies.

    Attributes
    ----------
    name, level
        "L4-L5", 1-6; level 0 for a disc that is not measured.
    grade
        Degeneration 1-5 (Pfirrmann 2001).
    bulge
        How far the annulus stands out over the endplates' rim, mm.
    protrusion, protrusion_side
        Focal protrusion into the canal, mm, and its place to the left of the midline, mm.
    """

    name: str
    level: int
    frame: Frame
    above: Body
    below: Body
    height: float
    grade: int
    bulge: float
    protrusion: float
    protrusion_side: float

    @property
    def half_width(self) -> float:
        """Half the left-right extent, mm."""
        return (self.above.half_width * (1 - self.above.taper) + self.below.half_width) / 2 + self.bulge

    @property
    def half_depth(self) -> float:
        """Half the front-back extent, mm."""
        return (self.above.half_depth * (1 - self.above.taper) + self.below.half_depth) / 2 + self.bulge

    @property
    def reach_mm(self) -> float:
        """Radius around the centre that holds the whole disc."""
        return float(np.hypot(self.half_width, 1.1 * self.half_depth)) + 8

    def plates(self, points: Coordinates) -> Array:
        """Largest of the distances beyond the two endplates: negative between them."""
        u, v, w = self.below.frame.local(points)
        over = self.below.plate_heights(u, v)[0] - w
        u, v, w = self.above.frame.local(points)
        under = w + self.above.plate_heights(u, v)[1]
        return np.asarray(np.maximum(over, under), dtype=np.float32)

    def side(self, points: Coordinates, scale: float = 1.0) -> Array:
        """Distance to the outline seen from above, made `scale` times as large."""
        u, v, w = self.frame.local(points)
        a = self.half_width * scale
        depth = np.where(v < 0, np.float32(self.half_depth * 1.06 * scale), np.float32(self.half_depth * 0.92 * scale))
        outline = ellipse(u, v, a, depth, 2.5)
        # The annulus is fullest half way between the endplates.
        outline = outline + np.float32(0.5) * np.minimum((w / np.float32(max(self.height / 2, 1.0))) ** 2, 4)
        if self.protrusion > 0 and scale == 1.0:
            back = self.half_depth * 0.92
            centre = (self.protrusion_side, back - 4.0)
            lump = ellipse(u - np.float32(centre[0]), v - np.float32(centre[1]), 8.0, 4.0 + self.protrusion)
            outline = np.minimum(outline, lump)
        return np.asarray(outline, dtype=np.float32)

    def distance(self, points: Coordinates) -> Array:
        """Distance to the surface at LPS `points`, mm, negative inside."""
        return rounded_intersection(self.side(points), self.plates(points), min(1.5, self.height / 4))


@dataclass(frozen=True)
class Curve:
    """A line down the spine: `x`, `y` (and other numbers) as functions of z, tabulated every millimetre."""

    z_mm: Vector
    values: dict[str, Vector]

    def at(self, name: str, z: Numbers | Vector) -> Array:
        """Value `name` at heights `z`; constant beyond the ends."""
        return np.asarray(np.interp(z, self.z_mm, self.values[name]), dtype=np.float32)


@dataclass(frozen=True)
class Spine:
    """All bodies from the head down, all discs between them, and the curves along the canal.

    `curve` holds `x`, `y` (posterior wall of the bodies and discs at the midline), `canal` (the same, smooth),
    `front` (y of the anterior wall), `slope` (cosine of the chain's tilt), `tip` (y of the spinous processes' tips)
    and `back` (the same, smooth).
    """

    bodies: tuple[Body, ...]
    discs: tuple[Disc, ...]
    curve: Curve
    size: float

    def body(self, name: str) -> Body:
        """The body called `name`."""
        return next(body for body in self.bodies if body.name == name)

    def measured_bodies(self) -> list[Body]:
        """T12-S1."""
        return [body for body in self.bodies if body.level]

    def measured_discs(self) -> list[Disc]:
        """T12-L1 ... L5-S1."""
        return [disc for disc in self.discs if disc.level]
