"""Layers of the bony spine: vertebral bodies, discs, arches, ligaments, sacrum."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from recon_worker.phantom.contrast import Layer
from recon_worker.phantom.pathology import Haemangioma, MarrowChanges
from recon_worker.phantom.shapes import (
    Array,
    Coordinates,
    PlaneGrid,
    Texture,
    Window,
    capsule,
    ellipse,
    ellipsoid,
    occupancy,
    smooth_step,
)
from recon_worker.phantom.spine import Body, Disc, Spine

CORTEX_MM = 0.55
ENDPLATE_MM = 0.75
_ARCH_SIZE = {"S1": 0.9, "S2": 0.75, "S3": 0.6, "S4": 0.5, "S5": 0.4}


def marrow_texture(points: Coordinates, texture: Texture, body_fat: float) -> tuple[Array, Array]:
    """Density factor and fat share of spongy bone: coarse patches and fine trabeculae."""
    coarse = texture.at(points, (9.0, 9.0, 8.0))
    fine = texture.at(points, (1.7, 1.7, 2.2), shift=7.3)
    density = 1 + np.float32(0.03) * coarse + np.float32(0.055) * fine
    fat = np.float32(body_fat) + np.float32(0.055) * coarse + np.float32(0.02) * fine
    return np.asarray(density, dtype=np.float32), np.asarray(fat, dtype=np.float32)


def body_layers(
    plane: PlaneGrid, spine: Spine, body: Body, texture: Texture, body_fat: float, changes: MarrowChanges
) -> Iterator[Layer]:
    """One vertebral body: ligament around it, cortical rim, marrow with its changes, basivertebral vein."""
    window = plane.window(body.frame.centre_mm, body.reach_mm)
    if window is None:
        return
    points = plane.points(window)
    u, v, w = body.frame.local(points)
    distance = body.local_distance(u, v, w)
    edge = plane.edge_mm
    if float(distance.min()) > 1 + edge:
        return
    yield Layer("ligament", window, occupancy(distance - np.float32(0.45), edge))
    yield Layer("cortical bone", window, occupancy(distance, edge))
    density, fat = marrow_texture(points, texture, body_fat)
    upper, lower = body.plate_heights(u, v)
    for disc in spine.discs:
        change = changes.modic.get(disc.name)
        if change is None or body.name not in (disc.above.name, disc.below.name):
            continue
        depth = (upper - w) if disc.below.name == body.name else (lower + w)
        ragged = depth + np.float32(1.6) * texture.at(points, (6.0, 6.0, 6.0), shift=3.1)
        fat = fat + np.float32(change) * (1 - smooth_step(ragged, 6.5, 4.0))
    if body.name in changes.acute:
        # Oedema of a fresh fracture: water in place of fat under the upper endplate, and the dark line of broken bone.
        depth = upper - w + np.float32(2.0) * texture.at(points, (7.0, 7.0, 7.0), shift=23.0)
        fat = fat - np.float32(0.32) * (1 - smooth_step(depth, 0.62 * body.height, 7.0))
        line = upper - w - np.float32(5.0) - np.float32(0.9) * texture.at(points, (5.0, 5.0, 5.0), shift=29.0)
        density = density * (1 - np.float32(0.55) * np.exp(-((line / np.float32(0.9)) ** 2)))
    plates = np.minimum(upper - w, lower + w)
    spongy = np.maximum(distance + np.float32(CORTEX_MM), np.float32(ENDPLATE_MM) - plates)
    yield Layer("marrow", window, occupancy(spongy, edge), density, fat)
    if body.name.startswith("S"):
        return
    yield from _haemangioma_layers(window, (u, v, w), points, spongy, changes.haemangiomas.get(body.name), texture)
    back = body.back_mm
    # The basivertebral vein: a flat cone from the middle of the posterior wall, splitting towards the front.
    reach = np.clip((np.float32(back) - v) / np.float32(1.05 * back), 0, 1)
    wander = np.float32(0.7) * texture.at(points, (7.0, 7.0, 30.0), shift=float(body.level))
    opening = (1 - reach) ** 2 * np.float32(1.5) + np.float32(0.35)
    spread = np.abs(np.abs(u) - np.float32(5.5) * reach) - (np.float32(2.6) - np.float32(1.9) * reach)
    channel = np.maximum(np.abs(w - np.float32(0.4) - wander) - opening, spread)
    channel = np.maximum(channel, np.maximum(np.float32(-0.05 * back) - v, v - np.float32(back + 0.4)))
    soft = max(edge, 1.2)
    yield Layer("fat", window, occupancy(channel - np.float32(0.8), soft) * np.float32(0.35))
    yield Layer("vein", window, occupancy(channel, soft) * (np.float32(0.85) - np.float32(0.35) * reach))


def _haemangioma_layers(
    window: Window, place: Coordinates, points: Coordinates, spongy: Array, lesion: Haemangioma | None, texture: Texture
) -> Iterator[Layer]:
    """Fat and slow blood between few, thick, upright trabeculae."""
    if lesion is None:
        return
    surface = ellipsoid(place, lesion.centre_mm, (lesion.radius_mm, lesion.radius_mm, 1.1 * lesion.radius_mm))
    surface = np.maximum(surface + np.float32(0.5) * texture.at(points, (4.0, 4.0, 4.0), shift=41.0), spongy)
    struts = smooth_step(texture.at(points, (2.2, 2.2, 25.0), shift=43.0), 0.9, 0.8)
    yield Layer(
        "haemangioma", window, occupancy(np.asarray(surface, dtype=np.float32), 1.2), 1 - np.float32(0.4) * struts
    )


_NUCLEUS_SHARE = {1: 1.0, 2: 0.8, 3: 0.42, 4: 0.12, 5: 0.03}


def disc_layers(plane: PlaneGrid, disc: Disc, texture: Texture) -> Iterator[Layer]:
    """One disc: cartilage and outer annulus dark, nucleus by degeneration, a cleft in the middle."""
    window = plane.window(disc.frame.centre_mm, disc.reach_mm)
    if window is None:
        return
    points = plane.points(window)
    edge = plane.edge_mm
    plates = disc.plates(points)
    distance = disc.distance(points)
    if float(distance.min()) > 1 + edge:
        return
    yield Layer("ligament", window, occupancy(distance - np.float32(0.5), edge))
    inside = occupancy(distance, edge)
    if not inside.any():
        return
    if disc.above.name.startswith("S"):
        yield Layer("annulus", window, inside)
        return
    u, v, w = disc.frame.local(points)
    yield Layer("ligament", window, inside)
    grain = 1 + np.float32(0.04) * texture.at(points, (4.5, 4.5, 1.6), shift=11.0)
    inner = occupancy(np.maximum(distance + np.float32(1.6), plates + np.float32(0.9)), 1.6)
    # Lamellae: darker towards the rim, front and back.
    yield Layer("annulus", window, inner, grain * (1 - 0.25 * smooth_step(distance, -2.5, 3.0)))
    core = ellipse(u, v + np.float32(-1.0), disc.half_width * 0.66, disc.half_depth * 0.62, 2.5)
    soft = 1 - smooth_step(core, -1.0, 6.5)
    between = occupancy(plates + np.float32(1.3), 1.4)
    if disc.grade >= 2:
        cleft = np.exp(-((w / np.float32(0.10 * disc.height + 0.5)) ** 2)) * (1 - smooth_step(core, -6.0, 5.0))
        grain = grain * (1 - np.float32(0.3 if disc.grade == 2 else 0.22) * cleft)
    share = _NUCLEUS_SHARE[disc.grade]
    yield Layer("degenerate nucleus", window, soft * between * np.float32(0.85), grain)
    yield Layer("nucleus", window, soft * between * np.float32(share), grain)
    if disc.grade >= 4 and disc.protrusion > 0:
        fissure = ellipsoid((u, v, w), (disc.protrusion_side, disc.half_depth * 0.86, 0.0), (4.0, 1.0, 1.2))
        yield Layer("joint fluid", window, occupancy(fissure, max(edge, 0.8)) * np.float32(0.6))


def arch_distance(body: Body, points: Coordinates, size: float) -> Array:
    """Distance to the arch: pedicles, laminae, joint processes, transverse and spinous process."""
    u, v, w = body.frame.local(points)
    v = v - np.float32(body.back_mm)
    s = size
    left = np.abs(u)
    side = (left, v, w)
    thoracic = body.name.startswith("T")
    pedicle_u = body.half_width * 0.66
    drop = 8.0 if thoracic else 0.0
    pedicle = capsule(side, (pedicle_u, -4 * s, 6 * s), (pedicle_u - 0.5, 11 * s, 5 * s), 4.2 * s, (1.0, 1.0, 1.65))
    lamina = capsule(side, (pedicle_u - 1.5, 15 * s, 0.0), (2.0, 22 * s, -7 * s), 2.9 * s, (1.0, 1.0, 3.6))
    upper_joint = capsule(
        side, (pedicle_u + 1, 12 * s, 5 * s), (pedicle_u + 3.0, 12.5 * s, 15 * s), 4.4 * s, (1.25, 0.9, 1.0)
    )
    lower_joint = capsule(
        side, (pedicle_u - 2, 18 * s, -4 * s), (pedicle_u - 0.5, 20.5 * s, -19 * s), 4.9 * s, (1.2, 0.95, 1.0)
    )
    transverse = capsule(
        side, (pedicle_u + 1, 9 * s, 4 * s), (body.half_width * 1.75, 13 * s, 5 * s), 3.0 * s, (1.0, 1.0, 1.7)
    )
    long = 44.0 if not thoracic else 40.0
    if body.name == "L5":
        long = 38.0
    spinous = capsule(
        side,
        (0.0, 24 * s, (-9 - drop * 0.3) * s),
        (0.0, (long - 5) * s, (-13 - drop) * s),
        2.7 * s,
        (1.0, 1.6, 3.5 if not thoracic else 2.5),
    )
    flare = capsule(
        side, (0.0, (long - 8) * s, (-13 - drop) * s), (0.0, (long - 4) * s, (-15 - drop) * s), 3.1 * s, (1.0, 1.3, 3.3)
    )
    thick = np.minimum(np.minimum(pedicle, spinous), np.minimum(flare, lower_joint))
    thin = np.minimum(np.minimum(lamina, transverse), upper_joint)
    return np.asarray(np.minimum(thick, thin), dtype=np.float32)


def arch_layers(plane: PlaneGrid, body: Body, size: float, texture: Texture, body_fat: float) -> Iterator[Layer]:
    """The arch of a vertebra above the sacrum, with joint fluid and the ligamenta flava below its laminae."""
    centre = body.frame.position(0.0, body.back_mm + 16 * size, -5.0)
    window = plane.window(centre, 54.0 * size)
    if window is None:
        return
    points = plane.points(window)
    edge = plane.edge_mm
    u, v, w = body.frame.local(points)
    v = v - np.float32(body.back_mm)
    left = np.abs(u)
    flavum = capsule((left, v, w), (3.0, 17.5 * size, -14 * size), (9.5, 13.5 * size, -20 * size), 1.7, (1.2, 1.0, 4.0))
    yield Layer("ligament", window, occupancy(flavum, edge) * np.float32(0.85))
    surface = arch_distance(body, points, size)
    if float(surface.min()) < edge:
        yield Layer("cortical bone", window, occupancy(surface, edge))
        density, fat = marrow_texture(points, texture, body_fat + 0.08)
        yield Layer("marrow", window, occupancy(surface + np.float32(0.75), edge), density, fat)
    pedicle_u = np.float32(body.half_width * 0.66)
    fluid = capsule(
        (left, v, w),
        (float(pedicle_u) - 3.5, 13.2 * size, -18 * size),
        (float(pedicle_u) + 2.5, 15.6 * size, -18 * size),
        0.55,
        (1.0, 1.0, 9.0),
    )
    yield Layer("joint fluid", window, occupancy(fluid, edge) * np.float32(0.75))


def sacrum_layers(plane: PlaneGrid, spine: Spine, body: Body, texture: Texture, body_fat: float) -> Iterator[Layer]:
    """Wings, posterior wall and crest of one sacral segment."""
    size = spine.size * _ARCH_SIZE[body.name]
    window = plane.window(body.frame.centre_mm, 70.0 * spine.size)
    if window is None:
        return
    points = plane.points(window)
    edge = plane.edge_mm
    u, v, w = body.frame.local(points)
    left = np.abs(u)
    back = body.back_mm * (1 - body.taper / 2)
    wing = capsule(
        (left, v, w),
        (body.half_width * 0.72, back * 0.3, 1.0),
        (body.half_width * 1.45, back + 4 * size, -2.0),
        9.5 * size,
        (1.0, 1.0, 1.4),
    )
    lamina = capsule(
        (left, v - np.float32(back), w), (15 * size, 9 * size, 0.0), (2.0, 17 * size, -2.0), 2.2, (1.0, 1.0, 3.6 * size)
    )
    crest = capsule(
        (left, v - np.float32(back), w), (0.0, 17 * size, -2.0), (0.0, 24 * size, -4.0), 2.3, (1.0, 1.0, 2.6 * size)
    )
    opening = capsule(
        (left, v, w),
        (body.half_width * 0.85, -back, -body.height / 2),
        (body.half_width * 0.8, back + 8, -body.height / 2),
        4.0 * size,
    )
    surface = np.minimum(lamina, crest)
    if body.name in ("S1", "S2", "S3"):
        surface = np.minimum(surface, np.maximum(wing, -opening))
    if float(surface.min()) > edge:
        return
    yield Layer("cortical bone", window, occupancy(surface, edge))
    density, fat = marrow_texture(points, texture, body_fat + 0.1)
    yield Layer("marrow", window, occupancy(surface + np.float32(0.75), edge), density, fat)
