"""The loss curve as a picture, drawn with numpy and Pillow: the worker has no plotting library."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SIZE = (720, 400)
EDGE = 50


def plot_losses(
    losses: list[tuple[int, float]], path: Path, title: str = "loss (Charbonnier, in units of the noise)"
) -> None:
    """Loss over steps, logarithmic, with its running mean, to a PNG."""
    picture = Image.new("RGB", SIZE, "white")
    draw = ImageDraw.Draw(picture)
    if len(losses) > 1:
        steps = np.array([step for step, _ in losses], dtype=float)
        values = np.log10(np.maximum([loss for _, loss in losses], 1e-4))
        low, high = float(values.min()) - 0.02, float(values.max()) + 0.02
        x = EDGE + (steps - steps[0]) / max(np.ptp(steps), 1) * (SIZE[0] - 2 * EDGE)

        def place(row: np.ndarray) -> list[tuple[float, float]]:
            y = SIZE[1] - EDGE - (row - low) / (high - low) * (SIZE[1] - 2 * EDGE)
            return [(float(a), float(b)) for a, b in zip(x, y, strict=True)]

        width = max(1, len(values) // 12)
        padded = np.pad(values, (width // 2, width - 1 - width // 2), mode="edge")
        draw.line(place(values), fill=(170, 190, 205))
        draw.line(place(np.convolve(padded, np.ones(width) / width, mode="valid")), fill=(20, 70, 110), width=2)
        for value in (low, high):
            y = SIZE[1] - EDGE - (value - low) / (high - low) * (SIZE[1] - 2 * EDGE)
            draw.text((6, y - 6), f"{10**value:.3f}", fill="black")
        draw.text((EDGE, SIZE[1] - EDGE + 8), f"step {int(steps[0])}", fill="black")
        draw.text((SIZE[0] - EDGE - 40, SIZE[1] - EDGE + 8), f"{int(steps[-1])}", fill="black")
    draw.rectangle((EDGE, EDGE, SIZE[0] - EDGE, SIZE[1] - EDGE), outline="black")
    draw.text((EDGE, 20), title, fill="black")
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
