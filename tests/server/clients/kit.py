"""A running server for clients: the app on a real socket, in front of a policy that does what is asked of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
)
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from models.server import Server, serving
from server.clients.upstream import respond
from server.kit import running
from tpo.options import ServeOptions
from tpo.server.service import Setup

MODEL = "small:tpo"


@dataclass
class Served:
    """Where the app listens, and what the policy behind it was asked."""

    url: str
    upstream: Server


T = TypeVar("T")


@contextmanager
def on_thread(context: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """Run something in a loop and a thread of its own, so that clients may block."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield asyncio.run_coroutine_threadsafe(context.__aenter__(), loop).result(120)
        asyncio.run_coroutine_threadsafe(context.__aexit__(None, None, None), loop).result(30)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def embedded() -> AbstractAsyncContextManager[str]:
    """The server with nothing set but the length of its answers."""
    return running(Setup(options={"max_tokens": 16, "critic_max_tokens": 16, "seed": 1}))


def served(*, deserted: bool = False) -> AbstractContextManager[Served]:
    """Policy and app.

    Args:
        deserted: the policy dies when the app has seen it.
    """
    return on_thread(_served(deserted))


@asynccontextmanager
async def _served(deserted: bool) -> AsyncIterator[Served]:
    async with AsyncExitStack() as stack:
        policy = await stack.enter_async_context(serving(respond))
        options: Any = {"policy": policy.url, "reward": longest, "check": False}
        store = Path(stack.enter_context(TemporaryDirectory()))
        url = await stack.enter_async_context(running(Setup(options=options, serving=ServeOptions(store=store))))
        if deserted:
            policy.close()
        yield Served(url, policy)


def longest(conversations: list[list[dict[str, Any]]]) -> list[float]:
    """A reward that answers at once."""
    return [float(len(conversation[-1]["content"])) for conversation in conversations]
