"""What the viewer gets: frames of a fixed length, a description, and a preview for the coordinator."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recon_worker.data import Volume
from recon_worker.dicom.orientation import edge_letters

WINDOW_CENTRE = 1750
WINDOW_WIDTH = 3500
"""The first window of every series of every study: 0 to 3500, and 3500 is the 99.9th percentile of the reference."""


def describe(volume: Volume) -> dict[str, Any]:
    """What series.json holds: rows, columns, slices, spacing_mm [slice, row, column], window [centre, width], edges.

    Spacings are rounded to 1e-6 mm, so that two grids that differ in the last bit are described alike.
    """
    slices, rows, columns = volume.array.shape
    return {
        "rows": rows,
        "columns": columns,
        "slices": slices,
        "spacing_mm": [round(value, 6) for value in volume.spacing_mm],
        "window": [WINDOW_CENTRE, WINDOW_WIDTH],
        "edges": asdict(edge_letters(volume)),
    }


def write_frames(volume: Volume, description: dict[str, Any], out: Path) -> list[Path]:
    """Write `frames.u16` (slices x rows x columns, little endian, no header) and `series.json`; returns both paths.

    `volume` is uint16 `[slice, row, column]` in reading orientation. Frame i is the bytes from i * rows * columns * 2.
    """
    frames = out / "frames.u16"
    with frames.open("wb") as file:
        for picture in volume.array:
            file.write(np.ascontiguousarray(picture, dtype="<u2").tobytes())
    series = out / "series.json"
    series.write_text(json.dumps(description, indent=1) + "\n")
    return [frames, series]


def write_preview(volume: Volume, path: Path) -> Path:
    """Write the middle slice as an 8-bit PNG at the constant window, with square pixels. For the coordinator: its
    compressed length tells the noise, so no reader may ever receive it."""
    picture = volume.array[volume.array.shape[0] // 2].astype(np.float32)
    low = WINDOW_CENTRE - WINDOW_WIDTH / 2
    shown = np.clip(np.rint((picture - low) * (255 / WINDOW_WIDTH)), 0, 255).astype(np.uint8)
    _, row_mm, column_mm = volume.spacing_mm
    path.write_bytes(greyscale_png(_square_pixels(shown, row_mm, column_mm)))
    return path


def greyscale_png(picture: npt.NDArray[np.uint8]) -> bytes:
    """An 8-bit greyscale PNG of `[row, column]` (ISO/IEC 15948: signature, IHDR, one IDAT, IEND; filter 0)."""
    rows, columns = picture.shape
    lines = np.zeros((rows, columns + 1), dtype=np.uint8)  # each line begins with its filter type, 0
    lines[:, 1:] = picture

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    body = zlib.compress(lines.tobytes(), 6)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def _square_pixels(picture: npt.NDArray[np.uint8], row_mm: float, column_mm: float) -> npt.NDArray[np.uint8]:
    """Repeat lines or columns (nearest neighbour) until a pixel is as high as wide."""
    rows, columns = picture.shape
    fine = min(row_mm, column_mm)
    row_of = (np.arange(round(rows * row_mm / fine)) + 0.5) * fine / row_mm
    column_of = (np.arange(round(columns * column_mm / fine)) + 0.5) * fine / column_mm
    return picture[np.minimum(row_of.astype(int), rows - 1)][:, np.minimum(column_of.astype(int), columns - 1)]
