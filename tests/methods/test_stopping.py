"""The stop rule: its numbers by hand, and where it ends a search."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tpo.candidate import Candidate
from tpo.errors import InputError
from tpo.messages import conversation
from tpo.methods import Outcome, Pool, find_method
from tpo.methods.cost import cost_of
from tpo.methods.stopping import RewardPrior, StopRule, _student, expected_gain, waves
from tpo.prompts import PromptSet

QUERY = conversation("How?")


def pool_of(*rewards: float | None) -> Pool:
    pool = Pool()
    pool.add(Candidate(f"0.{i}", 0, f"text {i}", reward) for i, reward in enumerate(rewards))
    return pool


def test_the_expected_gain_by_hand() -> None:
    # Prior 0.5, 1, 1, 0.1 and rewards .2 .4 .6 .8: centre .5, five degrees, variance .06, scale .2683.
    belief = RewardPrior(0.5).after([0.2, 0.4, 0.6, 0.8])
    assert belief == pytest.approx((0.5, 5, 5, 0.06))
    assert math.sqrt(belief.variance * (1 + 1 / belief.mean_weight)) == pytest.approx(0.2683, abs=5e-5)
    assert expected_gain([0.2, 0.4, 0.6, 0.8], RewardPrior(0.5)) == pytest.approx(0.0343, abs=5e-5)


@pytest.mark.parametrize(
    ("t", "freedom", "share"),
    # From tables of Student's t.
    [(0, 3, 0.5), (6.314, 1, 0.95), (2.920, 2, 0.95), (2.353, 3, 0.95), (-2.015, 5, 0.05), (1.812, 10, 0.95)],
)
def test_students_distribution(t: float, freedom: int, share: float) -> None:
    assert _student(t, freedom) == pytest.approx(share, abs=2e-4)


def test_a_price_decides_between_going_on_and_stopping() -> None:
    pool = pool_of(0.2, 0.4, 0.6, 0.8)
    assert not StopRule(0.02, maximum=1.0).enough(pool)
    assert StopRule(0.05, maximum=1.0).enough(pool)


def test_the_maximum_stops_at_once_and_no_price_never_does() -> None:
    assert StopRule(maximum=1.0).enough(pool_of(1.0))
    assert not StopRule(maximum=1.0).enough(pool_of(0.9, 0.9, 0.9, 0.9, 0.9))
    assert not StopRule().enough(pool_of(*[0.5] * 50))


def test_the_fewest_answers_are_two_and_three_where_no_maximum_is_known() -> None:
    rewards = [0.5, 0.4, 0.3]
    stops = [[StopRule(10.0, maximum).enough(pool_of(*rewards[:n])) for n in (1, 2, 3)] for maximum in (1.0, None)]
    assert stops == [[False, True, True], [False, False, True]]


def test_equal_rewards_show_no_scale_and_stop_nothing_where_no_maximum_is_known() -> None:
    alike = [0.5] * 9
    assert not StopRule(0.05).enough(pool_of(*alike))
    assert StopRule(0.05).enough(pool_of(*alike, 0.51))
    assert StopRule(0.05, maximum=1.0).enough(pool_of(*alike))


def test_an_answer_that_repeats_our_words_is_never_enough() -> None:
    leaked = Candidate("0.0", 0, "a", 1.0, leaked="words of ours")
    pool = Pool()
    pool.add([leaked])
    assert not StopRule(maximum=1.0).enough(pool)
    pool.add([Candidate("1.0", 1, "b", 0.4)])
    assert not StopRule(maximum=1.0).enough(pool)
    search = find_method("adaptive").start(QUERY, width=2, depth=1, prompts=PromptSet(), seed=1, maximum=1.0)
    next(search)
    assert search.send([leaked])  # goes on


def test_a_search_may_end_after_two_answers() -> None:
    search = find_method("best-of-n").start(
        QUERY, width=16, depth=0, prompts=PromptSet(), settings={"wave": 1, "price": 0.2}, maximum=1.0
    )
    next(search)
    assert search.send([Candidate("0.0", 0, "a", 0.9)]).width == 1  # type: ignore[union-attr]
    with pytest.raises(StopIteration) as end:
        search.send([Candidate("1.0", 1, "b", 0.85)])
    assert end.value.value == Outcome(Candidate("0.0", 0, "a", 0.9), "enough")


def test_tpo_stops_before_its_critic_where_nothing_can_be_better() -> None:
    search = find_method("tpo").start(QUERY, width=2, depth=2, prompts=PromptSet(), maximum=1.0)
    next(search)
    with pytest.raises(StopIteration) as end:
        search.send([Candidate("0.0", 0, "a", 1.0), Candidate("0.1", 0, "b", 0.5)])
    assert end.value.value.stop == "enough"


@given(
    st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=30),
    st.floats(-1e3, 1e3),
    st.floats(0, 1e6),
)
def test_the_expected_gain_is_a_number_and_never_negative(rewards: list[float], mean: float, variance: float) -> None:
    gain = expected_gain(rewards, RewardPrior(mean, variance=variance))
    assert math.isfinite(gain)
    assert gain >= -1e-6 * (1 + max(map(abs, rewards)))


@given(st.lists(st.none() | st.floats(-1e6, 1e6)), st.floats(0, 10), st.none() | st.floats(-10, 10))
def test_the_rule_never_fails(rewards: list[float | None], price: float, maximum: float | None) -> None:
    StopRule(price, maximum).enough(pool_of(*rewards))


def test_what_is_believed_after_one_reward_by_hand() -> None:
    # TreeQuest's prior after one reward of .8.
    assert RewardPrior(0.0).after([0.8]) == pytest.approx((0.4, 2, 2, 0.21))


def test_best_of_n_in_waves_ends_when_the_reward_is_the_largest_there_is() -> None:
    search = find_method("best-of-n").start(
        QUERY, width=16, depth=0, prompts=PromptSet(), settings={"wave": 1}, maximum=1.0
    )
    next(search)
    with pytest.raises(StopIteration) as end:
        search.send([Candidate("0.0", 0, "a", 1.0)])
    assert end.value.value.stop == "enough"


@pytest.mark.parametrize("name", ["tpo", "rsa", "feedback-descent", "revision", "tpo-fused"])
def test_a_price_ends_a_method_at_the_end_of_a_step(name: str) -> None:
    method = find_method(name)
    own = {"price": 0.2}
    search = method.start(QUERY, width=3, depth=2, prompts=PromptSet(), settings=own, seed=1, maximum=1.0)
    next(search)
    with pytest.raises(StopIteration) as end:
        search.send([Candidate(f"0.{i}", 0, f"text {i}", 0.9) for i in range(3)])
    assert end.value.value.stop == "enough"


@pytest.mark.parametrize(
    ("wave", "width", "sizes"),
    [
        (0, 5, [5]),
        (2, 5, [2, 2, 1]),
        ([2, 5, 8], 15, [2, 5, 8]),
        ([2, 3], 9, [2, 3, 3, 1]),
        ([2, 5, 8], 4, [2, 2]),
        ([4], 9, [4, 4, 1]),
        (3, 0, []),
    ],
)
def test_waves_add_up_to_the_width_and_the_last_size_repeats(
    wave: int | list[int], width: int, sizes: list[int]
) -> None:
    assert list(waves(wave, width)) == sizes


def test_waves_that_grow_draw_as_many_answers_in_fewer_stages() -> None:
    method = find_method("best-of-n")
    found = [cost_of(method, 15, 0, method.chosen_settings({"wave": wave})) for wave in ("2", "2,5,8", [2, 5, 8])]
    assert found == [(15, 0, 8), (15, 0, 3), (15, 0, 3)]
    # Every step begins with the first wave again.
    assert cost_of(find_method("restate"), 5, 2, {"wave": [2, 3]}) == (15, 0, 6)


@pytest.mark.parametrize("wave", ["2,0", "2,x", "", [], [2, -1], 1.5])
def test_waves_that_cannot_be_drawn_are_refused(wave: object) -> None:
    with pytest.raises(InputError, match="The setting wave of the method best-of-n is"):
        find_method("best-of-n").chosen_settings({"wave": wave})
