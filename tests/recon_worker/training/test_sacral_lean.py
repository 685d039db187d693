"""Leans of drawn bodies are those they were drawn with; what the picture cuts, and other steps, do not count."""

import numpy as np
import pytest

from recon_worker.training.__main__ import main
from recon_worker.training.sacral_lean import leans_between, of_masks, summary


def drawn(middles: list[tuple[int, int]]) -> np.ndarray:
    """Bodies 20 by 30 pixels `[row, column, slice]`, numbered from the head down."""
    mask = np.zeros((200, 150, 6), dtype=np.uint8)
    for number, (row, column) in enumerate(middles, start=1):
        mask[max(0, row - 10) : row + 10, column - 15 : column + 15, 1:5] = number
    return mask


def test_leans_are_those_of_the_drawn_bodies_in_millimetres():
    mask = drawn([(60, 50), (100, 60), (130, 100)])
    found = of_masks(mask, np.array([1.0, 0.5, 4.0]), 7)
    assert found == pytest.approx({6: np.degrees(np.arctan2(5, 40)), 7: np.degrees(np.arctan2(20, 30))})
    assert of_masks(mask, np.array([1.0, 0.5, 4.0]), 6) == pytest.approx({6: np.degrees(np.arctan2(20, 30))})


def test_a_body_that_the_picture_cuts_has_no_lean():
    found = of_masks(drawn([(60, 50), (100, 60), (195, 100)]), np.ones(3), 7)
    assert set(found) == {6}


def test_the_summary_counts_what_lies_straight():
    straight, back = ({7: np.array([offset, 30.0]), 6: np.zeros(2)} for offset in (5.0, 30.0))
    (line,) = summary([leans_between(straight), leans_between(back), {}], "drawn")
    assert "S1 below L5, drawn: 1 of 2 lean back less than 20 degrees" in line


def test_a_folder_without_spines_is_refused_in_words(tmp_path, capsys):
    assert main(["sacral-lean", "--data", str(tmp_path)]) == 1
    assert "no labelled spines" in capsys.readouterr().err
