"""Trains the denoiser: batches of degraded patches, a schedule fitted to the minutes given, checkpoints, resume.

Two patches of a batch come with two noise draws each: for them the loss also weighs how much the result changes with
the noise ("suppression", told to the network), so that more can be removed where more than the most probable image
asks for is wanted. One patch comes with and without faint spots under the same noise: for it the loss also weighs the
part of their contrast that is lost, which squared errors alone hardly notice.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from recon_worker.denoising.network import Architecture, NoiseNetwork
from recon_worker.training.degradation import Sample, draw_samples, draw_with_and_without
from recon_worker.training.images import CleanImage

SINGLES = 2
CONTRASTS = 1
PAIRS = 2
PEAK_RATE = 1.5e-3
WARM_UP = 0.06
DECAY = 1e-3
CLIP = 0.5
EPSILON = 0.3
"""Of the Charbonnier loss, in units of the noise."""
CORRECTION_WEIGHT = 0.5
EDGE_WEIGHT = 0.3
VARIANCE_WEIGHT = 2.0
CONTRAST_WEIGHT = 0.1
FAINTEST_SPOT = 0.3
"""Where a spot's contrast is under this part of the noise it does not count: its border."""
AVERAGED_STEPS = 300
CHECKPOINT_SECONDS = 120.0
SHARES = {"t1": 0.2, "t2": 0.2, "t2_SPACE": 0.13, "vb2": 0.1, "brain": 0.03, "simulated": 0.24, "shapes": 0.1}

Report = Callable[[str], None]


@dataclass
class Progress:
    """Where a training stands; goes into the checkpoint."""

    step: int = 0
    seconds: float = 0.0
    losses: list[tuple[int, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Batch:
    """`[sample, 2, row, column]` each, and `[sample, condition]`: singles, then two by two the contrasts (with and
    without spots) and the pairs (two noise draws)."""

    image: torch.Tensor
    band_limited: torch.Tensor
    target: torch.Tensor
    conditions: torch.Tensor


class Trainer:
    """One training on a pool of clean images.

    Parameters
    ----------
    folder
        Where checkpoints, the log and the loss curve go.
    minutes, steps
        Time of the whole schedule, resumed parts included; or its steps instead, where it must not depend on speed.
    """

    def __init__(
        self,
        images: list[CleanImage],
        folder: Path,
        *,
        minutes: float = 0.0,
        steps: int | None = None,
        device: str = "cpu",
        seed: int = 0,
        architecture: Architecture | None = None,
        singles: int = SINGLES,
        contrasts: int = CONTRASTS,
        pairs: int = PAIRS,
        peak_rate: float = PEAK_RATE,
    ) -> None:
        torch.manual_seed(seed)
        self.device = torch.device(device)
        self.folder = folder
        self.minutes = minutes
        self.steps = steps
        self.peak_rate = peak_rate
        self.seed = seed
        self.singles, self.contrasts, self.pairs = singles, contrasts, pairs
        self.network = NoiseNetwork(architecture).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = NoiseNetwork(architecture).to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged.load_state_dict(self.network.state_dict())
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=peak_rate, betas=(0.9, 0.99), weight_decay=DECAY
        )
        self.progress = Progress()
        self.began_with: dict[str, Any] = {}
        self.images = images
        self.by_kind: dict[str, list[CleanImage]] = {}
        for image in images:
            self.by_kind.setdefault(image.kind, []).append(image)
        shares = np.array([SHARES.get(kind, 0.05) for kind in self.by_kind])
        self.shares = shares / shares.sum()

    def begin_with(self, network: nn.Module, facts: dict[str, Any]) -> None:
        """Take the weights of a trained `network` as a start; `facts` of their training go into the checkpoint."""
        self.network.load_state_dict(network.state_dict())
        self.averaged.load_state_dict(network.state_dict())
        self.began_with = facts

    def batch(self, rng: np.random.Generator) -> Batch:
        """A random batch."""
        kinds = list(self.by_kind)
        samples: list[Sample] = []
        suppression: list[float] = []
        for use in ["single"] * self.singles + ["contrast"] * self.contrasts + ["pair"] * self.pairs:
            kind = kinds[int(rng.choice(len(kinds), p=self.shares))]
            image = self.by_kind[kind][int(rng.integers(len(self.by_kind[kind])))]
            if use == "contrast":
                samples += draw_with_and_without(rng, image)
                suppression += [0.0 if rng.random() < 0.5 else float(rng.uniform(0.05, 0.3))] * 2
            elif use == "pair":
                samples += draw_samples(rng, image, 2)
                suppression += [float(rng.uniform(0.05, 1))] * 2
            else:
                samples += draw_samples(rng, image, 1)
                suppression.append(0.0)
        conditions = [[1.0, *sample.colour, asked] for sample, asked in zip(samples, suppression, strict=True)]
        return Batch(
            self._stacked([sample.image for sample in samples]),
            self._stacked([sample.band_limited for sample in samples]),
            self._stacked([sample.target for sample in samples]),
            torch.tensor(conditions, dtype=torch.float32, device=self.device),
        )

    def _stacked(self, parts: list[torch.Tensor]) -> torch.Tensor:
        return torch.stack(parts).to(self.device).contiguous(memory_format=torch.channels_last)

    def loss(self, batch: Batch) -> torch.Tensor:
        """Charbonnier loss of noise, sharpened image and its edges; of the pairs also of their difference."""
        with torch.autocast(self.device.type, torch.bfloat16):
            noise, correction = self.network(batch.image, batch.conditions)
        denoised = batch.image - noise
        error = denoised - batch.band_limited
        total = denoised + correction - batch.target
        loss = charbonnier(error) + CORRECTION_WEIGHT * (charbonnier(total) + EDGE_WEIGHT * _edges(total))
        begin, end = self.singles, self.singles + 2 * self.contrasts
        if self.contrasts:
            kept = denoised[begin:end:2, 0] - denoised[begin + 1 : end : 2, 0]
            true = batch.band_limited[begin:end:2, 0] - batch.band_limited[begin + 1 : end : 2, 0]
            loss = loss + CONTRAST_WEIGHT * lost_contrast(kept, true)
        if self.pairs:
            first = denoised[end::2]
            second = denoised[end + 1 :: 2]
            weight = VARIANCE_WEIGHT * batch.conditions[end::2, 3]
            difference = _per_sample((first - second) / math.sqrt(2))
            loss = loss + (weight * difference).mean() * (2 * self.pairs / len(batch.image))
        return loss

    def rate(self, part: float) -> float:
        """Learning rate at fraction `part` of the time: linear warm-up, then a cosine to a hundredth."""
        if part < WARM_UP:
            return self.peak_rate * (0.04 + 0.96 * part / WARM_UP)
        done = min(1.0, (part - WARM_UP) / (1 - WARM_UP))
        return self.peak_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))

    def run(self, report: Report, *, resume: bool = False) -> Progress:
        """Train to the end of the schedule; resumes from the folder's checkpoint if asked and there is one."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if resume and self.checkpoint.exists():
            self.load(self.checkpoint)
            report(f"resumed at step {self.progress.step}, {self.progress.seconds / 60:.1f} min")
        state = self.progress
        last = time.monotonic()
        saved = reported = last
        recent: list[float] = []
        while (done := self._done()) < 1:
            rng = np.random.default_rng([self.seed, state.step])
            rate = self.rate(done)
            for group in self.optimiser.param_groups:
                group["lr"] = rate
            loss = self.loss(self.batch(rng))
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
            if now - saved > CHECKPOINT_SECONDS:
                self.save()
                saved = now
        self.save()
        return state

    def _done(self) -> float:
        if self.steps is not None:
            return self.progress.step / self.steps
        return self.progress.seconds / (self.minutes * 60)

    def gain(self, images: list[CleanImage], *, draws: int = 12) -> float:
        """By how many dB the squared error falls, mean over patches of `images` drawn with a fixed seed."""
        rng = np.random.default_rng(1)
        before, after = [], []
        with torch.no_grad():
            for number in range(draws):
                sample = draw_samples(rng, images[number % len(images)], 1)[0]
                image = sample.image[None].to(self.device)
                conditions = torch.tensor([[1.0, *sample.colour, 0.0]], device=self.device)
                noise, _ = self.averaged(image, conditions)
                clean = sample.band_limited[None].to(self.device)
                before.append(float(((image - clean) ** 2).mean()))
                after.append(float(((image - noise - clean) ** 2).mean()))
        return float(np.mean(10 * np.log10(np.array(before) / np.array(after))))

    def _average(self) -> None:
        # Early on over fewer steps: the first ones are far from where it ends.
        part = max(1.0 / AVERAGED_STEPS, 8.0 / (8 + self.progress.step))
        with torch.no_grad():
            for mean, value in zip(self.averaged.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(value, part)

    @property
    def checkpoint(self) -> Path:
        """The checkpoint's path."""
        return self.folder / "checkpoint.pt"

    def save(self) -> None:
        """Write the checkpoint (whole or not at all) and the loss curve's numbers."""
        content: dict[str, Any] = {
            "architecture": self.network.architecture.as_json(),
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.progress.step,
            "seconds": self.progress.seconds,
            "losses": self.progress.losses,
            "minutes": self.minutes,
            "peak_rate": self.peak_rate,
            "began_with": self.began_with,
        }
        part = self.checkpoint.with_suffix(".part")
        torch.save(content, part)
        part.replace(self.checkpoint)
        (self.folder / "losses.json").write_text(json.dumps(self.progress.losses))

    def load(self, path: Path) -> None:
        """Continue from a checkpoint."""
        content = torch.load(path, map_location=self.device, weights_only=True)
        self.network.load_state_dict(content["network"])
        self.averaged.load_state_dict(content["averaged"])
        self.optimiser.load_state_dict(content["optimiser"])
        self.progress = Progress(content["step"], content["seconds"], [tuple(entry) for entry in content["losses"]])
        self.began_with = content.get("began_with", {})


def charbonnier(error: torch.Tensor) -> torch.Tensor:
    """Mean of sqrt(e^2 + EPSILON^2) - EPSILON."""
    return _per_sample(error).mean()


def lost_contrast(kept: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Square of the part of the contrast that is lost, mean over `[sample, row, column]`; all spots weigh alike."""
    where = torch.where(true.abs() > FAINTEST_SPOT, true.sign(), torch.zeros_like(true))
    whole = (true * where).sum(dim=(1, 2))
    part = (kept * where).sum(dim=(1, 2)) / whole.clamp(min=1.0)
    return torch.where(whole > 1, (1 - part) ** 2, torch.zeros_like(part)).mean()


def _per_sample(error: torch.Tensor) -> torch.Tensor:
    return (torch.sqrt(error * error + EPSILON**2) - EPSILON).mean(dim=(1, 2, 3))


def _edges(error: torch.Tensor) -> torch.Tensor:
    return charbonnier(error[..., 1:, :] - error[..., :-1, :]) + charbonnier(error[..., 1:] - error[..., :-1])
