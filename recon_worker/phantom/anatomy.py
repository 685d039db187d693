"""One subject: everything that a slice through it can meet, from one random seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recon_worker.phantom.bones import arch_layers, body_layers, disc_layers, sacrum_layers
from recon_worker.phantom.canal import Canal, canal_layers, draw_canal, foramen_layers
from recon_worker.phantom.contrast import Layer
from recon_worker.phantom.shapes import PlaneGrid, Texture
from recon_worker.phantom.soft_tissue import (
    Torso,
    draw_torso,
    iliac_layers,
    midline_layers,
    organ_layers,
    trunk_layers,
)
from recon_worker.phantom.spine import Spine
from recon_worker.phantom.spine_draw import draw_spine


@dataclass(frozen=True)
class Subject:
    """The anatomy of one simulated person in LPS millimetres, the middle of L3 near the origin.

    Attributes
    ----------
    marrow_fat
        Share of fat in the marrow of the bodies.
    modic
        Discs with endplate changes: name to the change of the fat share (positive: fatty, negative: oedema).
    """

    spine: Spine
    canal: Canal
    torso: Torso
    texture: Texture
    marrow_fat: float
    modic: dict[str, float]

    def layers(self, plane: PlaneGrid) -> Iterator[Layer]:
        """Layers of tissue of a slice, the later covering the earlier."""
        spine, texture = self.spine, self.texture
        yield from trunk_layers(plane, spine, self.torso, texture)
        yield from iliac_layers(plane, spine, self.torso, texture)
        yield from organ_layers(plane, spine, self.torso, texture)
        yield from midline_layers(plane, spine, texture)
        for body in spine.bodies:
            if body.name.startswith("S"):
                yield from sacrum_layers(plane, spine, body, texture, self.marrow_fat)
        yield from foramen_layers(plane, spine, spine.size)
        for body in spine.bodies:
            if not body.name.startswith("S"):
                yield from arch_layers(plane, body, spine.size, texture, self.marrow_fat)
        yield from canal_layers(plane, spine, self.canal, texture)
        for body in spine.bodies:
            yield from body_layers(plane, spine, body, texture, self.marrow_fat, self.modic)
        for disc in spine.discs:
            yield from disc_layers(plane, disc, texture)


def draw_subject(seed: int, number: int) -> Subject:
    """Subject `number` (from 1) of the study with `seed`; the same numbers give the same person."""
    rng = np.random.default_rng([seed, number, 1])
    spine = draw_spine(rng)
    modic = {
        disc.name: float(rng.choice([-0.3, 0.28]))
        for disc in spine.measured_discs()
        if disc.grade >= 4 and rng.random() < 0.55
    }
    return Subject(
        spine=spine,
        canal=draw_canal(rng, spine),
        torso=draw_torso(rng, spine),
        texture=Texture(rng),
        marrow_fat=float(rng.uniform(0.33, 0.5)),
        modic=modic,
    )
