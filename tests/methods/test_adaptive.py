"""adaptive: its first wave, where its waves go, and when it ends."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import msgspec
import pytest

from tpo.candidate import Candidate
from tpo.messages import conversation
from tpo.methods import Ask, Outcome, Reply, find_method
from tpo.methods.bandit import PLAIN, Bandit
from tpo.methods.stopping import RewardPrior
from tpo.prompts import PromptSet

QUERY = conversation("How do I clean a table?")
PROMPTS = PromptSet()
FOX = "kept 1 of 2 requirements; missing: uses the word fox"


def start(maximum: float | None = 1.0, seed: int = 7, **own: Any) -> Any:
    method = find_method("adaptive")
    return method.start(QUERY, width=5, depth=2, prompts=PROMPTS, settings=own, seed=seed, maximum=maximum)


def candidate(name: str, reward: float | None, feedback: str | None = None, tokens: int = 10) -> Candidate:
    return Candidate(name, int(name[0]), f"text {name}", reward, feedback=feedback, tokens=tokens)


def end_of(search: Any, results: Any) -> Outcome:
    with pytest.raises(StopIteration) as end:
        search.send(results)
    outcome: Outcome = end.value.value
    return outcome


def test_it_ends_after_one_answer_that_cannot_be_better() -> None:
    search = start()
    assert next(search).width == 1
    assert end_of(search, [candidate("0.0", 1.0)]) == Outcome(candidate("0.0", 1.0), "enough")


def test_it_ends_after_two_where_no_way_is_worth_its_price() -> None:
    search = start(first=2, price=0.4)
    assert next(search).width == 2
    assert end_of(search, [candidate("0.0", 0.9, FOX), candidate("0.1", 0.9, FOX)]).stop == "enough"


def test_equal_rewards_show_no_scale_for_its_price_where_no_maximum_is_known() -> None:
    search = start(maximum=None, arms=["resample"])
    assert next(search).width == 5
    wave = search.send([candidate(f"0.{i}", 0.5) for i in range(5)])
    assert sum(sample.width for sample in wave) == 2
    assert end_of(search, [[candidate("1.0", 0.5), candidate("1.1", 0.51)]]).stop == "enough"


@pytest.mark.parametrize("rewards", [(-300.0, -290.0, -280.0, -260.0, -250.0), (None,) * 5])
def test_it_goes_on_while_no_answer_can_be_used(rewards: tuple[float | None, ...]) -> None:
    search = start(maximum=None, price=1000.0)
    next(search)
    drawn = [candidate(f"0.{i}", reward) for i, reward in enumerate(rewards)]
    wave = search.send([msgspec.structs.replace(one, leaked="words of ours" if one.reward else None) for one in drawn])
    while isinstance(wave, Ask):
        wave = search.send(Reply("Be brief.", 5))
    assert sum(sample.width for sample in wave) == 2
    # An answer that can be used is then worth stopping at.
    found = [[candidate(f"1.{i}.{j}", -270.0 - i - j) for j in range(one.width)] for i, one in enumerate(wave)]
    outcome = end_of(search, found)
    assert (outcome.chosen.reward, outcome.stop) == (-270.0, "enough")


def test_words_of_the_reward_go_into_the_second_wave() -> None:
    search = start(arms=["restate", "words"])
    next(search)
    wave = search.send([candidate("0.0", 0.5, FOX)])
    assert sum(sample.width for sample in wave) == 2
    assert {sample.prompt.name for sample in wave} <= {"restate", "words"}
    assert all("uses the word fox" in sample.prompt.messages[-1]["content"] for sample in wave)


def test_a_reward_without_words_has_no_arms_that_need_them() -> None:
    names: Counter[str] = Counter()
    for seed in range(20):
        search = start(maximum=None, seed=seed, price=0.0)
        assert next(search).width == 5
        wish = search.send([candidate(f"0.{i}", i / 10) for i in range(5)])
        if isinstance(wish, Ask):
            wish = search.send(Reply("Be brief.", 5))
        names.update({sample.prompt.name: sample.width for sample in wish})
    assert names.keys() <= {"answer", "fuse", "fused_update"}
    assert names["answer"] > 0


def test_the_whole_of_it_draws_as_many_answers_as_tpo() -> None:
    search = start(arms=["resample"], price=0.0)
    wish = next(search)
    widths, step = [wish.width], 0
    try:
        wish = search.send([candidate("0.0", 0.2)])
        while True:
            step += 1
            widths.append(sum(sample.width for sample in wish))
            wish = search.send(
                [[candidate(f"{step}.{i}.{j}", 0.3) for j in range(one.width)] for i, one in enumerate(wish)]
            )
    except StopIteration as end:
        assert end.value.stop == "depth"
    assert widths == [1, 2, 4, 8]


def test_arms_that_are_alike_get_alike_shares() -> None:
    shares: Counter[str] = Counter()
    for seed in range(1000):
        bandit = Bandit({PLAIN: 0.0, "a": 0.0, "b": 0.0}, {}, 1.0, random.Random(seed))
        for arm in (PLAIN, "a", "b"):
            bandit.record(arm, [candidate("0.0", 0.4), candidate("0.1", 0.6)])
        shares.update(bandit.split(["a", "b"], 1, 0.6))
    assert abs(shares["a"] - shares["b"]) < 130


def test_the_arm_that_gains_more_per_token_gets_more() -> None:
    def share_of_a(rewards: tuple[float, float], tokens: tuple[int, int]) -> float:
        bandit = Bandit({"a": 0.0, "b": 0.0}, {}, 1.0, random.Random(1))
        bandit.record(PLAIN, [candidate("0.0", 0.4)])
        for arm, reward, spent in zip("ab", rewards, tokens, strict=True):
            bandit.record(arm, [candidate(f"1.{i}", reward + i / 50, tokens=spent) for i in range(4)])
        return bandit.split(["a", "b"], 300, 0.6).get("a", 0) / 300

    assert share_of_a((0.6, 0.2), (10, 10)) > 0.8
    assert share_of_a((0.4, 0.4), (10, 100)) > 0.8
    assert share_of_a((0.4, 0.4), (100, 10)) < 0.2


def test_the_belief_after_one_reward_by_hand() -> None:
    # TreeQuest's prior m=0, k=1, nu=1, t=.1 after a reward of .8: m=.4, k=2, nu=2, t=(.1 + .8^2/2)/2.
    assert RewardPrior(0.0).after([0.8]) == pytest.approx((0.4, 2, 2, 0.21))


def test_failures_count_as_the_worst_answer() -> None:
    bandit = Bandit({"a": 0.0}, {}, 1.0, random.Random(1))
    bandit.record(PLAIN, [candidate("0.0", 0.2), candidate("0.1", 0.8)])
    bandit.record("a", [candidate("1.0", None)])
    with_worst = Bandit({"a": 0.0}, {}, 1.0, random.Random(1))
    with_worst.record(PLAIN, [candidate("0.0", 0.2), candidate("0.1", 0.8)])
    with_worst.record("a", [candidate("1.0", 0.2)])
    assert bandit.belief("a") == with_worst.belief("a")


def test_the_latest_rewards_count() -> None:
    # A reward that compares answers gives old ones another reward with every wave.
    now = [candidate("0.0", 0.6), candidate("0.1", 0.4)]
    bandits = [Bandit({"a": 0.0}, {}, None, random.Random(1)) for _ in range(2)]
    bandits[0].record(PLAIN, [candidate("0.0", 2.0), candidate("0.1", 8.0)])
    bandits[0].renew([*now, candidate("1.0", 9.0)])
    bandits[1].record(PLAIN, now)
    assert bandits[0].belief("a") == bandits[1].belief("a")
