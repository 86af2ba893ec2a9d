"""What earlier queries teach: the lifts of prompts by hand, and how `adaptive` uses them."""

from __future__ import annotations

import random
from collections import Counter
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tpo.candidate import Candidate
from tpo.messages import conversation
from tpo.methods import find_method
from tpo.methods.adaptive import LIFTS
from tpo.methods.bandit import PLAIN, Bandit
from tpo.methods.lifts import Lift, lifts_of, together
from tpo.prompts import PromptSet

PROMPTS = PromptSet()
QUERY = conversation("How do I clean a table?")
REWARDS = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=4)
FOX = "kept 1 of 2 requirements; missing: uses the word fox"


def test_a_lift_by_hand() -> None:
    # Squares .1 (the usual prior) and .5 (of 1 and 0 around their mean) over 1 + 0 + 1 + 1 degrees: a scale of
    # sqrt(.2). Two answers beside two plain ones weigh 2; the first wave has nothing to compare with.
    waves = [{"answer": [0.0]}, {"answer": [0.0, 0.0], "restate": [1.0, 0.0]}]
    assert lifts_of(waves, 1.0) == {"restate": pytest.approx((2.0, 0.5 / 0.2**0.5))}
    # Without a known maximum the scale is that of the rewards alone: sqrt(.5 / 2).
    assert lifts_of(waves, None) == {"restate": pytest.approx((2.0, 1.0))}


def test_waves_count_by_their_pairs() -> None:
    # One answer beside three plain ones weighs 1.5, three beside three weigh 3.
    scale = (0.1 / (1 + 2 + 2 + 2)) ** 0.5
    waves = [{"answer": [0.5] * 3, "words": [0.2]}, {"answer": [0.2] * 3, "words": [0.4] * 3}]
    assert lifts_of(waves, 1.0)["words"] == pytest.approx((4.5, (1.5 * -0.3 + 3 * 0.2) / 4.5 / scale))
    assert together([Lift(1.5, -0.3), Lift(3, 0.2)]) == pytest.approx((4.5, (1.5 * -0.3 + 3 * 0.2) / 4.5))


def test_answers_that_are_all_alike_show_that_nothing_helps() -> None:
    waves = [{"answer": [0.0]}, {"answer": [0.0], "restate": [0.0]}]
    assert lifts_of(waves, 1.0) == {"restate": (1.0, 0.0)}
    assert lifts_of(waves, None) == {}  # the scale is not known
    assert lifts_of([], 1.0) == {}
    assert lifts_of([{"restate": [1.0]}], 1.0) == {}


def test_an_outlier_counts_as_five_deviations() -> None:
    assert lifts_of([{"answer": [-1e6], "words": [1.0]}], 1.0) == {"words": (1.0, 5.0)}


@given(
    waves=st.lists(st.dictionaries(st.sampled_from(["answer", "words", "fuse"]), REWARDS, min_size=1), max_size=4),
    maximum=st.none() | st.floats(allow_nan=False, allow_infinity=False),
)
def test_lifts_are_finite_whatever_the_rewards(waves: list[dict[str, list[float]]], maximum: float | None) -> None:
    for one in lifts_of(waves, maximum).values():
        assert 0 < one.weight < 100
        assert -5 <= one.mean <= 5


def test_what_was_seen_outweighs_what_was_expected() -> None:
    assert Lift(6.0, -0.5).blended(0.5, 2.0) == pytest.approx((2 * 0.5 - 6 * 0.5) / 8)


def split(lifts: dict[str, Lift] | None, **own: Any) -> Counter[str]:
    """Where `adaptive` draws its second wave from, over many seeds."""
    names: Counter[str] = Counter()
    for seed in range(40):
        settings = {"arms": ["restate", "resample"], "wave": 8, "price": 0.0, "learn": True, **own}
        how: Any = {"width": 5, "depth": 2, "prompts": PROMPTS, "maximum": 1.0}
        search: Any = find_method("adaptive").start(QUERY, settings=settings, seed=seed, lifts=lifts, **how)
        next(search)
        for sample in search.send([Candidate("0.0", 0, "text", 0.5, feedback=FOX, tokens=10)]):
            names[sample.prompt.name] += sample.width
    return names


def test_adaptive_turns_away_from_what_did_not_help() -> None:
    before = split(None)
    assert split({}) == before
    assert split({"restate": Lift(100.0, -2.0)})["restate"] < before["restate"] / 2
    assert split({"restate": Lift(100.0, LIFTS["restate"])}) == before
    assert split({"restate": Lift(100.0, 2.0)})["restate"] > before["restate"]
    assert split({"restate": Lift(100.0, -2.0)}, learn=False) == before


def test_ways_that_are_alike_stay_alike_over_a_run() -> None:
    learned, lift, naive = shares_of_a_run(learn=True)
    fixed, _, _ = shares_of_a_run(learn=False)
    assert abs(lift) < 0.1
    assert abs(learned - fixed) < 0.05
    # A search goes on where its first answer was not good enough, so all later ones seem better than that.
    assert naive > 0.3


def shares_of_a_run(*, learn: bool) -> tuple[float, float, float]:
    """The share of restated answers among the later ones, their mean lift, and what it is beside all plain answers."""
    shares: Counter[str] = Counter()
    last: list[float] = []
    wrong: list[float] = []
    for run in range(30):
        chance = random.Random(run)
        seen: list[Lift] = []
        for _ in range(60):
            lift = together(seen).blended(0.0, 2.0) if seen and learn else 0.0
            waves = pretend_search({"restate": lift, PLAIN: 0.0}, chance)
            for wave in waves[1:]:
                shares.update({name: len(rewards) for name, rewards in wave.items()})
            seen += lifts_of(waves, 1.0).values()
            names = {name for wave in waves for name in wave}
            whole = {name: [one for wave in waves for one in wave.get(name, [])] for name in names}
            wrong += [one.mean for one in lifts_of([whole], 1.0).values()]
        last.append(together(seen).mean)
    return shares["restate"] / shares.total(), fmean(last), fmean(wrong)


def pretend_search(expected: dict[str, float], chance: random.Random) -> list[dict[str, list[float]]]:
    """The waves of a search in which every answer is good with a chance of a fifth, wherever it comes from."""
    bandit = Bandit(expected, {}, 1.0, chance)
    waves: list[dict[str, list[float]]] = []
    shares = {PLAIN: 1}
    for size in (2, 4, 8, 0):
        wave: dict[str, list[float]] = {}
        for arm, share in shares.items():
            rewards = [float(chance.random() < 0.2) for _ in range(share)]
            bandit.record(
                arm, [Candidate(f"{len(waves)}.{i}", 0, "text", one, tokens=10) for i, one in enumerate(rewards)]
            )
            wave["answer" if arm == PLAIN else arm] = rewards
        waves.append(wave)
        if not size or any(1.0 in rewards for rewards in wave.values()):
            break
        shares = bandit.split(list(expected), size, 0.0)
    return waves
