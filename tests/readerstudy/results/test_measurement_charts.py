"""Figure 6: what it shows, and that Vega-Lite draws it without a warning and without eval."""

import json
import shutil
import subprocess

import pytest

from readerstudy.processing.levels import names
from readerstudy.results.measurement_pages import equation, measurement_page
from readerstudy.statistics.measurements import Measurement, MeasurementTable, analyse_measurements
from tests.readerstudy.results.test_charts import COLOURS, COMPILE, FRONT_END
from tests.readerstudy.statistics.measurement_tables import random_measurements
from tests.readerstudy.statistics.score_tables import ARMS


def parts_of(values):
    content = {"plan": {"reference_arm": "Standard"}, **analyse_measurements(MeasurementTable(values), "Standard")}
    rows = []
    for one in values:
        level_names = names("disc" if one.quantity == "disc_height_mm" else "body")
        rows.append({**vars(one), "sequence": None, "level_name": level_names[int(one.level)]})
    return measurement_page(content, rows, arms=ARMS, colours=COLOURS), content


@pytest.fixture(scope="module")
def values():
    return random_measurements(12, missing=0.03)


def layers_of(figure, mark):
    return [layer for layer in figure["specification"]["layer"] if layer["mark"]["type"] == mark]


def test_the_scatter_shows_every_matched_pair_line_equation_and_r2(values):
    parts, content = parts_of(values)
    rows = {(row["quantity"], row["arm"]): row for row in content["table6"]}
    for part, quantity in zip(parts, ("disc_height_mm", "body_volume_cm3"), strict=True):
        assert [len(figures) for figures in part["figures"].values()] == [4, 4]
        for arm, figure in zip(ARMS[1:], part["figures"]["scatter"], strict=True):
            row = rows[quantity, arm]
            (cloud,) = layers_of(figure, "point")
            points = cloud["data"]["values"]
            assert len(points) == row["n_pairs"] == part["n"]
            assert sum(point["value"] for point in points) / len(points) == pytest.approx(row["mean"])
            assert all(point["value"] - point["reference"] == point["difference"] for point in points)
            assert not any("patient" in point for point in points)
            identity, line = layers_of(figure, "line")
            assert all(end["x"] == end["y"] for end in identity["data"]["values"])
            for end in line["data"]["values"]:
                assert end["y"] == pytest.approx(row["slope"] * end["x"] + row["intercept"])
            texts = [layer["data"]["values"][0]["text"] for layer in layers_of(figure, "text")]
            assert texts == [equation(row), f"r² = {row['r2']:.3f}"]
            assert all(text in figure["description"] for text in texts)


def test_the_differences_show_bias_and_limits(values):
    parts, content = parts_of(values)
    row = next(row for row in content["table6"] if row["arm"] == "Fast")
    figure = parts[0]["figures"]["differences"][0]
    zero, *lines = layers_of(figure, "line")
    assert {end["y"] for end in zero["data"]["values"]} == {0}
    assert [line["data"]["values"][0]["y"] for line in lines] == [row["bias"], row["loa_low"], row["loa_high"]]
    low, high = lines[0]["encoding"]["y"]["scale"]["domain"]
    (cloud,) = layers_of(figure, "point")
    assert low < min(row["loa_low"], *(point["difference"] for point in cloud["data"]["values"]))
    assert high == -low


def test_all_panels_of_a_row_share_their_axes(values):
    for part in parts_of(values)[0]:
        for kind, figures in part["figures"].items():
            scales = [layers_of(figure, "point")[0]["encoding"] for figure in figures]
            assert len({json.dumps([scale["x"]["scale"], scale["y"]["scale"]]) for scale in scales}) == 1
            if kind == "scatter":
                assert scales[0]["x"]["scale"] == scales[0]["y"]["scale"]


def equal_values(patients=4):
    """A reference that does not vary, and an arm equal to it."""
    return [
        Measurement("disc_height_mm", arm, f"P{patient}", "1", 10.0)
        for arm in ("Standard", "Fast")
        for patient in range(patients)
    ]


def test_what_does_not_vary_has_points_and_no_line():
    (part,), _ = parts_of(equal_values())
    (figure,) = part["figures"]["scatter"]
    assert len(layers_of(figure, "line")) == 1
    assert "no line" in figure["description"]
    low, high = layers_of(figure, "point")[0]["encoding"]["x"]["scale"]["domain"]
    assert low < 10 < high


@pytest.mark.skipif(
    shutil.which("node") is None or not (FRONT_END / "node_modules" / "vega-lite").exists(),
    reason="Node or the front end's packages are missing (make frontend).",
)
def test_vega_lite_draws_them_without_warning_and_without_eval(values):
    parts = [*parts_of(values)[0], *parts_of(equal_values())[0], *parts_of(equal_values(2))[0]]
    figures = [figure for part in parts for kind in part["figures"].values() for figure in kind]
    run = subprocess.run(
        ["node", "--input-type=module", "-e", COMPILE],
        input=json.dumps([figure["specification"] for figure in figures]),
        capture_output=True, text=True, cwd=FRONT_END, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    answers = json.loads(run.stdout)
    assert len(answers) == 2 * 8 + 2 * 2
    for answer, figure in zip(answers, figures, strict=True):
        assert answer["warnings"] == []
        for layer in layers_of(figure, "text"):
            assert layer["data"]["values"][0]["text"] in answer["svg"]
