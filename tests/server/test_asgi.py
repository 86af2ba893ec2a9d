"""Blocks of work that end from outside."""

from __future__ import annotations

import asyncio

import pytest

from tpo.server.admission import Admission
from tpo.server.asgi import CancelScope, Message, WhileConnected


class Client:
    """A client's messages: it leaves when `leave` is called."""

    def __init__(self) -> None:
        self._left = asyncio.Event()
        self.watched = 0

    def leave(self) -> None:
        self._left.set()

    async def receive(self) -> Message:
        self.watched += 1
        try:
            await self._left.wait()
        finally:
            self.watched -= 1
        return {"type": "http.disconnect"}


async def test_a_block_ends_with_its_client() -> None:
    client = Client()
    cleaned: list[str] = []
    asyncio.get_running_loop().call_later(0.01, client.leave)
    async with WhileConnected(client.receive) as scope:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append("cleaned up")
    assert scope.cancelled and cleaned == ["cleaned up"]
    await asyncio.sleep(0)  # the task is as it was before
    assert client.watched == 0


async def test_a_block_whose_client_stays_ends_by_itself_and_nobody_watches_any_more() -> None:
    client = Client()
    async with WhileConnected(client.receive) as scope:
        await asyncio.sleep(0)
        assert client.watched == 1
    await asyncio.sleep(0)
    assert not scope.cancelled and client.watched == 0


async def test_an_error_is_raised_as_it_is() -> None:
    client = Client()
    with pytest.raises(RuntimeError, match="mine"):
        async with WhileConnected(client.receive):
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


async def test_a_client_that_leaves_the_queue_gives_its_place_back() -> None:
    gate, client = Admission(1, 1), Client()
    async with gate.admitted():
        asyncio.get_running_loop().call_later(0.01, client.leave)
        async with WhileConnected(client.receive) as scope, gate.admitted():
            raise AssertionError("there was no place")
        assert scope.cancelled and (gate.live, gate.waiting) == (1, 0)
    assert gate.live == 0
