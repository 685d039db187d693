"""One subject: everything that a slice through it can meet, from one random seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recon_worker.phantom.bones import arch_layers, body_layers, disc_layers, sacrum_layers
from recon_worker.phantom.canal import Canal, canal_layers, draw_canal, foramen_layers
from recon_worker.phantom.contrast import Layer
from recon_worker.phantom.pathology import (
    EXTRUSION_MM,
    MEYERDING_QUARTER,
    Findings,
    MarrowChanges,
    Pathology,
    draw_findings,
)
from recon_worker.phantom.shapes import PlaneGrid, Texture
from recon_worker.phantom.soft_tissue import (
    Torso,
    draw_torso,
    iliac_layers,
    midline_layers,
    organ_layers,
    trunk_layers,
)
from recon_worker.phantom.spine import Body, Disc, Spine
from recon_worker.phantom.spine_draw import draw_spine


@dataclass(frozen=True)
class Subject:
    """The anatomy of one simulated person in LPS millimetres, the middle of L3 near the origin.

    Attributes
    ----------
    marrow_fat
        Share of fat in the marrow of the bodies.
    changes
        What changes the signal of the marrow.
    findings
        What was drawn to be wrong with the subject; `pathologies` tells all that is.
    """

    spine: Spine
    canal: Canal
    torso: Torso
    texture: Texture
    marrow_fat: float
    changes: MarrowChanges
    findings: Findings

    @property
    def modic(self) -> dict[str, float]:
        """Discs with endplate changes: name to the change of the fat share."""
        return self.changes.modic

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
            yield from body_layers(plane, spine, body, texture, self.marrow_fat, self.changes)
        for disc in spine.discs:
            yield from disc_layers(plane, disc, texture)


def draw_subject(seed: int, number: int) -> Subject:
    """Subject `number` (from 1) of the study with `seed`; the same numbers give the same person."""
    rng = np.random.default_rng([seed, number, 1])
    findings = draw_findings(np.random.default_rng([seed, number, 7]))
    spine = draw_spine(rng, findings)
    modic = {
        disc.name: float(rng.choice([-0.3, 0.28]))
        for disc in spine.measured_discs()
        if disc.grade >= 4 and rng.random() < 0.55
    }
    return Subject(
        spine=spine,
        canal=draw_canal(rng, spine, findings.stenoses),
        torso=draw_torso(rng, spine),
        texture=Texture(rng),
        marrow_fat=float(rng.uniform(0.33, 0.5)),
        changes=MarrowChanges(
            modic=modic,
            haemangiomas=findings.haemangiomas,
            acute=frozenset(name for name, fracture in findings.fractures.items() if fracture.acute),
        ),
        findings=findings,
    )


def pathologies(subject: Subject) -> list[Pathology]:
    """Everything that a report would name, by disc and body from the head down."""
    found: list[Pathology] = []
    for disc in subject.spine.measured_discs():
        found += _of_disc(subject, disc)
    for body in subject.spine.measured_bodies():
        found += _of_body(subject, body)
    return found


def _of_disc(subject: Subject, disc: Disc) -> list[Pathology]:
    findings = subject.findings

    def one(kind: str, place: tuple[float, float, float], **details: object) -> Pathology:
        at = disc.frame.position(*place)
        return Pathology(kind, "disc", disc.level, disc.name, (float(at[0]), float(at[1]), float(at[2])), details)

    found = []
    if disc.grade >= 3:
        found.append(one("disc degeneration", (0.0, 0.0, 0.0), pfirrmann_grade=disc.grade))
    if disc.protrusion > 0:
        kind = "extrusion" if disc.protrusion >= EXTRUSION_MM else "protrusion"
        tip = (disc.protrusion_side, 0.92 * disc.half_depth + disc.protrusion - 1.5, 0.0)
        found.append(one(kind, tip, depth_mm=round(disc.protrusion, 2), left_mm=round(disc.protrusion_side, 2)))
    change = subject.modic.get(disc.name, 0.0)
    if change:
        kind = "Modic I" if change < 0 else "Modic II"
        beside = disc.below.frame.position(0.0, 0.0, disc.below.height / 2 - 3.5) - disc.frame.centre_mm
        place = disc.frame.axes @ beside
        found.append(one(kind, (float(place[0]), float(place[1]), float(place[2])), fat_change=round(change, 2)))
    if disc.name in findings.stenoses:
        behind = (0.0, disc.half_depth + 6.0, 0.0)
        height = float(disc.frame.position(0.0, disc.half_depth, 0.0)[2])
        found.append(
            one(
                "stenosis",
                behind,
                sac_depth_mm=round(subject.canal.depth_at(height), 2),
                depth_left=round(findings.stenoses[disc.name], 2),
            )
        )
    if disc.name in findings.slips:
        slip = findings.slips[disc.name]
        share = slip / (2 * disc.below.half_depth)
        grade = 1 + int(share / MEYERDING_QUARTER)
        found.append(one("spondylolisthesis", (0.0, 0.0, 0.0), slip_mm=round(slip, 2), meyerding_grade=grade))
    return found


def _of_body(subject: Subject, body: Body) -> list[Pathology]:
    findings = subject.findings

    def one(kind: str, place: tuple[float, float, float], **details: object) -> Pathology:
        at = body.frame.position(*place)
        return Pathology(kind, "body", body.level, body.name, (float(at[0]), float(at[1]), float(at[2])), details)

    found = []
    if body.name in findings.haemangiomas:
        lesion = findings.haemangiomas[body.name]
        found.append(one("haemangioma", lesion.centre_mm, radius_mm=round(lesion.radius_mm, 2)))
    for node in findings.nodes.get(body.name, ()):
        u, v = (np.full((1, 1), value, dtype=np.float32) for value in (node.u_mm, node.v_mm))
        plate = float(body.plate_heights(u, v)[0 if node.upper else 1][0, 0])
        inside = plate + 0.4 * node.depth_mm
        found.append(
            one(
                "Schmorl node",
                (node.u_mm, node.v_mm, inside if node.upper else -inside),
                endplate="upper" if node.upper else "lower",
                depth_mm=round(node.depth_mm, 2),
            )
        )
    if body.name in findings.fractures:
        fracture = findings.fractures[body.name]
        found.append(
            one(
                "compression fracture",
                (4.0, 0.0, 0.5 * body.height - 9.0),
                height_loss=round(fracture.height_loss, 2),
                acute=fracture.acute,
            )
        )
    if body.name == "L5" and findings.sacralised:
        found.append(one("transitional level", (0.0, 0.0, 0.0), form="sacralised L5"))
    return found
