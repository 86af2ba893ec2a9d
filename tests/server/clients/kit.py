"""A running server for clients: the app on a real socket, in front of a policy that does what is asked of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from models.server import Server, serving
from server.clients.upstream import respond
from server.kit import running
from tpo.server.service import Setup

MODEL = "small:tpo"


@dataclass
class Served:
    """Where the app listens, and what the policy behind it was asked."""

    url: str
    upstream: Server


@contextmanager
def served(*, deserted: bool = False) -> Iterator[Served]:
    """Run policy and app in a thread of their own, so that clients may block.

    Args:
        deserted: the policy dies when the app has seen it.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    stack = AsyncExitStack()
    try:
        context = stack.enter_async_context(_served(deserted))
        yield asyncio.run_coroutine_threadsafe(context, loop).result(30)
        asyncio.run_coroutine_threadsafe(stack.aclose(), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


@asynccontextmanager
async def _served(deserted: bool) -> AsyncIterator[Served]:
    async with AsyncExitStack() as stack:
        policy = await stack.enter_async_context(serving(respond))
        options: Any = {"policy": policy.url, "reward": longest, "check": False}
        url = await stack.enter_async_context(running(Setup(options=options)))
        if deserted:
            policy.close()
        yield Served(url, policy)


def longest(conversations: list[list[dict[str, Any]]]) -> list[float]:
    """A reward that answers at once."""
    return [float(len(conversation[-1]["content"])) for conversation in conversations]
