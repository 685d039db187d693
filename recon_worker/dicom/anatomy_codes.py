"""SNOMED CT codes of discs and vertebral bodies by level, and the colours in which viewers show them.

Sources: DICOM PS3.16 CID 7603 (Vertebra), CID 7604 (Intervertebral Disc), CID 7150 (categories); the codes of the
bodies are those to which HL7's radiotherapy guide maps the AAPM TG-263 names VB_T12 ... VB_S1.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.sr.coding import Code

from recon_worker.morphometry.structures import Kind

CATEGORY = Code("91723000", "SCT", "Anatomical Structure")


@dataclass(frozen=True)
class AnatomyCode:
    """What a segment is.

    Attributes
    ----------
    structure
        The disc or the body itself.
    region
        The vertebra that a body belongs to, or None.
    label
        For people.
    colour
        Red, green, blue, 0..255: neighbours differ, discs are warm, bodies cold.
    """

    structure: Code
    region: Code | None
    label: str
    colour: tuple[int, int, int]


_DISCS = (
    ("76206002", "T12/L1 disc", "Disc T12-L1", (255, 202, 40)),
    ("80064006", "L1/L2 disc", "Disc L1-L2", (255, 138, 101)),
    ("67459009", "L2/L3 disc", "Disc L2-L3", (255, 202, 40)),
    ("62551000", "L3/L4 disc", "Disc L3-L4", (255, 138, 101)),
    ("84020006", "L4/L5 disc", "Disc L4-L5", (255, 202, 40)),
    ("715056000", "L5/S1 disc", "Disc L5-S1", (255, 138, 101)),
)
_BODIES = (
    ("280849005", "Body of twelfth thoracic vertebra", ("23215003", "T12 vertebra"), "T12", (79, 195, 247)),
    ("61032001", "Body of first lumbar vertebra", ("66794005", "L1 vertebra"), "L1", (129, 199, 132)),
    ("53983007", "Body of second lumbar vertebra", ("14293000", "L2 vertebra"), "L2", (79, 195, 247)),
    ("55492004", "Body of third lumbar vertebra", ("36470004", "L3 vertebra"), "L3", (129, 199, 132)),
    ("71996003", "Body of fourth lumbar vertebra", ("11994002", "L4 vertebra"), "L4", (79, 195, 247)),
    ("21799000", "Body of fifth lumbar vertebra", ("49668003", "L5 vertebra"), "L5", (129, 199, 132)),
    ("65985001", "First sacral vertebra", None, "S1", (79, 195, 247)),
)


def _discs() -> dict[int, AnatomyCode]:
    return {
        level: AnatomyCode(Code(value, "SCT", meaning), None, label, colour)
        for level, (value, meaning, label, colour) in enumerate(_DISCS, start=1)
    }


def _bodies() -> dict[int, AnatomyCode]:
    return {
        level: AnatomyCode(
            Code(value, "SCT", meaning),
            Code(vertebra[0], "SCT", vertebra[1]) if vertebra else None,
            f"Vertebral body {name}",
            colour,
        )
        for level, (value, meaning, vertebra, name, colour) in enumerate(_BODIES, start=1)
    }


ANATOMY: dict[Kind, dict[int, AnatomyCode]] = {"disc": _discs(), "body": _bodies()}
"""By kind, then by level: discs 1-6 = T12-L1 ... L5-S1, bodies 1-7 = T12 ... S1."""
