"""Simulated spines as stored volumes, and a segmenter that knows their truth: for tests of what is made of masks."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from recon_worker.data import Volume
from recon_worker.dicom.orientation import to_reading_orientation
from recon_worker.segmentation.segment import Progress, Segmentation, check, structures_of
from tests.recon_worker.segmentation.spines import LabelledSpine


def complex_volume(spine: LabelledSpine, *, noise: float, seed: int = 0) -> Volume:
    """The spine as an acquisition job would store it."""
    draw = np.random.default_rng(seed)
    shape = spine.volume.array.shape
    image = gaussian_filter(spine.volume.array.astype(np.float64), (0, 0.7, 0.7))
    image = image + noise * (draw.standard_normal(shape) + 1j * draw.standard_normal(shape))
    return Volume(image.astype(np.complex64), spine.volume.affine, 4.0, np.full(shape, noise, dtype=np.float32))


class KnowsTheTruth:
    """Finds what is there, on whatever grid of the spine it is shown."""

    def __init__(self, spine: LabelledSpine) -> None:
        self._spine = spine
        self.calls = 0

    def __call__(self, volume: Volume, *, progress: Progress, device: str) -> Segmentation:
        self.calls += 1
        check(volume)
        spine = self._spine
        discs, bodies = (
            to_reading_orientation(spine.volume.with_array(labels)) for labels in (spine.discs, spine.bodies)
        )
        np.testing.assert_allclose(discs.affine, volume.affine, atol=1e-4)
        progress("finding discs", 0.5)
        return structures_of(volume, (discs.array > 0).astype(np.float32), (bodies.array > 0).astype(np.float32))
