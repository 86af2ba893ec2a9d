"""Rewards that compare answers: when they are called, what a method sees of them, and that replay sees the same."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Any

import pytest

from engine.kit import drive
from fakes import FakeModel, numbered, said
from tpo.engine.events import Event
from tpo.engine.journal import Journal
from tpo.engine.records import Sampled
from tpo.engine.result import result_of
from tpo.errors import RewardError
from tpo.messages import Conversation, conversation, text_of
from tpo.methods import Outcome, Pool, Sample, Search, method_of
from tpo.models.protocol import Receiver, Request
from tpo.prompts import PromptSet
from tpo.rewards.protocol import Score


class Tournament:
    """Ranks a pool by length: the shortest gets 0, the next 1, and so on."""

    name = "tournament"

    def __init__(self) -> None:
        self.pools: list[list[str]] = []

    relative = True

    async def score(self, conversations: Sequence[Conversation]) -> list[Score]:
        texts = [text_of(conversation[-1]) for conversation in conversations]
        self.pools.append(texts)
        order = sorted(texts, key=len)
        return [Score(float(order.index(text))) for text in texts]


async def test_a_reward_may_look_at_the_whole_pool_after_each_step() -> None:
    lengths = iter([5, 1, 3, 0, 0, 4, 2, 9, 0, 0, 7, 6, 8])
    reward = Tournament()
    journal = Journal()
    result = await drive(FakeModel(lambda r, i: "x" * next(lengths)), reward, width=3, depth=2, journal=journal)
    assert [len(pool) for pool in reward.pools] == [3, 6, 9]
    assert len(result.answer) == 9
    # The rewards of early answers are those of the last ranking, and the contrast followed each of them.
    assert [(len(c.text), c.reward) for c in result.candidates] == [
        *((5, 4.0), (1, 0.0), (3, 2.0)),
        *((4, 3.0), (2, 1.0), (9, 8.0)),
        *((7, 6.0), (6, 5.0), (8, 7.0)),
    ]
    assert [(step.chosen, step.rejected) for step in result.steps] == [(None, None), ("0.0", "0.1"), ("1.2", "0.1")]
    assert result.usage["reward"].calls == 3
    assert result_of(journal.records) == result


@pytest.mark.parametrize("method", ["tpo", "rsa", "adaptive"])
async def test_a_tournament_goes_on_from_anywhere(method: str) -> None:
    def answer(request: Request, index: int) -> str:
        return "x" * (1 + (request.seed or 0) % 50)

    # Without a price, adaptive draws all that it may.
    dials: dict[str, Any] = {"method": method, "width": 2, "depth": 3, "seed": 4}
    dials["own"] = {"price": 0.0} if method == "adaptive" else {}
    journal = Journal()
    expected = await drive(FakeModel(answer), Tournament(), journal=journal, **dials)
    for kept in range(1, len(journal.records), 2):
        begun = Journal(None, journal.records[:kept])
        result = await drive(FakeModel(answer), Tournament(), journal=begun, **dials)
        assert (result.answer, result.reward, result.steps) == (expected.answer, expected.reward, expected.steps)


async def test_where_no_answer_gets_a_rank_the_reason_is_given() -> None:
    class Silent(Tournament):
        async def score(self, conversations: Sequence[Conversation]) -> list[Score]:
            return [Score(math.nan, feedback="no verdict") for _ in conversations]

    with pytest.raises(RewardError, match=r"Not one answer got a reward\. The first: .*no verdict"):
        await drive(FakeModel(numbered()), Silent(), width=2, depth=0)


async def test_a_method_that_goes_on_sees_the_ranks_of_each_turn_again() -> None:
    seen: list[list[float | None]] = []

    def watching(query: Conversation, *, width: int, prompts: PromptSet) -> Search:
        """Keep the rewards that the pool has after each turn."""
        pool = Pool()
        for _ in range(3):
            pool.add((yield Sample(prompts.render("answer", query), width)))
            seen.append([one.reward for one in pool.candidates])
        return Outcome(pool.chosen, "depth")

    method, lengths = method_of(watching, "watching"), iter([5, 2, 1, 7, 3, 9])
    whole = await drive(FakeModel(lambda r, i: "x" * next(lengths)), Tournament(), method=method, width=2)
    first, seen[:] = seen[:], []
    assert first[:2] == [[1.0, 0.0], [2.0, 1.0, 0.0, 3.0]]
    await drive(FakeModel(numbered()), Tournament(), method=method, width=2, journal=Journal(None, whole.trace))
    assert seen == first


async def test_answers_that_are_drawn_side_by_side_are_ranked_together_once() -> None:
    pools: list[list[float | None]] = []

    def side_by_side(query: Conversation, *, width: int, prompts: PromptSet) -> Search:
        """Draw an answer, then two to different prompts."""
        pool = Pool()
        pool.add((yield Sample(prompts.render("answer", query), width)))
        both = yield [Sample(prompts.render("answer", conversation(name)), 1) for name in ("first", "second")]
        assert [len(drawn) for drawn in both] == [1, 2]
        for drawn in both:
            pool.add(drawn)
        pools.append([one.reward for one in pool.candidates])
        return Outcome(pool.chosen, "depth")

    second_landed = asyncio.Event()

    class Watch(list[Event]):
        def append(self, event: Event) -> None:
            if isinstance(event, Sampled) and (event.turn, event.action) == (1, 1):
                second_landed.set()

    class FirstIsLast(FakeModel):
        async def generate(self, request: Request, receiver: Receiver) -> None:
            if said(request) == "first":
                await second_landed.wait()
            await super().generate(request, receiver)

    reward, lengths = Tournament(), {"How?": 2, "first": 3, "second": 1}
    model = FirstIsLast(lambda r, i: "x" * lengths[said(r)])
    result = await drive(model, reward, method=method_of(side_by_side, "side-by-side"), width=1, events=Watch())
    assert [len(pool) for pool in reward.pools] == [1, 3]
    assert pools == [[1.0, 2.0, 0.0]]
    assert result.answer == "xxx"
