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


def minutes(seconds: int) -> str:
    """Seconds as minutes:seconds, as in Table 1 of the paper."""
    return f"{seconds // 60}:{seconds % 60:02d}"
