"""The card of the denoiser's weights: what they were trained on, how, and what they reach."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import torch

from recon_worker.denoising.network import Architecture, NoiseNetwork, parameters
from recon_worker.training.denoiser import PEAK_RATE
from recon_worker.training.images import TEST_PATIENTS, TEST_VB2, CleanImage

SOURCES = [
    {
        "name": "SPIDER lumbar spine MRI (mid-sagittal T1, T2 and T2 SPACE slices)",
        "terms": "CC BY 4.0",
        "cite": "van der Graaf et al., Lumbar spine segmentation in MR images: a dataset and a public benchmark, "
        "Sci Data 11:264 (2024)",
    },
    {
        "name": "Lumbar spine T2 volumes with vertebral bodies (VB2)",
        "terms": "Zenodo record 22304: for research, cite",
        "cite": "Chu et al., PLoS ONE 10:e0143327 (2015)",
    },
    {
        "name": "Colin 27 brain average",
        "terms": "as in Debian's mricron-data: free to use and copy with its notice",
        "cite": "Holmes et al., J Comput Assist Tomogr 22:324 (1998)",
    },
    {"name": "This project's lumbar spine simulator and drawn shapes", "terms": "as this project", "cite": ""},
]


def new_card(network: NoiseNetwork, images: list[CleanImage], training: dict[str, Any]) -> dict[str, Any]:
    """Card without calibration and metrics."""
    counts: dict[str, Counter[str]] = {}
    for image in images:
        counts.setdefault(image.part, Counter())[image.kind] += 1
    return {
        "name": "lumbar spine denoiser",
        "task": "noise, sharpening and ringing correction of complex MR images in SNR units",
        "parameters": parameters(network),
        "precision": "float16",
        "data": SOURCES,
        "images": {part: dict(sorted(count.items())) for part, count in sorted(counts.items())},
        "split": f"by patient: SPIDER numbers divisible by {TEST_PATIENTS} and VB2 volumes {', '.join(TEST_VB2)} test, "
        "SPIDER numbers with remainder 1 of 14 validate and calibrate; simulated subjects of another seed likewise",
        "training": training,
    }


def load_checkpoint(path: Path) -> tuple[NoiseNetwork, dict[str, Any]]:
    """Network with the averaged weights of a checkpoint, and the checkpoint's facts."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    shape = content["architecture"]
    network = NoiseNetwork(Architecture(tuple(shape["widths"]), tuple(shape["blocks"])))
    network.load_state_dict(content["averaged"])
    network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    facts = {
        "steps": content["step"],
        "minutes": round(content["seconds"] / 60, 1),
        "minutes_planned": content["minutes"],
        "peak_rate": content.get("peak_rate", PEAK_RATE),
        **({"began_with": content["began_with"]} if content.get("began_with") else {}),
    }
    return network, facts
