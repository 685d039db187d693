"""Two acquisitions of one sequence must fit; the sentence says where they do not."""

from typing import Any

import pytest

from readerstudy.processing.comparison import difference

BASE: dict[str, Any] = {
    "image_matrix": [256, 192],
    "n_slices": 12,
    "field_of_view_mm": [280.0, 280.0],
    "slice_spacing_mm": 4.4,
}


@pytest.mark.parametrize(
    ("times", "others", "sentence"),
    [
        ((8, 700), (8, 760), ""),
        ((67, 5000), (78, 5000), ""),
        ((67, 5000), None, ""),
        (None, (8, 700), ""),
        ((8, 700), (67, 5000), "TE 8 ms and TR 700 ms, but Standard has 67 ms and 5000 ms."),
        ((96, 6000), (60, 6000), "TE 96 ms, but Standard has 60 ms."),
    ],
)
def test_another_sequence_with_the_same_matrix(times, others, sentence):
    def timed(pair):
        return BASE | (dict(zip(("echo_time_ms", "repetition_time_ms"), pair, strict=True)) if pair else {})

    assert difference(timed(times), timed(others), other_name="Standard") == sentence


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, ""),
        ({"field_of_view_mm": [280.01, 279.99]}, ""),
        ({"image_matrix": [256, 160]}, "Matrix 256 × 160, but Standard has 256 × 192."),
        ({"n_slices": 1}, "1 slice, but Standard has 12."),
        ({"field_of_view_mm": [280.0, 260.5]}, "Field of view 280 × 260.5 mm, but Standard has 280 × 280 mm."),
        ({"slice_spacing_mm": 5}, "Slice spacing 5 mm, but Standard has 4.4 mm."),
        (
            {"image_matrix": [320, 320], "n_slices": 10, "slice_spacing_mm": 5.0},
            "Matrix 320 × 320, 10 slices and slice spacing 5 mm, but Standard has 256 × 192, 12 slices and 4.4 mm.",
        ),
    ],
)
def test_sentence(changes: dict[str, Any], sentence: str):
    assert difference(BASE | changes, BASE, other_name="Standard") == sentence
