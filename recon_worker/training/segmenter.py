"""Trains one of the two V-Nets: random crops, masked Dice and cross-entropy, a schedule fitted to the minutes given."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from recon_worker.segmentation.network import Architecture, VNet
from recon_worker.segmentation.normalisation import normalised
from recon_worker.segmentation.probabilities import predicted
from recon_worker.training.spine_augmentation import draw_crop
from recon_worker.training.spine_images import LabelledSlice

CROPS = 4
PEAK_RATE = 2e-3
WARM_UP_STEPS = 100
LAST_PART = 0.3
"""Over this last part of the time the learning rate falls to zero."""
DECAY = 1e-4
CLIP = 5.0
AVERAGED_STEPS = 100
ENTROPY_WEIGHT = 2.0
CHECKPOINT_SECONDS = 120.0
SHARES = {
    "bodies": {"SPIDER SPACE": 0.24, "VB3": 0.24, "VB2": 0.15, "VB1": 0.11, "slices20": 0.08, "simulated": 0.18},
    "discs": {"SPIDER SPACE": 0.5, "IVD": 0.15, "slices20": 0.15, "simulated": 0.2},
}

Report = Callable[[str], None]


@dataclass
class Progress:
    """Where a training stands; goes into the checkpoint."""

    step: int = 0
    seconds: float = 0.0
    losses: list[tuple[int, float]] = field(default_factory=list)
    validation: list[tuple[int, float]] = field(default_factory=list)


class SegmenterTrainer:
    """One training of the network for `kind`, "bodies" or "discs".

    Parameters
    ----------
    slices
        Labelled slices; those of the parts "training" and "validation" are used.
    folder
        Where checkpoints, the log and the loss curve go.
    minutes, steps
        Time of the whole schedule, resumed parts included; or its steps instead, where it must not depend on speed.
    """

    def __init__(
        self,
        kind: str,
        slices: list[LabelledSlice],
        folder: Path,
        *,
        minutes: float = 0.0,
        steps: int | None = None,
        device: str = "cpu",
        seed: int = 0,
        architecture: Architecture | None = None,
        peak_rate: float = PEAK_RATE,
    ) -> None:
        torch.manual_seed(seed)
        self.peak_rate = peak_rate
        self.kind, self.folder, self.minutes, self.steps, self.seed = kind, folder, minutes, steps, seed
        self.device = torch.device(device)
        self.network = VNet(architecture).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = copy.deepcopy(self.network)
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=peak_rate, weight_decay=DECAY)
        self.progress = Progress()
        self.began_with: dict[str, Any] = {}
        usable = [one for one in slices if one.labels(kind)[1].any()]
        self.unseen = [one for one in usable if one.part == "validation"]
        self.by_source: dict[str, list[LabelledSlice]] = {}
        for one in usable:
            if one.part == "training":
                self.by_source.setdefault(one.source, []).append(one)
        shares = np.array([SHARES[kind].get(source, 0.05) for source in self.by_source])
        self.shares = shares / shares.sum()

    def begin_with(self, network: nn.Module, facts: dict[str, Any]) -> None:
        """Take the weights of a trained `network` as a start; `facts` of their training go into the checkpoint."""
        self.network.load_state_dict(network.state_dict())
        self.averaged.load_state_dict(network.state_dict())
        self.began_with = facts

    def batch(self, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Images `[crop, plane, row, column]`, labels and weights `[crop, 1, row, column]`."""
        sources = list(self.by_source)
        crops = []
        for _ in range(CROPS):
            group = self.by_source[sources[int(rng.choice(len(sources), p=self.shares))]]
            crops.append(draw_crop(rng, group[int(rng.integers(len(group)))], self.kind))
        planes, labels, weights = (torch.stack(part).to(self.device) for part in zip(*crops, strict=True))
        images = planes if self.network.architecture.planes == planes.shape[1] else planes[:, 1:2]
        return images.contiguous(memory_format=torch.channels_last), labels[:, None], weights[:, None]

    def loss(self, images: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Dice loss with squared terms (Milletari) and cross-entropy, both where labels are to be believed."""
        with torch.autocast(self.device.type, torch.bfloat16):
            logits = self.network(images)
        return masked_loss(logits.float(), labels, weights)

    def rate(self, part: float) -> float:
        """Learning rate at fraction `part` of the time."""
        warm = min(1.0, (self.progress.step + 1) / WARM_UP_STEPS)
        return self.peak_rate * warm * min(1.0, max(0.0, 1 - part) / LAST_PART + 1e-3)

    def run(self, report: Report, *, resume: bool = False) -> Progress:
        """Train to the end of the schedule; resumes from the folder's checkpoint if asked and there is one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if resume and self.checkpoint.exists():
            self.load(self.checkpoint)
            report(f"resumed at step {self.progress.step}, {self.progress.seconds / 60:.1f} min")
        state = self.progress
        last = saved = reported = time.monotonic()
        recent: list[float] = []
        self.network.train()
        while (done := self._done()) < 1:
            rate = self.rate(done)
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            loss = self.loss(*self.batch(np.random.default_rng([self.seed, state.step])))
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
            self.optimiser.step()
            state.step += 1
            self._average()
            recent.append(float(loss.detach()))
            now = time.monotonic()
            state.seconds += now - last
            last = now
            if now - reported > 20 or self._done() >= 1:
                mean = float(np.mean(recent))
                state.losses.append((state.step, mean))
                whole = f"{self.minutes:g} min" if self.steps is None else f"{self.steps} steps"
                report(f"{state.seconds / 60:6.1f} min of {whole}  step {state.step}  loss {mean:.4f}  rate {rate:.2e}")
                recent, reported = [], now
            if now - saved > CHECKPOINT_SECONDS or self._done() >= 1:
                if self.unseen:
                    state.validation.append((state.step, self.dice(self.unseen)))
                    report(f"        Dice of unseen slices {state.validation[-1][1]:.4f}")
                self.save()
                saved = last = time.monotonic()
        self.save()
        return state

    def dice(self, slices: list[LabelledSlice], threshold: float = 0.5) -> float:
        """Mean over `slices` of the Dice of the averaged network, where labels are to be believed."""
        scores = []
        for one in slices:
            labels, weight = one.labels(self.kind)
            found = slice_probability(self.averaged, one.planes, self.device) > threshold
            truth, where = labels > 0, weight > 0
            both = (found & truth & where).sum()
            size = (found & where).sum() + (truth & where).sum()
            scores.append(2 * both / size if size else 1.0)
        return float(np.mean(scores))

    def _done(self) -> float:
        if self.steps is not None:
            return self.progress.step / self.steps
        return self.progress.seconds / (self.minutes * 60)

    def _average(self) -> None:
        part = max(1.0 / AVERAGED_STEPS, 4.0 / (4 + self.progress.step))
        with torch.no_grad():
            for mean, value in zip(self.averaged.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(value, part)
            for mean, value in zip(self.averaged.buffers(), self.network.buffers(), strict=True):
                if mean.is_floating_point():
                    mean.lerp_(value, part)
                else:
                    mean.copy_(value)

    @property
    def checkpoint(self) -> Path:
        """The checkpoint's path."""
        return self.folder / f"{self.kind}.pt"

    def save(self) -> None:
        """Write the checkpoint (whole or not at all) and the loss curve's numbers."""
        content: dict[str, Any] = {
            "kind": self.kind,
            "architecture": self.network.architecture.as_json(),
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.progress.step,
            "seconds": self.progress.seconds,
            "losses": self.progress.losses,
            "validation": self.progress.validation,
            "minutes": self.minutes,
            "peak_rate": self.peak_rate,
            "began_with": self.began_with,
        }
        part = self.checkpoint.with_suffix(".part")
        torch.save(content, part)
        part.replace(self.checkpoint)
        (self.folder / f"{self.kind}-losses.json").write_text(json.dumps(self.progress.losses))

    def load(self, path: Path) -> None:
        """Continue from a checkpoint."""
        content = torch.load(path, map_location=self.device, weights_only=True)
        self.network.load_state_dict(content["network"])
        self.averaged.load_state_dict(content["averaged"])
        self.optimiser.load_state_dict(content["optimiser"])
        curves = ([tuple(entry) for entry in content[name]] for name in ("losses", "validation"))
        self.progress = Progress(content["step"], content["seconds"], *curves)
        self.began_with = content.get("began_with", {})


def masked_loss(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Dice loss with squared terms over the batch plus weighted cross-entropy, where `weights` is 1."""
    probability = torch.sigmoid(logits)
    both = (weights * probability * labels).sum()
    squares = (weights * (probability**2 + labels**2)).sum()
    dice = 1 - (2 * both + 1) / (squares + 1)
    entropy = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    return dice + ENTROPY_WEIGHT * (weights * entropy).sum() / weights.sum().clamp(min=1)


def slice_probability(network: nn.Module, planes: np.ndarray, device: torch.device | None = None) -> np.ndarray:
    """Probability `[row, column]` of the middle one of `planes` `[plane, row, column]` with 1 mm pixels."""
    whole = torch.from_numpy(np.ascontiguousarray(planes, dtype=np.float32)).to(device or "cpu")
    return np.asarray(predicted(network, normalised(whole)[None])[0].cpu().numpy())
