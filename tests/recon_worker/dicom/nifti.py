"""A series as dcm2niix sees it, an independent reader of DICOM geometry (Li et al., J Neurosci Meth 264:47, 2016)."""

from __future__ import annotations

import gzip
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

import dcm2niix
import numpy as np


@dataclass(frozen=True)
class Nifti:
    """One NIfTI-1 image: `array` `[i, j, k]` and `affine` `[4, 4]` from (i, j, k, 1) to LPS millimetres."""

    array: np.ndarray
    affine: np.ndarray


def convert(dicom: Path, out: Path) -> Nifti:
    """The folder's one series, converted by dcm2niix without anything of its own (no cropping, no reorienting)."""
    out.mkdir()
    command = [dcm2niix.bin, "-z", "n", "-b", "n", "-m", "n", "-f", "series", "-o", str(out), str(dicom)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    files = sorted(out.glob("*.nii"))
    assert done.returncode == 0 and len(files) == 1, done.stdout + done.stderr
    return read(files[0])


def read(path: Path) -> Nifti:
    """A single-file NIfTI-1 image with a scanner affine (nifti1.h: dim at 40, datatype at 70, vox_offset at 108, sform
    at 252 and 280). NIfTI's x and y run to the right and to anterior, DICOM's to the left and to posterior."""
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    assert content[344:348] == b"n+1\0"
    dimensions = struct.unpack_from("<8h", content, 40)
    kind = {4: "<i2", 512: "<u2"}[struct.unpack_from("<h", content, 70)[0]]
    offset = int(struct.unpack_from("<f", content, 108)[0])
    slope, intercept = struct.unpack_from("<2f", content, 112)
    assert (slope, intercept) in ((1.0, 0.0), (0.0, 0.0))
    assert struct.unpack_from("<h", content, 254)[0] == 1  # scanner coordinates
    affine = np.eye(4)
    affine[:3] = np.array(struct.unpack_from("<12f", content, 280)).reshape(3, 4)
    affine[:2] *= -1
    shape = dimensions[1:4]
    array = np.frombuffer(content, kind, int(np.prod(shape)), offset).reshape(shape, order="F")
    return Nifti(array, affine)
