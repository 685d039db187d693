"""What each tissue gives in a spin-echo image at 3 T, and how layers of tissue become water and fat signal.

Relaxation times at 3 T, approximate (Stanisz 2005; Gold 2004; de Bazelaire 2004; values of disc and marrow water vary
widely between people): signal of a fast spin echo = density x (1 - exp(-TR/T1)) x exp(-TE/T2) at the effective TE.
Marrow and other mixed tissues are water and fat side by side, because fat suppression and the chemical shift act on
the fat alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from recon_worker.phantom.shapes import Array, Numbers, Window


@dataclass(frozen=True)
class Tissue:
    """Proton density (water = 1), share of fat in it, T1 and T2 of the water part in ms."""

    density: float
    fat: float
    t1_ms: float
    t2_ms: float


FAT_T1_MS = 370.0
FAT_T2_MS = 110.0
"""Long for a fat: closely spaced refocusing pulses keep fat bright in fast spin echo."""

TISSUES: dict[str, Tissue] = {
    "air": Tissue(0.0, 0.0, 1000, 50),
    "skin": Tissue(0.55, 0.0, 900, 35),
    "fat": Tissue(0.95, 0.96, 900, 40),
    "muscle": Tissue(0.80, 0.02, 1400, 37),
    "fascia": Tissue(0.25, 0.0, 900, 15),
    "ligament": Tissue(0.22, 0.0, 900, 14),
    "interspinous": Tissue(0.60, 0.45, 900, 40),
    "cortical bone": Tissue(0.04, 0.0, 900, 5),
    "marrow": Tissue(0.86, 0.42, 1050, 72),
    "haemangioma": Tissue(0.97, 0.55, 900, 170),
    "vein": Tissue(0.92, 0.05, 1600, 130),
    "nucleus": Tissue(0.92, 0.0, 1300, 120),
    "degenerate nucleus": Tissue(0.72, 0.0, 1000, 48),
    "annulus": Tissue(0.55, 0.0, 900, 36),
    "cartilage": Tissue(0.45, 0.0, 1000, 24),
    "csf": Tissue(0.92, 0.0, 4000, 1500),
    "cord": Tissue(0.76, 0.0, 950, 78),
    "nerve": Tissue(0.74, 0.02, 1000, 75),
    "joint fluid": Tissue(0.9, 0.0, 3000, 400),
    "flowing blood": Tissue(0.06, 0.0, 1700, 60),
    "bowel wall": Tissue(0.75, 0.02, 1200, 50),
    "bowel content": Tissue(0.72, 0.05, 1300, 85),
    # Its movement between the echoes costs signal: still water of this kind would be the brightest spot of the image.
    "bowel fluid": Tissue(0.85, 0.0, 2000, 110),
    "liver": Tissue(0.78, 0.03, 800, 34),
    "renal cortex": Tissue(0.85, 0.02, 1150, 85),
    "renal medulla": Tissue(0.88, 0.02, 1550, 100),
    "urine": Tissue(1.0, 0.0, 3800, 900),
}


@dataclass(frozen=True)
class Layer:
    """A tissue laid over all earlier layers.

    Attributes
    ----------
    tissue
        Key of `TISSUES`.
    window
        Samples of the plane that it touches.
    occupancy
        `[row, column]` of the window: the share of each sample it covers, 0 to 1.
    density
        Factor on the proton density, scalar or `[row, column]`.
    fat
        Share of fat instead of the tissue's own, scalar or `[row, column]`, or None.
    """

    tissue: str
    window: Window
    occupancy: Array
    density: Numbers = 1.0
    fat: Numbers | None = None


@dataclass(frozen=True)
class Weighting:
    """Repetition and effective echo time of a fast spin echo, ms."""

    tr_ms: float
    te_ms: float


SHORT_T2_MS = 37.0
LONG_T2_MS = 150.0
CSF_T2_MS = 1500.0
BLOOD = Tissue(0.85, 0.0, 1700, 60)
"""Blood that flows in: fresh, so fully relaxed, and the sooner gone the later the echo (hence the short T2)."""


@dataclass(frozen=True)
class Signals:
    """Signal at the effective echo time by what happens to it during a scan, each `[row, column]` float32.

    Attributes
    ----------
    short, long
        Water, split between T2 of `SHORT_T2_MS` and `LONG_T2_MS` so that it decays about as its tissue does.
    csf
        Cerebrospinal fluid, which pulsates.
    fat
        Fat, which is shifted and suppressed.
    blood
        What blood in the vessels gives if all of it is fresh; no part of `total`, which shows the flow void.
    """

    short: Array
    long: Array
    csf: Array
    fat: Array
    blood: Array

    @property
    def water(self) -> Array:
        """All water."""
        return np.asarray(self.short + self.long + self.csf, dtype=np.float32)

    @property
    def total(self) -> Array:
        """Water and fat."""
        return np.asarray(self.water + self.fat, dtype=np.float32)


def short_share(t2_ms: float) -> float:
    """Share of the signal that is taken to decay with `SHORT_T2_MS`, the rest with `LONG_T2_MS`: by decay rate."""
    rates = [1 / t2 for t2 in (t2_ms, SHORT_T2_MS, LONG_T2_MS)]
    return float(np.clip((rates[0] - rates[2]) / (rates[1] - rates[2]), 0, 1))


def spin_echo(t1_ms: float, t2_ms: float, weighting: Weighting, overlap: float = 0.0) -> float:
    """Signal of one proton density unit.

    `overlap` is how much of it a neighbouring slice excites as well, half a TR before (cross-talk of an interleaved
    stack): that part has had half the time to recover.
    """
    whole = 1 - np.exp(-weighting.tr_ms / t1_ms)
    half = 1 - np.exp(-weighting.tr_ms / 2 / t1_ms)
    return float(((1 - overlap) * whole + overlap * half) * np.exp(-weighting.te_ms / t2_ms))


def render(layers: Iterable[Layer], shape: tuple[int, int], weighting: Weighting, overlap: float = 0.0) -> Signals:
    """Signals of layers laid over one another; `overlap` as in `spin_echo`."""
    short, long, csf, fat, blood = parts = np.zeros((5, *shape), dtype=np.float32)
    fat_signal = np.float32(spin_echo(FAT_T1_MS, FAT_T2_MS, weighting, overlap))
    blood_signal = np.float32(BLOOD.density * np.exp(-weighting.te_ms / BLOOD.t2_ms))
    for layer in layers:
        tissue = TISSUES[layer.tissue]
        water_signal = np.float32(spin_echo(tissue.t1_ms, tissue.t2_ms, weighting, overlap))
        share = np.float32(tissue.fat) if layer.fat is None else np.clip(layer.fat, 0, 1)
        amount = layer.occupancy * (np.float32(tissue.density) * layer.density)
        parts[(slice(None), *layer.window)] *= 1 - layer.occupancy
        fat[layer.window] += amount * (share * fat_signal)
        water = amount * ((1 - share) * water_signal)
        if layer.tissue == "csf":
            csf[layer.window] += water
            continue
        quick = np.float32(short_share(tissue.t2_ms))
        short[layer.window] += quick * water
        if quick < 1:
            long[layer.window] += (1 - quick) * water
        if layer.tissue == "flowing blood":
            blood[layer.window] += layer.occupancy * blood_signal
    return Signals(short, long, csf, fat, blood)
