"""Later answers against fresh samples: by hand, and without the bias of searches that end at a success."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tpo.experiments.outcomes import CandidateOutcome, QueryOutcome
from tpo.experiments.proposals import proposals
from tpo.experiments.results import ModelResults


def outcome(method: str, query: str, *steps: tuple[int, float]) -> QueryOutcome:
    seen = [CandidateOutcome(step, reward, 10, 40) for step, reward in steps]
    best = max(one.reward or 0.0 for one in seen)
    return QueryOutcome("m", method, 1, query, best, {}, 10, 5, 1, 1, 1.0, 40, "depth", seen)


def compared(outcomes: list[QueryOutcome]) -> dict[str, Any]:
    results = ModelResults("m", outcomes, ["bank", "other"], [], "bank", 1.0)
    found = proposals(results)
    assert found is not None
    return found[1][0]


def test_by_hand() -> None:
    found = compared(
        [
            outcome("bank", "a", (0, 0.0), (0, 1.0)),
            outcome("bank", "b", (0, 0.0), (0, 0.0)),
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
