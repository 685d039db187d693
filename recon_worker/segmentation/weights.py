"""The networks' weights on disk: half-precision numbers, and a card beside them that says what they are.

`discs.npz` and `bodies.npz` hold the numbers (no code is ever read from them), `discs.json` and `bodies.json` the
cards: architecture, threshold, SHA-256 of the numbers, and how they were made.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recon_worker.data import ReconstructionFault
from recon_worker.segmentation.network import Architecture, VNet

FOLDER = Path(__file__).parent / "weights"
NAMES = ("discs", "bodies")


@dataclass(frozen=True)
class Weights:
    """A network ready to use, the probability from which a voxel counts, and its card."""

    network: VNet
    threshold: float
    sha256: str
    card: dict[str, Any]


def write_weights(folder: Path, name: str, network: VNet, card: dict[str, Any]) -> str:
    """Write numbers and card of `name` to `folder`; returns the numbers' SHA-256. The card holds the threshold."""
    folder.mkdir(parents=True, exist_ok=True)
    buffer = BytesIO()
    arrays: dict[str, Any] = {}
    for key, value in network.state_dict().items():
        whole = value.detach().cpu().contiguous()
        arrays[key] = (whole.to(torch.float16) if whole.is_floating_point() else whole).numpy()
    np.savez(buffer, **arrays)
    content = buffer.getvalue()
    digest = hashlib.sha256(content).hexdigest()
    (folder / f"{name}.npz").write_bytes(content)
    write_card(folder, name, {**card, "architecture": network.architecture.as_json(), "sha256": digest})
    return digest


def write_card(folder: Path, name: str, card: dict[str, Any]) -> None:
    """Write the card alone (new metrics for the same numbers)."""
    (folder / f"{name}.json").write_text(json.dumps(card, indent=1) + "\n")


def read_card(name: str, folder: Path = FOLDER) -> dict[str, Any]:
    """The card of `name` in `folder`.

    Raises
    ------
    ReconstructionFault
        If it is missing or no card.
    """
    try:
        card = json.loads((folder / f"{name}.json").read_text())
        if not isinstance(card, dict) or not {"sha256", "architecture", "threshold"} <= set(card):
            raise ValueError
    except (OSError, ValueError) as error:
        raise ReconstructionFault(
            f"The card of the segmentation network ({name}.json) is missing or unreadable.",
            "Install the application again.",
        ) from error
    return card


def load_weights(name: str, folder: Path = FOLDER, device: str = "cpu") -> Weights:
    """The network "discs" or "bodies" of `folder` on `device`, ready to use.

    Raises
    ------
    ReconstructionFault
        If a file is missing, or the numbers are not those that the card names (SHA-256).
    """
    path = folder / f"{name}.npz"
    stamp = path.stat().st_mtime_ns if path.exists() else 0
    return _load(name, folder, device, stamp)


@lru_cache(maxsize=4)
def _load(name: str, folder: Path, device: str, _stamp: int) -> Weights:
    card = read_card(name, folder)
    try:
        content = (folder / f"{name}.npz").read_bytes()
    except OSError as error:
        raise ReconstructionFault(
            f"The weights of the segmentation network ({name}.npz) are missing.", "Install the application again."
        ) from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != card["sha256"]:
        raise ReconstructionFault(
            f"The weights of the segmentation network ({name}) are not those of their card (SHA-256 {digest[:12]} "
            f"instead of {str(card['sha256'])[:12]}).",
            "Install the application again.",
        )
    network = VNet(Architecture.from_json(card["architecture"]))
    with np.load(BytesIO(content), allow_pickle=False) as held:
        state = {key: torch.from_numpy(held[key]) for key in held.files}
    network.load_state_dict(
        {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    )
    ready = network.eval().to(torch.device(device), memory_format=torch.channels_last)  # type: ignore[call-overload]
    ready.requires_grad_(False)
    return Weights(ready, float(card["threshold"]), digest, card)
