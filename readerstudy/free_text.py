"""Text that people write: reasons, remarks, names, as it is kept."""

from unicodedata import category

BLANK_SYMBOLS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and a symbol by their category that show nothing: Hangul fillers, the Braille pattern without dots."""


def kept_text(text: str) -> str:
    """The text without space around it and without what no database keeps; empty where nothing of it can be seen.

    Control characters (NUL, which PostgreSQL refuses) and halves of surrogate pairs go; a control character that parts
    words becomes a space; new lines and tabs stay. A text of format characters and space alone (zero width spaces, for
    instance) is empty: it says nothing to whoever reads the trail.
    """
    kept = "".join(map(_kept, text.replace("\r\n", "\n").replace("\r", "\n"))).strip()
    return kept if any(map(_shows, kept)) else ""


def _kept(character: str) -> str:
    if category(character) not in ("Cc", "Cs") or character in "\n\t":
        return character
    return " " if character.isspace() else ""


def _shows(character: str) -> bool:
    """Whether there is ink: a letter, number, punctuation mark or symbol."""
    return category(character)[0] in "LNPS" and character not in BLANK_SYMBOLS
