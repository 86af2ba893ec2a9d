"""Means, shares and paired differences: known values, and how often intervals hold the true value."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tpo import stats
from tpo.errors import InputError
from tpo.stats import (
    Estimate,
    Running,
    difference_of,
    fixed,
    holm,
    mcnemar,
    mean_of,
    share_of,
    sign_flips,
    student,
    weighted_difference_of,
    weighted_p,
)

# As tables of Student's t print them.
QUANTILES = {1: 12.7062, 2: 4.3027, 3: 3.1824, 4: 2.7764, 9: 2.2622, 10: 2.2281, 29: 2.0452, 30: 2.0423, 1000: 1.9623}


@pytest.mark.parametrize("freedom", QUANTILES)
def test_quantiles_of_student(freedom: int) -> None:
    assert student(freedom) == pytest.approx(QUANTILES[freedom], abs=5e-5)


def test_the_series_for_many_degrees_goes_on_where_the_sum_ends() -> None:
    assert student(stats._MANY) == pytest.approx(student(stats._MANY + 1), abs=2e-5)


def test_mean_standard_error_and_interval() -> None:
    found = mean_of([1.0, 0.0, 1.0, 1.0], 100)
    assert (found.value, found.n) == (75.0, 4)
    assert found.error == pytest.approx(25.0)  # the sample's standard deviation is one half
    assert str(found) == "75.0 [-4.6, 154.6]"


def test_one_value_has_no_interval_and_none_no_mean() -> None:
    assert mean_of([0.782]) == Estimate(0.782, None, None, None, 1)
    assert str(mean_of([0.782], 100)) == "78.2"
    assert Running().mean() is None
    assert Running().share() is None
    with pytest.raises(InputError, match="nothing to take a mean of"):
        mean_of([])
    with pytest.raises(InputError, match="no finite number"):
        mean_of([math.nan])


def test_shares_stay_within_bounds_with_ties_and_without() -> None:
    one_tie = share_of([1.0] * 19 + [0.5], 100)
    assert one_tie.low is not None
    assert 75 < one_tie.low < one_tie.value == 97.5
    assert one_tie.high is not None
    assert 97.5 < one_tie.high <= 100
    never = share_of([0.0] * 5)
    assert never.low == 0
    assert never.high == pytest.approx(0.4345, abs=1e-4)  # Wilson's, by hand: z² / (n + z²)


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=60))
def test_the_interval_of_a_share_holds_the_share(values: list[float]) -> None:
    found = share_of(values)
    assert found.low is not None
    assert found.high is not None
    assert 0 <= found.low <= found.value + 1e-12
    assert found.value - 1e-12 <= found.high <= 1
    assert found.high > found.low


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50))
def test_running_numbers_and_kept_ones_agree(values: list[float]) -> None:
    found = mean_of(values)
    assert found.value == pytest.approx(math.fsum(values) / len(values), abs=1e-6)
    assert (found.low is None) == (len(values) == 1)


def test_differences_are_paired() -> None:
    same = difference_of([1.0, 0.0], [1.0, 0.0], 100)
    assert same.low is not None
    assert same.value == 0
    assert same.low < 0  # two queries that agree are no certainty
    graded = difference_of([0.3, 0.5, 0.9], [0.2, 0.4, 0.8])
    assert graded.value == pytest.approx(0.1)
    assert graded.low == pytest.approx(0.1)  # each is a tenth above the other: nothing varies


def test_exact_tests() -> None:
    assert mcnemar(9, 2) == pytest.approx(0.0654, abs=1e-4)
    assert (mcnemar(0, 0), mcnemar(3, 3)) == (1.0, 1.0)
    assert sign_flips([1, 2, 3, 4]) == 2 / 16
    assert sign_flips([0.0, 0.0]) == 1.0
    assert sign_flips([1.0] * 40) < 0.001
    assert sign_flips([1.0, -1.0] * 20) > 0.9
    assert holm([0.01, 0.02, 0.03]) == pytest.approx([0.03, 0.04, 0.04])
    assert holm([0.03, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])


def test_weighted_differences() -> None:
    ours, theirs = [1.0, 0.0, 0.5], [0.5, 0.5, 0.5]
    found = weighted_difference_of(ours, theirs, [6, 2, 2], [2, 2, 2], 100)
    assert found.value == pytest.approx(100 * (7 / 10 - 0.5))
    assert found.n == 3
    assert found.low is not None and found.high is not None
    assert found.low < found.value < found.high
    assert found == weighted_difference_of(ours, theirs, [6, 2, 2], [2, 2, 2], 100)
    assert weighted_difference_of([1.0], [0.5], [6], [2]) == Estimate(0.5, None, None, None, 1)
    # Of the eight ways to swap, two are as far from zero.
    assert weighted_p([1.0] * 3, [0.0] * 3, [6, 2, 2], [2, 2, 2]) == 2 / 8
    assert weighted_p([1.0, 0.0], [1.0, 0.0], [1, 3], [1, 3]) == 1.0
    assert weighted_p([1.0] * 40, [0.0] * 40, [1, 3] * 20, [1, 3] * 20) < 0.001
    assert weighted_p([1.0, 0.0] * 20, [0.0, 1.0] * 20, [1] * 40, [1] * 40) > 0.9
    with pytest.raises(InputError, match="nothing to take a mean of"):
        weighted_difference_of([], [], [], [])


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=8))
def test_equal_weights_are_none(pairs: list[tuple[float, float]]) -> None:
    ours, theirs = [one for one, _ in pairs], [other for _, other in pairs]
    same = [2.0] * len(pairs)
    assert weighted_difference_of(ours, theirs, same, same).value == pytest.approx(difference_of(ours, theirs).value)


def test_weighted_tests_without_weights_are_sign_flips() -> None:
    draw = random.Random(3)
    ours, theirs = ([draw.random() for _ in range(10)] for _ in range(2))
    gaps = [one - other for one, other in zip(ours, theirs, strict=True)]
    assert weighted_p(ours, theirs, [1] * 10, [1] * 10) == sign_flips(gaps)


def test_zero_has_no_sign() -> None:
    assert [fixed(value, 3) for value in (-0.0001, 0.0, -0.0006)] == ["0.000", "0.000", "-0.001"]


def _normal(draw: random.Random) -> float:
    return draw.gauss(0.0, 1.0)


def _share(draw: random.Random) -> float:
    return float(draw.random() < 0.7)


def _tied(draw: random.Random) -> float:
    return 0.5 if draw.random() < 0.2 else float(draw.random() < 0.6)


@pytest.mark.parametrize("n", [5, 10, 20, 50, 200])
@pytest.mark.parametrize(
    ("draw", "true", "interval"),
    [(_normal, 0.0, mean_of), (_share, 0.7, share_of), (_tied, 0.58, share_of)],
    ids=["mean", "share", "share with ties"],
)
def test_intervals_hold_the_true_value_as_often_as_their_level(
    n: int, draw: Callable[[random.Random], float], true: float, interval: Callable[[list[float]], Estimate]
) -> None:
    random_numbers, rounds, held = random.Random(7), 1500, 0
    for _ in range(rounds):
        found = interval([draw(random_numbers) for _ in range(n)])
        assert found.low is not None
        assert found.high is not None
        held += found.low <= true <= found.high
    assert 0.92 <= held / rounds <= 0.98
