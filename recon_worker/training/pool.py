"""The pool of clean images on disk, so that it is prepared once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from recon_worker.training.images import CleanImage, Progress, real_images, shape_images, simulated_images

POOL_VERSION = 1
SIMULATED_SUBJECTS = 40
SHAPES = 240
HELD_OUT_SEED = 1004
"""Seed of the simulator's subjects that calibrate and test; training uses another."""
HELD_OUT_SUBJECTS = 6


def image_pool(
    data: Path | None, cache: Path, progress: Progress, *, subjects: int = SIMULATED_SUBJECTS, shapes: int = SHAPES
) -> list[CleanImage]:
    """All clean images: training, validation and test parts.

    Parameters
    ----------
    data
        Folder of the development data (`spine/`, `brain/`); None: the simulator's images alone.
    cache
        File that holds the pool; written if missing, or made from something else.
    """
    made_from: dict[str, object] = {"version": POOL_VERSION, "real": data is not None}
    made_from |= {"subjects": subjects, "shapes": shapes}
    if cache.exists() and (pool := _read(cache, made_from)) is not None:
        return pool
    pool = list(simulated_images(subjects, progress))
    pool += shape_images(shapes)
    held_out = min(HELD_OUT_SUBJECTS, subjects)
    for image in simulated_images(held_out, progress, seed=HELD_OUT_SEED, part="test"):
        number = int(image.name.split("_")[1])
        # Every second held-out subject calibrates, the others test.
        part = "validation" if number % 2 else "test"
        pool.append(CleanImage(image.pixels, image.name, image.kind, part, image.fine, 0.0))
    if data is not None:
        pool += real_images(data, progress)
    _write(cache, made_from, pool)
    return pool


def _write(cache: Path, made_from: dict[str, object], pool: list[CleanImage]) -> None:
    cache.parent.mkdir(parents=True, exist_ok=True)
    facts = [[image.name, image.kind, image.part, image.fine, image.own_noise] for image in pool]
    part = cache.with_suffix(".part.npz")
    arrays: dict[str, Any] = {f"image{number}": image.pixels for number, image in enumerate(pool)}
    np.savez(
        part,
        **arrays,
        facts=np.array(json.dumps({"made_from": made_from, "images": facts})),
    )
    part.replace(cache)


def _read(cache: Path, made_from: dict[str, object]) -> list[CleanImage] | None:
    with np.load(cache, allow_pickle=False) as held:
        content = json.loads(str(held["facts"]))
        if content["made_from"] != made_from:
            return None
        return [CleanImage(held[f"image{number}"], *facts) for number, facts in enumerate(content["images"])]
