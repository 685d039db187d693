"""The benchmark of the segmenters runs and measures structures; how fast anything is, no test decides."""

import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "segmentation.py"


def test_the_benchmark_measures_a_spine_beside_a_network_of_the_same_size():
    done = subprocess.run([sys.executable, str(SCRIPT), "--slices", "8"], capture_output=True, text=True, timeout=300)
    told = re.search(r"(\d+) structures, (\d+) measured", done.stdout)
    assert told, done.stderr
    assert int(told[1]) >= 10
    assert int(told[2]) >= 8
    ours, theirs = (int(found.replace(",", "")) for found in re.findall(r"([\d,]+) parameters", done.stdout))
    assert abs(theirs / ours - 1) < 0.1
