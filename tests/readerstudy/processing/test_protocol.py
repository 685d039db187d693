"""A file in the wrong one of two rows is remarked on; a scanner that averages by itself is not."""

from decimal import Decimal

import pytest

from readerstudy.processing.protocol import remark

NEX = {"Standard": Decimal("2"), "Fast": Decimal("0.50")}


def held(averages: int, partial: bool) -> dict:
    return {"n_averages": averages, "partial_fourier": partial}


def of(acquisition: str, averages: int, partial: bool) -> str:
    others = {name: nex for name, nex in NEX.items() if name != acquisition}
    return remark(held(averages, partial), nex=NEX[acquisition], others=others)


@pytest.mark.parametrize(("acquisition", "averages", "partial"), [("Standard", 2, False), ("Fast", 1, True)])
def test_the_right_file_has_no_remark(acquisition, averages, partial):
    assert of(acquisition, averages, partial) == ""


def test_swapped_files_are_both_remarked_on():
    assert of("Standard", 1, True) == (
        "The file has 1 average, partial Fourier: that is Fast (NEX 0.5), not NEX 2. Check that it belongs here."
    )
    assert of("Fast", 2, False) == (
        "The file has 2 averages: that is Standard (NEX 2), not NEX 0.5. Check that it belongs here."
    )


def test_what_fits_neither_is_no_sign_of_a_swap():
    assert of("Standard", 1, False) == of("Fast", 1, False) == ""
