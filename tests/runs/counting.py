"""A server that answers each request in its own words, counts them, and goes away when it is told to."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web


class CountingServer:
    """Answers `Answer MARK`, where the mark is a hash of the prompt and the seed, after a little while.

    Attributes:
        url: where it listens.
        asked: the marks of all requests.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._chance = random.Random(1)
        self._runner: web.AppRunner | None = None
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self._port = found.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}/v1"

    async def come(self) -> None:
        """Listen."""
        app = web.Application()
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._answer)
        self._runner = web.AppRunner(app, shutdown_timeout=0.01)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()

    async def go(self) -> None:
        """Break all connections off and listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "counting", "owned_by": "test"}]})

    async def _answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        mark = hashlib.sha256(json.dumps([body["messages"], body["seed"]]).encode()).hexdigest()[:16]
        self.asked.append(mark)
        await asyncio.sleep(self._chance.uniform(0.001, 0.02))
        choice = {"index": 0, "message": {"role": "assistant", "content": f"Answer {mark}"}, "finish_reason": "stop"}
        return web.json_response({"choices": [choice], "usage": {"prompt_tokens": 7, "completion_tokens": 2}})


@asynccontextmanager
async def counting() -> AsyncIterator[CountingServer]:
    """A server that is there."""
    server = CountingServer()
    await server.come()
    try:
        yield server
    finally:
        await server.go()
