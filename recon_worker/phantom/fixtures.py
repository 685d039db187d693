"""Makes the small raw files that the tests share: `python -m recon_worker.phantom.fixtures OUT`.

One acquisition a sequence, under 2 MB each: averages (SAG T2 FS), partial Fourier (SAG T1), axial (AX T2).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from recon_worker.phantom.simulate import simulate_acquisition, slug

SEED = 7
FIXTURES = (
    ("SAG T2 FS", "Standard", 2),
    ("SAG T1", "Fast", 3),
    ("AX T2", "Standard", 3),
)
"""Sequence, acquisition, slices."""


def make_fixtures(out: Path) -> list[Path]:
    """Write all fixtures with their truth into `out` and return the raw files."""
    written = []
    for sequence, acquisition, slices in FIXTURES:
        path = out / f"{slug(sequence)}-{slug(acquisition)}.h5"
        simulate_acquisition(path, sequence=sequence, acquisition=acquisition, seed=SEED, size="tiny", slices=slices)
        written.append(path)
    return written


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, metavar="OUT", help="folder to write into; made if missing")
    make_fixtures(parser.parse_args().out)
