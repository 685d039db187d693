"""A sagittal series to named, measured discs and vertebral bodies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from recon_worker.data import InputFault, Volume
from recon_worker.morphometry.body_volume import body_volume_cm3
from recon_worker.morphometry.disc_height import measure_disc
from recon_worker.morphometry.levels import level_name
from recon_worker.morphometry.structures import Kind, State, Structure
from recon_worker.segmentation.chain import JOINED_BODY, JOINED_DISC, LEFT_OUT
from recon_worker.segmentation.cleaning import Mask, Probability, instances
from recon_worker.segmentation.edges_and_voids import (
    PERHAPS_AT_THE_SIDE,
    SOME_VOID,
    VOID_PART,
    Edges,
    small_bodies,
    void_part,
    voids_of,
)
from recon_worker.segmentation.faint_disc import faint_disc_below
from recon_worker.segmentation.naming import TWO_IN_ONE, Named, Spine, name_levels
from recon_worker.segmentation.picture import picture_of
from recon_worker.segmentation.probabilities import probabilities
from recon_worker.segmentation.weights import load_weights

Progress = Callable[[str, float], None]
Labels = npt.NDArray[np.uint8]
Unfit = tuple[State, str]
"""Why a structure is not measured: its state, and the words."""

FEWEST_BODIES, FEWEST_DISCS = 2, 1
VOID = "a signal void lies inside, as metal makes it"
A_SMALL_VOID = "a small signal void lies inside or beside it"
A_PIECE = "it reaches less far than the bodies beside it: only a piece of it was found"
CRUSHED = "it is much smaller than the bodies beside it: crushed, or found in part"
GOES_ON = "it is large in an outermost slice and may go on beyond it, larger than measured"
CONFIDENT = 0.5
MOST_NEGATIVE = 0.5
"""Of all voxels: a rescale intercept below zero makes some of the background negative."""
MOST_PIXEL_MM, COARSE_PIXEL_MM = 4.0, 1.5
"""In plane. The networks see 1 mm pixels: what is coarser is less exact, and of the largest a disc has two or three."""


@dataclass(frozen=True)
class Segmentation:
    """What was found in one series.

    Attributes
    ----------
    discs, bodies
        Label maps `[slice, row, column]` on the series' own grid: the level of each voxel, 0 none.
    structures
        Discs, then bodies, from the head down.
    remarks
        For the coordinator.
    lineage
        Weights, thresholds and method, plain JSON.
    """

    discs: Labels
    bodies: Labels
    structures: list[Structure]
    remarks: list[str]
    lineage: dict[str, Any]


def segment(volume: Volume, *, progress: Progress = lambda stage, fraction: None, device: str = "cpu") -> Segmentation:
    """Segment and measure one sagittal series.

    Parameters
    ----------
    volume
        Real magnitudes `[slice, row, column]`, any order of slices and any in-plane direction.
    progress
        Told (stage, fraction).

    Raises
    ------
    InputFault
        The series is not sagittal, has one slice or pixels larger than `MOST_PIXEL_MM`, holds values that are not
        numbers, or shows no lumbar spine.
    ReconstructionFault
        The networks' weights are missing or not those of their cards.
    """
    check(volume)
    networks = {name: load_weights(name, device=device) for name in ("discs", "bodies")}
    seen: dict[str, Probability] = {}
    for number, (name, ready) in enumerate(networks.items()):
        stage, start = f"finding {name}", 0.45 * number
        progress(stage, start)
        seen[name] = probabilities(
            volume,
            ready,
            report=lambda part, stage=stage, start=start: progress(stage, start + 0.45 * part),  # type: ignore[misc]
        )
    progress("measuring", 0.9)
    thresholds = {name: ready.threshold for name, ready in networks.items()}
    found = structures_of(volume, seen["discs"], seen["bodies"], thresholds=thresholds)
    progress("measuring", 1.0)
    lineage = {
        **found.lineage,
        "weights": {name: ready.sha256 for name, ready in networks.items()},
    }
    remarks = [*found.remarks, *coarseness(volume)]
    return Segmentation(found.discs, found.bodies, found.structures, remarks, lineage)


def check(volume: Volume) -> None:
    """Refuse what cannot be segmented (InputFault)."""
    if np.iscomplexobj(volume.array):
        raise InputFault("The series is complex.", "Give its magnitude.")
    if not np.isfinite(volume.array).all():
        raise InputFault("The series holds values that are not numbers.", "Export or reconstruct it again.")
    if volume.array.shape[0] < 2:
        raise InputFault(
            "The series has one slice, which shows neither a body's volume nor a disc's middle.",
            "Give the whole sagittal series.",
        )
    normal = np.cross(volume.direction(1), volume.direction(2))
    if abs(normal[0]) < 0.7:
        raise InputFault(
            "The series is not sagittal, and the networks know sagittal spines only.", "Give a sagittal series."
        )
    if (pixel := _pixel_mm(volume)) > MOST_PIXEL_MM:
        raise InputFault(
            f"The series has pixels of {pixel:g} mm, and a disc has too few of them to be measured.",
            f"Give a series with pixels of {MOST_PIXEL_MM:g} mm at most, or measure it by hand.",
        )
    if float(np.ptp(volume.array)) == 0:
        raise InputFault("The series is empty: all of its voxels have one value.", "Export or reconstruct it again.")
    if float((volume.array.astype(np.float32) < 0).mean()) > MOST_NEGATIVE:
        raise InputFault("Most values of the series are negative, which no magnitude is.", "Export its magnitude.")
    if empty := picture_of(volume.array).empty:
        raise InputFault(
            f"{len(empty)} slices between others are empty, the first of them slice {empty[0] + 1} as stored.",
            "Export or reconstruct the series again.",
        )


def coarseness(volume: Volume) -> list[str]:
    """A remark on pixels that are not refused and yet coarse, or none."""
    pixel = _pixel_mm(volume)
    if pixel <= COARSE_PIXEL_MM:
        return []
    return [f"Pixels of {pixel:.1f} mm: heights and volumes are less exact than with finer ones."]


def _pixel_mm(volume: Volume) -> float:
    """The longer side of a pixel, without the rounding of directions and positions."""
    return round(max(volume.spacing_mm[1:]), 3)


def structures_of(
    volume: Volume,
    disc_probability: Probability,
    body_probability: Probability,
    *,
    thresholds: dict[str, float] | None = None,
) -> Segmentation:
    """Clean, name and measure what the networks saw; arguments `[slice, row, column]` on the volume's grid.

    Raises
    ------
    InputFault
        No lumbar spine: fewer than two bodies in a line, or no disc between them.
    """
    limits = thresholds or {"discs": CONFIDENT, "bodies": CONFIDENT}
    spacing = volume.spacing_mm
    edges = Edges.of(volume)
    disc_probability, body_probability = edges.within(disc_probability), edges.within(body_probability)
    # What is more likely a disc is not a body: the two networks do not know of each other.
    body_only = np.where((disc_probability > body_probability) & (disc_probability > CONFIDENT), 0, body_probability)
    along = 1 + edges.spine[0]
    bodies = instances(body_only.astype(np.float32), spacing, "body", limits["bodies"], spine_axis=along)
    discs = instances(disc_probability, spacing, "disc", limits["discs"], spine_axis=along)
    spine = name_levels(
        bodies,
        discs,
        volume.affine,
        is_cut=lambda body: edges.cut_in_plane(body.mask),
        has_disc_below=lambda body, named: faint_disc_below(body, named, disc_probability, volume.affine),
    )
    if len(spine.bodies) < FEWEST_BODIES or len(spine.discs) < FEWEST_DISCS:
        raise InputFault(
            "No lumbar spine was found in the series.",
            "Check that it is a sagittal series of the lumbar spine; measure it by hand if it is.",
        )
    disc_labels, body_labels = (np.zeros(volume.array.shape, dtype=np.uint8) for _ in range(2))
    structures, remarks = [], list(spine.remarks)
    voids = voids_of(volume, [body.instance.mask for body in spine.bodies])
    whole = {body.level: body.instance.mask for body in spine.bodies if not edges.cut(body.instance.mask)}
    small = small_bodies(whole, spacing, along)
    seen_from_end_to_end = {body.level for body in spine.bodies if not edges.cut_in_plane(body.instance.mask)}
    for named in spine.discs:
        mask = named.instance.mask
        disc_labels[mask] = named.level
        unfit = _unfit(mask, edges, voids, spacing)
        # Disc k lies between the bodies k and k + 1.
        if unfit is None and any(
            level not in seen_from_end_to_end and edges.cut_beside(mask, below=level > named.level)
            for level in (named.level, named.level + 1)
        ):
            unfit = "cut", "the edge of the field of view cuts the body beside it"
        if unfit is None:
            named.flags.extend(_perhaps(mask, edges, voids, spacing))
        structures.append(_structure(named, mask, volume, unfit, disc_probability, limits["discs"]))
    for named in spine.bodies:
        # The rim that both claim is the disc's: measured is what is written.
        mask = named.instance.mask & (disc_labels == 0)
        body_labels[mask] = named.level
        unfit = _unfit(mask, edges, voids, spacing)
        if unfit is None and named.unfit is not None:
            unfit = "excluded", named.unfit
        if unfit is None and named.level in small.pieces:
            unfit = "excluded", A_PIECE
        if unfit is None and named.level in small.crushed:
            named.flags.append(CRUSHED)
        if unfit is None:
            named.flags.extend(_perhaps(mask, edges, voids, spacing))
        structures.append(_structure(named, mask, volume, unfit, body_probability, limits["bodies"]))
    remarks += _remarks(structures, spine)
    lineage = {
        "step": "segmentation",
        "method": "two 2D V-Nets, 3D clean-up, levels from the sacrum up",
        "thresholds": limits,
    }
    return Segmentation(disc_labels, body_labels, structures, remarks, lineage)


def _unfit(mask: Mask, edges: Edges, voids: Mask, spacing_mm: tuple[float, float, float]) -> Unfit | None:
    if edges.cut(mask):
        return "cut", "cut by the edge of the field of view"
    if void_part(mask, voids, spacing_mm) > VOID_PART:
        return "excluded", VOID
    return None


def _perhaps(mask: Mask, edges: Edges, voids: Mask, spacing_mm: tuple[float, float, float]) -> list[str]:
    """What may make the measures of a structure wrong."""
    flags = [GOES_ON] if edges.side_share(mask) > PERHAPS_AT_THE_SIDE else []
    return flags + ([A_SMALL_VOID] if void_part(mask, voids, spacing_mm) > SOME_VOID else [])


def _structure(
    named: Named, mask: Mask, volume: Volume, unfit: Unfit | None, probability: Probability, threshold: float
) -> Structure:
    instance, spacing = named.instance, volume.spacing_mm
    kind: Kind = instance.kind
    flags = list(named.flags)
    state: State = "measured"
    measures: dict[str, float] = {}
    if unfit is not None:
        state = unfit[0]
        flags.append(unfit[1])
    elif kind == "disc":
        measure = measure_disc(mask, spacing, probability, threshold)
        measures = {
            "disc_height_mm": measure.height_mm,
            "disc_mean_height_mm": measure.mean_height_mm,
            "disc_area_mm2": measure.area_mm2,
        }
    else:
        measures = {"body_volume_cm3": body_volume_cm3(mask, spacing)}
    place = volume.position_mm(instance.centroid)
    centroid = (round(float(place[0]), 2), round(float(place[1]), 2), round(float(place[2]), 2))
    return Structure(kind, named.level, level_name(kind, named.level), state, measures, centroid, flags)


def _remarks(structures: list[Structure], spine: Spine) -> list[str]:
    remarks = []
    cut = [structure.name for structure in structures if structure.state == "cut"]
    if cut:
        remarks.append(f"Cut by the field of view and not measured: {', '.join(cut)}.")
    for flag, says in (
        (VOID, "With a signal void inside and not measured"),
        (A_SMALL_VOID, "With a small signal void inside or beside"),
        (A_PIECE, "Found in part and not measured"),
        (CRUSHED, "Much smaller than the bodies beside"),
        (TWO_IN_ONE, "Perhaps two bodies in one and not measured"),
        (JOINED_BODY, "Found in pieces and joined"),
        (JOINED_DISC, "Found in pieces and joined"),
        (LEFT_OUT, "With another piece beside that was left out"),
        (GOES_ON, "Large in an outermost slice, perhaps larger than measured"),
    ):
        flagged = [structure.name for structure in structures if flag in structure.flags]
        if flagged:
            remarks.append(f"{says}: {', '.join(flagged)}.")
    for kind, group in (("disc", spine.discs), ("body", spine.bodies)):
        levels = sorted(one.level for one in group)
        missing = sorted(set(range(levels[0], levels[-1] + 1)) - set(levels))
        if missing:
            remarks.append(f"Not found: {', '.join(level_name(kind, level) for level in missing)}.")
    return remarks
