"""The settings of a study in words, as the pages show them."""

FAMILY = {
    "sequence-category": "within each sequence and criterion",
    "category": "within each criterion, over all sequences",
    "sequence": "within each sequence, over all criteria",
    "all": "over all comparisons at once",
    "none": "no correction",
}
MISSING = {
    "matched": "matched readers: a reader counts where both arms were graded",
    "available": "available readers: the mean of whoever graded",
    "complete": "complete subjects only: graded by every reader in every arm",
}
CANNOT_GRADE = {
    "worst": "counts as the worst grade",
    "missing": "counts as missing",
}
ORDER = {
    "simple": "simple: random within each sequence",
    "blocked": "blocked: every subject once per block, at a distance",
}

CHAIN = {
    "undersampling": "Keep every n-th line, n (1: all)",
    "pattern": "Which lines are kept",
    "calibration_lines": "Lines in the centre that are always kept",
    "parallel_imaging": "Missing lines are filled in by",
    "coil_maps": "Coil maps from",
    "virtual_coils": "Compress to so many coils (empty: all)",
    "echo_phase_correction": "Phase between echoes is taken off",
    "partial_fourier": "Partial Fourier is filled in by",
    "wavelet_strength": "Threshold of L1-wavelet, in units of the noise",
    "apodization": "Filter against ringing (without noise reduction only)",
}
"""The choices of a chain as the form asks for them."""


def minutes(seconds: int) -> str:
    """Seconds as minutes:seconds, as in Table 1 of the paper."""
    return f"{seconds // 60}:{seconds % 60:02d}"
