"""Undersampled data completed by the sparsity of the image in wavelets (L1-wavelet compressed sensing), by FISTA.

Source: Lustig et al., MRM 58:1182 (2007), with coil maps; the algorithm is FISTA of Beck & Teboulle, SIAM J. Imaging
Sci. 2:183 (2009). A fixed grid of wavelets leaves blocks; so the grid is shifted from one iteration to the next
(Figueiredo & Nowak, IEEE Trans. Image Process. 12:906 (2003)), and the mean over all shifts is the image (cycle
spinning: Coifman & Donoho, 1995). The shifts come in a fixed order: unlike random ones they let the iterations settle,
and the same data always give the same image. With whitened data y(c, k), counts w(k) of each line, maps s(c) and
wavelets W:

    minimise  1/2 sum w(k) |(F s(c) x)(k) - y(c, k)|^2 + threshold * sum over details of |W x|

With maps of unit norm the first part has curvature max w at most, so the step 1 / max w is safe and the threshold of
one step is in units of the noise's standard deviation. Only phase encoding is undersampled: F acts along rows alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from recon_worker.reconstruction.averaging import Coverage
from recon_worker.reconstruction.fourier import to_image, to_kspace
from recon_worker.reconstruction.wavelets import compose, decompose, octaves, padded, shrink

WAVELET = "Daubechies 4"
SHIFTS = ((0, 0), (9, 2), (4, 5), (13, 7), (2, 8), (11, 10), (6, 13), (15, 15))
"""Of the wavelets' grid in rows and columns, one after the other: at every octave all parts of a wavelet's length."""
BLOCK = len(SHIFTS)
"""Iterations whose mean is compared with the mean of as many before, and handed on at the end."""
MOST_ITERATIONS = 48
SMALL_CHANGE = 5e-3
"""Change from one block to the next, relative to the image, at which it is done."""
OBJECT_OF_REPLICAS = 1.0
"""Threshold of the image that replicas take for the object, whatever that of the chain is. Lower ones leave noise in
it, and the chain shortens a detail less where the object already holds one: with fresh noise on top the spread comes
out too large. Higher ones have lost details that are there. Measured from 0.5 to 1.25 at signal to noise 4 to 270."""
SEED = 20070612
"""Of the noise of replicas."""
MATRICES_BYTES = 192 * 1024**2
"""Up to this size every column has its normal matrix made (352 x 224 pixels: 141 MB); above, transforms do its work."""
ROUNDING = 1e-5
"""Coefficients below this part of the brightest pixel count as zero."""


def parameters() -> dict[str, Any]:
    """Constants of the iterations, for the lineage."""
    return {
        "most_iterations": MOST_ITERATIONS,
        "stops_at_relative_change": SMALL_CHANGE,
        "iterations_averaged": BLOCK,
        "shifts": [list(shift) for shift in SHIFTS],
        "threshold_of_replicas_object": OBJECT_OF_REPLICAS,
    }


@dataclass(frozen=True)
class SparseReport:
    """What is told of one slice.

    Attributes
    ----------
    threshold
        In units of the noise's standard deviation per real or imaginary part.
    wavelet, octaves
        Which wavelets.
    iterations, change
        How many were done, and the relative change of the image in the last.
    kept
        Part of the detail coefficients that are not zero.
    misfit
        Root mean square distance of the image to the measured samples, in units of their noise.
    """

    threshold: float
    wavelet: str
    octaves: int
    iterations: int
    change: float
    kept: float
    misfit: float

    def as_json(self) -> dict[str, Any]:
        """For the lineage: plain JSON types."""
        return {
            "method": "L1-wavelet compressed sensing by FISTA, shifted wavelets",
            "wavelet": self.wavelet,
            "octaves": self.octaves,
            "threshold": self.threshold,
            "threshold_unit": "standard deviation of the noise per real or imaginary part",
            "iterations": self.iterations,
            "relative_change": self.change,
            "details_kept": self.kept,
            "misfit": self.misfit,
        }

    def remark(self, covered: Coverage) -> str:
        """One sentence for the coordinator."""
        return (
            f"Undersampled: {covered.missing} of {covered.run_length} lines were filled in from the coil sensitivities "
            f"and the sparsity of the image in wavelets (L1-wavelet, threshold {self.threshold:g} times the noise); "
            f"{100 * self.kept:.0f} % of the wavelet details were kept, finer ones below the noise are lost."
        )


@dataclass(frozen=True)
class SparseImage:
    """One slice.

    Attributes
    ----------
    image
        complex64 `[row, column]`, all lines of `Coverage.run` filled in, no others: what partial Fourier fills in is
        left to the step after.
    report
        Parameters and how well they did.
    """

    image: torch.Tensor
    report: SparseReport


def compressed_sensing(
    hybrid: torch.Tensor,
    maps: torch.Tensor,
    covered: Coverage,
    strength: float,
    *,
    start: torch.Tensor | None = None,
    wavelet: str = WAVELET,
    most_iterations: int = MOST_ITERATIONS,
    small_change: float = SMALL_CHANGE,
) -> SparseImage:
    """The image of one undersampled slice.

    The image is not a linear function of the data, so its noise follows from replicas (`noisy_replicas`).

    Parameters
    ----------
    hybrid
        `[channel, ky, column]` mean of the acquired lines, whitened, readout already transformed; zero where missing.
    maps
        `[channel, row, column]` of unit norm over channels.
    covered
        Counts of the lines, and the run of lines that is to be filled; any pattern.
    strength
        Threshold, in units of the noise's standard deviation (of the mean of repeated lines).
    start
        An image `[row, column]` near the solution; the zero-filled one by default.
    """
    model = _Model(maps, covered)
    adjoint = model.adjoint(hybrid)
    solved, iterate, iterations, change = _fista(
        model, adjoint[None], strength, None if start is None else start[None], wavelet, most_iterations, small_change
    )
    image = model.within_run(solved)[0]
    kept, levels = _details_kept(iterate[0], wavelet, SHIFTS[iterations % BLOCK])
    report = SparseReport(strength, wavelet, levels, iterations, change, kept, model.misfit(image, hybrid))
    return SparseImage(image, report)


def noisy_replicas(
    hybrid: torch.Tensor,
    maps: torch.Tensor,
    covered: Coverage,
    strength: float,
    *,
    iterations: int,
    count: int,
    seed: int = SEED,
    wavelet: str = WAVELET,
) -> torch.Tensor:
    """Images `[replica, row, column]` of the same object with fresh noise, for the noise map.

    The object is the image of the same data at the threshold `OBJECT_OF_REPLICAS`, with what the iterations hold beyond
    the acquired lines. It is sampled anew through the maps and gets the noise of the acquisition once. Each replica
    starts from nothing and takes as many `iterations` as the image took (`SparseReport.iterations`): what has not
    settled there must not have settled here. All are solved at the same time.
    """
    model = _Model(maps, covered)
    seen, _, _, _ = _fista(model, model.adjoint(hybrid)[None], OBJECT_OF_REPLICAS, None, wavelet, iterations, 0.0)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.stack([model.adjoint_of_noise(generator) for _ in range(count)])
    solved, _, _, _ = _fista(model, model.normal(seen) + noise, strength, None, wavelet, iterations, 0.0)
    return model.within_run(solved)


class _Model:
    """Sampling of the image through the coils. Images are `[row, column]`; inside, rows lie last and unshifted."""

    def __init__(self, maps: torch.Tensor, covered: Coverage) -> None:
        self._covered = covered
        self._maps = _inside(maps)
        self._conjugate = self._maps.conj().resolve_conj()
        counts = torch.from_numpy(covered.counts).to(maps.device, maps.real.dtype)
        self._counts = torch.fft.ifftshift(counts)
        self.curvature = float(counts.max())
        """Upper bound of the eigenvalues of `normal`."""
        self.noise = float(counts[counts > 0].mean()) ** -0.5
        """Standard deviation per part of the mean of repeated lines."""
        columns, rows = self._maps.shape[1:]
        fits = columns * rows * rows * maps.element_size() <= MATRICES_BYTES
        self._matrices = self._normal_matrices() if fits else None

    def _normal_matrices(self) -> torch.Tensor:
        """`[column, row, row]`: what `normal` does to each column. Costs as much as a few transforms of all channels,
        and then the number of channels no longer counts, nor, up to a dozen, that of images."""
        rows = self._maps.shape[2]
        step = torch.arange(rows, device=self._maps.device)
        spread = torch.fft.ifft(self._counts)[(step[:, None] - step[None, :]) % rows]
        by_column = self._maps.permute(1, 2, 0).contiguous()
        return (by_column.conj() @ by_column.transpose(1, 2)).mul_(spread)

    def adjoint(self, hybrid: torch.Tensor) -> torch.Tensor:
        """`[row, column]` of data `[channel, ky, column]`."""
        return _outside(self._back(_inside(hybrid)))

    def normal(self, images: torch.Tensor) -> torch.Tensor:
        """The adjoint of the samples of `images` `[replica, row, column]`."""
        if self._matrices is None:
            return torch.stack([_outside(self._back(self._samples(_inside(image)))) for image in images])
        columns = _inside(images).permute(1, 2, 0).contiguous()
        return _outside((self._matrices @ columns).permute(2, 0, 1))

    def adjoint_of_noise(self, generator: torch.Generator) -> torch.Tensor:
        """`[row, column]`: the adjoint of fresh noise, as large as that of each line."""
        device = self._maps.device
        drawn = torch.randn((*self._maps.shape, 2), generator=generator, dtype=self._counts.dtype)
        noise = torch.view_as_complex(drawn).to(device) * self._counts.clamp(min=1).rsqrt()
        return _outside(self._back(noise))

    def misfit(self, image: torch.Tensor, hybrid: torch.Tensor) -> float:
        """Root mean square distance to the acquired samples over their noise."""
        left = (self._samples(_inside(image)) - _inside(hybrid)).abs().square() * self._counts
        lines = int(np.count_nonzero(self._covered.counts))
        return float((left.sum() / (2 * lines * left.shape[0] * left.shape[1])).sqrt())

    def within_run(self, images: torch.Tensor) -> torch.Tensor:
        """`images` `[replica, row, column]` without the lines outside the run."""
        first, last = self._covered.run
        lines = to_kspace(images, 1)
        lines[:, :first] = 0
        lines[:, last + 1 :] = 0
        return to_image(lines, 1)

    def _samples(self, image: torch.Tensor) -> torch.Tensor:
        return torch.fft.fft(self._maps * image, dim=-1, norm="ortho")

    def _back(self, samples: torch.Tensor) -> torch.Tensor:
        images = torch.fft.ifft(samples * self._counts, dim=-1, norm="ortho")
        return images.mul_(self._conjugate).sum(dim=0)


def _inside(array: torch.Tensor) -> torch.Tensor:
    """`[..., column, row]`, the centre of rows first, from `[..., row, column]`: then no transform shifts anything."""
    return torch.fft.ifftshift(array, dim=-2).transpose(-1, -2).contiguous()


def _outside(array: torch.Tensor) -> torch.Tensor:
    return torch.fft.fftshift(array.transpose(-1, -2), dim=-2).contiguous()


def _fista(
    model: _Model,
    adjoint: torch.Tensor,
    strength: float,
    start: torch.Tensor | None,
    wavelet: str,
    most_iterations: int,
    small_change: float,
) -> tuple[torch.Tensor, torch.Tensor, int, float]:
    """Images `[replica, row, column]`, the last iterate, the iterations done and the last relative change.

    Every shift of the wavelets has a solution of its own, and the iterates go round between them. Their mean over a
    block, in which every shift comes once, is handed on and compared with the mean of the block before.
    """
    # In units of one step: the noise of a step is that of the mean of repeated lines.
    threshold = strength * model.noise
    current = adjoint / model.curvature if start is None else start
    ahead, momentum, change, iteration = current, 1.0, 1.0, 0
    mean, total = current, torch.zeros_like(current)
    for iteration in range(1, most_iterations + 1):
        step = ahead + (adjoint - model.normal(ahead)) / model.curvature
        following = _sparser(step, threshold, wavelet, SHIFTS[iteration % BLOCK])
        faster = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        ahead = following + (following - current) * ((momentum - 1) / faster)
        current, momentum = following, faster
        total += following
        if iteration % BLOCK == 0:
            before, mean, total = mean, total / BLOCK, torch.zeros_like(total)
            change = float((mean - before).norm() / mean.norm().clamp(min=torch.finfo(torch.float32).tiny))
            if change < small_change:
                break
    return mean, current, iteration, change


def _sparser(images: torch.Tensor, threshold: float, wavelet: str, shift: tuple[int, int]) -> torch.Tensor:
    """Wavelet details of `images` `[replica, row, column]` made shorter, the wavelets' grid shifted."""
    rows, columns = images.shape[-2:]
    levels, (wide_rows, wide_columns) = _grid(rows, columns)
    if (wide_rows, wide_columns) != (rows, columns):
        images = torch.nn.functional.pad(images, (0, wide_columns - columns, 0, wide_rows - rows))
    moved = images.roll(shift, dims=(-2, -1))
    found = compose(shrink(decompose(moved, wavelet, levels), threshold), wavelet)
    return found.roll([-shift[0], -shift[1]], dims=(-2, -1))[..., :rows, :columns]


def _grid(rows: int, columns: int) -> tuple[int, tuple[int, int]]:
    """Octaves, and the matrix with zeros at its ends that can be halved so often."""
    wide = padded(rows), padded(columns)
    return octaves(*wide), wide


def _details_kept(image: torch.Tensor, wavelet: str, shift: tuple[int, int]) -> tuple[float, int]:
    """Part of the detail coefficients that are not zero, and the number of octaves."""
    levels, (rows, columns) = _grid(*image.shape)
    wide = torch.nn.functional.pad(image, (0, columns - image.shape[1], 0, rows - image.shape[0]))
    details = decompose(wide.roll(shift, dims=(-2, -1)), wavelet, levels).details
    large = [detail.abs() > ROUNDING * float(image.abs().max()) for detail in details]
    total = sum(each.numel() for each in large)
    return (sum(float(each.sum()) for each in large) / total if total else 1.0), levels
