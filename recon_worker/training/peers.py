"""Other denoisers to compare with. BM3D is a package of the tests only (its licence allows research use)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from skimage.restoration import denoise_nl_means, denoise_wavelet

from recon_worker.data import InputFault

Image = npt.NDArray[np.floating]


def block_matching(image: Image, sigma: float) -> npt.NDArray[np.float32]:
    """BM3D (Dabov et al., IEEE TIP 16:2080, 2007) of a real image `[row, column]` with noise `sigma`."""
    try:
        import bm3d
    except ImportError as error:
        raise InputFault("BM3D is not installed.", "Install requirements-test.txt.") from error
    return np.asarray(bm3d.bm3d(np.asarray(image, dtype=np.float64), sigma_psd=float(sigma)), dtype=np.float32)


def non_local_means(image: Image, sigma: float) -> npt.NDArray[np.float32]:
    """skimage's non-local means, strength 0.8 sigma as its documentation advises with known noise."""
    result = denoise_nl_means(
        np.asarray(image, dtype=np.float32), patch_size=5, patch_distance=6, h=0.8 * sigma, sigma=sigma, fast_mode=True
    )
    return np.asarray(result, dtype=np.float32)


def wavelet(image: Image, sigma: float) -> npt.NDArray[np.float32]:
    """skimage's wavelet denoising (BayesShrink)."""
    result = denoise_wavelet(np.asarray(image, dtype=np.float32), sigma=sigma, method="BayesShrink", mode="soft")
    return np.asarray(result, dtype=np.float32)
