"""The scans of the paper's Table 1 (Han et al., Pain Medicine 2023), and smaller ones of the same kind.

What Table 1 does not say is chosen as in practice: sagittal readout head to foot and phase encoding front to back
(discs stay sharp along the readout), axial readout right to left; a saturation band over the abdomen in front of the
spine; 2 x readout oversampling; one straight axial stack; the echo spacing that puts the effective TE on the middle
echo of a T2-weighted train and on the first of a T1-weighted one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from recon_worker.phantom.contrast import Weighting

SEQUENCES = ("SAG T2 FS", "SAG T1", "AX T2")
ACQUISITIONS = ("Standard", "Fast")
PROTOCOLS = ("MSK", "neuroradiology")
SIZES = ("tiny", "small", "full")
OVERSCAN_LINES = 16
SMALLEST_OVERSCAN = 8
_SHORT_TE_MS = 20.0


@dataclass(frozen=True)
class Scan:
    """One sequence of one protocol.

    Attributes
    ----------
    weighting, echo_train_length
        TR and effective TE in ms; echoes per excitation.
    fat_suppressed
        Whether fat is saturated.
    sagittal
        Sagittal, else axial.
    field_of_view_mm
        Side of the square field of view.
    matrix
        `(readout, phase encode)` without oversampling.
    n_slices, thickness_mm, spacing_mm
        Slices, their thickness and the distance of their middles.
    bandwidth_khz
        Half receiver bandwidth over the field of view (the scanner's "±").
    nex
        Standard and Fast; 0.5 is partial Fourier.
    coils
        `(rows head to foot, columns right to left)` of the posterior array.
    marrow_snr
        Signal of marrow in L3 over the standard deviation of the noise of the Standard images (optimal combination).
    finer
        Samples of the anatomy per pixel along both axes.
    """

    sequence: str
    weighting: Weighting
    echo_train_length: int
    fat_suppressed: bool
    sagittal: bool
    field_of_view_mm: float
    matrix: tuple[int, int]
    n_slices: int
    thickness_mm: float
    spacing_mm: float
    bandwidth_khz: float
    nex: tuple[float, float]
    coils: tuple[int, int]
    marrow_snr: float
    finer: int = 2

    @property
    def centre_out(self) -> bool:
        """Whether the first echo meets the centre of k-space (short TE), else the middle one does."""
        return self.weighting.te_ms <= _SHORT_TE_MS

    @property
    def effective_echo(self) -> int:
        """Echo, from 0, at the effective echo time."""
        return 0 if self.centre_out else self.echo_train_length // 2 - 1

    @property
    def echo_spacing_ms(self) -> float:
        """Time from echo to echo."""
        return self.weighting.te_ms / (self.effective_echo + 1)

    @property
    def n_coils(self) -> int:
        """Receive channels."""
        return self.coils[0] * self.coils[1]

    @property
    def encoded_matrix(self) -> tuple[int, int]:
        """`(kx, ky)` with 2 x readout oversampling."""
        return 2 * self.matrix[0], self.matrix[1]

    def nex_of(self, acquisition: str) -> float:
        """Number of excitations of "Standard" or "Fast"."""
        return self.nex[ACQUISITIONS.index(acquisition)]

    def averages(self, acquisition: str) -> int:
        """How often each acquired line is acquired."""
        return max(1, round(self.nex_of(acquisition)))

    def lines(self, acquisition: str) -> range:
        """Phase-encode steps acquired: all, or for 0.5 NEX the upper half and some lines over the centre."""
        steps = self.matrix[1]
        if self.nex_of(acquisition) >= 1:
            return range(steps)
        overscan = max(SMALLEST_OVERSCAN, min(OVERSCAN_LINES, round(OVERSCAN_LINES * steps / 192)))
        return range(steps // 2 - overscan, steps)


_FULL = {
    ("MSK", "SAG T2 FS"): Scan(
        "SAG T2 FS", Weighting(5000, 67), 16, True, True, 260, (392, 224), 24, 3, 3.3, 83.3, (2, 1), (8, 4), 17.0
    ),
    ("MSK", "SAG T1"): Scan(
        "SAG T1", Weighting(700, 8), 4, False, True, 260, (352, 224), 24, 3, 3.3, 83.3, (2, 0.5), (8, 4), 24.0
    ),
    ("MSK", "AX T2"): Scan(
        "AX T2", Weighting(6000, 60), 16, False, False, 180, (256, 192), 45, 4, 4.0, 83.3, (1, 0.5), (8, 4), 19.0
    ),
    ("neuroradiology", "SAG T2 FS"): Scan(
        "SAG T2 FS", Weighting(5000, 78), 16, True, True, 260, (384, 224), 24, 3, 3.3, 100, (2, 1), (8, 4), 16.0
    ),
    ("neuroradiology", "SAG T1"): Scan(
        "SAG T1", Weighting(700, 8), 4, False, True, 260, (352, 192), 24, 3, 3.3, 100, (2, 0.5), (8, 4), 24.0
    ),
    ("neuroradiology", "AX T2"): Scan(
        "AX T2", Weighting(6000, 96), 18, False, False, 180, (292, 192), 45, 4, 4.0, 100, (1, 0.5), (8, 4), 17.0
    ),
}


def scan_of(sequence: str, *, protocol: str = "MSK", size: str = "full") -> Scan:
    """The scan of `sequence` in `protocol`; "small" takes seconds a subject, "tiny" is for tests.

    Raises
    ------
    ValueError
        For a name that is none of `SEQUENCES`, `PROTOCOLS`, `SIZES`.
    """
    if size not in SIZES:
        raise ValueError(f'"{size}" is no size; choose one of {", ".join(SIZES)}.')
    if (protocol, sequence) not in _FULL:
        raise ValueError(f'There is no sequence "{sequence}" in a protocol "{protocol}".')
    full = _FULL[protocol, sequence]
    if size == "full":
        return full
    if full.sagittal:
        small = replace(full, matrix=(128, 112), n_slices=9, thickness_mm=5, spacing_mm=6.5, coils=(4, 2))
        tiny = replace(small, matrix=(88, 72), n_slices=3, coils=(2, 2))
    else:
        small = replace(full, matrix=(96, 96), n_slices=9, thickness_mm=5, spacing_mm=14, coils=(4, 2))
        tiny = replace(small, matrix=(72, 72), n_slices=3, spacing_mm=20, coils=(2, 2))
    return small if size == "small" else tiny
