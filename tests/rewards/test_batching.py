"""One scorer for all queries: batches, sharing, overload."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

import pytest

from tpo.errors import RewardError, RewardTooLong, RewardUnavailable
from tpo.messages import Conversation, answered, conversation, text_of
from tpo.rewards.batching import Batched
from tpo.rewards.protocol import Score


class Counting:
    """Scores by length, remembers its batches, and can take only so many at once."""

    name = "counting"

    def __init__(self, most: int = 1000) -> None:
        self.batches: list[list[str]] = []
        self.most = most

    async def score(self, conversations: Sequence[Conversation]) -> list[float]:
        texts = [text_of(messages[-1]) for messages in conversations]
        self.batches.append(texts)
        await asyncio.sleep(0)
        if len(texts) > self.most:
            raise RewardUnavailable("too many", too_much=True)
        return [float(len(text)) for text in texts]


def answer(text: str) -> Conversation:
    return answered(conversation("How?"), text)


async def test_answers_of_many_queries_share_a_batch_and_keep_their_scores() -> None:
    reward = Counting()
    batched = Batched(reward)
    scores = await asyncio.gather(*[batched.score([answer("x" * n)]) for n in range(1, 11)])
    assert [score[0].value for score in scores] == [float(n) for n in range(1, 11)]
    assert [len(batch) for batch in reward.batches] == [10]


async def test_a_full_batch_does_not_wait() -> None:
    reward = Counting()
    batched = Batched(reward, most=4, wait=3600)
    await batched.score([answer("x" * n) for n in range(1, 9)])
    assert [len(batch) for batch in reward.batches] == [4, 4]


async def test_long_answers_make_small_batches() -> None:
    reward = Counting()
    batched = Batched(reward, most_characters=250)
    await batched.score([answer("x" * n) for n in (100, 101, 102)])
    assert [len(batch) for batch in reward.batches] == [1, 1, 1]


async def test_equal_conversations_under_way_are_scored_once() -> None:
    reward = Counting()
    batched = Batched(reward)
    scores = await asyncio.gather(*[batched.score([answer("same"), answer("other")]) for _ in range(5)])
    assert reward.batches == [["same", "other"]]
    assert scores == [[Score(4.0), Score(5.0)]] * 5


async def test_what_was_scored_once_is_remembered_but_no_failure_is() -> None:
    reward = Counting(most=0)
    batched = Batched(reward)
    with pytest.raises(RewardUnavailable):
        await batched.score([answer("same")])
    reward.most = 9
    assert await batched.score([answer("same")]) == [Score(4.0)]
    assert await batched.score([answer("same"), answer("other")]) == [Score(4.0), Score(5.0)]
    assert reward.batches == [["same"], ["same"], ["other"]]


async def test_too_much_is_halved_until_it_fits_and_stays_so() -> None:
    reward = Counting(most=3)
    batched = Batched(reward)
    scores = await batched.score([answer("x" * n) for n in range(1, 11)])
    assert [score.value for score in scores] == [float(n) for n in range(1, 11)]
    tried = len(reward.batches)
    await batched.score([answer("y" * n) for n in range(1, 11)])
    assert all(len(batch) <= 3 for batch in reward.batches[tried:])


async def test_one_conversation_that_is_too_much_is_an_error() -> None:
    with pytest.raises(RewardUnavailable, match="too many"):
        await Batched(Counting(most=0)).score([answer("x")])


async def test_a_failure_reaches_all_who_wait_and_nobody_else() -> None:
    class Failing(Counting):
        async def score(self, conversations: Sequence[Conversation]) -> list[float]:
            if any("bad" in text_of(messages[-1]) for messages in conversations):
                raise RewardError("broken")
            return await super().score(conversations)

    batched = Batched(Failing(), most=2)
    results = await asyncio.gather(
        batched.score([answer("bad"), answer("luck")]), batched.score([answer("good")]), return_exceptions=True
    )
    assert isinstance(results[0], RewardError)
    assert results[1] == [Score(4.0)]
    assert await batched.score([answer("good"), answer("again")]) == [Score(4.0), Score(5.0)]


async def test_who_leaves_does_not_take_the_score_from_others() -> None:
    batched = Batched(Counting())
    leaving = asyncio.ensure_future(batched.score([answer("same")]))
    staying = asyncio.ensure_future(batched.score([answer("same")]))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == [Score(4.0)]


async def test_an_answer_that_is_too_long_costs_no_other_its_score() -> None:
    class Short(Counting):
        async def score(self, conversations: Sequence[Conversation]) -> list[float]:
            if any(len(text_of(messages[-1])) > 5 for messages in conversations):
                raise RewardTooLong("9 tokens, and 5 are taken")
            return await super().score(conversations)

    batched = Batched(Short())
    scores = await batched.score([answer("fine"), answer("much too long"), answer("good")])
    assert [scores[0].value, scores[2].value] == [4.0, 4.0]
    assert math.isnan(scores[1].value)
    assert scores[1].feedback == "9 tokens, and 5 are taken"
    assert batched.most > 3


async def test_what_nobody_waits_for_any_more_is_not_asked_for() -> None:
    reward = Counting()
    batched = Batched(reward, wait=0.05)
    alone = asyncio.ensure_future(batched.score([answer("a")]))
    leaving = asyncio.ensure_future(batched.score([answer("b")]))
    staying = asyncio.ensure_future(batched.score([answer("b"), answer("c")]))
    await asyncio.sleep(0)
    alone.cancel()
    leaving.cancel()
    assert [score.value for score in await staying] == [1.0, 1.0]
    assert reward.batches == [["b", "c"]]
    last = asyncio.ensure_future(batched.score([answer("d")]))
    await asyncio.sleep(0)
    last.cancel()
    await asyncio.gather(last, return_exceptions=True)
    assert batched._timer is None and not batched._waiting and not batched._wanted


async def test_an_answer_that_breaks_the_reward_costs_no_other_its_score() -> None:
    class Breaking(Counting):
        async def score(self, conversations: Sequence[Conversation]) -> list[float]:
            if any(text_of(messages[-1]) == "bad" for messages in conversations):
                raise RuntimeError("oops")
            return await super().score(conversations)

    batched = Batched(Breaking())
    results = await asyncio.gather(*[batched.score([answer(t)]) for t in ("a", "bad", "ccc")], return_exceptions=True)
    assert isinstance(results[1], RewardError) and "raised RuntimeError: oops" in str(results[1])
    assert [result[0].value for result in results if isinstance(result, list)] == [1.0, 3.0]
