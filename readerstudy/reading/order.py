"""The order in which each reader sees the series: pure, versioned, made again exactly from its seed.

Two algorithms, both version 1 (docs/blinding.md has them in words):

`simple`
    Random within each sequence, as in the paper.
`blocked`
    Each sequence is cut into as many blocks as there are arms. Every subject comes once per block, the arms are
    Latin-balanced over the blocks, and two series of one subject are at least `minimum_distance` places apart, also
    across the joins of blocks and sequences.

The order of the sequences themselves is balanced over the readers by a Williams design (a Latin square in which each
sequence also follows each other one equally often): Williams EJ, Aust J Sci Res A 1949;2:149-168.

Random numbers are our own (SHA-256 over a counter, rejection instead of modulo, Fisher-Yates): they depend on no
version of Python or of a library.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from readerstudy.faults import Refusal

VERSION = 1
ALGORITHMS = ("simple", "blocked")
MOST_REDRAWS = 1000

Part = tuple[str, list[str]]
"""A sequence's name and its series tokens in reading order."""


@dataclass(frozen=True)
class Plan:
    """The orders of all readers, and all that is needed to make them again (with the groups, for `blocked`)."""

    algorithm: str
    version: int
    seed: str
    orders: dict[str, list[Part]]

    def as_json(self) -> dict[str, object]:
        """{reader: [{"sequence": name, "series": [token, ...]}, ...]}; lists keep their order in any database."""
        return {
            reader: [{"sequence": name, "series": tokens} for name, tokens in parts]
            for reader, parts in self.orders.items()
        }


class Draws:
    """Uniform integers from SHA-256(key || counter)."""

    def __init__(self, *key: str) -> None:
        self._key = hashlib.sha256(json.dumps(key).encode()).digest()
        self._counter = 0

    def below(self, limit: int) -> int:
        """A uniform integer from 0 to `limit` - 1; words that would favour the small ones are thrown away."""
        largest = (1 << 64) - (1 << 64) % limit
        while True:
            block = hashlib.sha256(self._key + self._counter.to_bytes(8, "big")).digest()
            self._counter += 1
            word = int.from_bytes(block[:8], "big")
            if word < largest:
                return word % limit

    def shuffled(self, items: Sequence[str]) -> list[str]:
        """A uniform random permutation (Fisher-Yates)."""
        result = list(items)
        for last in range(len(result) - 1, 0, -1):
            chosen = self.below(last + 1)
            result[last], result[chosen] = result[chosen], result[last]
        return result


def make_plan(
    *,
    algorithm: str,
    seed: str,
    readers: Sequence[str],
    series: Mapping[str, Sequence[str]],
    groups: Mapping[str, tuple[str, str]] | None = None,
    minimum_distance: int | None = None,
) -> Plan:
    """Make the orders of all readers.

    Parameters
    ----------
    algorithm
        `simple` or `blocked`.
    seed
        Any text; the same seed and input give the same plan.
    readers
        Identifiers; their order does not matter.
    series
        Sequence name to series tokens; the order of the tokens does not matter.
    groups
        Of `blocked`: token to (subject, arm). Used here and nowhere kept. They enter the random numbers, so that the
        stored seed and orders alone do not tell which series belong together.
    minimum_distance
        Of `blocked`: places between two series of one subject, 1 = any. Default: half the number of subjects.

    Raises
    ------
    Refusal
        The plan is impossible, in words.
    """
    if algorithm not in ALGORITHMS:
        raise Refusal(f"The order of the series is set to “{algorithm}”.", "Choose simple or blocked.")
    if not readers or not series or not all(series.values()):
        raise Refusal("There is nothing to put in order: readers or series are missing.", "Complete the study first.")
    if len(set(readers)) != len(readers):
        raise Refusal("A reader is named twice.", "Name each reader once.")
    ordered_readers = sorted(readers)
    names = list(series)
    rows = sequence_orders(names, ordered_readers, Draws("sequences", str(VERSION), seed))
    if algorithm == "simple":
        within = _simple(seed, ordered_readers, series)
        orders = {reader: [(name, within[reader][name]) for name in rows[reader]] for reader in ordered_readers}
    else:
        if groups is None:
            raise Refusal("The blocked order needs to know which series belong together.", "Start it from the release.")
        orders = _blocked(seed, ordered_readers, series, groups, rows, minimum_distance)
    return Plan(algorithm=algorithm, version=VERSION, seed=seed, orders=orders)


def williams_rows(size: int) -> list[list[int]]:
    """Rows of a Williams design over 0 ... size - 1: `size` rows, twice as many where `size` is odd.

    The first `size` rows, and the last, are each a Latin square.
    """
    zigzag = [0]
    for step in range(1, size):
        zigzag.append((step + 1) // 2 if step % 2 else size - step // 2)
    rows = [[(place + shift) % size for place in zigzag] for shift in range(size)]
    return rows + [row[::-1] for row in rows] if size % 2 and size > 1 else rows


def sequence_orders(names: Sequence[str], readers: Sequence[str], draws: Draws) -> dict[str, list[str]]:
    """Each reader's order of the sequences; at each place each sequence comes as often as any other, or once less."""
    labels = draws.shuffled(names)
    rows = williams_rows(len(labels))
    return {
        reader: [labels[place] for place in rows[number % len(rows)]]
        for number, reader in enumerate(draws.shuffled(readers))
    }


def _simple(seed: str, readers: Sequence[str], series: Mapping[str, Sequence[str]]) -> dict[str, dict[str, list[str]]]:
    """Independent permutations; one that an earlier reader already has is drawn again where another exists."""
    orders: dict[str, dict[str, list[str]]] = {reader: {} for reader in readers}
    for name, tokens in series.items():
        canonical = sorted(tokens)
        taken: list[list[str]] = []
        for number, reader in enumerate(readers):
            draws = Draws("simple", str(VERSION), seed, name, str(number))
            order = draws.shuffled(canonical)
            while order in taken and len(taken) < math.factorial(min(len(canonical), 12)):
                order = draws.shuffled(canonical)
            taken.append(order)
            orders[reader][name] = order
    return orders


def _table(
    name: str, tokens: Sequence[str], groups: Mapping[str, tuple[str, str]]
) -> tuple[list[str], list[str], dict[tuple[str, str], str]]:
    """Subjects, arms and the token of each pair; refuses a sequence in which a pair is missing or double."""
    cells: dict[tuple[str, str], str] = {}
    for token in tokens:
        if token not in groups:
            raise Refusal(f"A series of {name} belongs to no group.", "Start the release again.")
        if groups[token] in cells:
            raise Refusal(f"Two series of {name} are of the same subject and arm.", "Keep one of them.")
        cells[groups[token]] = token
    subjects = sorted({subject for subject, _ in cells})
    arms = sorted({arm for _, arm in cells})
    if len(cells) != len(subjects) * len(arms):
        raise Refusal(
            f"The blocked order needs every subject in every arm, but in {name} some are missing.",
            "Complete the series or choose the simple order.",
        )
    return subjects, arms, cells


def _blocked(
    seed: str,
    readers: Sequence[str],
    series: Mapping[str, Sequence[str]],
    groups: Mapping[str, tuple[str, str]],
    rows: Mapping[str, Sequence[str]],
    minimum_distance: int | None,
) -> dict[str, list[Part]]:
    tables = {name: _table(name, tokens, groups) for name, tokens in series.items()}
    if len({tuple(subjects) for subjects, _, _ in tables.values()}) != 1:
        raise Refusal(
            "The blocked order needs the same subjects in every sequence.",
            "Complete the series or choose the simple order.",
        )
    subjects = next(iter(tables.values()))[0]
    distance = max(1, len(subjects) // 2) if minimum_distance is None else minimum_distance
    if not 1 <= distance <= len(subjects):
        raise Refusal(
            f"A minimum distance of {distance} between two series of one subject is not possible with "
            f"{len(subjects)} subjects.",
            f"Choose a number from 1 to {len(subjects)}, or the simple order.",
        )
    secret = hashlib.sha256(json.dumps(sorted((token, *group) for token, group in groups.items())).encode()).hexdigest()
    classes = {name: Draws("blocked", str(VERSION), seed, secret, name).shuffled(subjects) for name in series}
    orders: dict[str, list[Part]] = {}
    for number, reader in enumerate(readers):
        for redraw in range(MOST_REDRAWS):
            draws = Draws("blocked", str(VERSION), seed, secret, str(number), str(redraw))
            parts: list[Part] = []
            previous: list[str] | None = None
            for name in rows[reader]:
                _, arms, cells = tables[name]
                latin = williams_rows(len(arms))
                labels = Draws("arms", str(VERSION), seed, secret, name).shuffled(arms)
                row_of = {subject: _latin_row(place, number, len(arms)) for place, subject in enumerate(classes[name])}
                tokens: list[str] = []
                for block in range(len(arms)):
                    previous = _next_block(subjects, previous, distance, draws)
                    tokens += [cells[subject, labels[latin[row_of[subject]][block]]] for subject in previous]
                parts.append((name, tokens))
            if not any(part in other for other in orders.values() for part in parts):
                break  # no sequence has the order that an earlier reader has, where another exists
        orders[reader] = parts
    return orders


def _latin_row(place: int, reader: int, arms: int) -> int:
    """The row of the Williams design for the subject at `place` of the shuffled list, moved on from reader to reader.

    As many neighbouring subjects as there are arms always get the rows of one Latin square (of the two that an odd
    number of arms has), so every block holds each arm equally often, or once less.
    """
    square = (place // arms + reader // arms) % 2 if arms % 2 and arms > 1 else 0
    return square * arms + (place + reader) % arms


def _next_block(subjects: Sequence[str], previous: Sequence[str] | None, distance: int, draws: Draws) -> list[str]:
    """One block, uniform over all permutations that keep the distance to the block before it.

    A subject at place p of the block before may stand at place p - (n - distance) or later. Filled from the front there
    are always equally many candidates whatever was chosen before, so choosing among them evenly is uniform.
    """
    if previous is None:
        return draws.shuffled(subjects)
    slack = len(subjects) - distance
    waiting = list(previous)
    candidates: list[str] = []
    result: list[str] = []
    for place in range(len(subjects)):
        while waiting and len(candidates) + len(result) <= min(place + slack, len(subjects) - 1):
            candidates.append(waiting.pop(0))
        result.append(candidates.pop(draws.below(len(candidates))))
    return result
