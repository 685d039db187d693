"""The key table of the reading page. The page takes it from here, so the list that is shown never goes stale."""

from typing import TypedDict


class Key(TypedDict):
    """Names of keys as browsers report them (KeyboardEvent.key), and what they do."""

    keys: list[str]
    does: str


KEYS: dict[str, Key] = {
    "grade": {
        "keys": ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
        "does": "Grade the marked criterion, go on",
    },
    "next_criterion": {"keys": ["Tab"], "does": "Next criterion"},
    "previous_criterion": {"keys": ["Shift+Tab"], "does": "Criterion before"},
    "criterion": {"keys": ["a", "s", "d", "f", "g", "h", "j", "k", "l"], "does": "First, second, ... criterion"},
    "back_to_last": {"keys": ["Backspace"], "does": "Back to the criterion graded last"},
    "cannot_grade": {"keys": ["x"], "does": "The marked criterion cannot be graded"},
    "comment": {"keys": ["c"], "does": "Write a comment"},
    "sign_off": {"keys": ["Enter"], "does": "Sign off, or go to the first gap"},
    "next_slice": {"keys": ["ArrowDown"], "does": "Next slice (hold to run)"},
    "previous_slice": {"keys": ["ArrowUp"], "does": "Slice before"},
    "five_slices_on": {"keys": ["PageDown"], "does": "Five slices on"},
    "five_slices_back": {"keys": ["PageUp"], "does": "Five slices back"},
    "first_slice": {"keys": ["Home"], "does": "First slice"},
    "last_slice": {"keys": ["End"], "does": "Last slice"},
    "reset": {"keys": ["r", "Space"], "does": "Reset window, zoom and position"},
    "invert": {"keys": ["i"], "does": "Invert black and white"},
    "zoom_in": {"keys": ["+"], "does": "Zoom in"},
    "zoom_out": {"keys": ["-"], "does": "Zoom out"},
    "next_series": {"keys": ["ArrowRight", "n"], "does": "Next series"},
    "previous_series": {"keys": ["ArrowLeft", "p"], "does": "Series before, where the study allows it"},
    "help": {"keys": ["?"], "does": "Show or hide this list"},
}

NAMES = {
    "ArrowDown": "↓",
    "ArrowUp": "↑",
    "ArrowLeft": "←",
    "ArrowRight": "→",
    "PageDown": "Page ↓",
    "PageUp": "Page ↑",
}
"""How keys are written for people, where that differs from the browser's name."""
