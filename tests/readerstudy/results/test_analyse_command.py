"""`manage.py analyse` as a user runs it: a process of its own, exit codes, files, no database."""

import csv
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.readerstudy.statistics.measurement_tables import random_measurements

REPOSITORY = Path(__file__).resolve().parents[3]
FILES = {"results.json", "table3.csv", "table4.csv", "table5.csv"}


@pytest.fixture
def measurement_file(tmp_path):
    path = tmp_path / "m.csv"
    rows = random_measurements(6, patients=5, arms=("Standard", "Fast"))
    path.write_text(
        "patient,quantity,level,arm,value,by\n"
        + "".join(f"{row.patient},{row.quantity},{row.level},{row.arm},{row.value!r},nobody\n" for row in rows)
    )
    return path


@pytest.fixture
def score_file(tmp_path):
    draw = random.Random(5)
    path = tmp_path / "scores.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["sequence", "arm", "patient", "reader", "category", "score"])
        for arm in ("Standard", "Fast"):
            for patient in range(8):
                for reader in "ABC":
                    writer.writerow(["SAG T1", arm, patient, reader, "Apparent SNR", draw.choice([2, 3, 4, ""])])
                    writer.writerow(["SAG T1", arm, patient, reader, "Presence of Artifacts", draw.choice([0, 1])])
    return path


def analyse(*arguments, cwd):
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "readerstudy.settings.development",
        "READERSTUDY_STATE": str(cwd / "state"),
        "DATABASE_URL": "postgres://nobody@127.0.0.1:1/none",
    }
    return subprocess.run(
        [sys.executable, str(REPOSITORY / "manage.py"), "analyse", *map(str, arguments)],
        capture_output=True, text=True, cwd=cwd, env=environment, check=False,
    )  # fmt: skip


def test_writes_the_tables_without_a_database(score_file, tmp_path):
    out = tmp_path / "deep" / "out"
    done = analyse(score_file, out, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in out.iterdir()} == FILES
    results = json.loads((out / "results.json").read_text())
    assert [len(results[f"table{i}"]) for i in (3, 4, 5, 6)] == [4, 2, 4, 0]
    with (out / "table4.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["p_raw"]) for row in rows] == [row["p_raw"] for row in results["table4"]]
    assert not any(tmp_path.glob("state/*.sqlite3"))


def test_the_plan_counts(score_file, tmp_path):
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"reference_arm": "Fast", "family": "none", "missing": "complete"}))
    done = analyse(score_file, tmp_path / "out", "--plan", plan, cwd=tmp_path)
    assert done.returncode == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["plan"]["reference_arm"] == "Fast"
    assert {row["arm"] for row in results["table4"]} == {"Standard"}


def test_measurements_give_table_6(score_file, measurement_file, tmp_path):
    done = analyse(score_file, tmp_path / "out", "--measurements", measurement_file, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES | {"table6.csv", "table6a.csv"}
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    table6 = results["table6"]
    assert [(row["quantity"], row["arm"], row["n"], row["n_pairs"]) for row in table6] == [
        ("disc_height_mm", "Standard", 30, None),
        ("disc_height_mm", "Fast", 30, 30),
        ("body_volume_cm3", "Standard", 35, None),
        ("body_volume_cm3", "Fast", 35, 35),
    ]
    numbers = ("n", "mean", "sd", "n_pairs", "r", "r2", "slope", "intercept", "bias", "loa_low", "loa_high")
    assert all(row[name] is not None for row in table6[1::2] for name in numbers)
    assert len(results["table6a"]) == (1 + 6) + (1 + 7)
    with (tmp_path / "out" / "table6.csv").open() as file:
        for line, row in zip(csv.DictReader(file), table6, strict=True):
            for name in numbers:
                assert line[name] == ("" if row[name] is None else repr(row[name]))
    without = analyse(score_file, tmp_path / "without", cwd=tmp_path)
    assert without.returncode == 0
    alone = json.loads((tmp_path / "without" / "results.json").read_text())
    assert {**results, "table6": [], "table6a": []} == alone


def test_the_plans_reference_is_that_of_measurements_too(score_file, measurement_file, tmp_path):
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"reference_arm": "Fast"}))
    out = tmp_path / "out"
    done = analyse(score_file, out, "--plan", plan, "--measurements", measurement_file, cwd=tmp_path)
    assert done.returncode == 0
    table6 = json.loads((out / "results.json").read_text())["table6"]
    assert [row["arm"] for row in table6] == ["Fast", "Standard"] * 2


def test_a_quantity_without_the_reference_is_left_out_and_said(score_file, measurement_file, tmp_path):
    lines = measurement_file.read_text().splitlines()
    lines = [line for line in lines if ",body_volume_cm3," not in line or ",Standard," not in line]
    measurement_file.write_text("\n".join(lines) + "\n")
    out = tmp_path / "out"
    done = analyse(score_file, out, "--measurements", measurement_file, cwd=tmp_path)
    says = "body_volume_cm3 has no values of the reference arm Standard."
    assert (done.returncode, done.stderr.strip()) == (0, f"Left out of table 6: {says}")
    results = json.loads((out / "results.json").read_text())
    assert {row["quantity"] for row in results["table6"]} == {"disc_height_mm"}
    assert results["measurements_reason"] == says


@pytest.mark.parametrize("at_fault", ["missing file", "bad score", "bad plan", "bad measurement", "out is a file"])
def test_input_at_fault_is_one_sentence_and_code_1(score_file, tmp_path, at_fault):
    out, arguments = tmp_path / "out", []
    if at_fault == "missing file":
        score_file.unlink()
    elif at_fault == "bad score":
        score_file.write_text(score_file.read_text() + "SAG T1,Fast,99,A,Apparent SNR,nine\n")
    elif at_fault == "bad plan":
        (tmp_path / "plan.json").write_text("{")
        arguments = ["--plan", tmp_path / "plan.json"]
    elif at_fault == "bad measurement":
        (tmp_path / "m.csv").write_text("quantity,arm,patient,level,value\ndisc_height_mm,Standard,P1,1,tall\n")
        arguments = ["--measurements", tmp_path / "m.csv"]
    else:
        out.write_text("")
    done = analyse(score_file, out, *arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.strip().endswith(".")
    assert "Traceback" not in done.stderr
    if at_fault != "out is a file":
        assert not out.exists()


@pytest.mark.parametrize("arguments", [[], ["only-one.csv"], ["a.csv", "out", "--family", "all"]])
def test_wrong_usage_is_code_2(tmp_path, arguments):
    assert analyse(*arguments, cwd=tmp_path).returncode == 2


def test_help_names_the_columns(tmp_path):
    done = analyse("--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "sequence, arm, patient, reader, category, score" in " ".join(done.stdout.split())
    assert "quantity, arm, patient, level, value" in " ".join(done.stdout.split())
