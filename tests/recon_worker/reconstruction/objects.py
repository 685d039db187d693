"""Objects with phase, for partial Fourier: drawn four times finer than the scan and cut in k-space, never resampled."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from tests.recon_worker.support import BODY, Ellipse

FINER = 4
SHAPE = (128, 96)
DETAILS = (
    Ellipse(-20.0, -18.0, 5.0, 2.5, tilt=-30.0, brightness=0.5),
    Ellipse(5.0, 24.0, 2.0, 6.0, brightness=-0.5),
    Ellipse(-2.0, -10.0, 1.5, 1.5, brightness=0.9),
)


def tissue_with_phase(*, rough: bool, seed: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Complex image `[row, column]` of 128 x 96 pixels with smooth phase, and its magnitude.

    `rough` adds phase that no low-order model describes (susceptibility near gas and bone).
    """
    rows, columns = SHAPE[0] * FINER, SHAPE[1] * FINER
    y, x = np.meshgrid(np.linspace(-50, 50, rows, endpoint=False), np.linspace(-48, 48, columns, endpoint=False),
                       indexing="ij")
    magnitude = np.zeros((rows, columns))
    for shape in BODY + DETAILS:
        magnitude += shape.brightness * shape.inside(x, y)
    phase = 0.9 * x / 48 + 0.7 * (y / 50) ** 2 + 0.3 * np.sin(y / 25 + x / 40)
    if rough:
        random = np.random.default_rng(seed)
        for width_mm, size in ((12.0, 0.25), (4.0, 0.12)):
            field = ndimage.gaussian_filter(random.standard_normal((rows, columns)), width_mm * columns / 96)
            phase = phase + size * field / field.std()
    fine = magnitude * np.exp(1j * phase)
    lines = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(fine), norm="forward"))
    top, left = rows // 2 - SHAPE[0] // 2, columns // 2 - SHAPE[1] // 2
    lines = lines[top : top + SHAPE[0], left : left + SHAPE[1]] * np.sqrt(SHAPE[0] * SHAPE[1])
    image = np.fft.fftshift(np.fft.ifft2(np.fft.ifftshift(lines), norm="ortho"))
    return image.astype(np.complex64), np.abs(image)


def kspace_of(image: np.ndarray) -> np.ndarray:
    """`[ky, kx]` of an image `[row, column]`, by NumPy's own transform."""
    return np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(image), norm="ortho"))
