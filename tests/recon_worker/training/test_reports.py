"""The reports in docs/ say what their numbers say: each is written again from `numbers.json` and compared."""

import json
from pathlib import Path

import pytest

from recon_worker.denoising import weights as denoiser
from recon_worker.segmentation import weights as segmenters
from recon_worker.training import report, segmentation_report

DOCS = Path(__file__).resolve().parents[3] / "docs"


def _numbers(name: str) -> dict:
    return json.loads((DOCS / name / "numbers.json").read_text())


def test_the_denoiser_s_report_is_that_of_its_numbers_and_of_the_installed_weights(tmp_path: Path):
    numbers = _numbers("denoising")
    report.write_report(numbers, tmp_path)
    assert (tmp_path / "report.md").read_text() == (DOCS / "denoising" / "report.md").read_text()
    card = denoiser.read_card()
    assert numbers["weights_sha256"] == card["sha256"]
    assert card["metrics"]["summary"] == report.summary(numbers)


def test_the_segmenters_report_is_that_of_their_numbers_and_of_the_installed_weights(tmp_path: Path):
    numbers = _numbers("segmentation")
    segmentation_report.write_report(tmp_path / "report.md", numbers)
    assert (tmp_path / "report.md").read_text() == (DOCS / "segmentation" / "report.md").read_text()
    for name in segmenters.NAMES:
        card = segmenters.read_card(name)
        assert (numbers["weights"][name], numbers["thresholds"][name]) == (card["sha256"], card["threshold"])
        assert card["metrics"]["summary"] == segmentation_report.summary(numbers)


@pytest.mark.parametrize("name", ["denoising", "segmentation"])
def test_a_bar_that_is_missed_is_told_as_missed(name: str):
    numbers = _numbers(name)
    told = report.summary(numbers) if name == "denoising" else segmentation_report.summary(numbers)
    assert any("reached" in line for line in told)
    if name == "denoising":
        worse = {**numbers, "residual_verdict": {"within_limit": 10, "within_0.03": 9, "largest_miss": 0.2}}
        assert "9 of 10 cases, largest miss 0.2: NOT reached" in report.summary(worse)[0]
    else:
        merged = [{"source": "VB2", "merged": 2}, {"source": "VB1 as drawn", "merged": 1}]
        worse = {**numbers, "merged": merged}
        assert "two bodies merged: 2 (bar 0): NOT reached" in segmentation_report.summary(worse)
