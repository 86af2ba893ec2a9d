"""A page on a thread of its own, with a policy behind its playground."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from server.policy import Answer, policy
from tpo.server.admission import Admission
from tpo.server.lifecycle import serve
from tpo.server.page import page as page_app
from tpo.server.registry import SearchRegistry
from tpo.server.service import Service, Setup
from tpo.view.guard import LOOPBACK
from tpo.view.sources import Sources


@asynccontextmanager
async def serving(
    runs: Path, answer: Answer, reward: Callable[..., Any], name: str = "small", **options: Any
) -> AsyncIterator[str]:
    """Serve the page, and give its address.

    Args:
        runs: what is to be looked at.
        answer: what the playground's policy says.
        reward: what steers it.
        name: the policy's name.
        options: of the search, as `tpo.align` has them.
    """
    async with AsyncExitStack() as stack:
        behind = await stack.enter_async_context(policy(answer, (name,)))
        asked: Any = {"policy": behind.url, "reward": reward, "check": False, **options}
        service = Service(Setup(options=asked))
        about = f"{name}, steered by {reward.__name__}"
        app = page_app(
            SearchRegistry(service, Admission(2, 2)), Sources([runs]), answers=about, live=False, hosts=LOOPBACK
        )
        started: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        ending = asyncio.Event()
        more: Any = {"grace": 0.1, "on_start": started.set_result, "connect": False, "ending": ending}
        task = asyncio.create_task(serve(app, service, "127.0.0.1", 0, **more))
        yield await started
        ending.set()
        await task


def until(page: Any, expression: str, argument: Any = None) -> None:
    """Wait until an expression is true in the page. The page's policy forbids what Playwright's own waiting does.

    Raises:
        AssertionError: it is not within thirty seconds.
    """
    for _ in range(3000):
        if page.evaluate(expression, argument):
            return
        page.wait_for_timeout(10)
    raise AssertionError(f"never true: {expression}")
