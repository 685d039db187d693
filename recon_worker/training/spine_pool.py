"""The pool of labelled slices on disk, so that it is prepared once."""

from __future__ import annotations

import json
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

import numpy as np

from recon_worker.training.spine_images import LabelledSlice, Progress, real_slices
from recon_worker.training.spine_simulated import simulated_slices

POOL_VERSION = 6
SIMULATED_SUBJECTS = 40
HELD_OUT_SEED = 1006
HELD_OUT_SUBJECTS = 4
ARRAYS = ("image", "neighbours", "bodies", "discs", "body_weight", "disc_weight")


def labelled_pool(
    data: Path | None, cache: Path, progress: Progress, *, subjects: int = SIMULATED_SUBJECTS
) -> list[LabelledSlice]:
    """All labelled slices: training, validation and test parts.

    Parameters
    ----------
    data
        Folder of the development data (`spine/`); None: simulated slices alone.
    cache
        File that holds the pool; written if missing, or made from something else.
    """
    made_from: dict[str, object] = {"version": POOL_VERSION, "real": data is not None, "subjects": subjects}
    if cache.exists() and (pool := _read(cache, made_from)) is not None:
        return pool
    pool = list(real_slices(data, progress)) if data is not None else []
    pool += simulated_slices(subjects, progress)
    held_out = min(HELD_OUT_SUBJECTS, subjects)
    pool += simulated_slices(held_out, progress, seed=HELD_OUT_SEED, slices=3, contrasts=1, part="validation")
    _write(cache, made_from, pool)
    return pool


def _write(cache: Path, made_from: dict[str, object], pool: list[LabelledSlice]) -> None:
    cache.parent.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {}
    facts = []
    for number, one in enumerate(pool):
        arrays |= {f"{name}{number}": getattr(one, name) for name in ARRAYS}
        facts.append(list(astuple(one)[len(ARRAYS) :]))
    part = cache.with_suffix(".part.npz")
    np.savez_compressed(part, **arrays, facts=np.array(json.dumps({"made_from": made_from, "slices": facts})))
    part.replace(cache)


def _read(cache: Path, made_from: dict[str, object]) -> list[LabelledSlice] | None:
    assert tuple(field.name for field in fields(LabelledSlice))[: len(ARRAYS)] == ARRAYS
    with np.load(cache, allow_pickle=False) as held:
        content = json.loads(str(held["facts"]))
        if content["made_from"] != made_from:
            return None
        return [
            LabelledSlice(*(held[f"{name}{number}"] for name in ARRAYS), *facts)
            for number, facts in enumerate(content["slices"])
        ]
