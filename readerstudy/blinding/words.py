"""Words that tell an arm or a subject, and the search for them."""

import re

from readerstudy.studies.models import Study

SHORTEST = 3
"""Shorter names would be found by chance in any binary header."""

ALWAYS = (rb"NEX", rb"DL[ _-]?\d\d", rb"denois\w*", rb"noise[ _-]?reduction",
          rb"GRAPPA", rb"ESPIRiT", rb"L1[ _-]?wavelet", rb"compressed[ _-]sensing", rb"(?-i:SENSE)")  # fmt: skip
"""SENSE in capitals alone: the word "sense" may stand in an anchor."""


def arm_words(study: Study) -> list[str]:
    """Names of arms and acquisitions of the study."""
    names = {*study.arms.values_list("name", flat=True), *study.acquisitions.values_list("name", flat=True)}
    return sorted(name for name in names if len(name) >= SHORTEST)


def subject_words(study: Study) -> list[str]:
    """Codes of the study's subjects."""
    return sorted(code for code in study.subjects.values_list("code", flat=True) if len(code) >= SHORTEST)


def pattern(words: list[str]) -> re.Pattern[bytes]:
    """Finds any of `words`, or a word that always tells an arm, standing alone, in any case of letters."""
    alternatives = [re.escape(word.encode()) for word in words] + list(ALWAYS)
    return re.compile(rb"(?<![A-Za-z0-9])(?:" + rb"|".join(alternatives) + rb")(?![A-Za-z0-9])", re.IGNORECASE)


def found_in(content: bytes, search: re.Pattern[bytes]) -> list[str]:
    """The distinct words found, as they stand there."""
    return sorted({match.group().decode(errors="replace") for match in search.finditer(content)})
