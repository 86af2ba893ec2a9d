"""Asking the app itself: a request that we make up is answered by the route that would answer a client.

So what is said in another protocol goes the same way as everything else: the same checks, the same limits, the same
errors, and the same end when the client leaves.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from tpo.server.asgi import App, Message, Receive, Scope, Send

CHAT = "/v1/chat/completions"


async def ask(app: App, scope: Scope, body: dict[str, Any], gone: asyncio.Event, hear: Send) -> None:
    """Ask the app for a chat completion.

    Args:
        app: the app, behind its middlewares.
        scope: the request that the client made, whose headers count.
        body: what to ask.
        gone: set when the client has left.
        hear: takes the answer, as ASGI's messages.
    """
    data = msgspec.json.encode(body)
    headers = [(name, value) for name, value in scope["headers"] if name not in (b"content-length", b"content-type")]
    headers += [(b"content-type", b"application/json"), (b"content-length", str(len(data)).encode())]
    told = False

    async def receive() -> Message:
        nonlocal told
        if not told:
            told = True
            return {"type": "http.request", "body": data, "more_body": False}
        await gone.wait()
        return {"type": "http.disconnect"}

    await app({**scope, "path": CHAT, "raw_path": CHAT.encode(), "headers": headers}, receive, hear)


@asynccontextmanager
async def watched(receive: Receive) -> AsyncIterator[asyncio.Event]:
    """While this goes on, an event tells whether the client has left."""
    gone = asyncio.Event()

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        gone.set()

    watching = asyncio.create_task(watch())
    try:
        yield gone
    finally:
        watching.cancel()


class Answer:
    """What the app answers, as it comes: a status and a body in one piece, or the chunks of a stream.

    Args:
        on_stream: called once, when it turns out that a stream begins.
        on_chunk: takes each chunk of a stream.
        on_comment: takes each comment of a stream, which keeps connections alive.
    """

    def __init__(
        self,
        on_stream: Callable[[], Awaitable[None]],
        on_chunk: Callable[[dict[str, Any]], Awaitable[None]],
        on_comment: Callable[[bytes], Awaitable[None]],
    ) -> None:
        self._on_stream, self._on_chunk, self._on_comment = on_stream, on_chunk, on_comment
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.streamed = False
        self._lines = Lines()

    async def hear(self, message: Message) -> None:
        """Take one of ASGI's messages."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = list(message.get("headers", ()))
            kind = dict(self.headers).get(b"content-type", b"")
            self.streamed = self.status == 200 and kind.startswith(b"text/event-stream")
            if self.streamed:
                await self._on_stream()
        elif message["type"] == "http.response.body":
            body = message.get("body", b"")
            if not self.streamed:
                self.body += body
                return
            for line in self._lines.take(body):
                await self._line(line)

    async def _line(self, line: bytes) -> None:
        if line.startswith(b":"):
            await self._on_comment(line)
        elif line.startswith(b"data:") and (data := line[5:].strip()) != b"[DONE]":
            await self._on_chunk(msgspec.json.decode(data, type=dict[str, Any]))


class Lines:
    """Puts the lines of a text together that comes in pieces."""

    def __init__(self) -> None:
        self._rest = b""

    def take(self, data: bytes) -> Iterator[bytes]:
        """The lines that a piece completes, without their ends."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return (line.rstrip(b"\r") for line in lines)
