"""Limits on how many requests run at once and how many wait, shared fairly between keys."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from tpo.errors import InputError, TPOError

# Bounds of the estimated seconds in `Retry-After`.
SOONEST, LATEST = 1, 120
# How much of the mean duration a new one is.
_SHARE = 0.1


class Busy(TPOError):
    """There is no room for another request, not even in the queue.

    Attributes:
        retry_after: seconds after which there may be room.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"The server is full: try again in {retry_after} s.")
        self.retry_after = retry_after


class _Line:
    """The requests of one key that wait.

    Args:
        weight: the key's share, against that of others.
        turn: when the first of them is served, on the clock that counts turns.
    """

    def __init__(self, weight: float, turn: float) -> None:
        self.weight = weight
        self.turn = turn
        self.waiting: deque[asyncio.Future[None]] = deque()

    @property
    def length(self) -> float:
        """How many wait, against the key's share."""
        return len(self.waiting) / self.weight


class Admission:
    """Runs a limited number of requests, queues some more, and refuses the rest.

    Keys take turns, as in start-time fair queueing (Goyal, Vin and Cheng, 1996): each request that is let in moves its
    key's next turn back by one over the key's weight, and the earliest turn is next. So a key with many requests in the
    queue delays its own, and a key that had fewer than its share gets the next place that is free. Where the queue is
    full, the key that fills it most gives up its last place to a key that waits less.

    Args:
        concurrency: requests that run at once.
        queue: requests that may wait.

    Attributes:
        live: requests that run now.
        waiting: requests that wait now.

    Raises:
        InputError: no request would ever run.
    """

    def __init__(self, concurrency: int, queue: int) -> None:
        if concurrency < 1 or queue < 0:
            raise InputError(
                f"{concurrency} requests at once and {queue} that wait: let in 1 or more, and queue 0 or more."
            )
        self.concurrency = concurrency
        self.queue = queue
        self.live = 0
        self.waiting = 0
        self._lines: dict[str | None, _Line] = {}
        # The turn of the request that was let in last, and the next turn of each key that has had more than others.
        self._turn = 0.0
        self._next: dict[str | None, float] = {}
        self._seconds = float(SOONEST)

    @asynccontextmanager
    async def admitted(self, key: str | None = None, weight: float = 1.0) -> AsyncIterator[None]:
        """Wait for a turn, and keep it.

        Args:
            key: the name of the client's key; requests without one share a line.
            weight: the key's share, against that of others.

        Raises:
            Busy: too many wait already.
        """
        if self.live < self.concurrency:
            self.live += 1
            self._serve(key, weight, self._earliest(key))
        else:
            await self._wait(key, weight)
        began = time.monotonic()
        try:
            yield
        finally:
            self._seconds += _SHARE * (time.monotonic() - began - self._seconds)
            self._leave()

    def expect_room(self, key: str | None, weight: float, promised: Collection[tuple[str | None, float]]) -> None:
        """Check that there is room for another request, or that another key's requests fill the room.

        Args:
            key: the name of the client's key.
            weight: the key's share, against that of others.
            promised: key and weight of each request that was accepted and may not be in the queue yet.

        Raises:
            Busy: there is no room, and no key has more requests that wait.
        """
        if max(len(promised), self.waiting) < self.queue + self.concurrency - self.live:
            return
        lengths = {other: line.length for other, line in self._lines.items()}
        for other, count in Counter(promised).items():
            lengths[other[0]] = max(lengths.get(other[0], 0.0), count / other[1])
        if max(lengths.values(), default=0.0) <= lengths.get(key, 0.0) + 1 / weight:
            raise Busy(self.retry_after)

    def _earliest(self, key: str | None) -> float:
        """The turn of a key's request that comes now, where none of the key waits."""
        return max(self._turn, self._next.get(key, 0.0))

    def _serve(self, key: str | None, weight: float, turn: float) -> None:
        self._turn = turn
        self._next[key] = turn + 1 / weight
        self._next = {key: at for key, at in self._next.items() if at > turn}

    async def _wait(self, key: str | None, weight: float) -> None:
        line = self._lines.get(key) or _Line(weight, self._earliest(key))
        if self.waiting >= self.queue:
            self._make_room(line)
        self._lines[key] = line
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.waiting.append(turn)
        self.waiting += 1
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled() and turn.exception() is None:  # it had its turn at the same moment
                self._leave()
            elif turn in line.waiting:
                self._take(key, line, turn)
            raise

    def _make_room(self, line: _Line) -> None:
        key, longest = max(self._lines.items(), key=lambda item: item[1].length, default=(None, line))
        if not longest.waiting or longest.length <= (len(line.waiting) + 1) / line.weight:
            raise Busy(self.retry_after)
        last = longest.waiting[-1]
        self._take(key, longest, last)
        if not last.done():
            last.set_exception(Busy(self.retry_after))

    def _take(self, key: str | None, line: _Line, turn: asyncio.Future[None]) -> None:
        line.waiting.remove(turn)
        self.waiting -= 1
        if not line.waiting:
            del self._lines[key]

    def _leave(self) -> None:
        # A place is handed over, so that a request that has just arrived cannot take it from those that wait.
        while self._lines:
            key, line = min(self._lines.items(), key=lambda item: item[1].turn)
            turn = line.waiting[0]
            self._take(key, line, turn)
            if not turn.done():
                self._serve(key, line.weight, line.turn)
                line.turn += 1 / line.weight
                turn.set_result(None)
                return
        self.live -= 1
        if not self.live:
            self._next.clear()

    @property
    def retry_after(self) -> int:
        """Estimated seconds until a request that came now would have a place."""
        rounds = (self.waiting + 1) / max(self.concurrency, 1)
        return round(min(max(rounds * self._seconds, SOONEST), LATEST))
