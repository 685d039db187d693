"""Subject codes as a person writes them: S01, S02 S03, S04-S18."""

import re

from readerstudy.faults import Refusal

RANGE = re.compile(r"([A-Za-z0-9-]*?)([0-9]{1,9})[-–]([A-Za-z0-9-]*?)([0-9]{1,9})")
MOST = 500


def codes_from_text(text: str) -> list[str]:
    """The codes in a text, in its order: separated by commas, spaces or lines; `S01-S18` (or `S01-18`) is a range.

    A range keeps its leading zeros. Raises Refusal for a range that runs backwards, is mixed, or is too long.
    """
    text = re.sub(r"\s*(–|\.\.|\bto\b)\s*", "–", text)
    codes: list[str] = []
    for part in filter(None, re.split(r"[\s,;]+", text)):
        match = RANGE.fullmatch(part)
        if not match:
            codes.append(part)
            continue
        prefix, first, other_prefix, last = match.groups()
        if "–" not in part and other_prefix not in ("", prefix):
            codes.append(part)  # a hyphen that belongs to the code, such as A-7 or 12-B3
            continue
        if other_prefix not in ("", prefix) or int(last) < int(first):
            raise Refusal(f"“{part}” is no range.", "Write it like S01-S18.")
        if int(last) - int(first) >= MOST:
            raise Refusal(f"“{part}” are more than {MOST} subjects.", "Add fewer at once.")
        codes += [f"{prefix}{number:0{len(first)}d}" for number in range(int(first), int(last) + 1)]
    return codes
