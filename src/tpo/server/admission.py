"""How much is worked on at once, how much may wait for that, and what is told to those beyond."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tpo.errors import InputError, TPOError

# Seconds that a client is told to wait: what is estimated, within these bounds.
SOONEST, LATEST = 1, 120
# How much of the mean duration a new one is.
_SHARE = 0.1


class Busy(TPOError):
    """There is no room for another request, not even for waiting.

    Attributes:
        retry_after: seconds after which there may be room.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"The server has as much to do as it takes: try again in {retry_after} s.")
        self.retry_after = retry_after


class Admission:
    """Lets so many in at once, keeps so many waiting in the order in which they came, and sends the others away.

    Args:
        concurrency: how many are in.
        queue: how many may wait.

    Attributes:
        live: how many are in now.

    Raises:
        InputError: nobody would ever be let in.
    """

    def __init__(self, concurrency: int, queue: int) -> None:
        if concurrency < 1 or queue < 0:
            raise InputError(
                f"{concurrency} requests at once and {queue} that wait: let in 1 or more, and queue 0 or more."
            )
        self.concurrency = concurrency
        self.queue = queue
        self.live = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._seconds = float(SOONEST)

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @asynccontextmanager
    async def admitted(self) -> AsyncIterator[None]:
        """Wait for room, and keep it.

        Raises:
            Busy: too many wait already.
        """
        if self.live < self.concurrency:
            self.live += 1
        else:
            await self._wait()
        began = time.monotonic()
        try:
            yield
        finally:
            self._seconds += _SHARE * (time.monotonic() - began - self._seconds)
            self._leave()

    async def _wait(self) -> None:
        if self.waiting >= self.queue:
            raise Busy(self.retry_after)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                if turn in self._waiting:
                    self._waiting.remove(turn)
            else:  # it had its turn at the same moment
                self._leave()
            raise

    def _leave(self) -> None:
        # A place goes from hand to hand, so that nobody who has just come can take it from those who wait.
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.live -= 1

    @property
    def retry_after(self) -> int:
        """Seconds until a request that came now would have a place, by how long others took."""
        rounds = (self.waiting + 1) / max(self.concurrency, 1)
        return round(min(max(rounds * self._seconds, SOONEST), LATEST))
