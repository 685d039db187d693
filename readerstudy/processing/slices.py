"""One slice of every arm side by side: which to begin with, and where it lies on the contact sheet of its arm.

Slices are numbered in the series, alike in all arms of a subject and sequence; a sheet holds those that show a
structure, so the sheets of two arms may begin and end at different ones.
"""

from collections.abc import Sequence
from typing import Any

Sheet = dict[str, Any]
"""As the worker tells it: `contact_sheet` of the contract."""


def rail(sheets: Sequence[Sheet]) -> dict[str, int] | None:
    """`first` and `last` slice on any sheet, and `start`: the middle one of those on most sheets. None: no sheet."""
    if not sheets:
        return None
    held = [range(sheet["first"], sheet["first"] + sheet["slices"]) for sheet in sheets]
    first, last = min(one[0] for one in held), max(one[-1] for one in held)
    times = {number: sum(number in one for one in held) for number in range(first, last + 1)}
    most = [number for number, count in times.items() if count == max(times.values())]
    return {"first": first, "last": last, "start": most[len(most) // 2]}


def place(sheet: Sheet, number: int) -> tuple[int, int] | None:
    """Pixels (x, y) of the upper left corner of slice `number` on its sheet; None: it is not on it."""
    index = number - sheet["first"]
    if not 0 <= index < sheet["slices"]:
        return None
    line, column = divmod(index, sheet["across"])
    return sheet["start"][0] + column * sheet["step"][0], sheet["start"][1] + line * sheet["step"][1]


def side_by_side(sheets: Sequence[Sheet | None]) -> tuple[dict[str, Any] | None, list[dict[str, Any] | None]]:
    """For the page: the rail of the slider with `width` and `height` of the largest tile, so that all arms are shown in
    one scale; and of each sheet its place as the slider begins (None: there is no sheet, or no word of its places)."""
    told = [sheet for sheet in sheets if sheet]
    found = rail(told)
    if found is None:
        return None, [None] * len(sheets)
    largest = {"width": max(sheet["tile"][0] for sheet in told), "height": max(sheet["tile"][1] for sheet in told)}
    shown: list[dict[str, Any] | None] = []
    for sheet in sheets:
        if not sheet:
            shown.append(None)
            continue
        here = place(sheet, found["start"])
        x, y = here or sheet["start"]
        shown.append({**sheet, "x": x, "y": y, "is_there": here is not None})
    return {**found, **largest}, shown
