"""How often the intervals of table 6a hold the truth: the numbers of docs/statistics.md.

Run by `make acceptance`, or alone: python -m pytest tests/acceptance/test_interval_coverage.py
"""

import pytest

from tests.acceptance.conftest import Note
from tests.readerstudy.statistics.interval_coverage import coverage

RUNS = 2000
"""The standard error of 90 % is 0.7 %."""
LEAST = {8: (0.92, 0.80), 10: (0.92, 0.83), 18: (0.93, 0.86), 40: (0.93, 0.90)}
"""By number of patients: of the bias and of a limit of agreement."""


@pytest.mark.parametrize("levels", [6, 1])
@pytest.mark.parametrize("patients", list(LEAST))
def test_coverage(patients: int, levels: int, note: Note):
    held = coverage(patients, levels, runs=RUNS, seed=20230101)
    limits = {prefix: (held[f"{prefix}loa_low"] + held[f"{prefix}loa_high"]) / 2 for prefix in ("", "cluster_")}
    note(
        f"{patients} patients, {levels} level{'s' if levels > 1 else ''} each: of whole patients bias "
        f"{held['cluster_bias']:.1%}, limits {limits['cluster_']:.1%}; of independent levels bias {held['bias']:.1%}, "
        f"limits {limits['']:.1%}"
    )
    of_bias, of_limit = LEAST[patients]
    assert held["cluster_bias"] > of_bias
    assert limits["cluster_"] > of_limit
