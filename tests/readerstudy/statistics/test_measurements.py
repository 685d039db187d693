"""Tables 6 and 6a: what is matched in all arms, against numpy and scipy; faults of the file."""

import csv
import io
import json
import math
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from readerstudy.statistics.faults import AnalysisFault
from readerstudy.statistics.measurement_agreement import FEWEST_PATIENTS, TOO_FEW_PATIENTS
from readerstudy.statistics.measurements import (
    NONE_MATCHED,
    TOO_FEW,
    Measurement,
    MeasurementTable,
    analyse_measurements,
    read_measurements,
    sensitivity,
)
from readerstudy.statistics.tables import MEASUREMENT_TABLE_COLUMNS, measurements_csv, table_csv
from tests.readerstudy.statistics.measurement_tables import random_measurements
from tests.readerstudy.statistics.score_tables import ARMS

PAPER = Path(__file__).resolve().parents[4] / "shared" / "paper" / "table6.csv"


def tables(rows, reference="Standard"):
    return analyse_measurements(MeasurementTable(rows), reference)


def matched_values(rows, quantity):
    """By arm the values of what every arm has, by sets instead of a table."""
    held = {(row.arm, row.patient, row.level): row.value for row in rows if row.quantity == quantity}
    items = sorted(set.intersection(*({key[1:] for key in held if key[0] == arm} for arm in ARMS)))
    return {arm: np.array([held[arm, *item] for item in items]) for arm in ARMS}, items


@pytest.mark.parametrize("missing", [0.0, 0.08])
def test_table_6_is_numpys_of_what_every_arm_has(missing):
    rows = random_measurements(1, missing=missing)
    table6 = tables(rows)["table6"]
    assert sorted((row["quantity"], row["arm"]) for row in table6) == sorted(
        (quantity, arm) for quantity in ("disc_height_mm", "body_volume_cm3") for arm in ARMS
    )
    for row in table6:
        values, _ = matched_values(rows, row["quantity"])
        mine, reference = values[row["arm"]], values["Standard"]
        assert row["n"] == len(mine) < (72 if row["quantity"] == "disc_height_mm" else 84) + (missing == 0)
        assert [row["mean"], row["sd"]] == pytest.approx([mine.mean(), mine.std(ddof=1)])
        compared = [row[name] for name in ("n_pairs", "r", "r2", "slope", "intercept", "bias", "loa_low", "loa_high")]
        if row["arm"] == "Standard":
            assert compared == [None] * 8
            continue
        line, d = scipy.stats.linregress(reference, mine), mine - reference
        spread = scipy.stats.norm.ppf(0.975) * d.std(ddof=1)
        assert compared == pytest.approx(
            [len(mine), line.rvalue, line.rvalue**2, line.slope, line.intercept, d.mean(), d.mean() - spread,
             d.mean() + spread]
        )  # fmt: skip
        assert row["reason"] is None


def test_table_6a_is_pooled_and_by_level():
    rows = random_measurements(2, missing=0.05)
    found = tables(rows)
    levels = {"disc_height_mm": 6, "body_volume_cm3": 7}
    expected = {
        (quantity, arm, level)
        for quantity, highest in levels.items()
        for arm in ARMS[1:]
        for level in ("pooled", *map(str, range(1, highest + 1)))
    }
    keys = [(row["quantity"], row["arm"], row["level"]) for row in found["table6a"]]
    assert len(keys) == len(expected)
    assert set(keys) == expected
    assert [level for quantity, arm, level in keys if (quantity, arm) == ("body_volume_cm3", "Fast")] == [
        "pooled", "1", "2", "3", "4", "5", "6", "7",
    ]  # fmt: skip
    table6 = {(row["quantity"], row["arm"]): row for row in found["table6"]}
    for row in found["table6a"]:
        values, items = matched_values(rows, row["quantity"])
        of_level = [place for place, item in enumerate(items) if row["level"] in ("pooled", item[1])]
        mine, reference = values[row["arm"]][of_level], values["Standard"][of_level]
        assert row["n_pairs"] == len(of_level)
        assert row["n_patients"] == len({items[place][0] for place in of_level})
        assert row["bias"] == pytest.approx((mine - reference).mean())
        assert row["r2"] == pytest.approx(scipy.stats.linregress(reference, mine).rvalue ** 2)
        if row["n_patients"] < FEWEST_PATIENTS:
            assert (row["cluster_bias_low"], row["cluster_reason"]) == (None, TOO_FEW_PATIENTS)
        else:
            assert row["cluster_bias_low"] < row["bias"] < row["cluster_bias_high"]
            assert row["cluster_reason"] is None
        if row["level"] == "pooled":
            for name in ("r", "r2", "slope", "intercept", "bias", "loa_low", "loa_high"):
                assert row[name] == table6[row["quantity"], row["arm"]][name]


def test_one_missing_value_takes_the_level_from_every_arm():
    rows = random_measurements(3)
    without = [row for row in rows if (row.arm, row.patient, row.level) != ("Fast DL50", "P04", "3")]
    for row in tables(without)["table6"]:
        assert row["n"] == (71 if row["quantity"] == "disc_height_mm" else 83)
    elsewhere = [row for row in rows if (row.patient, row.level) != ("P04", "3")]
    assert tables(without) == tables(elsewhere)


def test_names_and_order_of_rows_do_not_matter():
    rows = random_measurements(4, patients=5)
    turned = sorted(rows, key=lambda row: (row.quantity != "disc_height_mm", ARMS.index(row.arm), row.level))
    for ours, theirs in zip(tables(rows)["table6"], tables(turned)["table6"], strict=True):
        assert ours == pytest.approx(theirs)
    renamed = [Measurement(r.quantity, r.arm, f"X{r.patient}", r.level, r.value) for r in rows]
    assert tables(renamed) == tables(rows)


def test_the_reference_comes_first_whatever_the_order():
    rows = random_measurements(5, patients=4)
    assert [row["arm"] for row in tables(rows, "Fast DL25")["table6"]][:5] == [
        "Fast DL25", "Standard", "Fast", "Fast DL50", "Fast DL75",
    ]  # fmt: skip


@pytest.mark.skipif(not PAPER.exists(), reason="The paper's tables are not beside this checkout.")
def test_table_6_has_the_papers_arms_in_its_order():
    with PAPER.open() as file:
        printed = list(csv.DictReader(file))
    table6 = tables(random_measurements(6))["table6"]
    assert [row["arm"] for row in printed] == [row["arm"] for row in table6[:5]]
    assert printed[0]["disc_height_r2"] == ""
    assert table6[0]["r2"] is None


def test_sequences_are_analysed_apart():
    rows = random_measurements(7, patients=5)
    both = [Measurement(r.quantity, r.arm, r.patient, r.level, r.value + 1, "SAG T1") for r in rows] + [
        Measurement(r.quantity, r.arm, r.patient, r.level, r.value, "SAG T2 FS") for r in rows
    ]
    found = tables(both)
    alone = tables(rows)
    for name in ("table6", "table6a"):
        mine = [{**row, "sequence": None} for row in found[name] if row["sequence"] == "SAG T2 FS"]
        assert mine == alone[name]
        assert len(found[name]) == 2 * len(alone[name])


def test_only_what_the_reference_lacks_is_left_out():
    rows = [
        Measurement(r.quantity, r.arm, r.patient, r.level, r.value, sequence)
        for sequence in ("SAG T1", "SAG T2 FS")
        for r in random_measurements(7, patients=5)
    ]
    lacking = ("SAG T1", "body_volume_cm3")
    held = [r for r in rows if r.arm != "Standard" or (r.sequence, r.quantity) != lacking]
    whole, found = tables(rows), tables(held)
    assert whole["measurements_reason"] is None
    assert found["measurements_reason"] == "body_volume_cm3 of SAG T1 has no values of the reference arm Standard."
    for name in ("table6", "table6a"):
        assert found[name] == [row for row in whole[name] if (row["sequence"], row["quantity"]) != lacking]
    with pytest.raises(AnalysisFault, match=r"SAG T1 has .* body_volume_cm3 of SAG T2 FS has no values"):
        tables([row for row in rows if row.arm != "Standard"])


def test_fewer_than_three_pairs_are_not_compared():
    rows = [row for row in random_measurements(8) if row.patient in ("P01", "P02") and row.level == "1"]
    found = tables(rows)
    for row in found["table6"]:
        assert row["n"] == 2
        assert row["sd"] is not None
        assert row["r2"] is None
        assert row["reason"] == (None if row["arm"] == "Standard" else TOO_FEW)
    assert {row["reason"] for row in found["table6a"]} == {TOO_FEW}
    one = tables([row for row in rows if row.patient == "P01"])["table6"]
    assert {row["sd"] for row in one} == {None}


def test_nothing_in_common_is_said():
    rows = [Measurement("disc_height_mm", arm, arm, "1", 10.0) for arm in ("Standard", "Fast")]
    for row in tables(rows)["table6"]:
        assert (row["n"], row["mean"], row["reason"]) == (0, None, NONE_MATCHED)


def test_equal_values_have_bias_and_no_correlation():
    rows = [
        Measurement("disc_height_mm", arm, f"P{patient}", "1", 0.1 if arm == "Fast" else 0.1 * patient)
        for arm in ("Standard", "Fast")
        for patient in range(6)
    ]
    row = tables(rows)["table6"][1]
    assert (row["r"], row["r2"]) == (None, None)
    assert row["bias"] == pytest.approx(0.1 - 0.25)
    assert "equal" in row["reason"]


def written(path, rows, columns="quantity,arm,patient,level,value"):
    path.write_text("\n".join([columns, *rows]) + "\n")
    return path


GOOD = "disc_height_mm,Standard,P1,1,10.5"


@pytest.mark.parametrize(
    ("rows", "columns", "says"),
    [
        ([GOOD], "quantity,arm,patient,height,value", "no column level"),
        ([GOOD, GOOD], None, "stands twice"),
        ([GOOD, "disc_height_mm,Fast,P1,1,nan"], None, "Row 3: the value nan"),
        (["disc_height_mm,Fast,P1,1,inf"], None, "Row 2: the value inf"),
        (["disc_height_mm,Fast,P1,1,10,5"], None, "Row 2 has more fields"),
        (["disc_height_mm,Fast,P1,1,ten"], None, "Row 2: the value ten"),
        ([GOOD, "disc_height_mm,Fast,P1,1,1e200"], None, "Row 3: the value 1e200 is too large"),
        (["angle,Fast,P1,1,-1.1e9"], None, "Row 2: the value -1.1e9 is too large"),
        (["disc_height_mm,Fast,P1,1,1e-200"], None, "Row 2: the value 1e-200 is too small"),
        (["angle,Fast,P1,1,-9e-10"], None, "Row 2: the value -9e-10 is too small"),
        (["disc_height_mm,Fast,P1,1,0"], None, "Row 2: disc_height_mm is 0, but"),
        (["body_volume_cm3,Fast,P1,1,-3.5"], None, "Row 2: body_volume_cm3 is -3.5, but"),
        ([GOOD, "disc_height_mm,Standard,P1,pooled,10.5"], None, "Row 3: a level is called pooled"),
        (["disc_height_mm,Standard,P1, Pooled ,10.5"], None, "Row 2: a level is called Pooled"),
        (["disc_height_mm,Fast,,1,10.5"], None, "Row 2: patient is empty"),
        (["disc_height_mm,Fast,P1"], None, "Row 2: level is empty"),
        ([], None, "holds no measurement"),
        (["disc_height_mm,Fast,P1,1,10.5"], None, "no values of the reference arm Standard"),
    ],
)
def test_faults_of_the_file_are_said_with_their_row(tmp_path, rows, columns, says):
    path = written(tmp_path / "m.csv", rows, *([columns] if columns else []))
    with pytest.raises(AnalysisFault) as fault:
        analyse_measurements(read_measurements(path), "Standard")
    assert says in str(fault.value)


def test_whatever_is_read_can_be_analysed(tmp_path):
    """The largest and the smallest values that are let in, 0, both signs, and next to no difference between them."""
    ends = (1e-9, -1e-9, 1e9, -1e9, 0.0, math.nextafter(1e9, 0), math.nextafter(1e-9, 1))
    draw = random.Random(12)
    for _ in range(150):
        held, patients, levels = draw.sample(ends, draw.choice((1, 2, 4))), draw.choice((3, 4, 9)), draw.choice((1, 2))
        rows = [
            f"angle,{arm},P{patient},{level},{draw.choice(held)!r}"
            for arm in ("Standard", "Fast")
            for patient in range(patients)
            for level in range(levels)
        ]
        found = analyse_measurements(read_measurements(written(tmp_path / "m.csv", rows)), "Standard")
        json.dumps(found, allow_nan=False)
        assert [row["level"] for row in found["table6a"]] == ["pooled", "0", "1"][: levels + 1]


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00q"])
def test_a_file_that_is_none_is_a_fault(tmp_path, content):
    path = tmp_path / "m.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AnalysisFault, match="cannot be read"):
        read_measurements(path)


def test_written_measurements_are_read_as_they_were(tmp_path):
    rows = random_measurements(9, patients=3)
    path = tmp_path / "m.csv"
    path.write_text(measurements_csv([vars(row) for row in rows]))
    assert analyse_measurements(read_measurements(path), "Standard") == tables(rows)


def test_csv_holds_every_column_in_full_precision():
    found = tables(random_measurements(10, patients=4))
    for name, columns in MEASUREMENT_TABLE_COLUMNS.items():
        lines = list(csv.DictReader(io.StringIO(table_csv(name, found[name]))))
        assert len(lines) == len(found[name])
        for line, row in zip(lines, found[name], strict=True):
            assert tuple(line) == columns == tuple(row)
            assert line["bias"] == ("" if row["bias"] is None else repr(row["bias"]))


def test_every_number_is_finite_or_none():
    found = tables(random_measurements(11, patients=3, missing=0.3))
    for row in [*found["table6"], *found["table6a"]]:
        assert all(value is None or not isinstance(value, float) or math.isfinite(value) for value in row.values())


def test_only_the_papers_quantities_are_said_to_be_in_it():
    rows = random_measurements(8, patients=4)
    discs = [row for row in rows if row.quantity == "disc_height_mm"]
    found = tables([*rows, *(replace(row, quantity="disc_area_mm2", value=30 * row.value) for row in discs)])
    for name in ("table6", "table6a"):
        assert {row["quantity"] for row in found[name] if row["in_paper"]} == {"disc_height_mm", "body_volume_cm3"}
        assert {row["quantity"] for row in found[name] if not row["in_paper"]} == {"disc_area_mm2"}
    lines = list(csv.DictReader(io.StringIO(table_csv("table6", found["table6"]))))
    assert [line["in_paper"] for line in lines] == ["true"] * 10 + ["false"] * 5


def test_with_nothing_left_out_is_the_analysis_of_all_values():
    """Of the discs of Fast two were left out; of the volumes none, which are no row."""
    rows = random_measurements(9)
    gone = {("disc_height_mm", "Fast", "P03", "2"), ("disc_height_mm", "Fast", "P05", "6")}
    counted = tables([row for row in rows if (row.quantity, row.arm, row.patient, row.level) not in gone])
    whole = tables(rows)
    found = sensitivity(counted, whole, {(None, "disc_height_mm", "Fast"): 2})
    assert [row["arm"] for row in found] == list(ARMS)
    assert {row["quantity"] for row in found} == {"disc_height_mm"}
    assert [row["left_out"] for row in found] == [2 * (arm == "Fast") for arm in ARMS]
    assert {(row["n_without"], row["n"]) for row in found} == {(70, 72)}
    pooled = {
        row["arm"]: row
        for row in whole["table6a"]
        if (row["level"], row["quantity"]) == ("pooled", "disc_height_mm")
    }
    for row in found[1:]:
        for name in ("bias", "loa_low", "icc", "icc_low", "cluster_bias_low", "n_patients"):
            assert row[name] == pooled[row["arm"]][name] is not None
    assert found[0]["bias"] is None
    assert sensitivity(counted, whole, {}) == []
