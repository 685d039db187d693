"""Layers around the spine: skin and fat, muscles, abdomen with vessels, kidneys, liver and bowel."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recon_worker.phantom.contrast import Layer
from recon_worker.phantom.shapes import (
    Array,
    Coordinates,
    PlaneGrid,
    Texture,
    Vector,
    capsule,
    ellipse,
    ellipsoid,
    occupancy,
    rounded_intersection,
    smooth_step,
)
from recon_worker.phantom.spine import Spine


@dataclass(frozen=True)
class Torso:
    """Size and habit of one subject's trunk, mm.

    `bowel` `[loop, 7]`: centre x, y, z, radii x, y, z, and content (0 gas, 1 paste, 2 fluid).
    """

    half_width: float
    back_y: float
    front_y: float
    back_fat: float
    front_fat: float
    side_fat: float
    muscle_fat: float
    muscle_size: float
    bowel: Vector
    bladder: tuple[float, float, float]


def draw_torso(rng: np.random.Generator, spine: Spine) -> Torso:
    """A random trunk for `spine`: lean to stout, well trained to fatty muscle."""
    stout = float(rng.uniform(0, 1))
    size = spine.size
    tips = spine.curve.at("tip", np.linspace(-135, 130, 54))
    back = float(tips.max()) + 7.0 + 9.0 * stout
    front = float(spine.curve.at("front", 0.0)) - (88.0 + 42.0 * stout) * size
    loops = []
    for _ in range(130):
        radius = float(rng.uniform(7, 15))
        x = float(rng.uniform(-120, 120))
        z = float(rng.uniform(-190, 120))
        ahead = 32.0 + radius if z > -85 else 24.0 + radius
        nearest = float(spine.curve.at("front", z)) - ahead
        farthest = front + 24 + radius
        if abs(x) > 65:
            nearest += 22.0
        y = float(rng.uniform(min(farthest, nearest - 1), nearest))
        stretch = rng.uniform(0.8, 1.9, 3)
        loops.append([x, y, z, *(radius * stretch), float(rng.choice([0, 1, 1, 1, 2]))])
    return Torso(
        half_width=(150.0 + 30.0 * stout) * size,
        back_y=back,
        front_y=front,
        back_fat=6.0 + 12.0 * stout,
        front_fat=10.0 + 18.0 * stout,
        side_fat=10.0 + 16.0 * stout,
        muscle_fat=float(rng.uniform(0.03, 0.22)),
        muscle_size=float(rng.normal(1.0, 0.06)),
        bowel=np.array(loops),
        bladder=(
            float(rng.normal(0, 5)),
            float(spine.curve.at("front", -150.0)) - 62.0,
            float(rng.uniform(-175, -160)),
        ),
    )


def _outline(torso: Torso, p: Array, y: Array, inset: tuple[float, float | Array, float]) -> Array:
    """Distance to the trunk's outline drawn in by (side, back, front) mm."""
    side, behind, before = inset
    back = torso.back_y - behind
    front = torso.front_y + before
    centre = (back + front) / 2
    depth = (back - front) / 2
    return ellipse(p, y - np.asarray(centre, dtype=np.float32), torso.half_width - side, depth, 2.5)


def skin_distance(points: Coordinates, spine: Spine, torso: Torso) -> Array:
    """Distance to the skin; the back follows the spinous processes, with a furrow between the muscles."""
    x, y, z = points
    p = x - spine.curve.at("x", z) * np.float32(0.5)
    furrow = np.float32(3.5) * np.exp(-((p / np.float32(14.0)) ** 2)) * np.exp(-(((z - 5) / np.float32(90.0)) ** 2))
    tips = spine.curve.at("back", z)
    sway = np.clip(np.float32(torso.back_y - 4.0) - (tips + np.float32(torso.back_fat)), 0, 60) * np.float32(0.75)
    behind = smooth_step(y, np.float32((torso.front_y + torso.back_y) / 2), 120.0)
    return _outline(torso, p, y + (furrow + sway) * behind, (0.0, 0.0, 0.0))


def trunk_layers(plane: PlaneGrid, spine: Spine, torso: Torso, texture: Texture) -> Iterator[Layer]:
    """Skin, subcutaneous fat, abdominal wall, the cavity's fat, and the muscles beside the spine."""
    window = plane.whole()
    points = plane.points(window)
    x, y, z = points
    edge = plane.edge_mm
    p = x - spine.curve.at("x", z) * np.float32(0.5)
    tip = spine.curve.at("tip", z)
    skin = skin_distance(points, spine, torso)
    yield Layer("skin", window, occupancy(skin, edge))
    lobules = texture.at(points, (12.0, 5.0, 11.0), shift=1.0) + texture.at(points, (5.0, 3.0, 5.0), shift=21.0) / 2
    septa = np.exp(-((lobules / np.float32(0.14)) ** 2))
    yield Layer("fat", window, occupancy(skin + np.float32(2.0), edge), 1 - np.float32(0.13) * septa)
    fascia_y = np.minimum(tip + np.float32(1.6), np.float32(torso.back_y - 5.0))
    # Erector spinae bulges beyond the midline, then the back curves forward.
    bulge = np.float32(4.0) * np.exp(-(((np.abs(p) - 30) / np.float32(18.0)) ** 2))
    behind = np.float32(torso.back_y) - (fascia_y + bulge)
    wall = _outline(torso, p, y, (torso.side_fat, behind, torso.front_fat))
    grain = 1 + np.float32(0.06) * texture.at(points, (2.5, 2.5, 12.0), shift=4.0)
    yield Layer("fascia", window, occupancy(wall - np.float32(0.7), edge))
    yield Layer("muscle", window, occupancy(wall, edge), grain)
    cavity = _outline(torso, p, y, (torso.side_fat + 15.0, behind, torso.front_fat + 10.0))
    ahead = y - spine.curve.at("y", z) - np.float32(2.0) - 16 * smooth_step(np.abs(p), 74.0, 34.0)
    cavity = rounded_intersection(cavity, np.asarray(ahead, dtype=np.float32), 12.0)
    cloud = texture.at(points, (13.0, 11.0, 15.0), shift=9.0) + texture.at(points, (4.0, 4.0, 5.0), shift=19.0) / 2
    mesentery = np.float32(0.86) + np.float32(0.07) * cloud
    yield Layer("fat", window, occupancy(cavity, edge), mesentery, 0.9)
    yield from _back_muscles(plane, spine, torso, texture, (p, y, z), fascia_y + bulge)


def _back_muscles(
    plane: PlaneGrid,
    spine: Spine,
    torso: Torso,
    texture: Texture,
    place: tuple[Array, Array, Array],
    fascia_y: Array,
) -> Iterator[Layer]:
    """Fat between the muscles, then multifidus, erector spinae, quadratus lumborum and psoas on both sides."""
    window = plane.whole()
    points = plane.points(window)
    edge = plane.edge_mm
    p, y, z = place
    x = points[0]
    left = np.abs(p)
    v = y - spine.curve.at("y", z)
    scale = np.float32(torso.muscle_size * spine.size)
    low = smooth_step(z, -105.0, 60.0)  # muscles thin out over the sacrum
    depth = np.maximum(fascia_y - spine.curve.at("y", z), 12.0)
    bed = ellipse(left, v - depth * np.float32(0.52), 66.5 * scale, depth * np.float32(0.49), 3.0)
    bed = np.maximum(bed, y - fascia_y + np.float32(1.0))
    yield Layer("fat", window, occupancy(np.asarray(bed, dtype=np.float32), edge) * np.float32(0.9), 1.0, 0.85)
    # Fibres run down and towards the back; fat lies between their bundles.
    fibres = (x + np.float32(0.12) * z * np.sign(p), y + np.float32(0.3) * z, z)
    streak = texture.at(fibres, (3.4, 2.4, 26.0), shift=6.0) + texture.at(fibres, (9.0, 7.0, 34.0), shift=16.0)
    marbling = smooth_step(streak, np.float32(3.0 - 7.0 * torso.muscle_fat), 3.0)
    fat = np.float32(0.02) + np.float32(0.6) * marbling
    grain = 1 + np.float32(0.035) * texture.at(fibres, (1.8, 1.8, 12.0), shift=8.0)
    back_limit = y - fascia_y + np.float32(1.8)
    erector = ellipse(
        left - np.float32(43.0) * scale, v - depth * np.float32(0.57), 21.5 * scale, depth * np.float32(0.44), 2.5
    )
    erector = np.maximum(erector + (1 - low) * 9, back_limit)
    yield Layer("muscle", window, occupancy(erector, edge), grain, fat * np.float32(0.8))
    multifidus = ellipse(
        left - np.float32(12.5) * scale, v - depth * np.float32(0.66), 9.6 * scale, depth * np.float32(0.40), 2.0
    )
    multifidus = np.maximum(multifidus + (1 - low) * 2, back_limit)
    yield Layer("muscle", window, occupancy(multifidus, edge), grain, fat * 1.2 + (1 - low) * np.float32(0.2))
    # Iliocostalis border: a fat line between the two columns of the erector.
    quadratus = ellipse(left - np.float32(64.0) * scale, v + np.float32(1.0), 17.0 * scale, 8.0 * scale, 2.0)
    quadratus = np.maximum(quadratus, np.maximum(z - np.float32(105.0), np.float32(-75.0) - z))
    yield Layer("muscle", window, occupancy(np.asarray(quadratus, dtype=np.float32), edge), grain)
    # Psoas: begins at T12, grows to the pelvis, moves sideways and forward.
    down = np.clip((np.float32(95.0) - z) / np.float32(170.0), 0, 1.3)
    centre = np.float32(26.0) + 14 * down + 12 * np.clip(down - 0.9, 0, 1) * 2
    forward = np.float32(-9.0) - 8 * down - 60 * np.clip(down - 0.95, 0, 1)
    thick = 5.0 + 13.0 * np.sqrt(np.minimum(down, 1))
    psoas = ellipse(left - centre * scale, v - forward, thick * scale, (thick + 3) * scale, 2.0)
    psoas = np.where(down <= 0, np.float32(50.0), psoas)
    yield Layer("muscle", window, occupancy(np.asarray(psoas, dtype=np.float32), edge), grain, fat * np.float32(0.3))


def organ_layers(plane: PlaneGrid, spine: Spine, torso: Torso, texture: Texture) -> Iterator[Layer]:
    """Liver, kidneys, bowel, bladder, aorta and inferior vena cava."""
    window = plane.whole()
    points = plane.points(window)
    x, y, z = points
    front = torso.front_y
    wall = torso.half_width - torso.side_fat - 20
    liver = ellipsoid(points, (-wall * 0.55, front + torso.front_fat + 64, 125.0), (wall * 0.62, 56.0, 62.0))
    mottled = 1 + np.float32(0.04) * texture.at(points, (4.0, 4.0, 4.0), shift=12.0)
    yield Layer("liver", window, occupancy(liver, 2.0), mottled)
    for side, height in ((1.0, 52.0), (-1.0, 38.0)):
        middle = float(spine.curve.at("y", height))
        tilted = x - np.float32(side * 0.18) * (np.float32(height) - z)
        kidney = ellipsoid((tilted, y, z), (side * 66.0, middle - 18.0, height), (27.0, 24.0, 52.0))
        yield Layer("renal cortex", window, occupancy(kidney, 1.5))
        pyramids = smooth_step(texture.at(points, (9.0, 9.0, 9.0), shift=14.0), 0.1, 0.5)
        yield Layer("renal medulla", window, occupancy(kidney + 7, 2.0) * pyramids)
        sinus = ellipsoid((tilted, y, z), (side * 58.0, middle - 20.0, height), (13.0, 9.0, 24.0))
        yield Layer("fat", window, occupancy(sinus, 2.0))
    room = _outline(
        torso, x - spine.curve.at("x", z) * np.float32(0.5), y, (torso.side_fat + 17.0, 0.0, torso.front_fat + 12.0)
    )
    for loop in torso.bowel:
        near = plane.window(loop[:3], float(max(loop[3:6])) + 4)
        if near is None:
            continue
        local = plane.points(near)
        start = float(loop[:3].sum())
        wavy = np.sin(local[0] / 5 + start) + np.sin(local[1] / 6 + 2 * start) + np.sin(local[2] / 5.5 + 3 * start)
        surface = ellipsoid(local, tuple(loop[:3]), tuple(loop[3:6])) + np.float32(1.1) * wavy
        surface = np.maximum(surface, room[near])
        blur = 2.5  # bowel moves during the scan
        if float(surface.min()) > blur:
            continue
        yield Layer("bowel wall", near, occupancy(surface, blur))
        content = ("air", "bowel content", "bowel fluid")[int(loop[6])]
        speckle = 1 + np.float32(0.2) * texture.at(local, (4.0, 4.0, 4.0), shift=3.3) if loop[6] == 1 else 1.0
        yield Layer(content, near, occupancy(surface + 3, blur) * np.float32(0.85), speckle)
    bladder = ellipsoid(points, torso.bladder, (32.0, 24.0, 22.0))
    yield Layer("bowel wall", window, occupancy(bladder - np.float32(3.0), 2.0))
    yield Layer("urine", window, occupancy(bladder, 2.0))
    yield from _vessels(plane, spine)


def _vessels(plane: PlaneGrid, spine: Spine) -> Iterator[Layer]:
    """Aorta and inferior vena cava in front of the bodies, dividing at L4-L5; flow leaves them dark."""
    window = plane.whole()
    x, y, z = plane.points(window)
    edge = plane.edge_mm
    fork = float(spine.body("L4").frame.centre_mm[2]) - 8
    p = x - spine.curve.at("x", z)
    v = y - spine.curve.at("front", z)
    low = np.clip((np.float32(fork) - z) / np.float32(60.0), 0, 1.6)
    slim = np.clip(3 * low, 0, 1)
    # The aorta becomes two arteries side by side; the vein bends behind the right one to both sides.
    left = ellipse(p - (np.float32(11.0) + 22 * low), v + np.float32(10.5) - 4 * low, 6.6 - slim, 8.0 - 2.4 * slim)
    right = ellipse(p - (np.float32(7.0) - 38 * low), v + np.float32(10.5) - 4 * low, 6.8 - slim, 8.0 - 2.4 * slim)
    bend = np.float32(34.0) * low * np.sign(p + np.float32(15.0) * (1 - slim))
    vein = ellipse(
        p + np.float32(15.0) * (1 - slim) - bend, v + np.float32(8.5) - 4 * slim, 11.5 - 3 * slim, 7.5 - 2.5 * slim
    )
    surface = np.minimum(np.minimum(left, right), vein)
    yield Layer("bowel wall", window, occupancy(np.asarray(surface - 1.2, dtype=np.float32), edge))
    yield Layer("flowing blood", window, occupancy(np.asarray(surface, dtype=np.float32), 1.5))


def midline_layers(plane: PlaneGrid, spine: Spine, texture: Texture) -> Iterator[Layer]:
    """Between the spinous processes: streaky interspinous ligament; along their tips the supraspinous ligament."""
    sacrum = spine.body("S1").frame.centre_mm[2]
    window = plane.whole()
    points = plane.points(window)
    x, y, z = points
    near = np.abs(x - spine.curve.at("x", z))
    if float(near.min()) > 8:
        return
    edge = plane.edge_mm
    canal = y - spine.curve.at("y", z)
    tip = spine.curve.at("tip", z)
    between = np.maximum(near - np.float32(3.6), np.maximum(np.float32(17.0) - canal, y - tip))
    between = np.maximum(between, np.float32(sacrum) - z)
    streak = texture.at((x, y - np.float32(0.5) * z, z + np.float32(0.9) * y), (4.0, 8.0, 2.4), shift=10.0)
    yield Layer("interspinous", window, occupancy(between, edge), 1 + 0.2 * streak, 0.45 + 0.3 * streak)
    cord = np.maximum(np.abs(y - tip) - np.float32(1.2), near - np.float32(4.0))
    yield Layer("ligament", window, occupancy(np.asarray(cord, dtype=np.float32), edge))


def iliac_layers(plane: PlaneGrid, spine: Spine, torso: Torso, texture: Texture) -> Iterator[Layer]:
    """The iliac wings on both sides of the sacrum, with the gluteal muscle behind them."""
    s1 = spine.body("S1").frame.centre_mm
    window = plane.window(s1, 150.0)
    if window is None:
        return
    points = plane.points(window)
    x, y, z = points
    edge = plane.edge_mm
    side = (np.abs(x - np.float32(s1[0])), y, z)
    base = float(s1[1])
    buttock = capsule(side, (66.0, base + 22, -75.0), (95.0, base + 2, -150.0), 26.0)
    cover = np.maximum(buttock, skin_distance(points, spine, torso) + np.float32(0.7 * torso.back_fat + 2))
    yield Layer("muscle", window, occupancy(np.asarray(cover, dtype=np.float32), edge), 1.0, 0.06)
    height = float(s1[2])
    wing = capsule(side, (50.0, base + 26, height + 2), (96.0, base - 38, height + 34), 4.2, (1.0, 1.0, 6.5))
    wing = np.maximum(wing, z - np.float32(s1[2] + 36))
    yield Layer("cortical bone", window, occupancy(np.asarray(wing, dtype=np.float32), edge))
    grain = 1 + np.float32(0.07) * texture.at(points, (2.0, 2.0, 2.0), shift=2.2)
    yield Layer("marrow", window, occupancy(np.asarray(wing + 1.6, dtype=np.float32), edge), grain, 0.55)
