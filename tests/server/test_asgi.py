"""Blocks of work that end from outside."""

from __future__ import annotations

import asyncio

import pytest

from tpo.server.admission import Admission
from tpo.server.asgi import CancelScope, ConnectionEnd, Message, RequestInfo, WhileConnected


class Client:
    """A client's messages: it leaves when `leave` is called.

    Args:
        calls: its connection reports its end, as ours do; others are watched.
    """

    def __init__(self, *, calls: bool) -> None:
        self._left = asyncio.Event()
        self.watched = 0
        self.info = RequestInfo("req", connection_end=ConnectionEnd() if calls else None)

    def leave(self) -> None:
        self._left.set()
        if self.info.connection_end is not None:
            self.info.connection_end.happen()

    @property
    def waited_for(self) -> bool:
        end = self.info.connection_end
        return self.watched > 0 or (end is not None and bool(end.callbacks))

    async def receive(self) -> Message:
        self.watched += 1
        try:
            await self._left.wait()
        finally:
            self.watched -= 1
        return {"type": "http.disconnect"}


@pytest.mark.parametrize("calls", [False, True])
async def test_a_block_ends_with_its_client(calls: bool) -> None:
    client = Client(calls=calls)
    cleaned: list[str] = []
    asyncio.get_running_loop().call_later(0.01, client.leave)
    async with WhileConnected(client.receive, client.info) as scope:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append("cleaned up")
    assert scope.cancelled and cleaned == ["cleaned up"]
    await asyncio.sleep(0)  # the task is as it was before
    assert not client.waited_for


@pytest.mark.parametrize("calls", [False, True])
async def test_a_block_whose_client_stays_ends_by_itself_and_nobody_watches_any_more(calls: bool) -> None:
    client = Client(calls=calls)
    async with WhileConnected(client.receive, client.info) as scope:
        await asyncio.sleep(0)
        assert client.waited_for
    await asyncio.sleep(0)
    assert not scope.cancelled and not client.waited_for


@pytest.mark.parametrize("calls", [False, True])
async def test_a_client_that_has_left_already_ends_the_block_at_its_first_wait(calls: bool) -> None:
    client = Client(calls=calls)
    client.leave()
    async with WhileConnected(client.receive, client.info) as scope:
        await asyncio.sleep(0)
        await asyncio.Event().wait()
    assert scope.cancelled


@pytest.mark.parametrize("calls", [False, True])
async def test_an_error_is_raised_as_it_is(calls: bool) -> None:
    client = Client(calls=calls)
    with pytest.raises(RuntimeError, match="mine"):
        async with WhileConnected(client.receive, client.info):
            await asyncio.sleep(0)
            raise RuntimeError("mine")


async def test_a_task_that_is_cancelled_stays_cancelled_whoever_else_ends_its_block() -> None:
    scope = CancelScope()
    went_on: list[str] = []

    async def work() -> None:
        async with scope:
            await asyncio.Event().wait()
        went_on.append("after the block")

    for both in (False, True):
        scope = CancelScope()
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        if both:
            scope.cancel()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert went_on == []


async def test_of_two_blocks_the_one_that_was_ended_is_left() -> None:
    passed: list[str] = []
    async with CancelScope() as outer:
        async with CancelScope() as inner:
            asyncio.get_running_loop().call_soon(inner.cancel)
            await asyncio.Event().wait()
        passed.append("inner")
        asyncio.get_running_loop().call_soon(outer.cancel)
        async with CancelScope():
            await asyncio.Event().wait()
        passed.append("never")
    assert passed == ["inner"]
    outer.cancel()  # a block that is over cannot be ended
    await asyncio.sleep(0)


@pytest.mark.parametrize("calls", [False, True])
async def test_a_client_that_leaves_the_queue_gives_its_place_back(calls: bool) -> None:
    gate, client = Admission(1, 1), Client(calls=calls)
    async with gate.admitted():
        asyncio.get_running_loop().call_later(0.01, client.leave)
        async with WhileConnected(client.receive, client.info) as scope, gate.admitted():
            raise AssertionError("there was no place")
        assert scope.cancelled and (gate.live, gate.waiting) == (1, 0)
    assert gate.live == 0
