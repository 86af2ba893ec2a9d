"""The held-out judge scores the first sample and the answer, and decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import tpo
from fakes import FakeModel, FakeReward, numbered
from tpo.engine.limits import Stopper
from tpo.engine.records import Called, Judged, Scored
from tpo.errors import RewardError, RewardUnavailable
from tpo.messages import Conversation
from tpo.rewards.protocol import Score
from tpo.session.spec import specified


def number(text: str) -> float:
    return float(text.split()[-1])


def falling() -> FakeReward:
    return FakeReward(lambda text: -number(text), "falling")


class Hanging(FakeReward):
    """Never answers."""

    def __init__(self) -> None:
        super().__init__(number, "hanging")
        self.began = asyncio.Event()

    async def score(self, conversations: Sequence[Conversation]) -> list[Score | float]:
        self.began.set()
        await asyncio.Event().wait()
        return []


async def aligned(judge: Any, **options: Any) -> tpo.Result:
    given: dict[str, Any] = {"method": "best-of-n", "width": 4, "reward": FakeReward(number), "check": False}
    return await tpo.align("How?", policy=FakeModel(numbered()), judge=judge, **{**given, **options})


async def test_it_scores_the_first_sample_and_the_answer_and_nothing_else() -> None:
    judge = falling()
    result = await aligned(judge)
    assert (result.answer, result.reward) == ("answer 4", 4.0)
    assert judge.scored == ["answer 1", "answer 4"]
    assert result.held_out is not None
    assert (result.held_out.judge, result.held_out.first, result.held_out.answer) == ("falling", -1.0, -4.0)
    assert result.usage["judge"].calls == 1
    assert result.to_dict()["held_out"] == {"judge": "falling", "first": -1.0, "answer": -4.0, "error": None}


async def test_without_one_nothing_is_different() -> None:
    result = await aligned(None)
    assert result.held_out is None
    assert "judge" not in result.usage


async def test_one_text_is_scored_once() -> None:
    judge = falling()
    result = await aligned(judge, method="sample")
    assert judge.scored == ["answer 1"]
    assert result.held_out is not None
    assert result.held_out.first == result.held_out.answer == -1.0


@pytest.mark.parametrize("error", [RewardError("It broke."), RewardUnavailable("It is down."), ValueError("odd")])
async def test_its_failure_costs_no_answer(error: Exception) -> None:
    notes: list[str] = []
    result = await aligned(FakeReward(lambda text: error, "broken"), on_note=notes.append)
    assert result.answer == "answer 4"
    assert result.held_out is not None
    assert result.held_out.answer is None
    assert str(error) in (result.held_out.error or "")
    assert any("gave no score" in note for note in notes)


async def test_a_trace_keeps_it(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    result = await aligned(falling(), trace=trace)
    again = tpo.replay(trace)
    assert again.held_out == result.held_out
    assert [record.role for record in again.trace if isinstance(record, Called)][-1] == "judge"
    assert sum(isinstance(record, Judged) for record in again.trace) == 1


async def test_a_search_that_ran_out_of_time_or_was_interrupted_ends_at_once() -> None:
    judge, stopper = falling(), Stopper()

    def listen(event: object) -> None:
        if isinstance(event, Scored):
            stopper.stop("interrupt")

    result = await aligned(judge, stopper=stopper, on_event=listen)
    assert result.stop == "interrupt"
    assert result.held_out is None
    assert judge.scored == []


@pytest.mark.parametrize("ends", ["deadline", "interrupt"])
async def test_a_judge_that_hangs_does_not_hold_up_an_answer(ends: str) -> None:
    stopper, judge = Stopper(), Hanging()
    more = {"budget_seconds": 1.0} if ends == "deadline" else {}
    aligning = asyncio.create_task(aligned(judge, stopper=stopper, **more))
    await judge.began.wait()
    if ends == "interrupt":
        stopper.stop("interrupt")
    result = await asyncio.wait_for(aligning, 30)
    assert (result.answer, result.stop) == ("answer 4", "depth")
    assert result.held_out is None
    assert result.usage["judge"].calls == 1  # what it spent is counted all the same


def test_an_address_alone_is_that_of_a_judge() -> None:
    assert specified({"judge": "http://localhost:8000/v1"}).judge == "judge:http://localhost:8000/v1"
    assert specified({"judge": "surface"}).judge == "surface"
