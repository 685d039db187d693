"""One slice of every arm side by side, where the sheets of the arms hold different slices."""

import pytest

from readerstudy.processing.slices import place, rail, side_by_side


def sheet(first, slices, across=4, tile=(200, 400)):
    step = [tile[0] + 10, tile[1] + 10]
    return {"first": first, "slices": slices, "across": across, "tile": list(tile), "start": [10, 44], "step": step,
            "size": [900, 900]}  # fmt: skip


def test_slices_lie_line_by_line():
    one = sheet(3, 6)
    assert [place(one, number) for number in range(2, 10)] == [
        None, (10, 44), (220, 44), (430, 44), (640, 44), (10, 454), (220, 454), None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ([(3, 9)], (3, 11, 7)),
        ([(3, 9), (3, 9)], (3, 11, 7)),
        ([(2, 12), (5, 3)], (2, 13, 6)),
        ([(1, 2), (9, 2)], (1, 10, 9)),
        ([(4, 1)], (4, 4, 4)),
    ],
)
def test_the_slider_reaches_every_slice_and_begins_in_the_middle_of_what_most_arms_show(held, expected):
    found = rail([sheet(*one) for one in held])
    assert (found["first"], found["last"], found["start"]) == expected


def test_arms_without_a_sheet_have_no_place_and_stop_nothing():
    assert side_by_side([None, None]) == (None, [None, None])
    slider, places = side_by_side([sheet(2, 5), None, sheet(8, 3, tile=(230, 380)), sheet(2, 6)])
    assert (slider["width"], slider["height"]) == (230, 400), "one scale for all arms"
    assert [one and one["is_there"] for one in places] == [True, None, False, True]
    assert (places[0]["x"], places[0]["y"]) == place(sheet(2, 5), slider["start"])
