"""A storage with raw files in it, and the work orders for them."""

from __future__ import annotations

import secrets
import uuid
from pathlib import Path
from typing import Any

from recon_worker.store import Store
from tests.recon_worker.support import Protocol, simulate, write_scan

PROTOCOL = Protocol(n_slices=3)
STANDARD = {"noise_level": 0.02, "seed": 1}
FAST = {"noise_level": 0.05, "seed": 2, "phase_lines": slice(16, None)}


def storage(folder: Path) -> Store:
    """A store in an empty folder, with raw/standard and raw/fast (partial Fourier, more noise). In the unit of the
    noise, in which the chain's volumes are, the second is the darker one."""
    folder.mkdir()
    raw = folder / "raw"
    raw.mkdir()
    two_averages = Protocol(n_slices=3, n_averages=2)
    write_scan(raw / "standard", simulate(two_averages, **STANDARD))
    write_scan(raw / "fast", simulate(PROTOCOL, **FAST))
    return Store(folder.as_uri())


def file_of(store: Store, path: str) -> dict[str, Any]:
    return {"path": path, "sha256": store.sha256(path), "bytes": store.size(path)}


def acquisition_order(
    store: Store,
    path: str,
    *,
    job: str | None = None,
    attempt: int = 1,
    chains: list[dict[str, Any]] | None = None,
    noise_reduction: list[float] | None = None,
) -> dict[str, Any]:
    """`chains` are choices; each gets the reconstruction itself and `noise_reduction`."""
    return {
        "version": 2,
        "raw": file_of(store, path),
        "output": f"work/{job or uuid.uuid4()}/{attempt}",
        "chains": [{"chain": chain, "noise_reduction": [0, *(noise_reduction or [])]} for chain in chains or [{}]],
    }


def finishing_order(
    volumes: list[dict[str, Any]],
    *,
    acquisitions: list[int],
    reference: int = 0,
    job: str | None = None,
    stored_matrix: list[int] | None = None,
    measure: bool = False,
) -> dict[str, Any]:
    return {
        "version": 3,
        "output": f"work/{job or uuid.uuid4()}/1",
        "reference": reference,
        "stored_matrix": stored_matrix,
        "measure": measure,
        "series": [
            {
                "acquisition": acquisition,
                "volume": {name: volume[name] for name in ("path", "sha256", "bytes")},
                "uid_key": secrets.token_hex(32),
            }
            for volume, acquisition in zip(volumes, acquisitions, strict=True)
        ],
    }


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
