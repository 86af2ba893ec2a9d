"""A server that is policy and judge, counts what it is asked, and can be made to hold its tongue."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from tpo.messages import text_of

# What to answer to a text, with the request's mark; None refuses.
Say = Callable[[str, str], str | None]


class Counting:
    """Answers what a function makes of the messages' text; counts.

    Attributes:
        url: where it listens.
        asked: a mark of each request, in their order.
        answered: the marks of those that got an answer.
        most_live: most requests that were there at once.
        holds_after: how many answers it gives before it holds its tongue; None for as many as it is asked for.
    """

    def __init__(self, say: Say, model: str) -> None:
        self.say = say
        self.model = model
        self.url = ""
        self.asked: list[str] = []
        self.answered: list[str] = []
        self.most_live = self._live = 0
        self.holds_after: int | None = None

    @property
    def twice(self) -> int:
        """How many requests repeat an earlier one."""
        return len(self.asked) - len(set(self.asked))

    async def answer(self, request: web.Request) -> web.Response:
        body: dict[str, Any] = await request.json()
        asked = json.dumps([body["messages"], body.get("seed"), body.get("max_tokens")])
        mark = hashlib.sha256(asked.encode()).hexdigest()[:16]
        self.asked.append(mark)
        self._live += 1
        self.most_live = max(self.most_live, self._live)
        await asyncio.sleep(0.002)
        self._live -= 1
        if self.holds_after is not None and len(self.answered) >= self.holds_after:
            await asyncio.Event().wait()
        self.answered.append(mark)
        text = self.say("\n".join(map(text_of, body["messages"])), mark)
        if text is None:
            return web.json_response({"error": {"message": "that is not discussed here"}}, status=400)
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        return web.json_response({"choices": [choice], "usage": {"prompt_tokens": 100, "completion_tokens": 10}})

    async def models(self, request: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": self.model, "owned_by": "test"}]})


@asynccontextmanager
async def counting(say: Say, model: str = "tiny-1B") -> AsyncIterator[Counting]:
    """A server that is there."""
    server = Counting(say, model)
    app = web.Application()
    app.router.add_get("/v1/models", server.models)
    app.router.add_post("/v1/chat/completions", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.01)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield server
    finally:
        await runner.cleanup()
