"""The score table: one row for each sequence, arm, patient, reader and category."""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from readerstudy.statistics.faults import AnalysisFault

COLUMNS = ("sequence", "arm", "patient", "reader", "category", "score")

WHOLE_NUMBER = re.compile(r"([+-]?\d{1,9})(\.0*)?")
"""Programs that know no missing integers write 3.0 for 3; both are taken."""

Cell = Mapping[str, Mapping[str, int]]
"""The ratings of one sequence, arm and category: {patient: {reader: score}}, only what was rated."""


@dataclass(frozen=True, slots=True)
class Rating:
    """One row of the score table; `score` is None where the series was not rated. `row` is its line in the file."""

    sequence: str
    arm: str
    patient: str
    reader: str
    category: str
    score: int | None
    row: int = 0

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """What may occur only once in a table."""
        return (self.sequence, self.arm, self.category, self.patient, self.reader)


class ScoreTable:
    """Ratings, each at most once, and where they belong.

    Attributes
    ----------
    ratings
        All rows in the order given.
    sequences, arms, categories, patients, readers
        Names in the order of their first appearance.

    Raises
    ------
    AnalysisFault
        When the table is empty or holds the same rating twice.
    """

    def __init__(self, ratings: Iterable[Rating]) -> None:
        self.ratings = tuple(ratings)
        if not self.ratings:
            raise AnalysisFault("The score table holds no rows.", "Give at least one rating.")
        first_rows: dict[tuple[str, str, str, str, str], int] = {}
        for rating in self.ratings:
            if rating.key in first_rows:
                raise AnalysisFault(
                    f"Row {rating.row} rates the same series, reader and category as row {first_rows[rating.key]}: "
                    f"{rating.sequence}, {rating.arm}, patient {rating.patient}, reader {rating.reader}, "
                    f"{rating.category}.",
                    "Keep one of the two.",
                )
            first_rows[rating.key] = rating.row
        self.sequences = _first_appearances(rating.sequence for rating in self.ratings)
        self.arms = _first_appearances(rating.arm for rating in self.ratings)
        self.categories = _first_appearances(rating.category for rating in self.ratings)
        self.patients = _first_appearances(rating.patient for rating in self.ratings)
        self.readers = _first_appearances(rating.reader for rating in self.ratings)
        self._cells: dict[tuple[str, str, str], dict[str, dict[str, int]]] = {}
        self._block_readers: dict[tuple[str, str], dict[str, None]] = {}
        for rating in self.ratings:
            cell = self._cells.setdefault((rating.sequence, rating.arm, rating.category), {})
            if rating.score is not None:
                cell.setdefault(rating.patient, {})[rating.reader] = rating.score
                self._block_readers.setdefault((rating.sequence, rating.category), {})[rating.reader] = None

    def has_cell(self, sequence: str, arm: str, category: str) -> bool:
        """Whether the table has a row, rated or not, for this sequence, arm and category."""
        return (sequence, arm, category) in self._cells

    def cell(self, sequence: str, arm: str, category: str) -> Cell:
        """The ratings of one sequence, arm and category; empty where nothing was rated."""
        return self._cells.get((sequence, arm, category), {})

    def block_readers(self, sequence: str, category: str) -> tuple[str, ...]:
        """Readers with at least one rating, of any arm, in this sequence and category."""
        return tuple(self._block_readers.get((sequence, category), {}))


def _first_appearances(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def parse_score(text: str) -> int | None:
    """A whole number from text, None from empty text.

    Raises
    ------
    ValueError
        For anything else.
    """
    text = text.strip()
    if not text:
        return None
    match = WHOLE_NUMBER.fullmatch(text)
    if match is None:
        raise ValueError(text)
    return int(match[1])


def parse_scores(lines: Iterable[str]) -> ScoreTable:
    """The score table of a CSV text given line by line; further columns are ignored.

    Raises
    ------
    AnalysisFault
        With one sentence that names the row (the heading is row 1).
    """
    reader = csv.reader(lines)
    try:
        heading = [name.strip().lower() for name in next(reader, [])]
        places = _column_places(heading)
        ratings = [
            _parse_row(fields, places, len(heading), reader.line_num)
            for fields in reader
            if any(field.strip() for field in fields)
        ]
    except csv.Error as error:
        raise AnalysisFault(
            f"Row {reader.line_num} of the score table is not valid CSV ({error}).", "Save the table as CSV again."
        ) from error
    return ScoreTable(ratings)


def read_scores(path: Path) -> ScoreTable:
    """The score table of a CSV file (UTF-8). Raises AnalysisFault."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return parse_scores(file)
    except UnicodeDecodeError as error:
        raise AnalysisFault(f"{path.name} is not a text file in UTF-8.", "Save it as CSV in UTF-8.") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise AnalysisFault(f"{path} cannot be read: {reason}.", "Check the path of the score table.") from error


def _column_places(heading: Sequence[str]) -> dict[str, int]:
    expected = f"The first row names the columns {', '.join(COLUMNS)}, separated by commas."
    if not heading:
        raise AnalysisFault("The score table is empty.", expected)
    missing = [name for name in COLUMNS if name not in heading]
    if missing:
        noun = "column" if len(missing) == 1 else "columns"
        raise AnalysisFault(f"The score table lacks the {noun} {', '.join(missing)}.", expected)
    repeated = [name for name in COLUMNS if heading.count(name) > 1]
    if repeated:
        raise AnalysisFault(f"The score table has the column {repeated[0]} more than once.", expected)
    return {name: heading.index(name) for name in COLUMNS}


def _parse_row(fields: Sequence[str], places: Mapping[str, int], width: int, row: int) -> Rating:
    if len(fields) != width:
        raise AnalysisFault(
            f"Row {row} has {len(fields)} fields, the heading has {width}.",
            "Give every row as many fields as the heading; put names that contain a comma in quotes.",
        )
    named = {name: fields[place].strip() for name, place in places.items()}
    empty = [name for name in COLUMNS[:-1] if not named[name]]
    if empty:
        raise AnalysisFault(f"Row {row} names no {empty[0]}.", "Only the score may be empty (not rated).")
    try:
        score = parse_score(named["score"])
    except ValueError as error:
        raise AnalysisFault(
            f'Row {row}: the score "{named["score"][:40]}" is not a whole number.',
            "Leave the score empty where the series was not rated.",
        ) from error
    return Rating(
        named["sequence"], named["arm"], named["patient"], named["reader"], named["category"], score, row
    )
