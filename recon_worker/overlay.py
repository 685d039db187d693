"""A contact sheet: the slices that show a structure, with contours and level names, to be looked at by a coordinator.

It shows the picture and with it the noise of its arm, so no reader may ever receive it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from skimage.measure import find_contours

from recon_worker.data import Volume
from recon_worker.dicom.orientation import to_reading_orientation
from recon_worker.morphometry.structures import Structure

Labels = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

DISC: Colour = (255, 179, 71)
BODY: Colour = (94, 200, 235)
UNMEASURED: Colour = (225, 110, 120)
INK: Colour = (226, 230, 236)
FAINT: Colour = (150, 158, 170)
GROUND: Colour = (14, 17, 22)

PIXELS_PER_MM = 2.0
SMOOTH = 3
"""Lines are drawn this many times larger and made smaller again, so that they have no steps."""
MARGIN_MM = 22.0
GAP = 10
HEADER, FOOTER = 44, 40
WIDEST = 1720
"""Pixels: tiles beyond it go to the next row."""
TALLEST_TILE = 640
FILL = 0.16
NAMED_FROM = 0.55
"""A structure is named in slices in which it has at least this share of its largest area: lateral slices stay clear."""


@dataclass(frozen=True)
class _Shown:
    """One structure in the order of drawing: its mask, contour colour and name."""

    mask: npt.NDArray[np.bool_]
    colour: Colour
    name: str
    kind: str
    largest: int


@dataclass(frozen=True)
class ContactSheet:
    """Where the slices lie on a contact sheet, so that one of them can be shown alone. Lengths in pixels: (x, y).

    Attributes
    ----------
    first
        Number of the first slice in the series, from 1 (right to left).
    slices
        How many there are, line by line.
    across
        How many lie in a line.
    tile, start, step, size
        Size of a slice; place of the first one; from one to the next; size of the whole sheet.
    """

    first: int
    slices: int
    across: int
    tile: tuple[int, int]
    start: tuple[int, int]
    step: tuple[int, int]
    size: tuple[int, int]

    def as_json(self) -> dict[str, Any]:
        """Plain values, for the event."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def write_contact_sheet(
    path: Path,
    volume: Volume,
    discs: Labels,
    bodies: Labels,
    structures: Sequence[Structure],
    *,
    window: tuple[float, float] | None = None,
) -> ContactSheet:
    """Write the contact sheet of a segmented series as PNG; where its slices lie is returned.

    Parameters
    ----------
    path
        Where to.
    volume
        Sagittal series `[slice, row, column]`, in any direction; shown in reading orientation with square pixels.
    discs, bodies
        Label maps on its grid.
    structures
        What the labels are; measured ones are drawn in the colour of their kind, others in red and dashed by name.
    window
        Centre and width; by default the 1st to 99.7th percentile of what is shown.
    """
    picture = to_reading_orientation(volume)
    maps: dict[str, npt.NDArray[Any]] = {
        kind: to_reading_orientation(volume.with_array(labels)).array
        for kind, labels in (("disc", discs), ("body", bodies))
    }
    shown = [
        _Shown(
            mask,
            (DISC if one.kind == "disc" else BODY) if one.state == "measured" else UNMEASURED,
            one.name if one.state == "measured" else f"{one.name} {one.state}",
            one.kind,
            int(mask.sum(axis=(1, 2)).max()),
        )
        for one in structures
        if (mask := maps[one.kind] == one.level).any()
    ]
    anywhere = (maps["disc"] > 0) | (maps["body"] > 0)
    slices = np.flatnonzero(anywhere.any(axis=(1, 2)))
    numbers = list(range(slices[0], slices[-1] + 1)) if slices.size else list(range(picture.array.shape[0]))
    box = _box(anywhere, picture.spacing_mm[1:])
    part = np.abs(picture.array[numbers][:, box[0], box[1]]).astype(np.float32)
    low, high = (window[0] - window[1] / 2, window[0] + window[1] / 2) if window else np.percentile(part, [1.0, 99.7])
    grey = np.clip((part - low) * (255.0 / max(high - low, 1e-6)), 0, 255).astype(np.uint8)
    tiles = [
        _tile(
            grey[place],
            [(one, one.mask[number][box]) for one in shown],
            picture.spacing_mm[1:],
            f"{number + 1} / {picture.array.shape[0]}",
        )
        for place, number in enumerate(numbers)
    ]
    sheet, across = _sheet(
        tiles, f"Slices {numbers[0] + 1} to {numbers[-1] + 1} of {picture.array.shape[0]}, right to left"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, format="PNG", compress_level=6)
    width, height = tiles[0].size
    return ContactSheet(
        first=int(numbers[0]) + 1,
        slices=len(tiles),
        across=across,
        tile=(width, height),
        start=(GAP, HEADER),
        step=(width + GAP, height + GAP),
        size=sheet.size,
    )


def _box(anywhere: npt.NDArray[np.bool_], spacing: Sequence[float]) -> tuple[slice, slice]:
    """Rows and columns that hold all structures, with a margin."""
    parts = []
    for axis, step in enumerate(spacing):
        length = anywhere.shape[axis + 1]
        used = np.flatnonzero(anywhere.any(axis=(0, 2 - axis)))
        margin = round(MARGIN_MM / step)
        parts.append(
            slice(max(0, used[0] - margin), min(length, used[-1] + 1 + margin)) if used.size else slice(0, length)
        )
    return parts[0], parts[1]


def _tile(
    grey: npt.NDArray[np.uint8],
    masks: list[tuple[_Shown, npt.NDArray[np.bool_]]],
    spacing: Sequence[float],
    caption: str,
) -> Image.Image:
    """One slice `[row, column]` with its contours, drawn large and made smaller."""
    rows, columns = grey.shape
    scale = min(PIXELS_PER_MM, TALLEST_TILE / (rows * spacing[0]))
    size = (max(1, round(columns * spacing[1] * scale)), max(1, round(rows * spacing[0] * scale)))
    large = (size[0] * SMOOTH, size[1] * SMOOTH)
    to_large = np.array([large[1] / rows, large[0] / columns])
    tile = Image.fromarray(grey).resize(large, Image.Resampling.BICUBIC).convert("RGB")
    fills = Image.new("RGBA", large)
    lines = ImageDraw.Draw(tile)
    filler = ImageDraw.Draw(fills)
    present = [(one, mask) for one, mask in masks if mask.any()]
    outlines = [
        (one, [((contour + 0.5) * to_large)[:, ::-1] for contour in find_contours(np.pad(mask, 1).astype(float), 0.5)])
        for one, mask in present
    ]
    shift = to_large[::-1]  # the padding
    for one, contours in outlines:
        for contour in contours:
            filler.polygon([tuple(point) for point in contour - shift], fill=(*one.colour, round(255 * FILL)))
    tile.paste(fills, mask=fills)
    for one, contours in outlines:
        for contour in contours:
            points = [tuple(point) for point in contour - shift]
            lines.line(points, fill=one.colour, width=round(1.3 * SMOOTH), joint="curve")
    tile = tile.resize(size, Image.Resampling.LANCZOS)
    _names(tile, present, np.array(size)[::-1] / (rows, columns))
    words = ImageDraw.Draw(tile)
    words.text((7, 5), caption, font=_font(13), fill=INK, stroke_width=2, stroke_fill=GROUND)
    return tile


def _names(
    tile: Image.Image, present: list[tuple[_Shown, npt.NDArray[np.bool_]]], to_tile: npt.NDArray[np.float64]
) -> None:
    """Bodies are named in their middle, discs in front of their front edge (anterior lies left)."""
    words = ImageDraw.Draw(tile)
    for one, mask in present:
        if mask.sum() < NAMED_FROM * one.largest:
            continue
        where = np.argwhere(mask) + 0.5
        middle = where.mean(axis=0) * to_tile
        if one.kind == "body":
            place, anchor, font = (float(middle[1]), float(middle[0])), "mm", _font(15)
        else:
            front = where[:, 1].min()
            height = where[where[:, 1] < front + 3, 0].mean() * to_tile[0]
            place, anchor, font = (float(front * to_tile[1]) - 6, float(height)), "rm", _font(12)
            if words.textbbox(place, one.name, font=font, anchor=anchor)[0] < 2:
                place, anchor = (2.0, float(height)), "lm"
        words.text(place, one.name, font=font, fill=_light(one.colour), anchor=anchor, stroke_width=2,
                   stroke_fill=GROUND)  # fmt: skip


def _sheet(tiles: Sequence[Image.Image], title: str) -> tuple[Image.Image, int]:
    """The sheet, and how many tiles lie in a line."""
    width, height = tiles[0].size
    fitting = max(1, (WIDEST - GAP) // (width + GAP))
    lines = -(-len(tiles) // fitting)
    across = -(-len(tiles) // lines)
    across = max(across, min(len(tiles), 2))
    down = -(-len(tiles) // across)
    sheet = Image.new(
        "RGB", (max(GAP + across * (width + GAP), 560), HEADER + down * (height + GAP) + FOOTER - GAP), GROUND
    )
    words = ImageDraw.Draw(sheet)
    words.text((GAP + 2, HEADER / 2), title, font=_font(16), fill=INK, anchor="lm")
    for place, tile in enumerate(tiles):
        sheet.paste(tile, (GAP + (place % across) * (width + GAP), HEADER + place // across * (height + GAP)))
    left, middle = float(GAP + 2), sheet.height - FOOTER / 2
    for colour, text in ((DISC, "disc"), (BODY, "vertebral body"), (UNMEASURED, "not measured: cut or excluded")):
        words.rectangle((left, middle - 6, left + 12, middle + 6), outline=colour, width=2,
                        fill=_mixed(colour, GROUND, FILL))  # fmt: skip
        words.text((left + 20, middle), text, font=_font(13), fill=FAINT, anchor="lm")
        left += 20 + words.textlength(text, font=_font(13)) + 26
    return sheet, across


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own typeface: the same picture on every machine."""
    return ImageFont.load_default(size)


def _light(colour: Colour) -> Colour:
    return _mixed((255, 255, 255), colour, 0.45)


def _mixed(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(share * a + (1 - share) * b) for a, b in zip(one, other, strict=True))
    return red, green, blue
