"""A streamed answer: a protocol's renderer, and the rhythm in which its output is sent."""

from __future__ import annotations

import asyncio
from typing import Any

from tpo.engine.events import Event, TextGrew
from tpo.engine.records import Sampled
from tpo.server.asgi import Header, Send
from tpo.server.deltas import Delta, Narration, Sink, Text, Thought, deltas_of
from tpo.server.errors import ApiError
from tpo.server.protocols import sse
from tpo.server.protocols.protocol import Renderer
from tpo.session.response import Completion

# Seconds for which a failure can still have its own status; after that the stream has begun with 200.
PATIENCE = 0.9
# Seconds between two chunks of a growing text, and between two heartbeats.
BEAT = 0.05
HEARTBEAT = 5.0

HEAD: list[Header] = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would keep a stream until it is whole
]


class Stream:
    """Sends one streamed answer.

    Args:
        renderer: writes the protocol.
        send: the way to the client.

    Attributes:
        begun: whether anything was sent.
    """

    def __init__(self, renderer: Renderer, send: Send) -> None:
        self._renderer = renderer
        self._send = send
        self._pending: list[tuple[int, Delta | Completion]] = []
        self._happened = asyncio.Event()
        self._alive = False
        self._sent: dict[tuple[int, int], list[str]] = {}
        self.begun = False

    def sink(self, place: int) -> Sink:
        """Takes the deltas of one conversation."""

        def take(delta: Delta) -> None:
            # A model that writes is there: from now on, failures are reported in the stream.
            self._alive = self._alive or not isinstance(delta, Narration)
            if isinstance(delta, Text):
                self._sent.setdefault((place, delta.index), []).append(delta.text)
            elif isinstance(delta, Thought):
                self._sent.setdefault((place, delta.index), [])
            self._pending.append((place, delta))
            self._happened.set()

        return take

    def listen(self, event: Event) -> None:
        """Take an event of a search, which shows that a model is there."""
        if not self._alive and isinstance(event, TextGrew | Sampled):
            self._alive = True
            self._happened.set()

    async def run(self, answering: asyncio.Future[Any]) -> None:
        """Send deltas until the answer is complete."""
        loop = asyncio.get_running_loop()
        begin_at = loop.time() + PATIENCE
        while not answering.done():
            if not self.begun and (self._alive or loop.time() >= begin_at):
                await self._begin()
            if self.begun and self._pending:
                await self._flush()
                await asyncio.wait({answering}, timeout=BEAT)
                continue
            self._happened.clear()
            left = HEARTBEAT if self.begun else max(begin_at - loop.time(), 0.0)
            happening = asyncio.ensure_future(self._happened.wait())
            try:
                done, _ = await asyncio.wait({answering, happening}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            finally:
                happening.cancel()
            if not done and self.begun:
                await self._write(sse.HEARTBEAT)

    def complete(self, place: int, response: Completion, *, narrated: bool = True) -> None:
        """Add what remains of one conversation's answer; it is sent with the next deltas.

        Args:
            place: the conversation's number.
            response: its answer.
            narrated: the narration was sent already.
        """
        if response.narration and not narrated:
            self._pending.append((place, Narration(response.narration)))
        sent = {index: "".join(texts) for (at, index), texts in self._sent.items() if at == place}
        self._pending += [(place, delta) for delta in deltas_of(response, sent)]
        self._pending.append((place, response))
        self._happened.set()

    async def finish(self) -> None:
        """Send the rest, and the end."""
        await self._begin()
        await self._flush()
        await self._write(self._renderer.end(), more=False)

    async def fail(self, error: ApiError) -> None:
        """Send what there is, and the error."""
        await self._begin()
        await self._flush()
        await self._write(self._renderer.fail(error), more=False)

    async def _begin(self) -> None:
        if not self.begun:
            self.begun = True
            await self._send({"type": "http.response.start", "status": 200, "headers": HEAD})
            await self._write(self._renderer.begin())

    async def _flush(self) -> None:
        pending, self._pending = _joined(self._pending), []
        out = b"".join(
            self._renderer.finish(place, one) if isinstance(one, Completion) else self._renderer.delta(place, one)
            for place, one in pending
        )
        await self._write(out)

    async def _write(self, data: bytes, more: bool = True) -> None:
        if data or not more:
            await self._send({"type": "http.response.body", "body": data, "more_body": more})


def _joined(pending: list[tuple[int, Delta | Completion]]) -> list[tuple[int, Delta | Completion]]:
    """Neighbouring narration, and neighbouring text of one answer, as one delta."""
    joined: list[tuple[int, Delta | Completion]] = []
    for place, one in pending:
        last = joined[-1] if joined else None
        if last is not None and last[0] == place and (both := _sum(last[1], one)) is not None:
            joined[-1] = (place, both)
        else:
            joined.append((place, one))
    return joined


def _sum(first: Delta | Completion, second: Delta | Completion) -> Delta | None:
    match first, second:
        case Narration(one), Narration(two):
            return Narration(one + two)
        case Thought(i, one), Thought(j, two) if i == j:
            return Thought(i, one + two)
        case Text(i, one, None), Text(j, two, None) if i == j and two:
            return Text(i, one + two)
    return None
