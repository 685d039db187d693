"""Segmentations and measurement reports as dcmqi reads them (Herz et al., Cancer Res 77:e87, 2017; DCMTK and ITK)."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.recon_worker.dicom.nifti import Nifti, read


@dataclass(frozen=True)
class ReadSegmentation:
    """What dcmqi says of each segment, by its number: its attributes, and its mask."""

    attributes: dict[int, dict[str, Any]]
    masks: dict[int, Nifti]


def read_segmentation(path: Path, out: Path) -> ReadSegmentation:
    """Every segment of a DICOM SEG as an image of its own; segments that share voxels are not merged."""
    out.mkdir()
    _run("segimage2itkimage", "--inputDICOM", path, "--outputDirectory", out, "--outputType", "nii", "--prefix", "seg")
    groups = json.loads((out / "seg-meta.json").read_text())["segmentAttributes"]
    attributes = {one["labelID"]: one for group in groups for one in group}
    assert all(len(group) == 1 for group in groups)
    return ReadSegmentation(attributes, {number: read(out / f"seg-{number}.nii.gz") for number in attributes})


def read_report(path: Path, out: Path) -> dict[str, Any]:
    """A TID 1500 report as dcmqi's JSON."""
    out.mkdir()
    _run("tid1500reader", "--inputDICOM", path, "--outputMetadata", out / "report.json")
    found: dict[str, Any] = json.loads((out / "report.json").read_text())
    return found


def _run(tool: str, *arguments: str | Path) -> None:
    command = [str(Path(sys.executable).parent / tool), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    # Its one note of itself: it looks for the method of a measurement at the group, where it may stand too.
    lines = [line for line in said.splitlines() if "Measurement Method modifier" not in line]
    assert not [line for line in lines if line.startswith(("W:", "E:", "Warning", "ERROR"))], said
