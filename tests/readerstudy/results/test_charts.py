"""The figures: what they show, and that Vega-Lite draws them without a warning and without eval."""

import json
import re
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from readerstudy.results.charts import box_plots, differences
from readerstudy.results.pages import sequence_page
from readerstudy.statistics.analysis import analyse
from readerstudy.statistics.descriptive import box
from readerstudy.statistics.missing import reader_means
from readerstudy.statistics.plan import AnalysisPlan
from tests.readerstudy.statistics.score_tables import ARMS, CATEGORIES, random_scores

FRONT_END = Path(__file__).resolve().parents[3] / "frontend"
COLOURS = dict(zip(ARMS, ("#3b4754", "#9a6b2f", "#7fa7c9", "#3f7fb5", "#1d4f80"), strict=True))
COMPILE = """
import * as vegaLite from 'vega-lite'; import * as vega from 'vega';
import { expressionInterpreter } from 'vega-interpreter';
let text = ''; for await (const part of process.stdin) text += part;
globalThis.Function = globalThis.eval = () => { throw new Error('eval'); };
const answers = [];
for (const specification of JSON.parse(text)) {
  const warnings = []; const note = (...words) => { warnings.push(words.join(' ')); return logger; };
  const logger = { warn: note, error: note, info: () => logger, debug: () => logger, level: () => logger };
  const compiled = vegaLite.compile({ ...specification, width: 500 }, { logger }).spec;
  const view = new vega.View(vega.parse(compiled, null, { ast: true }),
    { renderer: 'none', expr: expressionInterpreter, logger });
  answers.push({ warnings, svg: await view.toSVG() });
}
console.log(JSON.stringify(answers));
"""


def boxes_of(scores, sequence, categories=CATEGORIES):
    rows = []
    for category in categories:
        for arm in scores.arms:
            means = list(reader_means(scores.cell(sequence, arm, category)).values())
            if means:
                cell = {"sequence": sequence, "category": category, "arm": arm}
                rows.append({**cell, "n_patients": len(means), **asdict(box(means))})
    return rows


@pytest.fixture(scope="module")
def scores():
    return random_scores(31, patients=18)


def page_of(scores, sequence="SAG T1"):
    return sequence_page(
        analyse(scores, AnalysisPlan()), boxes_of(scores, sequence), sequence=sequence, arms=ARMS, colours=COLOURS
    )


@given(st.lists(st.fractions(0, 5, max_denominator=3), min_size=1, max_size=40))
def test_boxes_have_hazen_quartiles_and_tukey_whiskers(values):
    ours = box(values)
    numbers = np.array([float(value) for value in values])
    expected = np.quantile(numbers, [0.25, 0.5, 0.75], method="hazen")
    assert [ours.lower_quartile, ours.median, ours.upper_quartile] == pytest.approx(expected.tolist())
    assert ours.low <= ours.lower_quartile <= ours.upper_quartile <= ours.high
    inside = [value for value in numbers if ours.low <= value <= ours.high]
    assert len(inside) + len(ours.outliers) == len(values)
    assert ours.low in (*numbers, ours.lower_quartile)
    assert ours.high in (*numbers, ours.upper_quartile)


def test_the_page_shows_the_stored_numbers(scores):
    page = page_of(scores)
    assert page["categories"] == list(CATEGORIES)
    assert [line["arm"] for line in page["means"]] == list(ARMS)
    assert [line["arm"] for line in page["noninferiority"]] == list(ARMS[1:])
    shown = [row for figure in page["figures"]["differences"] for row in intervals_of(figure["specification"])]
    table4 = analyse(scores, AnalysisPlan())["table4"]
    stored = {(row["arm"], row["category"]): row for row in table4 if row["sequence"] == "SAG T1"}
    assert len(shown) == len(stored) == 20
    for row in shown:
        source = stored[row["arm"], row["category"]]
        assert [row[key] for key in ("ci_low", "ci_high")] == [source["ci_low"], source["ci_high"]]
        assert (row["verdict"] == "noninferior") == source["noninferior"]


def intervals_of(specification):
    (layer,) = [one for one in specification["layer"] if one["encoding"].get("x2", {}).get("field") == "ci_high"]
    return layer["data"]["values"]


def test_the_noninferior_side_is_the_better_one(scores):
    """Where higher is better the green side begins at the margin, where lower is better it ends there."""
    higher, lower = page_of(scores)["figures"]["differences"]
    (side,) = higher["specification"]["layer"][0]["data"]["values"]
    assert side["from"] == -0.5 < side["to"]
    (side,) = lower["specification"]["layer"][0]["data"]["values"]
    assert side["from"] < side["to"] == 0.2


def test_nothing_estimable_is_drawn_as_nothing():
    row = {"category": "Apparent SNR", "arm": "Fast", "pseudomedian": None, "ci_low": None, "ci_high": None,
           "noninferior": None}  # fmt: skip
    figure = differences(
        [row], categories=["Apparent SNR"], arms=["Fast"], colours=COLOURS, margin=-0.5, better="higher"
    )
    assert intervals_of(figure.specification) == []
    empty = box_plots([], categories=["Apparent SNR"], arms=["Fast"], colours=COLOURS, scale=(1, 5))
    assert empty.specification["layer"][0]["data"]["values"] == []


@pytest.mark.skipif(
    shutil.which("node") is None or not (FRONT_END / "node_modules" / "vega-lite").exists(),
    reason="Node or the front end's packages are missing (make frontend).",
)
def test_vega_lite_draws_every_figure_without_warning_and_without_eval(scores):
    pages = [page_of(scores), page_of(random_scores(32, patients=3, arms=ARMS[:2]), "AX T2")]
    figures = [figure for page in pages for place in page["figures"].values() for figure in place]
    run = subprocess.run(
        ["node", "--input-type=module", "-e", COMPILE],
        input=json.dumps([figure["specification"] for figure in figures]),
        capture_output=True, text=True, cwd=FRONT_END, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2000:]
    answers = json.loads(run.stdout)
    assert len(answers) == 8
    for answer in answers:
        assert answer["warnings"] == []
    for colour in COLOURS.values():
        assert len(re.findall(f'stroke="{colour}"', answers[0]["svg"])) >= 3 * 4
    assert "margin −0.5" in answers[2]["svg"]
    assert "margin +0.2" in answers[3]["svg"]
