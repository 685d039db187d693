"""What is read, and what is refused in words."""

import json
from decimal import Decimal
from fractions import Fraction

import pytest

from readerstudy.statistics.analysis import analyse
from readerstudy.statistics.faults import AnalysisFault
from readerstudy.statistics.plan import AnalysisPlan, CriterionPlan, mapping_sha256, plan_from_mapping, read_plan
from readerstudy.statistics.scores import parse_score, parse_scores, read_scores
from readerstudy.statistics.tables import scores_csv
from tests.readerstudy.statistics.score_tables import random_scores

HEADING = "sequence,arm,patient,reader,category,score"
ROW = "SAG T1,Standard,P1,R1,Apparent SNR,3"


def test_the_table_written_is_the_table_read(tmp_path):
    scores = random_scores(1, patients=4, missing=0.2)
    path = tmp_path / "scores.csv"
    path.write_text(scores_csv(scores))
    assert read_scores(path).ratings == scores.ratings


def test_what_other_programs_write_is_taken():
    """A byte order mark, other column order, further columns, 3.0 for 3, blank lines and blanks."""
    text = "﻿Reader,score,category,sequence,arm,patient,comment\n\nR1, 3.0 ,Apparent SNR,SAG T1, Standard,P1,fine\n"
    (rating,) = parse_scores(text.lstrip("﻿").splitlines()).ratings
    assert (rating.arm, rating.reader, rating.score, rating.row) == ("Standard", "R1", 3, 3)


@pytest.mark.parametrize(("text", "score"), [("3", 3), ("", None), (" ", None), ("3.", 3), ("4.00", 4), ("-1", -1)])
def test_scores(text, score):
    assert parse_score(text) == score


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ([], "The score table is empty."),
        ([HEADING], "holds no rows"),
        (["sequence,arm,patient,category,score", ROW], "lacks the column reader"),
        (["a;b;c"], "lacks the columns sequence, arm"),
        ([HEADING + ",score", ROW + ",3"], "column score more than once"),
        ([HEADING, ROW, "SAG T1,Standard,P1,R1,Apparent SNR"], "Row 3 has 5 fields, the heading has 6"),
        ([HEADING, ROW, "SAG T1,,P1,R2,Apparent SNR,3"], "Row 3 names no arm"),
        ([HEADING, ROW, "SAG T1,Standard,P1,R2,Apparent SNR,3.5"], 'Row 3: the score "3.5" is not a whole number'),
        ([HEADING, ROW, "SAG T1,Standard,P1,R2,Apparent SNR,NA"], 'Row 3: the score "NA" is not a whole number'),
        ([HEADING, ROW, "SAG T1,Standard,P1,R2,Apparent SNR,6"], "Row 3: the score 6 is outside the scale 1 to 5"),
        ([HEADING, ROW, "SAG T1,Standard,P1,R2,Contrast,3"], 'Row 3: the category "Contrast" has no margin'),
        ([HEADING, ROW, ROW], "Row 3 rates the same series, reader and category as row 2"),
        ([HEADING, "SAG T1,Fast,P1,R1,Apparent SNR,3"], 'reference arm "Standard" has no row'),
    ],
)
def test_refused_scores(lines, sentence):
    with pytest.raises(AnalysisFault) as fault:
        analyse(parse_scores(lines), AnalysisPlan())
    assert sentence in str(fault.value)
    assert "\n" not in str(fault.value)


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x01" * 20)
    with pytest.raises(AnalysisFault, match="UTF-8"):
        read_scores(tmp_path / "binary.csv")
    with pytest.raises(AnalysisFault, match="cannot be read"):
        read_scores(tmp_path / "missing.csv")
    with pytest.raises(AnalysisFault, match="cannot be read"):
        read_scores(tmp_path)
    (tmp_path / "nul.csv").write_bytes(b"\x00" * 1000)
    with pytest.raises(AnalysisFault):
        read_scores(tmp_path / "nul.csv")
    (tmp_path / "long.csv").write_text(HEADING + "\n" + "x" * 200_000)
    with pytest.raises(AnalysisFault, match="Row 2"):
        read_scores(tmp_path / "long.csv")


def test_defaults_are_the_papers():
    plan = plan_from_mapping({})
    assert plan == AnalysisPlan()
    assert (plan.reference_arm, plan.alpha, plan.family, plan.missing) == (
        "Standard", Fraction(1, 20), "sequence-category", "matched"
    )  # fmt: skip
    assert [c.margin for c in plan.criteria.values()] == ["-0.5"] * 4 + ["0.2"]
    assert plan.criteria["Presence of Artifacts"] == CriterionPlan("0.2", "lower", (0, 1))
    assert plan.criteria["Presence of Artifacts"].worst_score == 1
    assert plan.criteria["Apparent SNR"].worst_score == 1


def test_a_plan_survives_its_writing():
    plan = plan_from_mapping(
        {"alpha": "0.025", "family": "all", "missing": "complete", "reference_arm": "A",
         "criteria": {"Contrast": {"margin": "0.125"}, "Apparent SNR": {"margin": "-0.25"}}}
    )  # fmt: skip
    assert plan_from_mapping(json.loads(json.dumps(plan.as_mapping()))) == plan
    assert plan.criteria["Contrast"] == CriterionPlan("0.125", "lower", None)
    assert plan.criteria["Apparent SNR"] == CriterionPlan("-0.25", "higher", (1, 5))
    assert plan.as_mapping()["alpha"] == "0.025"


def test_numbers_in_a_plan_file_are_the_decimals_that_are_written(tmp_path):
    path = tmp_path / "plan.json"
    path.write_text('{"alpha": 0.05, "criteria": {"Presence of Artifacts": {"margin": 0.2}}}')
    assert read_plan(path).criteria["Presence of Artifacts"].exact_margin == Fraction(1, 5)


def test_the_hash_does_not_depend_on_the_order_of_keys():
    assert mapping_sha256({"a": 1, "b": {"c": 2, "d": 3}}) == mapping_sha256({"b": {"d": 3, "c": 2}, "a": 1})
    assert mapping_sha256({"a": 1}) != mapping_sha256({"a": 2})


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"famly": "all"}, 'unknown entry "famly"'),
        ({"family": "everything"}, 'family of the analysis plan cannot be "everything"'),
        ({"missing": None}, "missing of the analysis plan cannot be"),
        ({"alpha": "0.7"}, "alpha of the analysis plan is not between"),
        ({"alpha": "five percent"}, "alpha of the analysis plan is not a decimal number"),
        ({"reference_arm": ""}, "reference_arm"),
        ({"criteria": []}, "criteria of the analysis plan"),
        ({"criteria": {"Contrast": {}}}, "no margin for the criterion Contrast"),
        ({"criteria": {"Contrast": "-0.5"}}, "The plan of the criterion Contrast is not a mapping"),
        ({"criteria": {"Contrast": {"margin": -0.5}}}, "The margin of the criterion Contrast is not a decimal number"),
        ({"criteria": {"Contrast": {"margin": "nan"}}}, "The margin of the criterion Contrast is not a decimal number"),
        ({"criteria": {"Contrast": {"margin": "0.5", "better": "higher"}}}, "but higher scores are better there"),
        ({"criteria": {"Contrast": {"margin": "0.5", "scale": [5, 1]}}}, "The scale of the criterion Contrast"),
        ({"criteria": {"Contrast": {"margin": "0.5", "range": [1, 5]}}}, 'unknown entry "range"'),
    ],
)
def test_refused_plans(content, sentence):
    with pytest.raises(AnalysisFault) as fault:
        plan_from_mapping(content)
    assert sentence in str(fault.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "is not valid JSON (line 1)"),
        ("[]", "is not a mapping"),
        ("[" * 100_000, "not valid JSON"),
        ('{"alpha": "0.05", "alpha": "0.01"}', 'has the entry "alpha" twice'),
        ('{"criteria": {"New": {"margin": "1"}, " New": {"margin": "2"}}}', 'has the entry "New" twice'),
        ('{"alpha": ' + "1" * 6000 + "}", "is not valid JSON"),
        ('{"criteria": {"\\ud800": {"margin": "-0.5"}}}', "is not valid JSON"),
    ],
)
def test_refused_plan_files(tmp_path, text, sentence):
    (tmp_path / "plan.json").write_text(text)
    with pytest.raises(AnalysisFault) as fault:
        read_plan(tmp_path / "plan.json")
    assert sentence in str(fault.value)


def test_margins_given_as_decimals_are_exact():
    plan = plan_from_mapping({"criteria": {"Apparent SNR": {"margin": Decimal("-0.1")}}})
    assert plan.criteria["Apparent SNR"].exact_margin == Fraction(-1, 10)
