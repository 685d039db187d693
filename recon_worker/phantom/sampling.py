"""From a finely sampled object to k-space: the Fourier integral, cut off where the scan's matrix ends.

Nothing is resampled: the object is sampled finer than the scan, transformed, and only the scan's k-space is kept. What
lies outside the field of view folds in along the phase-encode axis, as it does on a scanner.

Scale: the unitary inverse FFT of the samples gives the object's own values, band-limited.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft

from recon_worker.data import SlicePlane
from recon_worker.phantom.shapes import PlaneGrid

ComplexArray = npt.NDArray[np.complex64]


@dataclass(frozen=True)
class FineGrid:
    """The part of space that a slice is made from, `finer` samples a pixel, aligned with the scan's pixels.

    Attributes
    ----------
    encoded_matrix, encoded_field_of_view_mm
        `(kx, ky)` and `(read, phase)`, with readout oversampling.
    finer
        Samples per pixel along each axis.
    read_range, phase_range
        First sample and the one after the last, counted from the centre of the field of view.
    """

    encoded_matrix: tuple[int, int]
    encoded_field_of_view_mm: tuple[float, float]
    finer: int
    read_range: tuple[int, int]
    phase_range: tuple[int, int]

    @staticmethod
    def covering(
        encoded_matrix: tuple[int, int],
        encoded_field_of_view_mm: tuple[float, float],
        finer: int,
        *,
        read_mm: tuple[float, float],
        phase_mm: tuple[float, float],
    ) -> FineGrid:
        """The grid over an extent in mm along both axes, from the centre of the field of view."""
        ranges = []
        for count, length, (first, last) in zip(
            encoded_matrix, encoded_field_of_view_mm, (read_mm, phase_mm), strict=True
        ):
            if count % 2:
                raise ValueError("The matrix is even along both axes.")
            step = length / (count * finer)
            ranges.append((int(np.floor(first / step)), int(np.ceil(last / step)) + 1))
        half = encoded_matrix[0] * finer // 2
        read = (max(ranges[0][0], -half), min(ranges[0][1], half))
        return FineGrid(encoded_matrix, encoded_field_of_view_mm, finer, read, ranges[1])

    @property
    def shape(self) -> tuple[int, int]:
        """`(rows along phase, columns along read)`."""
        return self.phase_range[1] - self.phase_range[0], self.read_range[1] - self.read_range[0]

    @property
    def step_mm(self) -> tuple[float, float]:
        """Distance of samples along `(read, phase)`."""
        return (
            self.encoded_field_of_view_mm[0] / (self.encoded_matrix[0] * self.finer),
            self.encoded_field_of_view_mm[1] / (self.encoded_matrix[1] * self.finer),
        )

    def plane(self, slice_plane: SlicePlane, offset_mm: float = 0.0) -> PlaneGrid:
        """The points in space, `offset_mm` along the slice direction from the middle of the slice."""
        read = np.asarray(slice_plane.read_direction) * self.step_mm[0]
        phase = np.asarray(slice_plane.phase_direction) * self.step_mm[1]
        centre = np.asarray(slice_plane.centre_mm) + np.asarray(slice_plane.slice_direction) * offset_mm
        return PlaneGrid(centre + self.phase_range[0] * phase + self.read_range[0] * read, phase, read, self.shape)

    def encode(self, image: npt.NDArray[np.complexfloating]) -> ComplexArray:
        """k-space `[ky, kx]` of `image` `[row, column]` on this grid; the centre is at `n // 2` along both axes."""
        (kx, ky), finer = self.encoded_matrix, self.finer
        folded = np.zeros((ky * finer, image.shape[1]), dtype=np.complex64)
        row = 0
        while row < image.shape[0]:  # whatever lies outside the field of view folds in
            target = (self.phase_range[0] + row) % (ky * finer)
            count = min(image.shape[0] - row, ky * finer - target)
            folded[target : target + count] += image[row : row + count]
            row += count
        lines = _central(fft.fft(folded, axis=0, overwrite_x=True), ky, axis=0)
        wide = np.zeros((ky, kx * finer), dtype=np.complex64)
        columns = np.arange(*self.read_range) % (kx * finer)
        wide[:, columns] = lines
        samples = _central(fft.fft(wide, axis=1, overwrite_x=True), kx, axis=1)
        samples *= np.float32(np.sqrt(kx * ky) / (kx * ky * finer * finer))
        return np.asarray(samples, dtype=np.complex64)


def _central(spectrum: npt.NDArray[np.complex64], count: int, axis: int) -> npt.NDArray[np.complex64]:
    """The `count` lowest frequencies in rising order."""
    half = count // 2
    low = np.take(spectrum, range(half), axis=axis)
    high = np.take(spectrum, range(spectrum.shape[axis] - half, spectrum.shape[axis]), axis=axis)
    return np.concatenate([high, low], axis=axis)


def to_image(samples: npt.NDArray[np.complexfloating], columns: int) -> ComplexArray:
    """Unitary inverse transform of `[..., ky, kx]`, the middle `columns` kept: the oversampling removed."""
    axes = (-2, -1)
    image = fft.fftshift(fft.ifft2(fft.ifftshift(samples, axes=axes), norm="ortho"), axes=axes)
    first = (samples.shape[-1] - columns) // 2
    return np.asarray(image[..., first : first + columns], dtype=np.complex64)
