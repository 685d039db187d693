"""Missing lines from their neighbours in k-space (GRAPPA), with the exact noise of the combined image.

Source: Griswold et al., MRM 47:1202 (2002). Every missing sample of every channel is a weighted sum of the acquired
samples around it, of all channels; the weights come from the calibration block, where the sums can be compared with
what was measured. No coil map takes part in it, so it works where maps fail: a body that is larger than the field of
view has two sensitivities in one pixel. The noise follows Breuer et al., MRM 62:739 (2009): along the readout the
weights act as a factor for every image column, along phase encoding as one for every image row, and the combined image
is a known sum over the acquired samples. Lines that are kept as measured, and the ends of the lattice, are counted one
by one, so that the noise map is exact for given weights and maps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from recon_worker.data import InputFault
from recon_worker.data.chain_choice import PartialFourier
from recon_worker.reconstruction.averaging import Coverage
from recon_worker.reconstruction.coils import combine
from recon_worker.reconstruction.fourier import to_image, to_kspace
from recon_worker.reconstruction.grappa_noise import Kernel, noise_variances
from recon_worker.reconstruction.sense import median_amplification

KERNEL_LINES = 4
KERNEL_SAMPLES = 5
"""Extent of the kernel: acquired lines (two on each side of a missing one) and readout samples."""
REGULARISATION = 0.003
"""Tikhonov weight, in units of the Frobenius norm of the normal matrix over its size."""
EQUATION_WEIGHT = 0.75
"""Power of the mean energy of an equation's samples that divides it. Between 0.5 and 1 the error at reductions of 2
and 3 hardly differs; at 4 it is half of that without weights."""


def parameters() -> dict[str, Any]:
    """Constants of the fit, for the lineage; the others stand in the report."""
    return {"equation_weight": EQUATION_WEIGHT}


@dataclass(frozen=True)
class GrappaReport:
    """What is told of one slice.

    Attributes
    ----------
    step
        Distance of the regularly acquired lines.
    kernel
        Lines and readout samples of the kernel.
    calibration_lines
        Lines of the calibration block.
    equations
        Samples of the block that every weight was fitted to, at the least.
    regularisation
        In units of the Frobenius norm of the normal matrix over its size.
    misfit
        Root mean square of what the weights leave of the calibration samples, in units of the noise that the weights
        and the sample itself explain: 1 where only noise is left.
    g_factor
        Median over pixels brighter than five times their noise.
    """

    step: int
    kernel: tuple[int, int]
    calibration_lines: int
    equations: int
    regularisation: float
    misfit: float
    g_factor: float

    def as_json(self) -> dict[str, Any]:
        """For the lineage: plain JSON types."""
        return {
            "method": "GRAPPA: kernel fitted to the calibration block, Tikhonov regularised, measured lines kept",
            "step_of_lines": self.step,
            "kernel_lines": self.kernel[0],
            "kernel_samples": self.kernel[1],
            "calibration_lines": self.calibration_lines,
            "equations": self.equations,
            "regularisation": self.regularisation,
            "regularisation_unit": "Frobenius norm of the normal matrix over its size",
            "misfit": self.misfit,
            "g_factor_median": self.g_factor,
        }

    def remark(self, covered: Coverage) -> str:
        """One sentence for the coordinator."""
        return (
            f"Undersampled: {covered.missing} of {covered.run_length} lines were filled in from their neighbours in "
            f"k-space (GRAPPA), with {self.g_factor:.2f} times the noise that the shorter scan alone brings."
        )


@dataclass(frozen=True)
class Grappa:
    """One slice.

    Attributes
    ----------
    image
        complex64 `[row, column]`, combined, all lines of `Coverage.run` filled in.
    lines
        complex64 `[channel, ky, column]`: k-space with the missing lines of the run; measured lines as they were.
    noise_std
        float32 `[row, column]` per real or imaginary part, for unit noise in a sample acquired once. Where partial
        Fourier follows: of the image after it, root mean square of the parts along and across the image's phase.
    noise_along_phase
        The same along the image's phase.
    report
        Parameters and how well they did.
    """

    image: torch.Tensor
    lines: torch.Tensor
    noise_std: torch.Tensor
    noise_along_phase: torch.Tensor
    report: GrappaReport


@dataclass(frozen=True)
class _Lattice:
    """Every `step`-th line from `offset` on was acquired, throughout the run."""

    step: int
    offset: int


def grappa(
    hybrid: torch.Tensor,
    calibration: torch.Tensor,
    maps: torch.Tensor,
    covered: Coverage,
    *,
    kernel: tuple[int, int] = (KERNEL_LINES, KERNEL_SAMPLES),
    regularisation: float = REGULARISATION,
    partial_fourier: PartialFourier = "POCS",
) -> Grappa:
    """Image and noise of one slice that lacks lines regularly.

    Parameters
    ----------
    hybrid
        `[channel, ky, column]` mean of the acquired lines, whitened, readout already transformed; zero where missing.
    calibration
        The same of the calibration lines: `hybrid` itself, or lines that were acquired apart, of which only the
        weights are made. Every line whose sources it holds is compared with what they give: those of the block, and
        beside it those that have regular lines at the right distances.
    maps
        `[channel, row, column]` of unit norm over channels, for the combination alone.
    covered
        Counts of the lines, and the run of lines that is to be filled.
    kernel
        Extent in acquired lines (even) and readout samples (odd).
    regularisation
        Tikhonov weight, in units of the Frobenius norm of the normal matrix over its size.
    partial_fourier
        What follows where one side of k-space is missing: the noise is that after it.

    Raises
    ------
    InputFault
        If the lines are not every n-th one with a block in the middle, or the block is too short for any kernel.
    """
    lattice = _lattice(covered)
    fit = _Fit(calibration, lattice, kernel, regularisation)
    first, last = covered.run
    filled = hybrid.clone()
    kernels: dict[int, Kernel] = {}  # of every missing line
    groups: dict[tuple[int, ...], list[int]] = {}
    for line in range(first, last + 1):
        if not covered.counts[line]:
            groups.setdefault(fit.sources(line, covered), []).append(line)
    for sources, targets in groups.items():
        weights = fit.weights(sources)
        gathered = torch.stack([hybrid[:, [line + distance for line in targets]] for distance in sources])
        filled[:, targets] = torch.einsum("xdsc,sckx->dkx", weights, gathered)
        found = Kernel(sources, weights)
        kernels.update((line, found) for line in targets)
    run = torch.zeros_like(filled)
    run[:, first : last + 1] = filled[:, first : last + 1]
    image = combine(to_image(run, 1), maps)
    along, across = noise_variances(maps, covered, kernels, partial_fourier)
    noise_std = ((along + across) / 2).sqrt()
    report = GrappaReport(
        step=lattice.step,
        kernel=(fit.most_lines, kernel[1]),
        calibration_lines=fit.block,
        equations=fit.equations,
        regularisation=regularisation,
        misfit=fit.misfit,
        g_factor=median_amplification(image, noise_std, covered),
    )
    return Grappa(image, run, noise_std, along.sqrt(), report)


def _lattice(covered: Coverage) -> _Lattice:
    """The regular lines among those acquired."""
    first, last = covered.run
    step = covered.widest_step
    for offset in range(first, first + step):
        if (covered.counts[offset : last + 1 : step] > 0).all():
            return _Lattice(step, offset)
    raise InputFault(
        f"The acquired lines are not every {step}th one with a block in the middle, and GRAPPA fills in regular gaps "
        "only.",
        "Choose SENSE or L1-wavelet for this acquisition.",
    )


def _longest_run(held: npt.NDArray[np.bool_]) -> int:
    """Number of steps of the longest stretch without a gap."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], held, [False]]).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max(initial=0))


class _Fit:
    """Least squares on the calibration block; normal matrices are made once for each position among the lines."""

    def __init__(
        self,
        calibration: torch.Tensor,
        lattice: _Lattice,
        kernel: tuple[int, int],
        regularisation: float,
    ) -> None:
        self._lattice, self._regularisation = lattice, regularisation
        self._samples = kernel[1]
        self._lines = to_kspace(calibration, 2)
        self._held = held = calibration.abs().amax(dim=(0, 2)).cpu().numpy() > 0
        step = lattice.step
        # A window holds the kernel's lines and everything between; as many lines as leave two windows at least.
        self.block = _longest_run(held)
        self.most_lines = kernel[0]
        while self.most_lines > 2 and self.block < (self.most_lines - 1) * step + 2:
            self.most_lines -= 2
        if self.block < (self.most_lines - 1) * step + 2:
            raise InputFault(
                f"{self.block} calibration lines are too few to fill in every {step}th line by GRAPPA; "
                f"{step + 2} are needed at least.",
                "Choose SENSE for this acquisition, or export it with its calibration lines (reference scan).",
            )
        self.equations = 0
        self._squares: list[tuple[float, float]] = []

    @property
    def misfit(self) -> float:
        """Root of what is left over what noise explains, over all weights so far."""
        left, noise = np.sum(self._squares, axis=0)
        return math.sqrt(left / noise)

    def sources(self, line: int, covered: Coverage) -> tuple[int, ...]:
        """Distances from a missing line to the acquired ones that its weights act on: the nearest on either side, and
        none farther than among regular lines. Beside the calibration block these are its own lines."""
        half = self.most_lines // 2
        reach = half * self._lattice.step - 1
        first, last = covered.run
        below = [line - d for d in range(1, reach + 1) if line - d >= first and covered.counts[line - d]][:half]
        above = [line + d for d in range(1, reach + 1) if line + d <= last and covered.counts[line + d]][:half]
        return tuple(sorted(each - line for each in below + above))

    def weights(self, sources: tuple[int, ...]) -> torch.Tensor:
        """`[column, target channel, source line, source channel]`."""
        channels, rows, samples = self._lines.shape
        half = self._samples // 2
        targets: list[int] = [
            line
            for line in np.flatnonzero(self._held).tolist()
            if all(0 <= line + distance < rows and self._held[line + distance] for distance in sources)
        ]
        shifted = [
            self._lines[:, [line + distance for line in targets], start : samples - 2 * half + start]
            for distance in sources
            for start in range(self._samples)
        ]
        # Rows: source line, readout sample, channel.
        known = torch.stack(shifted).flatten(2).flatten(0, 1)
        wanted = self._lines[:, targets, half : samples - half].flatten(1)
        # What a kernel of this size cannot express grows with the signal around it. Without weights the few windows at
        # the very centre decide, and the missing lines are not there.
        energy = known.abs().square().mean(dim=0) + wanted.abs().square().mean(dim=0)
        weight = energy.clamp(min=1.0).pow(-EQUATION_WEIGHT)
        weighted = known.conj() * weight
        normal, target = weighted @ known.T, weighted @ wanted.T
        ridge = self._regularisation * float(torch.linalg.matrix_norm(normal)) / len(normal)
        normal.diagonal().add_(ridge)
        factor, failed = torch.linalg.cholesky_ex(normal)
        if bool(failed.any()):
            raise ArithmeticError("A normal matrix of the calibration is not positive definite.")
        solved = torch.cholesky_solve(target, factor).T
        self._keep_misfit(solved, known, wanted, weight)
        taps = solved.reshape(channels, len(sources), self._samples, channels)
        return _along_columns(taps, samples)

    def _keep_misfit(
        self, solved: torch.Tensor, known: torch.Tensor, wanted: torch.Tensor, weight: torch.Tensor
    ) -> None:
        equations = wanted.shape[1]
        self.equations = min(self.equations or equations, equations)
        left = float(((solved @ known - wanted).abs().square() * weight).sum())
        noise = 2.0 * float(weight.sum()) * float(len(wanted) + solved.abs().square().sum())
        self._squares.append((left, noise))


def _along_columns(taps: torch.Tensor, columns: int) -> torch.Tensor:
    """`[column, target, line, source]` factors of image columns from `taps` `[target, line, sample, source]` in kx.

    A sample at kx takes part from kx + d with the tap of distance d: in the image a factor exp(-2 pi i d x / columns),
    x counted from the middle.
    """
    distance = torch.arange(taps.shape[2], device=taps.device) - taps.shape[2] // 2
    place = torch.arange(columns, device=taps.device) - columns // 2
    turns = -2 * math.pi * place[:, None] * distance[None] / columns
    waves = torch.polar(torch.ones_like(turns), turns).to(taps.dtype)
    return torch.einsum("xj,dsjc->xdsc", waves, taps)
