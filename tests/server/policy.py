"""A policy behind the server, whose every answer a test decides, and which sees when somebody leaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

# What to answer: a text, a message, or an HTTP status to fail with.
Said = str | dict[str, Any] | int
Answer = Callable[[dict[str, Any], int], Awaitable[Said]]


@dataclass
class Policy:
    """Where it listens, and what it was asked.

    Attributes:
        url: its address.
        bodies: the requests, as they came.
        raw: the same, in bytes.
        headers: theirs.
        left: requests whose client left before they were answered.
        asked: set when somebody asks.
    """

    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    left: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    close: Callable[[], Awaitable[None]] = lambda: asyncio.sleep(0)

    @property
    def prompts(self) -> list[str]:
        """The last messages of the requests."""
        return [body["messages"][-1]["content"] for body in self.bodies]


def critic(body: dict[str, Any]) -> bool:
    """Whether a request is no request for an answer."""
    text = str(body["messages"][-1]["content"])
    return "improved_answer" not in text and len(text) > 120


@asynccontextmanager
async def policy(answer: Answer, names: tuple[str, ...] = ("small",)) -> AsyncIterator[Policy]:
    """Serve.

    Args:
        answer: what to say to a request, given its number as well.
        names: the models.
    """
    known = Policy()

    async def chat(request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        body = json.loads(raw)
        known.raw.append(raw)
        known.bodies.append(body)
        known.headers.append(dict(request.headers))
        known.asked.set()
        try:
            said = await answer(body, len(known.bodies) - 1)
            if isinstance(said, int):
                error = {"message": "It is not to be had.", "type": "x", "param": None, "code": None}
                return web.json_response({"error": error}, status=said)
            message = {"role": "assistant", "content": said} if isinstance(said, str) else said
            return await _told(request, body, message)
        except asyncio.CancelledError:
            known.left += 1
            known.gone.set()
            raise

    async def models(request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": name, "owned_by": "me"} for name in names]})

    app = web.Application()
    app.add_routes([web.post("/v1/chat/completions", chat), web.get("/v1/models", models)])
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    known.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    known.close = runner.cleanup
    try:
        yield known
    finally:
        await runner.cleanup()


async def _told(request: web.Request, body: dict[str, Any], message: dict[str, Any]) -> web.StreamResponse:
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    head = {"id": "up", "created": 1, "model": body["model"]}
    finish = "tool_calls" if message.get("tool_calls") else "stop"
    if not body.get("stream"):
        choices = [{"index": index, "message": message, "finish_reason": finish} for index in range(body.get("n") or 1)]
        return web.json_response({**head, "object": "chat.completion", "choices": choices, "usage": usage})
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    delta = {**message}
    if message.get("tool_calls"):
        delta["tool_calls"] = [{"index": number, **call} for number, call in enumerate(message["tool_calls"])]
    ends: list[tuple[dict[str, Any], str | None]] = [({}, finish)] if message.get("hang") is None else []
    delta.pop("hang", None)
    breaks = delta.pop("breaks", False)
    for part, end in [(delta, None), *ends]:
        chunk = {**head, "choices": [{"index": 0, "delta": part, "finish_reason": end}]}
        await response.write(b"data: %s\n\n" % json.dumps(chunk).encode())
        if breaks:
            await asyncio.sleep(0.2)  # what was written arrives before the end does
            assert request.transport is not None
            request.transport.close()
            return response
    if not ends:
        await asyncio.sleep(60)
    await response.write(b"data: %s\n\n" % json.dumps({**head, "choices": [], "usage": usage}).encode())
    await response.write(b"data: [DONE]\n\n")
    return response


def call(name: str, arguments: str, id: str = "call_1") -> dict[str, Any]:
    """A message that calls a tool."""
    function = {"name": name, "arguments": arguments}
    return {"role": "assistant", "content": None, "tool_calls": [{"id": id, "type": "function", "function": function}]}


def saying(*texts: Said) -> Answer:
    """Say one after the other, and the last for ever."""

    async def answer(body: dict[str, Any], number: int) -> Said:
        return texts[min(number, len(texts) - 1)]

    return answer


def drawing(answers: list[Said], other: Said = "Say more.") -> Answer:
    """Say these in turn to requests for answers, and something else to all others."""
    left = iter(answers)

    async def answer(body: dict[str, Any], number: int) -> Said:
        return other if critic(body) else next(left, answers[-1])

    return answer
