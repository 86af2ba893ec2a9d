"""Later answers against fresh samples: by hand, and without the bias of searches that end at a success."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from tpo.evals.benchmarks.protocol import Column
from tpo.experiments.outcomes import CandidateOutcome, QueryOutcome
from tpo.experiments.proposals import proposals
from tpo.experiments.results import ModelResults


def outcome(method: str, query: str, *steps: tuple[int, float], seed: int = 1) -> QueryOutcome:
    seen = [CandidateOutcome(step, reward, 10, 40) for step, reward in steps]
    best = max(one.reward or 0.0 for one in seen)
    return QueryOutcome("m", method, seed, query, best, {}, 10, 5, 1, 1, 1.0, 40, "depth", seen)


def compared(outcomes: list[QueryOutcome]) -> dict[str, Any]:
    results = ModelResults("m", outcomes, ["bank", "other"], [], "bank", 1.0)
    found = proposals(results)
    assert found is not None
    return found[1][0]


def test_by_hand() -> None:
    found = compared(
        [
            outcome("bank", "a", (0, 0.0), (0, 1.0), seed=2),
            outcome("bank", "b", (0, 0.0), (0, 0.0), seed=2),
            outcome("other", "a", (0, 0.0), (1, 1.0), (1, 0.0), (1, 1.0)),
            outcome("other", "b", (0, 0.0), (1, 0.0)),
        ]
    )
    # Three later answers of a bring 2 where fresh ones bring 3 × 0.5, the one of b brings 0 as fresh ones do.
    assert (found["queries"], found["answers"]) == (2, 4)
    assert found["later"] == pytest.approx(2 / 4)
    assert found["fresh"] == pytest.approx(1.5 / 4)
    assert found["difference"] == pytest.approx(0.5 / 4)


def test_a_search_that_ends_at_a_success_gains_nothing_by_that() -> None:
    draw = random.Random(0)
    outcomes = []
    for number in range(3000):
        outcomes.append(outcome("bank", str(number), *((0, float(draw.random() < 0.5)) for _ in range(6))))
        later: list[tuple[int, float]] = []
        while not later or (later[-1][1] == 0.0 and len(later) < 6):
            later.append((1 + len(later), float(draw.random() < 0.5)))
        outcomes.append(outcome("other", str(number), (0, 0.0), *later))
    found = compared(outcomes)
    # Later answers are drawn as fresh ones are; the mean over queries of their means would be 0.69.
    assert found["low"] < 0 < found["high"]
    assert found["difference"] == pytest.approx(0, abs=0.02)


def test_first_samples_that_a_seed_makes_the_same_are_no_fresh_ones() -> None:
    draw = random.Random(0)
    outcomes = []
    for number in range(1000):
        drawn = [float(draw.random() < 0.5) for _ in range(6)]
        outcomes.append(outcome("bank", str(number), *((0, reward) for reward in drawn)))
        if max(drawn[:2]) == 0.0:  # the search goes on where its first samples, the bank's, failed
            later = float(draw.random() < 0.5)
            outcomes.append(outcome("other", str(number), (0, 0.0), (0, 0.0), (1, later)))
    found = compared(outcomes)
    assert found["fresh"] == pytest.approx(0.5, abs=0.05)
    # A bank of nothing but these leaves nothing to compare with.
    same = [outcome("bank", "a", (0, 0.0)), outcome("other", "a", (0, 0.0), (1, 1.0))]
    assert proposals(ModelResults("m", same, ["bank", "other"], [], "bank", 1.0)) is None


def named(drawn: QueryOutcome, *prompts: str) -> QueryOutcome:
    candidates = [
        msgspec.structs.replace(one, prompt=prompt) for one, prompt in zip(drawn.candidates, prompts, strict=True)
    ]
    return msgspec.structs.replace(drawn, candidates=candidates)


def test_an_answer_is_later_by_its_prompt_and_not_by_its_wave() -> None:
    search = outcome("other", "a", (0, 0.0), (0, 0.0), (1, 0.0), (2, 1.0), (3, 0.0))
    found = compared(
        [
            outcome("bank", "a", (0, 0.0), (0, 0.0), (0, 1.0), (1, 0.0), (1, 0.0), (1, 1.0)),
            named(search, "answer", "answer", "answer", "restate", "answer"),
        ]
    )
    assert (found["answers"], found["later"]) == (1, 1.0)
    # A seed makes the first two of the first wave the same, and the first of the second.
    assert found["fresh"] == pytest.approx(2 / 3)


def test_the_bank_is_not_compared_with_itself() -> None:
    results = ModelResults("m", [outcome("bank", "a", (0, 0.0), (1, 1.0), seed=2)], ["bank"], [], "bank", 1.0)
    assert proposals(results) is None


def test_an_empty_answer_is_worth_as_much_on_both_sides() -> None:
    empty = CandidateOutcome(0, None, 10, 0, 0.0)
    bank = msgspec.structs.replace(outcome("bank", "a", (0, 1.0), seed=2), values={"pass": 1.0})
    bank = msgspec.structs.replace(bank, candidates=[CandidateOutcome(0, 1.0, 10, 40, 1.0), empty])
    other = msgspec.structs.replace(bank, method="other", seed=1, candidates=[empty, *_later(bank.candidates)])
    results = ModelResults("m", [bank, other], ["bank", "other"], [Column("pass", "pass", "%", "passed")], "bank", 1.0)
    found = proposals(results)
    assert found is not None
    assert (found[1][0]["later"], found[1][0]["fresh"]) == (0.5, 0.5)


def _later(seen: list[CandidateOutcome]) -> list[CandidateOutcome]:
    return [msgspec.structs.replace(one, step=1) for one in seen]
