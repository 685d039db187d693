"""Findings that a radiologist would report: drawn at random, built into the anatomy, and recorded as truth.

Shares of subjects are near those of adults who are examined for back pain (approximate: Brinjikji 2015 for disc and
endplate changes; Kalichman 2009 for listhesis and stenosis; Mok 2010 for Schmorl nodes; Apaydin 2019 for transitional
vertebrae; Barzin 2009 for haemangiomas). Wear of the discs itself is drawn with the spine (`spine_draw`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

HERNIATION_SHARE = 0.14
STENOSIS_SHARE = 0.18
HAEMANGIOMA_SHARE = 0.16
SCHMORL_SHARE = 0.22
LISTHESIS_SHARE = 0.10
FRACTURE_SHARE = 0.08
TRANSITIONAL_SHARE = 0.10
MEYERDING_QUARTER = 0.25
KINDS = (
    "disc degeneration",
    "protrusion",
    "extrusion",
    "Modic I",
    "Modic II",
    "stenosis",
    "haemangioma",
    "Schmorl node",
    "spondylolisthesis",
    "compression fracture",
    "transitional level",
)
EXTRUSION_MM = 4.8
"""Disc material that reaches farther into the canal is called an extrusion, less a protrusion."""


@dataclass(frozen=True)
class SchmorlNode:
    """A dent in an endplate that the disc fills: place (mm to the left and back of the middle), radius and depth."""

    upper: bool
    u_mm: float
    v_mm: float
    radius_mm: float
    depth_mm: float


@dataclass(frozen=True)
class Fracture:
    """Share of the front's height that is lost, and whether the marrow is still oedematous."""

    height_loss: float
    acute: bool


@dataclass(frozen=True)
class Haemangioma:
    """A round vascular and fatty lesion in a body: centre along u, v, w of the body and radius, mm."""

    centre_mm: tuple[float, float, float]
    radius_mm: float


@dataclass(frozen=True)
class Findings:
    """What a subject has, by the name of the disc ("L4-L5") or body ("L3").

    Attributes
    ----------
    herniations
        Disc to how far it reaches into the canal, mm.
    stenoses
        Disc to the share of the sac's depth that is left there.
    slips
        Disc to how far the spine above it has slid forward, mm.
    fractures, nodes, haemangiomas
        Body to its lesion.
    sacralised
        Whether L5 has joined the sacrum: a rudimentary last disc.
    """

    herniations: dict[str, float] = field(default_factory=dict)
    stenoses: dict[str, float] = field(default_factory=dict)
    slips: dict[str, float] = field(default_factory=dict)
    fractures: dict[str, Fracture] = field(default_factory=dict)
    nodes: dict[str, tuple[SchmorlNode, ...]] = field(default_factory=dict)
    haemangiomas: dict[str, Haemangioma] = field(default_factory=dict)
    sacralised: bool = False


NO_FINDINGS = Findings()


@dataclass(frozen=True)
class MarrowChanges:
    """What changes the marrow's signal.

    Attributes
    ----------
    modic
        Discs with endplate changes: name to the change of the fat share (positive: fatty, negative: oedema).
    haemangiomas, acute
        Bodies with a haemangioma, and with a fresh fracture.
    """

    modic: dict[str, float]
    haemangiomas: dict[str, Haemangioma]
    acute: frozenset[str]


@dataclass(frozen=True)
class Pathology:
    """One finding as it is recorded.

    Attributes
    ----------
    kind
        One of `KINDS`.
    structure, level, name
        "disc" or "body", its level number and its name.
    position_mm
        A point in it (LPS).
    details
        What there is to say, in plain JSON types: millimetres, grades, shares.
    """

    kind: str
    structure: str
    level: int
    name: str
    position_mm: tuple[float, float, float]
    details: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """The entry of the manifest."""
        return {
            "kind": self.kind,
            "structure": self.structure,
            "level": self.level,
            "name": self.name,
            "position_mm": [round(float(value), 2) for value in self.position_mm],
            **self.details,
        }


def draw_findings(rng: np.random.Generator) -> Findings:
    """Random findings of one subject; every draw is made whether it counts or not, so that none moves another."""
    present = rng.random(7) < np.array(
        [
            HERNIATION_SHARE,
            STENOSIS_SHARE,
            HAEMANGIOMA_SHARE,
            SCHMORL_SHARE,
            LISTHESIS_SHARE,
            FRACTURE_SHARE,
            TRANSITIONAL_SHARE,
        ]
    )
    herniated, narrow, vascular, dented, slipped, broken, transitional = (bool(value) for value in present)
    herniation = {str(rng.choice(["L3-L4", "L4-L5", "L5-S1"], p=[0.1, 0.45, 0.45])): float(rng.uniform(5.0, 8.5))}
    stenosis = {str(rng.choice(["L2-L3", "L3-L4", "L4-L5"], p=[0.15, 0.3, 0.55])): float(rng.uniform(0.4, 0.65))}
    slip = {str(rng.choice(["L3-L4", "L4-L5", "L5-S1"], p=[0.12, 0.6, 0.28])): float(rng.uniform(3.0, 8.0))}
    weak = str(rng.choice(["T12", "L1", "L2", "L3", "L4"], p=[0.3, 0.35, 0.15, 0.1, 0.1]))
    fracture = {weak: Fracture(float(rng.uniform(0.2, 0.42)), bool(rng.random() < 0.4))}
    nodes: dict[str, tuple[SchmorlNode, ...]] = {}
    for _ in range(int(rng.integers(1, 4))):
        body = str(rng.choice(["T12", "L1", "L2", "L3", "L4"]))
        node = SchmorlNode(
            upper=bool(rng.random() < 0.45),
            u_mm=float(rng.normal(0, 4)),
            v_mm=float(rng.uniform(-4, 4)),
            radius_mm=float(rng.uniform(3.5, 6.0)),
            depth_mm=float(rng.uniform(2.5, 5.0)),
        )
        nodes[body] = (*nodes.get(body, ()), node)
    vessel = {
        str(rng.choice(["T12", "L1", "L2", "L3", "L4", "L5"])): Haemangioma(
            (float(rng.uniform(-7, 7)), float(rng.uniform(-6, 3)), float(rng.uniform(-4, 4))),
            float(rng.uniform(4.5, 8.0)),
        )
    }
    return Findings(
        herniations=herniation if herniated else {},
        stenoses=stenosis if narrow else {},
        slips=slip if slipped else {},
        fractures=fracture if broken else {},
        nodes=nodes if dented else {},
        haemangiomas=vessel if vascular else {},
        sacralised=transitional,
    )
