"""The network's weights on disk: half-precision numbers, and a card beside them that says what they are.

`denoiser.npz` holds the numbers (no code is ever read from it), `denoiser.json` the card: architecture, SHA-256 of the
numbers, calibration, and how they were made.
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
from recon_worker.denoising.calibration import Calibration
from recon_worker.denoising.network import Architecture, NoiseNetwork

FOLDER = Path(__file__).parent / "weights"
NAME = "denoiser"


@dataclass(frozen=True)
class Weights:
    """A network ready to use, its calibration and its card."""

    network: NoiseNetwork
    calibration: Calibration
    sha256: str
    card: dict[str, Any]


def write_weights(folder: Path, network: NoiseNetwork, card: dict[str, Any]) -> str:
    """Write numbers and card to `folder`; returns the numbers' SHA-256."""
    folder.mkdir(parents=True, exist_ok=True)
    buffer = BytesIO()
    arrays: dict[str, Any] = {
        name: value.detach().cpu().to(torch.float16).contiguous().numpy()
        for name, value in network.state_dict().items()
    }
    np.savez(buffer, **arrays)
    content = buffer.getvalue()
    digest = hashlib.sha256(content).hexdigest()
    (folder / f"{NAME}.npz").write_bytes(content)
    whole = {**card, "architecture": network.architecture.as_json(), "sha256": digest}
    write_card(folder, whole)
    return digest


def write_card(folder: Path, card: dict[str, Any]) -> None:
    """Write the card alone (new calibration or metrics for the same numbers)."""
    # The calibration's thousands of numbers stand on one line.
    mark = "@calibration"
    text = json.dumps({**card, **({"calibration": mark} if "calibration" in card else {})}, indent=1)
    text = text.replace(f'"{mark}"', json.dumps(card.get("calibration")))
    (folder / f"{NAME}.json").write_text(text + "\n")


def read_card(folder: Path = FOLDER) -> dict[str, Any]:
    """The card in `folder`.

    Raises
    ------
    ReconstructionFault
        If it is missing or no card.
    """
    path = folder / f"{NAME}.json"
    try:
        card = json.loads(path.read_text())
        if not isinstance(card, dict) or "sha256" not in card or "architecture" not in card:
            raise ValueError
    except (OSError, ValueError) as error:
        raise ReconstructionFault(
            f"The denoising network's card ({NAME}.json) is missing or unreadable.", "Install the application again."
        ) from error
    return card


def load_weights(folder: Path = FOLDER, device: str = "cpu") -> Weights:
    """The network of `folder` on `device`, ready to use.

    Raises
    ------
    ReconstructionFault
        If a file is missing, or the numbers are not those that the card names (SHA-256).
    """
    network, digest, card = load_network(folder, device)
    return Weights(network, _calibration(card), digest, card)


def load_network(folder: Path = FOLDER, device: str = "cpu") -> tuple[NoiseNetwork, str, dict[str, Any]]:
    """Network, SHA-256 of its numbers and card, without the calibration, which may be none or an older one's.

    Raises
    ------
    ReconstructionFault
        As `load_weights`.
    """
    path = folder / f"{NAME}.npz"
    stamp = path.stat().st_mtime_ns if path.exists() else 0
    network, digest = _load(folder, device, stamp)
    return network, digest, read_card(folder)


@lru_cache(maxsize=2)
def _load(folder: Path, device: str, _stamp: int) -> tuple[NoiseNetwork, str]:
    card = read_card(folder)
    try:
        content = (folder / f"{NAME}.npz").read_bytes()
    except OSError as error:
        raise ReconstructionFault(
            f"The denoising network's weights ({NAME}.npz) are missing.", "Install the application again."
        ) from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != card["sha256"]:
        raise ReconstructionFault(
            f"The denoising network's weights are not those of their card (SHA-256 {digest[:12]} instead of "
            f"{str(card['sha256'])[:12]}).",
            "Install the application again.",
        )
    shape = card["architecture"]
    network = NoiseNetwork(Architecture(tuple(shape["widths"]), tuple(shape["blocks"])))
    with np.load(BytesIO(content), allow_pickle=False) as held:
        network.load_state_dict({name: torch.from_numpy(held[name].astype(np.float32)) for name in held.files})
    ready = network.eval().to(torch.device(device), memory_format=torch.channels_last)  # type: ignore[call-overload]
    ready.requires_grad_(False)
    return ready, digest


def _calibration(card: dict[str, Any]) -> Calibration:
    try:
        return Calibration.from_json(card["calibration"])
    except (KeyError, TypeError, ValueError) as error:
        raise ReconstructionFault(
            f"The denoising network's card ({NAME}.json) has no calibration of this version.",
            "Install the application again, or run `python -m recon_worker.training calibrate`.",
        ) from error
