"""The whole server on a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tpo.server.app import AppOptions
from tpo.server.assembly import assembled
from tpo.server.lifecycle import serve
from tpo.server.service import Setup


@asynccontextmanager
async def running(setup: Setup, options: AppOptions | None = None, *, grace: float = 1.0) -> AsyncIterator[str]:
    """Run a server until it is left, and give its URL with /v1, once it answers.

    Args:
        setup: what is served.
        options: who is served.
        grace: seconds for requests to finish.
    """
    loop = asyncio.get_running_loop()
    started: asyncio.Future[str] = loop.create_future()
    app, service = assembled(setup, options or AppOptions())
    ending = asyncio.Event()
    task = asyncio.create_task(
        serve(app, service, "127.0.0.1", 0, grace=grace, on_start=started.set_result, ending=ending)
    )
    first: list[asyncio.Future[Any]] = [task, started]
    await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
    opened = asyncio.create_task(service.opened.wait())
    both: list[asyncio.Future[Any]] = [task, opened]
    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
    try:
        yield f"{started.result()}/v1"
    finally:
        opened.cancel()
        ending.set()
        await task
