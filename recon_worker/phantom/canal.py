"""Layers of the spinal canal: epidural fat, dural sac with cord and cauda equina, nerve roots in their foramina."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recon_worker.phantom.contrast import Layer
from recon_worker.phantom.shapes import (
    Array,
    PlaneGrid,
    Texture,
    Vector,
    capsule,
    ellipse,
    ellipsoid,
    occupancy,
    smooth_step,
)
from recon_worker.phantom.spine import Spine

N_ROOTS = 22
STENOSIS_MM = 9.0
"""Half the length of a stenosis."""


@dataclass(frozen=True)
class Canal:
    """Shape of the dural sac and what it holds. Tables by z (mm) as arrays `[knot]`.

    Attributes
    ----------
    z, gap, half_depth, half_width
        Knots, distance of the sac from the posterior wall, half axes of the sac.
    conus_z
        Height of the cord's tip.
    root_angle, root_radius, root_exit
        `[root]`: place of each root in the sac's section (radians, share of the radius) and the height at which it
        has moved out of the sac.
    narrow
        Stenoses: height z (mm) and the share of the sac's depth that is left there.
    """

    z: Vector
    gap: Vector
    half_depth: Vector
    half_width: Vector
    conus_z: float
    root_angle: Vector
    root_radius: Vector
    root_exit: Vector
    narrow: tuple[tuple[float, float], ...] = ()

    def left_at(self, z: Array) -> Array:
        """Share of the sac's depth that stenoses leave at heights `z`."""
        left = np.ones_like(z, dtype=np.float32)
        for height, share in self.narrow:
            near = np.exp(-(((z - np.float32(height)) / np.float32(STENOSIS_MM)) ** 2))
            left = left * (1 - np.float32(1 - share) * near)
        return np.asarray(left, dtype=np.float32)

    def depth_at(self, z_mm: float) -> float:
        """Front-to-back depth of the sac at height `z_mm`, mm, before discs bulge into it."""
        left = float(self.left_at(np.full(1, z_mm, dtype=np.float32))[0])
        return 2 * left * float(np.interp(z_mm, self.z, self.half_depth))


def draw_canal(rng: np.random.Generator, spine: Spine, stenoses: dict[str, float] | None = None) -> Canal:
    """A random canal for `spine`; `stenoses` maps discs to the share of the sac's depth that is left."""
    size = spine.size
    heights = {body.name: float(body.frame.centre_mm[2]) for body in spine.bodies}
    width = float(np.clip(rng.normal(1.0, 0.07), 0.82, 1.15))
    names = ["S3", "S2", "S1", "L5", "L4", "L3", "L2", "L1", "T12", "T11", "T10", "T8"]
    gap = [7.0, 6.5, 5.0, 2.4, 1.2, 0.9, 0.8, 0.8, 1.0, 1.2, 1.2, 1.2]
    depth = [0.1, 2.6, 5.2, 6.7, 7.2, 7.5, 7.7, 7.8, 7.4, 7.0, 6.8, 6.6]
    lateral = [0.1, 4.0, 7.6, 9.2, 9.6, 10.0, 10.2, 10.2, 9.4, 8.8, 8.6, 8.4]
    exits = []
    for root in range(N_ROOTS):
        target = ("L2", "L3", "L4", "L5", "S1", "S2")[root % 6]
        exits.append(heights[target] + float(rng.uniform(-6, 10)))
    conus = float(np.clip(rng.normal(0.45, 0.45), -0.4, 1.3))
    return Canal(
        z=np.array([heights[name] for name in names]),
        gap=np.array(gap) * size,
        half_depth=np.array(depth) * size * width,
        half_width=np.array(lateral) * size * width,
        conus_z=heights["L1"] + (0.5 - conus) * (heights["T12"] - heights["L1"]),
        root_angle=rng.uniform(0.06 * np.pi, 0.94 * np.pi, N_ROOTS),
        root_radius=rng.uniform(0.35, 0.92, N_ROOTS),
        root_exit=np.array(exits),
        narrow=tuple(
            (float(disc.frame.position(0.0, disc.half_depth, 0.0)[2]), stenoses[disc.name])
            for disc in spine.discs
            if stenoses and disc.name in stenoses
        ),
    )


def canal_layers(plane: PlaneGrid, spine: Spine, canal: Canal, texture: Texture) -> Iterator[Layer]:
    """Epidural fat, dura, cerebrospinal fluid, cord, roots."""
    window = plane.whole()
    x, y, z = plane.points(window)
    behind = y - spine.curve.at("y", z)
    near = (behind > -8) & (behind < 34) & (np.abs(x - spine.curve.at("x", z)) < 20)
    rows, columns = np.nonzero(np.broadcast_to(near, plane.shape))
    if rows.size == 0:
        return
    window = (slice(int(rows.min()), int(rows.max()) + 1), slice(int(columns.min()), int(columns.max()) + 1))
    points = plane.points(window)
    x, y, z = points
    edge = plane.edge_mm
    slope = spine.curve.at("slope", z)
    p = x - spine.curve.at("x", z)
    q = (y - spine.curve.at("canal", z)) * slope
    gap, half_depth, half_width = (
        np.interp(z, canal.z, values).astype(np.float32) for values in (canal.gap, canal.half_depth, canal.half_width)
    )
    if canal.narrow:
        left = canal.left_at(np.asarray(z, dtype=np.float32))
        whole = ellipse(p, q - (gap + half_depth + np.float32(1.2)), half_width + 2.6, gap + half_depth + 3.4, 2.5)
        # Thick ligaments and joints take the room from behind and the sides; the fat goes first.
        yield Layer("ligament", window, occupancy(whole, edge) * np.clip(1.5 * (1 - left), 0, 0.8))
        half_depth = np.asarray(half_depth * left, dtype=np.float32)
        half_width = np.asarray(half_width * (np.float32(0.45) + np.float32(0.55) * left), dtype=np.float32)
    middle = gap + half_depth
    # Fat around the sac, most of it behind and, at the lumbosacral junction, in front.
    outer = ellipse(p, q - (middle + np.float32(1.2)), half_width + np.float32(2.6), middle + np.float32(3.4), 2.5)
    grain = 1 + np.float32(0.07) * texture.at(points, (3.0, 3.0, 3.0), shift=5.0)
    fatty = occupancy(outer, edge)
    if canal.narrow:
        fatty = fatty * np.clip(1 - 1.6 * (1 - left), 0, 1)
    yield Layer("fat", window, fatty, grain, 0.9)
    plexus = np.maximum(outer, q - gap)
    yield Layer("vein", window, occupancy(plexus, edge) * np.float32(0.35))
    section = ellipse(p, q - middle, np.maximum(half_width, 0.2), np.maximum(half_depth, 0.2), 2.0)
    yield Layer("ligament", window, occupancy(section - np.float32(0.45), edge) * np.float32(0.75))
    inside = occupancy(section, edge)
    if not inside.any():
        return
    ripple = 1 + np.float32(0.025) * texture.at(points, (6.0, 4.0, 14.0), shift=2.0)
    yield Layer("csf", window, inside, ripple)
    # Cord: thins over 35 mm to the conus' tip and lies a little behind the middle.
    above = np.clip((z - np.float32(canal.conus_z)) / np.float32(35.0), 0, 1)
    thickness = np.sqrt(above) * (np.float32(1.0) + np.float32(0.12) * above)
    cord_q = q - middle - np.float32(0.8) * (1 - above) - np.float32(0.2)
    cord = ellipse(p, cord_q, 4.4 * thickness + np.float32(0.01), 3.5 * thickness + np.float32(0.01))
    grey = 1 + np.float32(0.06) * np.exp(-((p / np.float32(1.6)) ** 2) - (cord_q / np.float32(1.2)) ** 2)
    yield Layer("cord", window, occupancy(cord, edge) * (above > 0.0) * inside, grey)
    yield from _roots(plane, canal, window, (p, q, z), (middle, half_depth, half_width), inside)


def _roots(
    plane: PlaneGrid,
    canal: Canal,
    window: tuple[slice, slice],
    place: tuple[np.ndarray, np.ndarray, np.ndarray],
    sac: tuple[np.ndarray, np.ndarray, np.ndarray],
    inside: np.ndarray,
) -> Iterator[Layer]:
    p, q, z = place
    middle, half_depth, half_width = sac
    cover = np.zeros(inside.shape, dtype=np.float32)
    edge = max(plane.edge_mm, 0.5)
    for root in range(N_ROOTS):
        # From the conus' side to its place in the bundle, then out through the sac's side.
        start = np.float32(canal.conus_z + 18 - 10 * (root % 3))
        gathered = np.clip((start - z) / np.float32(30.0), 0, 1)
        leaving = np.clip((np.float32(canal.root_exit[root] + 35) - z) / np.float32(35.0), 0, 1.15)
        angle = np.float32(canal.root_angle[root])
        sway = np.float32(0.05) * np.sin(z / np.float32(13.0 + root % 5) + np.float32(root))
        radius = np.float32(canal.root_radius[root]) + sway
        side = np.sign(np.cos(angle)) or np.float32(1.0)
        across = np.cos(angle) * radius * (np.float32(0.45) + np.float32(0.5) * gathered)
        across = across + leaving**2 * (side * np.float32(0.97) - across)
        down = np.sin(angle) * radius * (np.float32(0.35) + np.float32(0.6) * gathered)
        down = down * (1 - np.float32(0.8) * leaving**2)
        distance = np.sqrt((p - across * half_width) ** 2 + (q - middle - down * half_depth) ** 2) - np.float32(0.62)
        alive = (z < start) & (leaving < 1.1)
        cover = np.maximum(cover, occupancy(distance.astype(np.float32), edge) * alive)
    yield Layer("nerve", window, cover * inside * np.float32(0.9))


def foramen_layers(plane: PlaneGrid, spine: Spine, size: float) -> Iterator[Layer]:
    """Fat of the foramina with the spinal nerve and a small vein in it, below each pedicle from T11 to L5."""
    for disc in spine.discs:
        body = disc.above
        if body.name.startswith("S") or body.name in ("T8", "T9", "T10"):
            continue
        centre = body.frame.position(0.0, body.back_mm + 6.0, -body.height / 2)
        window = plane.window(centre, 46.0 * size)
        if window is None:
            continue
        points = plane.points(window)
        u, v, w = body.frame.local(points)
        side = (np.abs(u), v - np.float32(body.back_mm), w + np.float32(body.height / 2))
        edge = plane.edge_mm
        base = body.half_width * 0.66
        room = ellipsoid(side, (base + 1.0, 5.5 * size, 2.0 * size), (11.0 * size, 7.0 * size, 10.5 * size))
        yield Layer("fat", window, occupancy(room, edge), 1.0, 0.93)
        nerve = np.minimum(
            ellipsoid(side, (base + 1.5, 5.0 * size, 5.5 * size), (5.0 * size, 2.7 * size, 3.4 * size)),
            capsule(side, (base - 6, 5.5 * size, 9.0 * size), (base + 16 * size, 3.0, -7.0 * size), 1.6 * size),
        )
        yield Layer("nerve", window, occupancy(nerve, edge))
        vein = ellipsoid(side, (base + 0.5, 2.0 * size, 0.0), (4.0, 1.1, 1.3))
        yield Layer("flowing blood", window, occupancy(vein, edge) * smooth_step(side[0], 6.0, 4.0))
