"""The books of a run on a cluster: one owner for each query, each record once, each answer once. Ray is not needed."""

from __future__ import annotations

from typing import Any

import pytest

from tpo.engine.journal import Journal
from tpo.engine.records import Record, Replied, Resumed
from tpo.errors import ModelError
from tpo.runs.answers import Answer
from tpo.runs.progress import RunProgress
from tpo.runs.ray.coordinator import Coordinator
from tpo.runs.ray.wire import Begin, CoordinatorReply, Failure, Post, decode_reply, encode


class Books:
    """A coordinator, and what was written at it."""

    def __init__(self, *keys: str) -> None:
        self.journals: dict[str, Journal] = {}
        self.answers: list[str] = []
        self.notes: list[str] = []
        self.commits = 0
        self.coordinator = Coordinator(
            self, lambda answer: self.answers.append(answer.key), RunProgress(2), self.notes.append, []
        )
        self.coordinator.left = set(keys)

    def of(self, key: str, id: str, records: list[Record]) -> Journal:
        assert key not in self.journals
        self.journals[key] = Journal(None, records)
        return self.journals[key]

    async def commit(self) -> None:
        assert not self.answers, "an answer was given out before it was durable"
        self.commits += 1

    async def say(self, message: Any) -> CoordinatorReply:
        ((ticket, reply),) = await self.coordinator.take([(7, encode(message))])
        assert ticket == 7
        return decode_reply(reply)


def replied(turn: int) -> Replied:
    return Replied(turn, 0, 0, "loss", f"text {turn}")


async def test_who_takes_a_query_over_gets_what_was_done() -> None:
    books = Books("a", "b")
    books.coordinator.past = {"a": [replied(0)]}
    assert (await books.say(Begin("one", [("a", "q0"), ("b", "q1")]))).past == {"a": [replied(0)], "b": []}
    await books.say(Post("one", 1, records=[("a", replied(1)), ("b", replied(0))]))
    assert (await books.say(Begin("two", [("a", "q0")]))).past == {"a": [replied(0), replied(1)]}
    assert books.journals["b"].records == [replied(0)]
    assert books.commits == 3


async def test_who_was_taken_for_dead_is_dismissed() -> None:
    books = Books("a")
    await books.say(Begin("one", [("a", "q0")]))
    await books.say(Begin("two", [("a", "q0")]))
    reply = await books.say(Post("one", 1, records=[("a", replied(1))], answers=[Answer("q0", "a", 0)]))
    assert reply.dismissed
    assert books.journals["a"].records == [] and books.answers == []
    assert not (await books.say(Post("two", 1, records=[("a", replied(1))]))).dismissed
    assert books.journals["a"].records == [replied(1)]


async def test_a_post_that_comes_twice_counts_once() -> None:
    books = Books("a")
    await books.say(Begin("one", [("a", "q0")]))
    post = Post("one", 1, records=[("a", Resumed(0.0, "now")), ("a", replied(1))])
    for _ in range(2):
        assert not (await books.say(post)).dismissed
    assert books.journals["a"].records == [record for _, record in post.records]


async def test_an_answer_is_given_out_once() -> None:
    books = Books("a")
    await books.say(Begin("one", [("a", "q0")]))
    await books.say(Post("one", 1, answers=[Answer("q0", "a", 0)]))
    assert books.answers == ["a"]
    books.answers.clear()
    assert (await books.say(Begin("two", [("a", "q0")]))).past == {}
    assert books.answers == []


async def test_what_a_worker_cannot_do_is_raised() -> None:
    with pytest.raises(ModelError, match="on node1: down"):
        await Books().say(Post("one", 1, failure=Failure("ModelError", "on node1: down")))


async def test_workers_get_their_place_and_when_to_stop() -> None:
    books = Books()
    assert (await books.say(Post("one", 1))).place == (0, 1)
    assert (await books.say(Post("two", 1))).place == (1, 2)
    books.coordinator.stopping = True
    assert (await books.say(Post("one", 2))).stop
