"""Tables 3, 4 and 5 of whole studies against R: wilcox.test, p.adjust, qsignrank, Conger with a weight matrix."""

import shutil
import subprocess
from pathlib import Path

import pytest

from readerstudy.statistics.analysis import analyse
from readerstudy.statistics.plan import AnalysisPlan
from readerstudy.statistics.tables import scores_csv
from tests.readerstudy.statistics.score_tables import random_scores

SCRIPT = Path(__file__).with_name("reference.R")

pytestmark = pytest.mark.skipif(shutil.which("Rscript") is None, reason="R (Debian package r-base-core) is missing.")


@pytest.mark.parametrize(("seed", "patients", "readers"), [(1, 18, 3), (2, 17, 7), (3, 24, 3), (4, 40, 3)])
def test_every_number_is_rs(tmp_path, seed, patients, readers):
    """3 or 7 readers: no pair lies on a margin, which R does not see in doubles (digits.rank mends ties only)."""
    scores = random_scores(seed, patients=patients, readers=readers)
    table = tmp_path / "scores.csv"
    table.write_text(scores_csv(scores))
    run = subprocess.run(["Rscript", "--vanilla", str(SCRIPT), str(table)], capture_output=True, text=True, check=True)
    expected = {}
    for line in run.stdout.splitlines():
        *key, value = line.split("\t")[:6]
        expected[tuple(key)] = value.strip()
    results = analyse(scores, AnalysisPlan())
    compared = 0
    for name in ("table3", "table4", "table5"):
        for row in results[name]:
            for column, value in row.items():
                theirs = expected.get((name, row["sequence"], row["arm"], row["category"], column))
                if theirs is None:
                    continue
                if theirs == "NaN":
                    assert value is None
                else:
                    assert value == pytest.approx(float(theirs), rel=1e-10, abs=1e-10), (name, row, column)
                compared += 1
    assert compared == len(expected) == 75 * 3 + 60 * 6
