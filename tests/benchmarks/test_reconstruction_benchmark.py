"""The benchmark of the reconstruction runs and says what it should; how fast anything is, no test decides."""

import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "reconstruction.py"
ROW = re.compile(r"^\| (?P<name>[^|]+) \|(?: [\d.]+ \|){3} (?P<peak>[\d,]+) \| (?P<error>[\d.]+) \| [\d.]+ \|$", re.M)


def test_the_quick_benchmark_measures_everybody_that_is_installed():
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--quick", "--threads", "1"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in ROW.finditer(done.stdout)}
    assert "this project" in rows
    for peer in ("BART", "sigpy"):
        assert peer in rows or f"{peer} is not installed" in done.stdout
    errors = {name: float(row["error"]) for name, row in rows.items()}
    # 8 coils, few pixels: the noise alone is 3 %; another chain on the same data is not far from it.
    assert all(0.01 < error < 0.05 for error in errors.values()), errors
    assert all(errors["this project"] <= 1.005 * error for error in errors.values()), errors
    assert not list(SCRIPT.parent.glob("**/*.h5"))
