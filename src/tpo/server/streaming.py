"""A streamed answer: how the search goes while it goes, and then the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tpo.candidate import Candidate
from tpo.engine.events import Event, TextGrew
from tpo.engine.records import Sampled
from tpo.server.asgi import Header, Send
from tpo.server.errors import ApiError
from tpo.server.narration import Narrator
from tpo.server.wire.answer import Chunk, Head, chunks

# Seconds for which a failure can still be told by its status; after that the stream has begun.
PATIENCE = 0.9
# Seconds between two chunks of the narration, and between two signs of life.
BEAT = 0.05
HEARTBEAT = 5.0

_HEAD: list[Header] = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would keep a stream until it is whole
]


class Stream:
    """The way to a client that reads as it comes.

    Args:
        head: the answer's id and so on.
        send: the way to the client.
        reasoning: tell how the search goes.

    Attributes:
        begun: whether anything was sent.
    """

    def __init__(self, head: Head, send: Send, *, reasoning: bool) -> None:
        self._answer = head
        self._send = send
        self._narrator = Narrator() if reasoning else None
        self._told: list[str] = []
        self._happened = asyncio.Event()
        self._alive = False
        self.begun = False

    def hear(self, event: Event) -> None:
        """Take what happens."""
        # A model that says a word is there: from now on all is told in the stream.
        self._alive = self._alive or isinstance(event, TextGrew | Sampled)
        text = self._narrator.tell(event) if self._narrator is not None else ""
        if text:
            self._told.append(text)
        if text or not self.begun:
            self._happened.set()

    async def run(self, searching: asyncio.Future[Any], leaving: asyncio.Future[Any]) -> None:
        """Tell how the search goes until it is over, or the client has left."""
        loop = asyncio.get_running_loop()
        begin_at = loop.time() + PATIENCE
        while not searching.done() and not leaving.done():
            if not self.begun and (self._alive or loop.time() >= begin_at):
                await self._begin()
            if self.begun and self._told:
                await self._narrate()
                await asyncio.wait({searching, leaving}, timeout=BEAT, return_when=asyncio.FIRST_COMPLETED)
                continue
            self._happened.clear()
            left = HEARTBEAT if self.begun else max(begin_at - loop.time(), 0.0)
            happening = asyncio.ensure_future(self._happened.wait())
            done, _ = await asyncio.wait(
                {searching, leaving, happening}, timeout=left, return_when=asyncio.FIRST_COMPLETED
            )
            happening.cancel()
            if not done and self.begun:
                await self._write(b": still at it\n\n")

    async def finish(self, best: Sequence[Candidate], usage: Mapping[str, Any] | None, told: Mapping[str, Any]) -> None:
        """Tell the answer.

        Args:
            best: the candidates that are answered with.
            usage: what it cost, where that is wanted.
            told: what is said of the search, as the field `tpo` of the last chunk.
        """
        await self._begin()
        await self._narrate()
        *most, last = chunks(self._answer, best)
        for chunk in most:
            await self._data(chunk)
        await self._data({**last, "tpo": dict(told)})
        if usage is not None:
            await self._data(self._answer.chunk(usage=dict(usage)))
        await self._write(b"data: [DONE]\n\n", more=False)

    async def fail(self, error: ApiError) -> None:
        """Tell that there will be no answer."""
        await self._data(error.to_dict())
        await self._write(b"data: [DONE]\n\n", more=False)

    async def _begin(self) -> None:
        if not self.begun:
            self.begun = True
            await self._send({"type": "http.response.start", "status": 200, "headers": _HEAD})
            await self._data(self._answer.delta(role="assistant", content=""))

    async def _narrate(self) -> None:
        text = "".join(self._told)
        self._told.clear()
        if text:
            await self._data(self._answer.delta(reasoning_content=text))

    async def _data(self, chunk: Chunk) -> None:
        await self._write(b"data: %s\n\n" % msgspec.json.encode(chunk))

    async def _write(self, data: bytes, more: bool = True) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": more})
