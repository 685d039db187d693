"""Properties of the order plans."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from readerstudy.faults import Refusal
from readerstudy.reading import order


def design(subjects: int, arms: int, sequences: int):
    """Tokens of a complete design, and what each token stands for."""
    series: dict[str, list[str]] = {}
    groups: dict[str, tuple[str, str]] = {}
    for sequence in range(sequences):
        tokens = []
        for subject in range(subjects):
            for arm in range(arms):
                token = f"t{hash((sequence, subject, arm, 7)) & 0xFFFFFFFF:08x}-{sequence}{subject}{arm}"
                groups[token] = (f"subject {subject}", f"arm {arm}")
                tokens.append(token)
        series[f"sequence {sequence}"] = tokens
    return series, groups


sizes = st.tuples(st.integers(1, 8), st.integers(1, 6), st.integers(1, 4), st.integers(1, 6))


@settings(max_examples=60, deadline=None)
@given(sizes, st.text(max_size=20), st.sampled_from(order.ALGORITHMS))
def test_every_series_once_for_every_reader_and_again_from_the_seed(size, seed, algorithm):
    subjects, arms, sequences, count = size
    series, groups = design(subjects, arms, sequences)
    readers = [str(number) for number in range(count)]
    plan = order.make_plan(algorithm=algorithm, seed=seed, readers=readers, series=series, groups=groups)
    assert set(plan.orders) == set(readers)
    for parts in plan.orders.values():
        assert {name: sorted(tokens) for name, tokens in parts} == {n: sorted(t) for n, t in series.items()}
        assert len(parts) == sequences
    shuffled = {name: tokens[::-1] for name, tokens in series.items()}
    again = order.make_plan(algorithm=algorithm, seed=seed, readers=readers[::-1], series=shuffled, groups=groups)
    assert again.as_json() == plan.as_json()


@settings(max_examples=40, deadline=None)
@given(st.integers(3, 8), st.integers(2, 5), st.integers(2, 6), st.text(max_size=20), st.sampled_from(order.ALGORITHMS))
def test_readers_differ_and_another_seed_gives_another_plan(subjects, arms, count, seed, algorithm):
    series, groups = design(subjects, arms, 2)
    readers = [str(number) for number in range(count)]
    plan = order.make_plan(algorithm=algorithm, seed=seed, readers=readers, series=series, groups=groups)
    for name in series:
        orders = [tuple(dict(parts)[name]) for parts in plan.orders.values()]
        assert len(set(orders)) == len(orders)
    other = order.make_plan(algorithm=algorithm, seed=seed + "x", readers=readers, series=series, groups=groups)
    assert other.as_json() != plan.as_json()


@settings(max_examples=40, deadline=None)
@given(sizes, st.text(max_size=20))
def test_sequence_order_is_balanced_over_the_readers(size, seed):
    _, _, sequences, count = size
    series, _ = design(2, 2, sequences)
    readers = [str(number) for number in range(count)]
    plan = order.make_plan(algorithm="simple", seed=seed, readers=readers, series=series)
    for place in range(sequences):
        at_this_place = Counter(dict.fromkeys(series, 0))
        at_this_place.update(parts[place][0] for parts in plan.orders.values())
        assert max(at_this_place.values()) - min(at_this_place.values()) <= 1


@pytest.mark.parametrize("size", range(1, 9))
def test_williams_rows_are_latin_squares_in_which_each_follows_each_equally_often(size):
    rows = order.williams_rows(size)
    assert len(rows) == (size if size % 2 == 0 or size == 1 else 2 * size)
    for first in range(0, len(rows), size):
        square = rows[first : first + size]
        for place in range(size):
            assert sorted(row[place] for row in square) == list(range(size))
        assert all(sorted(row) == list(range(size)) for row in square)
    following = Counter(pair for row in rows for pair in pairwise(row))
    if size > 1:
        assert len(following) == size * (size - 1)
        assert len(set(following.values())) == 1


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 9), st.integers(1, 6), st.integers(1, 3), st.integers(1, 4), st.text(max_size=10), st.data())
def test_blocked_order_keeps_its_constraints(subjects, arms, sequences, count, seed, data):
    distance = data.draw(st.integers(1, subjects))
    series, groups = design(subjects, arms, sequences)
    plan = order.make_plan(
        algorithm="blocked",
        seed=seed,
        readers=[str(number) for number in range(count)],
        series=series,
        groups=groups,
        minimum_distance=distance,
    )
    for parts in plan.orders.values():
        whole = [token for _, tokens in parts for token in tokens]
        last: dict[str, int] = {}
        for place, token in enumerate(whole):
            subject = groups[token][0]
            if subject in last:
                assert place - last[subject] >= distance
            last[subject] = place
        for _, tokens in parts:
            assert len(tokens) == subjects * arms
            for block in range(arms):
                inside = [groups[token] for token in tokens[block * subjects : (block + 1) * subjects]]
                assert len({subject for subject, _ in inside}) == subjects
                counts = Counter({f"arm {arm}": 0 for arm in range(arms)})
                counts.update(arm for _, arm in inside)
                assert max(counts.values()) - min(counts.values()) <= 1


def test_blocked_order_is_uniform_over_what_the_distance_allows():
    """Three subjects, distance 2: the second block has 4 equally likely orders (2 x 2 x 1 choices)."""
    seen: Counter[tuple[int, ...]] = Counter()
    for number in range(2000):
        block = order._next_block(["a", "b", "c"], ["a", "b", "c"], 2, order.Draws(str(number)))
        seen[tuple("abc".index(subject) for subject in block)] += 1
    assert len(seen) == 4
    assert all(abs(count - 500) < 5 * (500 * 0.75) ** 0.5 for count in seen.values())


def test_simple_order_is_uniform():
    seen = Counter(tuple(order.Draws(str(number)).shuffled("abc")) for number in range(3000))
    assert len(seen) == 6
    assert all(abs(count - 500) < 5 * (500 * 5 / 6) ** 0.5 for count in seen.values())


def test_plan_of_version_1_never_changes():
    """A stored seed must give the same orders in any later release of the program."""
    series = {"one": ["a", "b", "c", "d"], "two": ["e", "f", "g", "h"]}
    plan = order.make_plan(algorithm="simple", seed="seed", readers=["7", "8"], series=series)
    assert plan.as_json() == {
        "7": [
            {"sequence": "one", "series": ["d", "a", "c", "b"]},
            {"sequence": "two", "series": ["h", "e", "g", "f"]},
        ],
        "8": [
            {"sequence": "two", "series": ["f", "h", "g", "e"]},
            {"sequence": "one", "series": ["a", "b", "c", "d"]},
        ],
    }


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"algorithm": "alphabetical"}, "Choose simple or blocked"),
        ({"readers": []}, "readers or series are missing"),
        ({"readers": ["1", "1"]}, "named twice"),
        ({"groups": None}, "needs to know which series belong together"),
        ({"minimum_distance": 5}, "minimum distance of 5 between two series of one subject is not possible with 4"),
        ({"minimum_distance": 0}, "not possible"),
    ],
)
def test_impossible_plans_are_refused_in_words(change, says):
    series, groups = design(4, 2, 2)
    call = {"algorithm": "blocked", "seed": "s", "readers": ["1"], "series": series, "groups": groups, **change}
    with pytest.raises(Refusal, match=says):
        order.make_plan(**call)


def test_blocked_order_refuses_an_incomplete_design():
    series, groups = design(4, 2, 2)
    series["sequence 0"] = series["sequence 0"][:-1]
    with pytest.raises(Refusal, match="every subject in every arm"):
        order.make_plan(algorithm="blocked", seed="s", readers=["1"], series=series, groups=groups)


def test_seed_and_orders_alone_do_not_make_a_blocked_plan_again():
    """Who sees the stored plan but not the key cannot try which grouping it came from by a seed alone."""
    series, groups = design(6, 2, 1)
    plan = order.make_plan(algorithm="blocked", seed="s", readers=["1"], series=series, groups=groups)
    swapped = {token: (subject, "arm 1" if arm == "arm 0" else "arm 0") for token, (subject, arm) in groups.items()}
    other = order.make_plan(algorithm="blocked", seed="s", readers=["1"], series=series, groups=swapped)
    assert plan.as_json() != other.as_json()
