"""The chain for one slice, with what a study may choose of it.

Order: mean of repeated lines, readout transform, removal of readout oversampling, whitening, coil maps, phase-encode
transform and matched-filter combination, or unfolding where lines between the outermost ones are missing, partial
Fourier, removal of phase oversampling. Averaging comes before whitening because both are linear and averages are the
larger data.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from recon_worker.data import ChainChoice, InputFault, KSpaceHeader, KSpaceSlice
from recon_worker.data.chain_choice import FEWEST_CALIBRATION_LINES, PartialFourier
from recon_worker.reconstruction.averaging import Coverage, averaged_lines, coverage
from recon_worker.reconstruction.calibration_lines import Calibration, calibration_lines, compress
from recon_worker.reconstruction.coil_compression import Compression, centre_of_readout
from recon_worker.reconstruction.coils import (
    CALIBRATION_STEPS,
    CalibrationMaps,
    calibration_maps,
    combine,
    combine_columns,
    mix_channels,
)
from recon_worker.reconstruction.compressed_sensing import compressed_sensing, noisy_replicas
from recon_worker.reconstruction.echo_phase import EchoPhases, echo_phases, without_echo_phases
from recon_worker.reconstruction.espirit import MOST_STEPS, EspiritMaps, espirit_maps
from recon_worker.reconstruction.fourier import crop_centre, image_columns, to_image, to_kspace
from recon_worker.reconstruction.grappa import grappa
from recon_worker.reconstruction.partial_fourier import complete, line_noise, line_variance, noise_levels
from recon_worker.reconstruction.replicas import REPLICAS, noise_of_replicas
from recon_worker.reconstruction.sense import median_amplification, regularisation, unfold, well_seen

MIN_CALIBRATION_REACH = 6
"""Calibration lines on both sides of the centre below which maps are too coarse to unfold with."""
MIN_RECOVERED = 0.5
"""Mean part of the missing lines that the coils must determine; with less the image would be mostly blur."""

LineVariance = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Unfolding:
    """What is told of one slice whose missing lines were filled in: numbers by name, as in the lineage, and the remark
    of a method that has its own."""

    method: str
    numbers: dict[str, Any] = field(default_factory=dict)
    remark: str = ""


@dataclass(frozen=True)
class SliceResult:
    """Image and noise of one slice.

    Attributes
    ----------
    image
        complex64 `[row, column]`.
    noise_std
        `[row, column]`, or one number for all pixels, per real or imaginary part.
    noise_levels
        Medians: root mean square over the complex plane, and along the image's phase; for unit noise in a sample
        acquired once.
    line_noise
        Two of `[ky]`: noise variance by phase-encode step of the encoded grid, of the complex image and along its
        phase.
    """

    image: torch.Tensor
    noise_std: torch.Tensor | float
    noise_levels: tuple[float, float]
    line_noise: tuple[LineVariance, LineVariance]
    coverage: Coverage
    calibration: Calibration
    unfolding: Unfolding | None = None
    compression: Compression | None = None
    espirit: EspiritMaps | None = None
    echo_phases: EchoPhases | None = None

    def without_pixels(self) -> SliceResult:
        """What is told of a slice, which needs no pixels."""
        nothing = torch.empty(0)
        return replace(
            self, image=nothing, noise_std=0.0, calibration=replace(self.calibration, hybrid=nothing, block=nothing)
        )


@dataclass(frozen=True)
class SliceChain:
    """One chain, ready for the slices of one acquisition.

    Attributes
    ----------
    whitening
        complex64 `[channel, coil]`; its device is where slices are computed.
    """

    header: KSpaceHeader
    choice: ChainChoice
    whitening: torch.Tensor

    def reconstruct(self, piece: KSpaceSlice) -> SliceResult:
        """Combined complex image of one slice and its noise.

        Raises
        ------
        InputFault
            If the slice is incomplete, or undersampled by more than its calibration lines and coils allow.
        """
        header = self.header
        covered = coverage(piece, header.ky_centre)
        lines = averaged_lines(piece, self.whitening.device)
        source, separate, reach = calibration_lines(header, piece, covered, lines)
        if covered.undersampled and reach < MIN_CALIBRATION_REACH:
            raise InputFault(
                f"Slice {piece.index + 1} is undersampled{self._on_purpose}: {covered.missing} of {covered.run_length} "
                f"lines are missing, and only {max(2 * reach + 1, 0)} lines in the middle of k-space are without gaps; "
                f"coil sensitivities need {2 * MIN_CALIBRATION_REACH + 1}.",
                self._fewer_dropped_lines(too_near=covered.symmetric < MIN_CALIBRATION_REACH)
                or "Export the acquisition with its calibration lines (reference scan).",
            )
        result = (
            self._combine_directly(lines, separate, source, reach, covered)
            if self._direct(covered)
            else self._by_channel(piece, lines, separate, source, reach, covered)
        )
        rows = header.image_matrix[1]
        image, noise_std = self._complete(result.image, covered), result.noise_std
        if isinstance(noise_std, torch.Tensor):
            noise_std = crop_centre(noise_std, 0, rows)
        scale = float(np.sqrt(_readout_part(piece)))
        return replace(result, image=crop_centre(image, 0, rows), noise_std=noise_std * scale)

    @property
    def _on_purpose(self) -> str:
        """The chain's own part in missing lines, in words; nothing where the file lacks them."""
        if self.choice.undersampling == 1:
            return ""
        return (
            f" by the chain (undersampling {self.choice.undersampling}, "
            f"{self.choice.calibration_lines} calibration lines)"
        )

    def _fewer_dropped_lines(self, *, too_near: bool = False) -> str:
        """What helps where the chain dropped them; nothing where the file lacks them. `too_near`: no calibration lines
        would help, as the acquired side ends before them."""
        if self.choice.undersampling == 1:
            return ""
        if too_near:
            return "One side of k-space ends too near the centre for it; choose a chain that drops no lines."
        least = max(FEWEST_CALIBRATION_LINES, self.choice.calibration_lines + 1)
        return f"Choose fewer dropped lines for this chain, or at least {least} calibration lines."

    def _direct(self, covered: Coverage) -> bool:
        """Whether nothing needs all whitened channels at once."""
        choice = self.choice
        by_channel = choice.echo_phase_correction or choice.virtual_coils or choice.coil_maps != "calibration block"
        return not (covered.undersampled or by_channel)

    def _combine_directly(
        self, lines: torch.Tensor, separate: torch.Tensor, source: str, reach: int, covered: Coverage
    ) -> SliceResult:
        """Whitened, weighted with the maps and combined a few columns at a time."""
        calibration = self._calibration(source, separate, torch.empty(0), reach)
        image = combine_columns(
            image_columns(lines, self.header.image_matrix[0]), self.whitening, self._calibration_maps(calibration)
        )
        return self._combined(image, covered, calibration)

    def _by_channel(
        self,
        piece: KSpaceSlice,
        lines: torch.Tensor,
        separate: torch.Tensor,
        source: str,
        reach: int,
        covered: Coverage,
    ) -> SliceResult:
        """From whitened channels, on the encoded grid, before partial Fourier."""
        hybrid = self._white_columns(lines)
        apart = hybrid if separate is lines else self._white_columns(separate)
        calibration = self._calibration(source, separate, apart, reach)
        phases = None
        if self.choice.echo_phase_correction and not covered.undersampled:
            phases = echo_phases(hybrid, piece.echo, covered.counts, self.header.ky_centre)
        if phases and not phases.reason:
            hybrid, calibration = self._without(phases, piece, hybrid, calibration)
        compressed = None
        if self.choice.virtual_coils is not None:
            compressed, hybrid, calibration = compress(hybrid, calibration, self.choice.virtual_coils)
        maps, espirit = self._maps(calibration)
        if not covered.undersampled:
            result = self._combined(combine(to_image(hybrid, 1), maps), covered, calibration)
        elif self.choice.parallel_imaging == "GRAPPA":
            result = self._fill_from_neighbours(hybrid, maps, covered, calibration)
        elif self.choice.parallel_imaging == "L1-wavelet":
            result = self._fill_sparsely(piece, hybrid, maps, covered, calibration)
        else:
            result = self._unfold(piece, hybrid, maps, covered, calibration)
        return replace(result, compression=compressed, espirit=espirit, echo_phases=phases)

    def _calibration(
        self, source: str, separate: torch.Tensor, hybrid: torch.Tensor, reach: int
    ) -> Calibration:
        """From the lines `separate` `[coil, ky, kx]`; `hybrid` is all of them, white."""
        header, centre = self.header, self.header.ky_centre
        steps = min(reach, CALIBRATION_STEPS // 2)
        samples = steps * header.encoded_field_of_view_mm[0] / header.encoded_field_of_view_mm[1]
        block = separate[:, max(centre - steps, 0) : centre + steps + 1]
        return Calibration(
            source,
            hybrid,
            torch.tensordot(self.whitening, block, dims=1),
            reach,
            steps,
            samples,
        )

    def _without(
        self, phases: EchoPhases, piece: KSpaceSlice, hybrid: torch.Tensor, calibration: Calibration
    ) -> tuple[torch.Tensor, Calibration]:
        """Image lines without the echoes' phases, and the calibration lines where these are image lines."""
        columns = self.header.image_matrix[0]
        corrected = without_echo_phases(hybrid, phases, piece.echo, columns)
        if calibration.hybrid is not hybrid:
            return corrected, calibration
        first = max(self.header.ky_centre - calibration.steps, 0)
        echo = piece.echo[first : first + calibration.block.shape[1]]
        block = without_echo_phases(to_image(calibration.block, 2), phases, echo, columns)
        return corrected, replace(calibration, hybrid=corrected, block=to_kspace(block, 2))

    def _maps(self, calibration: Calibration) -> tuple[torch.Tensor, EspiritMaps | None]:
        """`[channel, row, column]`, and how ESPIRiT went if it was chosen."""
        columns = self.header.image_matrix[0]
        maps = self._calibration_maps(calibration).whole()
        if self.choice.coil_maps == "calibration block":
            return maps, None
        steps = min(calibration.steps, MOST_STEPS)
        middle = slice(calibration.steps - steps, calibration.steps + steps + 1)
        samples = calibration.samples * columns / calibration.block.shape[2] * steps / max(calibration.steps, 1)
        block = to_kspace(crop_centre(to_image(calibration.block[:, middle], 2), 2, columns).contiguous(), 2)
        found = espirit_maps(centre_of_readout(block, samples), maps)
        return found.maps, found.without_pixels()

    def _calibration_maps(self, calibration: Calibration) -> CalibrationMaps:
        centre = self.header.ky_centre
        return calibration_maps(
            calibration.block,
            ky_centre=centre,
            half_width_steps=calibration.steps,
            half_width_samples=calibration.samples,
            first_line=max(centre - calibration.steps, 0),
            rows=self.header.encoded_matrix[1],
            columns=self.header.image_matrix[0],
        )

    def _complete(self, image: torch.Tensor, covered: Coverage) -> torch.Tensor:
        """Partial Fourier, where a side is missing."""
        if not covered.partial_fourier:
            return image
        return complete(image, covered.unfolded(), self.choice.partial_fourier)

    def _white_columns(self, lines: torch.Tensor) -> torch.Tensor:
        """`[channel, ky, column]` from `[coil, ky, kx]`: readout transform, oversampling removed, whitened."""
        return mix_channels(self.whitening, image_columns(lines, self.header.image_matrix[0]))

    def _combined(self, image: torch.Tensor, covered: Coverage, calibration: Calibration) -> SliceResult:
        method = self.choice.partial_fourier
        levels = noise_levels(covered, method)
        spectra = line_noise(line_variance(covered), covered, method)
        return SliceResult(image, levels[0], levels, spectra, covered, calibration)

    def _unfold(
        self,
        piece: KSpaceSlice,
        hybrid: torch.Tensor,
        maps: torch.Tensor,
        covered: Coverage,
        calibration: Calibration,
    ) -> SliceResult:
        """The unfolded image on the encoded grid, before partial Fourier; its noise is that after it."""
        method = self.choice.partial_fourier
        strength = regularisation(hybrid, maps, covered, calibration.hybrid)
        unfolded = unfold(hybrid, maps, covered, strength, partial_fourier=method)
        first, last = covered.run
        recovered = float(unfolded.recovered.cpu().numpy()[covered.counts[first : last + 1] == 0].mean())
        if recovered < MIN_RECOVERED:
            raise InputFault(
                f"Slice {piece.index + 1} lacks {covered.missing} of {covered.run_length} lines{self._on_purpose}, and "
                f"its coils determine only {100 * recovered:.0f} % of what these would hold.",
                self._fewer_dropped_lines()
                or "The acquisition is incomplete, or undersampled by more than its coils can unfold; export it again.",
            )
        median = median_amplification(unfolded.image, unfolded.noise_std, covered)
        typical = float(strength[well_seen(unfolded.image, unfolded.noise_std)].median())
        levels = float(unfolded.noise_std.median()), float(unfolded.noise_along_phase.median())
        variance = np.zeros(len(covered.counts))
        variance[first : last + 1] = unfolded.line_variance.cpu().numpy()
        spectra = line_noise(variance, covered.unfolded(), method)
        told = Unfolding("SENSE", {"regularisation": typical, "g_factor": median, "recovered": recovered})
        return SliceResult(unfolded.image, unfolded.noise_std, levels, spectra, covered, calibration, told)

    def _fill_from_neighbours(
        self, hybrid: torch.Tensor, maps: torch.Tensor, covered: Coverage, calibration: Calibration
    ) -> SliceResult:
        """GRAPPA, and the matched filter; its noise is that after partial Fourier."""
        method = self.choice.partial_fourier
        found = grappa(hybrid, calibration.hybrid, maps, covered, partial_fourier=method)
        levels = float(found.noise_std.median()), float(found.noise_along_phase.median())
        spectra = _spectra_of_filled_lines(float(found.noise_std.square().mean()), covered, method)
        told = Unfolding("GRAPPA", found.report.as_json(), found.report.remark(covered))
        return SliceResult(found.image, found.noise_std, levels, spectra, covered, calibration, told)

    def _fill_sparsely(
        self,
        piece: KSpaceSlice,
        hybrid: torch.Tensor,
        maps: torch.Tensor,
        covered: Coverage,
        calibration: Calibration,
    ) -> SliceResult:
        """L1-wavelet; not linear, so the noise, after partial Fourier, is the spread of replicas."""
        strength = self.choice.wavelet_strength
        found = compressed_sensing(hybrid, maps, covered, strength)
        images = noisy_replicas(
            hybrid, maps, covered, strength, iterations=found.report.iterations, count=REPLICAS, seed=piece.index
        )
        noise = noise_of_replicas(torch.stack([self._complete(image, covered) for image in images]))
        levels = float(noise.noise_std.median()), float(noise.noise_along_phase.median())
        numbers = {**found.report.as_json(), "noise map": f"{REPLICAS} replicas"}
        told = Unfolding("L1-wavelet", numbers, found.report.remark(covered))
        return SliceResult(found.image, noise.noise_std, levels, noise.line_noise, covered, calibration, told)


def _spectra_of_filled_lines(
    mean_variance: float, covered: Coverage, method: PartialFourier
) -> tuple[LineVariance, LineVariance]:
    """`line_noise` where only the mean noise variance of the pixels is known: as the pixels' mean is the lines' mean,
    what the acquired lines leave of it belongs to the filled ones, all alike."""
    first, last = covered.run
    acquired = line_variance(covered)
    filled = np.zeros(len(acquired))
    filled[first : last + 1] = covered.counts[first : last + 1] == 0
    known, unit = (line_noise(each, covered.unfolded(), method)[0].mean() for each in (acquired, filled))
    return line_noise(acquired + filled * max(mean_variance - known, 0) / unit, covered.unfolded(), method)


def _readout_part(piece: KSpaceSlice) -> float:
    """Part of the readout grid that was acquired (less than 1 for asymmetric echoes); the rest adds no noise."""
    average, step = np.argwhere(piece.acquired)[0]
    return float(np.any(piece.data[0 if piece.averaged else average, :, step] != 0, axis=0).mean())
