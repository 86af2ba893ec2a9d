"""Bradley–Terry and Plackett–Luce."""

from __future__ import annotations

import math
import random
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tpo.rewards.judges.bradley_terry import Chosen, match, ranking, strengths

shares = st.floats(0, 1)


@st.composite
def tournaments(draw: st.DrawFn, most: int = 7) -> tuple[int, dict[tuple[int, int], float]]:
    """Everyone against everyone, once."""
    count = draw(st.integers(2, most))
    return count, {pair: draw(shares) for pair in combinations(range(count), 2)}


def fitted(count: int, games: dict[tuple[int, int], float]) -> list[float]:
    return strengths(count, [choice for (i, j), won in games.items() for choice in match(i, j, won)])


@settings(deadline=None)
@given(tournaments())
def test_the_order_follows_the_wins(tournament: tuple[int, dict[tuple[int, int], float]]) -> None:
    count, games = tournament
    wins = [sum(won if i == one else 1 - won for (i, j), won in games.items() if one in (i, j)) for one in range(count)]
    values = fitted(count, games)
    for i, j in combinations(range(count), 2):
        if abs(wins[i] - wins[j]) > 1e-6:
            assert (values[i] > values[j]) == (wins[i] > wins[j])
        elif wins[i] == wins[j]:
            assert values[i] == pytest.approx(values[j], abs=1e-6)


@settings(deadline=None)
@given(tournaments(), st.randoms())
def test_numbering_does_not_matter(tournament: tuple[int, dict[tuple[int, int], float]], drawn: random.Random) -> None:
    count, games = tournament
    new = drawn.sample(range(count), count)
    renumbered = {(new[i], new[j]): won for (i, j), won in drawn.sample(list(games.items()), len(games))}
    before, after = fitted(count, games), fitted(count, renumbered)
    assert [after[new[i]] for i in range(count)] == pytest.approx(before, abs=1e-6)


@settings(deadline=None)
@given(st.integers(1, 30), st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29), shares), max_size=60))
def test_always_finite(count: int, games: list[tuple[int, int, float]]) -> None:
    choices = [c for i, j, won in games if i != j for c in match(i % count, j % count, won) if i % count != j % count]
    values = strengths(count, choices)
    assert len(values) == count
    assert all(math.isfinite(value) for value in values)


def test_winning_every_time_is_finite_however_often() -> None:
    values = strengths(3, match(0, 1, 1.0) * 10_000 + match(1, 2, 1.0) * 10_000)
    assert values[0] > values[1] > values[2]
    assert values[0] - values[2] < 50


@pytest.mark.parametrize("prior", [0.0, 1e-9])
def test_millions_of_games_outweigh_a_prior_without_an_error(prior: float) -> None:
    values = strengths(3, match(0, 1, 0.5) * 1_000 + [Chosen(1, (1, 2), 1e12), Chosen(2, (1, 2), 1e12)], prior)
    assert values == pytest.approx([0.0, 0.0, 0.0], abs=1e-6)


def test_it_is_the_maximum() -> None:
    # One game won against one opponent: d/dx [log s(2x) + 0.5 log s(x) + 0.5 log s(-x) twice] has a known root.
    values = strengths(2, match(0, 1, 1.0), prior=0.5)
    x = values[0]
    assert values[1] == -x
    won = 1 / (1 + math.exp(-2 * x))
    assert (1 - won) - 0.25 * math.tanh(x / 2) == pytest.approx(0, abs=1e-8)


def test_known_strengths_are_recovered_from_pairs() -> None:
    true = [1.5, 0.5, 0.0, -0.5, -1.5]
    games = [
        Chosen(best, (i, j), 1000 / (1 + math.exp(true[other] - true[best])))
        for i, j in combinations(range(5), 2)
        for best, other in ((i, j), (j, i))
    ]
    assert strengths(5, games) == pytest.approx(true, abs=0.01)


def drawn_ranking(true: list[float], drawn: random.Random) -> list[int]:
    """Strength plus Gumbel noise, in order, is Plackett–Luce's."""
    noisy = {i: value - math.log(-math.log(drawn.random())) for i, value in enumerate(true)}
    return sorted(noisy, key=noisy.__getitem__, reverse=True)


def test_known_strengths_are_recovered_from_rankings() -> None:
    true = [1.0, 0.0, -1.2, 0.2]
    drawn = random.Random(3)
    choices = [choice for _ in range(3000) for choice in ranking(drawn_ranking(true, drawn))]
    assert strengths(4, choices) == pytest.approx(true, abs=0.1)


def test_rankings_of_different_lists_are_joined() -> None:
    true = [1.5, 0.5, -0.5, -1.5]
    drawn = random.Random(4)
    lists = [one for one in combinations(range(4), 3) for _ in range(1000)]
    choices = [
        choice
        for shown in lists
        for choice in ranking([shown[place] for place in drawn_ranking([true[i] for i in shown], drawn)])
    ]
    assert strengths(4, choices) == pytest.approx(true, abs=0.15)


def test_a_ranking_is_a_row_of_choices() -> None:
    assert ranking([2, 0, 1]) == [Chosen(2, (2, 0, 1)), Chosen(0, (0, 1))]


def test_nothing_known_is_all_equal() -> None:
    assert strengths(3, []) == [0.0, 0.0, 0.0]
    assert strengths(0, []) == []
    assert strengths(2, match(0, 1, 0.5)) == [0.0, 0.0]
