"""Budgets, deadlines and interrupts: the best answer so far, and why the run ended."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from engine.kit import drive
from fakes import FakeModel, FakeReward, numbered, said
from tpo.engine import driver
from tpo.engine.limits import Budget, EarlyStop, Stopper
from tpo.errors import InputError, ModelError
from tpo.models.protocol import Receiver, Request


class Stalling(FakeModel):
    """Answers the query at once, and never finishes anything else."""

    def __init__(self, then: Callable[[], None] = lambda: None, answers: bool = True) -> None:
        super().__init__(numbered())
        self.then = then
        self.answers = answers
        self.cancelled = 0

    async def generate(self, request: Request, receiver: Receiver) -> None:
        if self.answers and said(request) == "How?":
            return await super().generate(request, receiver)
        receiver.on_text(0, "half an ")
        receiver.on_text(0, "answer")
        receiver.usage.completion_tokens += 2
        self.then()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


async def test_an_interrupt_returns_the_best_so_far_and_cancels_what_runs() -> None:
    stopper = Stopper()
    model = Stalling(lambda: stopper.stop("interrupt"))
    result = await drive(model, stopper=stopper)
    assert (result.stop, result.answer) == ("interrupt", "answer 1")
    assert model.cancelled == 1
    # The critique that was cut short is counted all the same.
    assert result.usage["critic"].completion_tokens == 2
    assert result.steps[1].loss is None


async def test_a_deadline_returns_the_best_so_far() -> None:
    result = await drive(Stalling(), budget=Budget(seconds=0.2))
    assert (result.stop, result.answer) == ("deadline", "answer 1")


async def test_a_token_budget_ends_the_run_before_the_next_call() -> None:
    model = FakeModel(numbered())
    result = await drive(model, budget=Budget(tokens=36), width=3, depth=5)
    assert result.stop == "budget"
    assert len(model.requests) == 3
    assert result.answer == "answer 1"


async def test_a_token_budget_is_watched_while_calls_run() -> None:
    produced = 0

    class Chatty(FakeModel):
        async def generate(self, request: Request, receiver: Receiver) -> None:
            nonlocal produced
            while True:
                produced += 1
                receiver.usage.completion_tokens += 1
                receiver.on_text(0, "word ")
                await asyncio.sleep(0)

    result = await drive(Chatty(numbered()), method="best-of-n", width=1, budget=Budget(tokens=50))
    assert result.stop == "budget"
    assert 50 <= produced < 60
    assert result.answer.startswith("word word")
    assert result.candidates[0].finish_reason == "budget"
    assert result.reward == len(result.answer)


async def test_stopped_before_the_first_word_there_is_nothing_to_return() -> None:
    stopper = Stopper()
    stopper.stop("interrupt")
    model = FakeModel(numbered())
    with pytest.raises(ModelError, match=r"stopped \(interrupt\) before the first word"):
        await drive(model, stopper=stopper)
    assert model.requests == []


async def test_what_was_written_when_the_deadline_came_is_better_than_nothing() -> None:
    result = await drive(Stalling(answers=False), budget=Budget(seconds=0.2), width=2)
    assert (result.stop, result.answer, result.candidates[0].finish_reason) == (
        "deadline",
        "half an answer",
        "deadline",
    )


async def test_answers_that_nobody_scored_in_time_are_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "GRACE", 0.01)
    stopper = Stopper()

    class Endless(FakeReward):
        async def score(self, conversations: object) -> list[float]:  # type: ignore[override]
            stopper.stop("interrupt")
            await asyncio.Event().wait()
            return []

    result = await drive(FakeModel(numbered()), Endless(lambda text: 1.0), stopper=stopper)
    assert (result.stop, result.answer, result.reward) == ("interrupt", "answer 1", None)


@pytest.mark.parametrize("reason", ["interrupt", "deadline"])
async def test_a_judge_that_is_slow_after_the_budget_can_be_interrupted(reason: EarlyStop) -> None:
    stopper = Stopper()

    class Endless(FakeReward):
        async def score(self, conversations: object) -> list[float]:  # type: ignore[override]
            stopper.stop(reason)
            await asyncio.Event().wait()
            return []

    judge = Endless(lambda text: 1.0, "judge")
    result = await drive(FakeModel(numbered()), budget=Budget(tokens=36), stopper=stopper, judge=judge)
    assert (result.stop, result.answer, result.held_out) == ("budget", "answer 1", None)


async def test_answers_that_landed_are_scored_even_if_the_run_ended_meanwhile() -> None:
    stopper = Stopper()
    calls = 0

    class Slow(FakeReward):
        async def score(self, conversations: object) -> list[float]:  # type: ignore[override]
            nonlocal calls
            calls += 1
            if calls == 1:
                stopper.stop("interrupt")
                await asyncio.Event().wait()
            return [3.0]

    result = await drive(FakeModel(numbered()), Slow(lambda t: 0.0), width=1, stopper=stopper)
    assert (result.stop, result.answer, result.reward) == ("interrupt", "answer 1", 3.0)


async def test_cancelling_the_caller_cancels_the_calls() -> None:
    begun = asyncio.Event()
    model = Stalling(begun.set)
    task = asyncio.ensure_future(drive(model))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert model.cancelled == 1


async def test_a_run_can_be_stopped_from_another_thread() -> None:
    stopper = Stopper()
    model = Stalling(threading.Thread(target=stopper.stop, args=("interrupt",)).start)
    result = await drive(model, stopper=stopper)
    assert (result.stop, result.answer, model.cancelled) == ("interrupt", "answer 1", 1)


async def test_a_caller_that_is_cancelled_while_the_run_ends_is_cancelled() -> None:
    stopper = Stopper()
    begun = asyncio.Event()
    model = Stalling(begun.set)
    task = asyncio.ensure_future(drive(model, stopper=stopper))
    await begun.wait()
    stopper.stop("interrupt")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert model.cancelled == 1


async def test_a_timeout_inside_the_work_is_no_stop() -> None:
    async def late() -> None:
        raise TimeoutError("the work's own")

    with pytest.raises(TimeoutError, match="the work's own"):
        await Stopper().guard(late)


@pytest.mark.parametrize("budget", [{"tokens": 0}, {"tokens": -1}, {"seconds": 0.0}, {"seconds": float("nan")}])
def test_a_budget_of_nothing_is_refused(budget: dict[str, float]) -> None:
    with pytest.raises(InputError, match="above zero"):
        Budget(**budget)  # type: ignore[arg-type]
