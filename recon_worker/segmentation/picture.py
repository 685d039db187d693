"""Where a series holds a picture: not in padding, which a scanner, an export or a resampling leaves at its border."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Mask = npt.NDArray[np.bool_]

FAINT, GREY_LEVELS = 0.002, 1.5
"""Of the brightest signal, and in steps of the values: padding has less, the noise of a scanner or of a denoised series
more."""
LARGEST_STEP = 0.01
"""Of the brightest signal: of stored numbers; what differs by more is drawn."""
LEAST, BRIGHTEST = 0.5, 99.0
"""Percentiles: single voxels, as resampling makes them, are neither."""
AROUND_PIXELS = 5
"""A pixel belongs to the picture where most of so many by so many around it show something: letters do not."""
PART_OF_SLICE = 0.01
"""A slice of which less shows anything is no picture."""


@dataclass(frozen=True)
class Picture:
    """Where there is a picture.

    Attributes
    ----------
    slices
        Between which slices: first, one after the last.
    plane
        `[row, column]`: which pixels show anything in any slice, or lie within such.
    empty
        Numbers of slices between them that show nothing.
    """

    slices: tuple[int, int]
    plane: Mask
    empty: list[int]

    @property
    def rows(self) -> tuple[int, int]:
        """Between which rows: first, one after the last."""
        return _span(np.asarray(self.plane.any(axis=1)))

    @property
    def columns(self) -> tuple[int, int]:
        """Between which columns: first, one after the last."""
        return _span(np.asarray(self.plane.any(axis=0)))


def picture_of(array: npt.NDArray[np.generic]) -> Picture:
    """Where a series `[slice, row, column]` of real values holds a picture.

    Padding has the least value of the series, or hardly more, and any shape. That value need not be 0: stored zeros
    become the rescale intercept. Padding of another value is not known as such. Of a series that has one value, slices
    are (0, 0), and no pixel belongs to it.
    """
    signal = array.astype(np.float32)
    least, brightest = (float(value) for value in np.percentile(signal, (LEAST, BRIGHTEST)))
    grey_level = min(_step(signal[len(signal) // 2]), LARGEST_STEP * (brightest - least))
    shows = signal - least > max(FAINT * (brightest - least), GREY_LEVELS * grey_level)
    filled = np.asarray(shows.mean(axis=(1, 2)) > PART_OF_SLICE)
    first, end = _span(filled)
    around = ndimage.uniform_filter(shows.any(axis=0).astype(np.float32), AROUND_PIXELS, mode="nearest")
    empty = [number for number in range(first, end) if not filled[number]]
    return Picture((first, end), np.asarray(ndimage.binary_fill_holes(around > 0.5)), empty)


def without_intercept(array: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    """Real values with the rescale intercept taken back that made the least of them negative."""
    signal = array.astype(np.float32)
    return signal - min(0.0, float(np.percentile(signal, LEAST)))


def _step(section: npt.NDArray[np.float32]) -> float:
    """The least difference of two values, which in stored numbers is one grey level."""
    steps = np.diff(np.unique(section))
    return float(steps.min()) if steps.size else 0.0


def _span(shown: Mask) -> tuple[int, int]:
    places = np.flatnonzero(shown)
    return (int(places[0]), int(places[-1]) + 1) if places.size else (0, 0)
