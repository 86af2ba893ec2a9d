"""Who may go next: calls wait here until there is room for their sequences, the most urgent first."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tpo.errors import ModelUnavailable
from tpo.scheduling.pace import Pace


class Limiter:
    """Bounds what is in flight at one server.

    Args:
        pace: how many sequences may be in flight.
        tokens: tokens that all of them may take together (prompts, and answers at their longest); None for any number.

    Attributes:
        live: sequences in flight.
        tokens: their tokens.
    """

    def __init__(self, pace: Pace, tokens: int | None = None) -> None:
        self.pace = pace
        self.live = 0
        self.tokens = 0
        self._most_tokens = tokens
        self._order = itertools.count()
        self._waiting: list[tuple[int, int, _Waiter]] = []
        self._room: asyncio.Event | None = None

    @property
    def waiting(self) -> int:
        """Calls that wait for room."""
        return sum(not waiter.future.done() for _, _, waiter in self._waiting)

    @property
    def has_room(self) -> bool:
        """Whether a call that came now would go at once."""
        return not self._waiting and self.live < self.pace.limit and not self._full(1)

    @asynccontextmanager
    async def slot(self, sequences: int, tokens: int, urgency: int) -> AsyncIterator[Call]:
        """Wait for room, and keep it for as long as the call takes.

        Args:
            sequences: how many sequences the call is.
            tokens: tokens that it may take in all.
            urgency: the highest goes first; of equals, the one that came first.
        """
        waiter = _Waiter(sequences, tokens)
        heapq.heappush(self._waiting, (-urgency, next(self._order), waiter))
        self._admit()
        try:
            await waiter.future
        except asyncio.CancelledError:
            if waiter.admitted:
                self._leave(waiter)
            else:
                self._admit()  # whoever stood behind it
            raise
        call = Call(self, sequences)
        try:
            yield call
        except ModelUnavailable as error:
            if error.overloaded:
                self.pace.overloaded(call.sent_at, time.monotonic(), self.live)
            raise
        finally:
            self._leave(waiter)

    async def wait_for_room(self) -> None:
        """Wait until a new query's calls would go at once."""
        while not self.has_room:
            self._room = self._room or asyncio.Event()
            await self._room.wait()

    def _leave(self, waiter: _Waiter) -> None:
        self.live -= waiter.sequences
        self.tokens -= waiter.tokens
        self._admit()

    def _full(self, tokens: int) -> bool:
        return self._most_tokens is not None and self.live > 0 and self.tokens + tokens > self._most_tokens

    def _admit(self) -> None:
        while self._waiting:
            waiter = self._waiting[0][2]
            if waiter.future.done():  # cancelled while it waited
                heapq.heappop(self._waiting)
                continue
            # A call larger than the limit goes when nothing else is in flight.
            if self.live and self.live + waiter.sequences > self.pace.limit:
                break
            if self._full(waiter.tokens):
                break
            heapq.heappop(self._waiting)
            waiter.admitted = True
            self.live += waiter.sequences
            self.tokens += waiter.tokens
            waiter.future.set_result(None)
        if self._room is not None and self.has_room:
            self._room.set()
            self._room = None


class Call:
    """A call that was let through."""

    def __init__(self, limiter: Limiter, sequences: int) -> None:
        self._limiter = limiter
        self._sequences = sequences
        self.sent_at = time.monotonic()

    def finished(self, tokens: int) -> None:
        """Tell how it went, for the pace to learn from."""
        limiter = self._limiter
        limiter.pace.finished(self.sent_at, time.monotonic(), self._sequences, tokens, limiter.live)


class _Waiter:
    __slots__ = ("admitted", "future", "sequences", "tokens")

    def __init__(self, sequences: int, tokens: int) -> None:
        self.sequences = sequences
        self.tokens = tokens
        self.admitted = False
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
