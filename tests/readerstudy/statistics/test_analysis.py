"""The whole analysis: missing ratings, families, order, speed, and what the paper's printed tables tell."""

import csv
import json
import time
from dataclasses import replace
from fractions import Fraction
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from readerstudy.statistics.analysis import analyse
from readerstudy.statistics.missing import paired_differences
from readerstudy.statistics.plan import AnalysisPlan, plan_from_mapping
from readerstudy.statistics.scores import Rating, ScoreTable
from readerstudy.statistics.tables import TABLE_COLUMNS, table_csv
from tests.readerstudy.statistics.score_tables import ARMS, random_scores

PAPER_TABLE_4 = Path(__file__).resolve().parents[4] / "shared" / "paper" / "table4.csv"

ARM = {"A": {"r1": 5, "r2": 3, "r3": 4}, "B": {"r1": 2, "r3": 1}, "C": {"r2": 4}, "D": {"r1": 3, "r2": 3, "r3": 3}}
REFERENCE = {"A": {"r1": 4, "r2": 3, "r3": 3}, "B": {"r1": 3, "r2": 5}, "C": {"r1": 1}, "E": {"r1": 3}}
READERS = ("r1", "r2", "r3")


def by_key(rows):
    return {(row["sequence"], row["arm"], row["category"]): row for row in rows}


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("matched", [Fraction(2, 3), Fraction(-1)]),
        ("available", [Fraction(2, 3), Fraction(3, 2) - 4, Fraction(3)]),
        ("complete", [Fraction(2, 3)]),
    ],
)
def test_missing_policies_by_hand(policy, expected):
    assert paired_differences(ARM, REFERENCE, policy, READERS) == expected


def test_policies_agree_where_nothing_is_missing():
    scores = random_scores(5)
    tables = [analyse(scores, AnalysisPlan(missing=policy)) for policy in ("matched", "available", "complete")]
    for table in ("table3", "table4", "table5"):
        assert tables[0][table] == tables[1][table] == tables[2][table]


def test_missing_acts_on_table_4_and_complete_on_all():
    scores = random_scores(6, missing=0.12)
    matched, available, complete = (
        analyse(scores, AnalysisPlan(missing=policy)) for policy in ("matched", "available", "complete")
    )
    assert matched["table3"] == available["table3"] != complete["table3"]
    assert matched["table5"] == available["table5"] != complete["table5"]
    assert matched["table4"] != available["table4"] != complete["table4"]
    assert all(row["n_patients"] <= 18 for row in matched["table3"])
    assert matched["counts"]["not_rated"] == sum(rating.score is None for rating in scores.ratings) > 0


def test_an_absent_row_and_an_empty_score_are_the_same():
    scores = random_scores(8, missing=0.1)
    dropped = ScoreTable(rating for rating in scores.ratings if rating.score is not None)
    for table in ("table3", "table4", "table5"):
        assert analyse(scores, AnalysisPlan())[table] == analyse(dropped, AnalysisPlan())[table]


def test_families():
    scores = random_scores(9)
    rows = {family: analyse(scores, AnalysisPlan(family=family))["table4"] for family in
            ("none", "sequence-category", "category", "sequence", "all")}  # fmt: skip
    assert all(row["p_adjusted"] == row["p_raw"] for row in rows["none"])
    everything = [row["p_raw"] for row in rows["all"]]
    order = sorted(everything)
    for row in rows["all"]:
        rank = order.index(row["p_raw"])
        smallest = min(len(order) * p / (j + 1) for j, p in enumerate(order) if j >= rank)
        assert row["p_adjusted"] == pytest.approx(min(1, smallest))
    for block in rows["sequence-category"]:
        members = [row["p_raw"] for row in rows["sequence-category"]
                   if (row["sequence"], row["category"]) == (block["sequence"], block["category"])]  # fmt: skip
        assert len(members) == 4
        if block["p_raw"] == max(members):
            assert block["p_adjusted"] == block["p_raw"]
        assert block["noninferior"] == (block["p_adjusted"] < 0.05)


def test_reference_alone_or_a_lonely_arm():
    """Rows that cannot be estimated say why and do not count in their family."""
    rows = random_scores(10, arms=("Standard", "Fast"), sequences=("SAG T1",)).ratings
    lonely = [replace(r, arm="Fast DL25", patient=f"other-{r.patient}") for r in rows if r.arm == "Fast"]
    table = analyse(ScoreTable([*rows, *lonely]), AnalysisPlan())["table4"]
    alone = [row for row in table if row["arm"] == "Fast DL25"]
    assert all(row["n_pairs"] == 0 and row["p_raw"] is None and row["noninferior"] is None for row in alone)
    assert all("both arms" in row["reason"] for row in alone)
    assert all(row["p_adjusted"] == row["p_raw"] for row in table if row["arm"] == "Fast")


def test_all_pairs_on_the_margin():
    """Two readers, every difference exactly -1/2."""
    ratings = [
        Rating("SAG T1", arm, f"P{p}", reader, "Apparent SNR", 3 - (arm == "Fast" and reader == "R1"))
        for arm in ("Standard", "Fast") for p in range(6) for reader in ("R1", "R2")
    ]  # fmt: skip
    (row,) = analyse(ScoreTable(ratings), AnalysisPlan())["table4"]
    assert (row["n_pairs"], row["n_at_margin"], row["p_raw"], row["statistic"]) == (6, 6, 1.0, 0.0)
    assert (row["pseudomedian"], row["ci_low"], row["ci_high"], row["noninferior"]) == (-0.5, -0.5, -0.5, False)


def test_rows_are_ordered_and_json_is_plain():
    results = analyse(random_scores(12), AnalysisPlan())
    assert json.loads(json.dumps(results, allow_nan=False)) == results
    assert [len(results[f"table{i}"]) for i in (3, 4, 5)] == [75, 60, 75]
    assert [row["arm"] for row in results["table3"][:25:5]] == list(ARMS)
    for name, columns in TABLE_COLUMNS.items():
        assert all(tuple(row) == columns for row in results[name])
        read_back = list(csv.DictReader(table_csv(name, results[name]).splitlines()))
        for row, text in zip(results[name], read_back, strict=True):
            for column, value in row.items():
                if isinstance(value, float):
                    assert float(text[column]) == value
                elif value is None:
                    assert text[column] == ""


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.randoms(), st.sampled_from(["matched", "available", "complete"]))
def test_names_and_order_of_rows_do_not_matter(seed, shuffler, policy):
    scores = random_scores(seed, patients=8, sequences=("SAG T1",), arms=ARMS[:3], missing=0.1)
    patients, readers = list(scores.patients), list(scores.readers)
    shuffler.shuffle(patients)
    shuffler.shuffle(readers)
    renamed = [
        replace(r, patient=patients[scores.patients.index(r.patient)], reader=readers[scores.readers.index(r.reader)])
        for r in scores.ratings
    ]
    shuffler.shuffle(renamed)
    plan = AnalysisPlan(missing=policy)
    here, there = analyse(scores, plan), analyse(ScoreTable(renamed), plan)
    for table in ("table3", "table4", "table5"):
        assert by_key(here[table]) == by_key(there[table])


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6))
def test_swapping_the_arms_mirrors_the_difference(seed):
    scores = random_scores(seed, patients=9, sequences=("AX T2",), arms=ARMS[:2], categories=("Apparent SNR",))
    here = analyse(scores, AnalysisPlan())["table4"][0]
    there = analyse(scores, AnalysisPlan(reference_arm="Fast"))["table4"][0]
    assert (there["pseudomedian"], there["ci_low"], there["ci_high"]) == (
        -here["pseudomedian"], -here["ci_high"], -here["ci_low"]
    )  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 2))
def test_a_shift_of_the_arm_and_of_the_margin_cancel(seed, shift):
    scores = random_scores(seed, patients=9, sequences=("AX T2",), arms=ARMS[:2], categories=("Apparent SNR",))
    lowered = ScoreTable(
        replace(r, score=r.score - shift) if r.arm == "Fast" and r.score is not None else r for r in scores.ratings
    )

    def plan(margin):
        return plan_from_mapping({"criteria": {"Apparent SNR": {"margin": margin, "scale": [-9, 9]}}})

    here = analyse(scores, plan("-0.5"))["table4"][0]
    there = analyse(lowered, plan(f"-{shift}.5"))["table4"][0]
    for same in ("statistic", "p_raw", "n_at_margin", "noninferior"):
        assert here[same] == there[same]
    assert there["pseudomedian"] == pytest.approx(here["pseudomedian"] - shift)


def test_a_study_of_the_papers_size_takes_less_than_three_seconds():
    scores = random_scores(13)
    started = time.perf_counter()
    analyse(scores, AnalysisPlan())
    assert time.perf_counter() - started < 3


@pytest.mark.skipif(not PAPER_TABLE_4.exists(), reason="The paper's tables (../shared/paper) are not here.")
def test_the_papers_printed_p_tie_as_a_family_of_sequence_and_category_makes_them():
    """Nine tied pairs of P above .02, all inside one block of four: step-up minima, so the block is the family."""
    with PAPER_TABLE_4.open() as file:
        rows = [row for row in csv.DictReader(file) if float(row["p_value"]) > 0.02]
    assert len(rows) == 37
    inside = across = 0
    for a, b in combinations(rows, 2):
        if a["p_value"] == b["p_value"]:
            if (a["sequence"], a["category"]) == (b["sequence"], b["category"]):
                inside += 1
            else:
                across += 1
    assert (inside, across) == (9, 0)
