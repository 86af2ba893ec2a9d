"""Who meets whom."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tpo.rewards.judges.schedule import lists, pairs

texts = st.lists(st.text(max_size=5), min_size=2, max_size=20, unique=True)


def named(given: list[str], opponents: int) -> set[frozenset[str]]:
    return {frozenset((given[i], given[j])) for i, j in pairs(given, opponents)}


@settings(deadline=None)
@given(texts, st.integers(2, 9))
def test_each_meets_enough_others_and_nobody_twice(given: list[str], opponents: int) -> None:
    met = pairs(given, opponents)
    assert len(met) == len(named(given, opponents))
    games = Counter(one for pair in met for one in pair)
    even = opponents + opponents % 2
    assert set(games.values()) == {min(even, len(given) - 1)}


@settings(deadline=None)
@given(texts, st.randoms())
def test_the_order_of_the_pool_does_not_matter(given: list[str], drawn: object) -> None:
    assert named(given, 4) == named(sorted(given), 4)
    assert named(given, 4) == named(given[::-1], 4)


@settings(deadline=None)
@given(texts, st.integers(1, 10), st.integers(2, 8))
def test_a_growing_pool_adds_no_pair_of_old_ones(given: list[str], new: int, opponents: int) -> None:
    old = given[: max(2, len(given) - new)]
    before = named(old, opponents)
    assert all(pair in before for pair in named(given, opponents) if pair <= set(old))


@settings(deadline=None)
@given(texts)
def test_all_are_connected(given: list[str]) -> None:
    groups = {one: {one} for one in range(len(given))}
    for i, j in pairs(given, 2):
        joined = groups[i] | groups[j]
        for one in joined:
            groups[one] = joined
    assert len(groups[0]) == len(given)


@pytest.mark.parametrize("count", range(2, 8))
def test_few_answers_all_meet(count: int) -> None:
    given = [str(i) for i in range(count)]
    assert sorted(pairs(given, 6)) == list(combinations(range(count), 2))


@settings(deadline=None)
@given(texts, st.integers(2, 8), st.integers(1, 6))
def test_each_round_shows_everyone_once(given: list[str], size: int, rounds: int) -> None:
    shown = lists(given, size, rounds)
    count = -(-len(given) // size)
    assert len(shown) == rounds * count
    for number in range(rounds):
        one_round = shown[number * count : (number + 1) * count]
        assert sorted(i for one in one_round for i in one) == list(range(len(given)))
        assert max(map(len, one_round)) <= size
        assert max(map(len, one_round)) - min(map(len, one_round)) <= 1


@settings(deadline=None)
@given(texts)
def test_lists_are_shown_both_ways_round(given: list[str]) -> None:
    shown = lists(given, 20, 4)
    assert shown[1] == shown[0][::-1]
    assert shown[3] == shown[2][::-1]
    again = lists(given[::-1], 20, 4)
    assert [[given[i] for i in one] for one in shown] == [[given[::-1][i] for i in one] for one in again]


def test_rounds_differ() -> None:
    first, _, second, _ = lists([str(i) for i in range(8)], 8, 4)
    assert first not in (second, second[::-1])
