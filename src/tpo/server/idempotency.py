"""Requests that are sent again with the same `Idempotency-Key`: they join the work under way, or get its result.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Generic, TypeVar

from tpo.server.errors import ApiError

T = TypeVar("T")

HEADER = b"idempotency-key"
# Characters of a key.
LONGEST = 255
# Results that are kept, bytes of them, and for how many seconds.
KEPT = 256
KEPT_BYTES = 50_000_000
SECONDS = 600.0
# Seconds for which work goes on although no client waits for it: one whose connection broke may come back.
LINGER = 60.0


class Work(Generic[T]):
    """Work for all requests with one key.

    Attributes:
        place: client, path and idempotency key.
        task: the work.
        waiting: requests that wait for it now.
        size: bytes of its result, about.
        abandoned: ends the work when it has gone on for long enough without a client; None while one waits.
    """

    def __init__(self, place: tuple[str | None, str, str], task: asyncio.Future[T], fingerprint: bytes) -> None:
        self.place = place
        self.task = task
        self.waiting = 0
        self.fingerprint = fingerprint
        self.size = 0
        self.ends_at = float("inf")
        self.abandoned: asyncio.TimerHandle | None = None


class Idempotency(Generic[T]):
    """Shares work between requests with the same key.

    Args:
        linger: seconds for which work goes on although no client waits for it.
        clock: seconds, on any clock.
        size_of: bytes of a result, about.
    """

    def __init__(
        self,
        linger: float = LINGER,
        clock: Callable[[], float] = time.monotonic,
        size_of: Callable[[T], int] = lambda result: 0,
    ) -> None:
        self._linger = linger
        self._size_of = size_of
        self._clock = clock
        self._works: dict[tuple[str | None, str, str], Work[T]] = {}

    def join(
        self, client: str | None, path: str, key: str, body: bytes, begin: Callable[[], Coroutine[None, None, T]]
    ) -> tuple[Work[T], bool]:
        """Join the work for a key, or begin it.

        Args:
            client: the client's name; each has keys of its own.
            path: the path of the request.
            key: the idempotency key.
            body: the request, which has to be the same each time.
            begin: begins the work.

        Returns:
            The work, and whether it was begun here. Call `leave` when the request is over.

        Raises:
            ApiError: the key belongs to another request.
        """
        if len(key) > LONGEST:
            raise ApiError(400, f"An Idempotency-Key has at most {LONGEST} characters.")
        self._forget()
        place, fingerprint = (client, path, key), hashlib.sha256(body).digest()
        work = self._works.get(place)
        if work is not None and work.fingerprint != fingerprint:
            message = "This Idempotency-Key was sent with another request: a new request needs a new key."
            raise ApiError(422, message, code="idempotency_key_reused")
        begun = work is None
        if work is None:
            work = self._works[place] = Work(place, asyncio.ensure_future(begin()), fingerprint)
            work.task.add_done_callback(partial(self._done, work))
        work.waiting += 1
        if work.abandoned is not None:
            work.abandoned.cancel()
            work.abandoned = None
        return work, begun

    def leave(self, work: Work[T], most: int | None = None) -> None:
        """A request no longer waits for the work.

        Args:
            work: the work.
            most: works of one client that go on although no request waits for them; the oldest above that ends now.
        """
        work.waiting -= 1
        if work.waiting:
            return
        if work.task.done():
            self._forget()
            return
        work.abandoned = asyncio.get_running_loop().call_later(self._linger, self._end, work)
        if most is not None:
            client = work.place[0]
            alone = [
                other for other in self._works.values() if other.place[0] == client and other.abandoned is not None
            ]
            for other in alone[: max(len(alone) - most, 0)]:
                self._end(other)

    def _end(self, work: Work[T]) -> None:
        """End work that no request waits for; one that comes now begins it again."""
        if work.abandoned is not None:
            work.abandoned.cancel()
        self._drop(work)
        work.task.cancel()

    def _drop(self, work: Work[T]) -> None:
        if self._works.get(work.place) is work:
            del self._works[work.place]

    async def aclose(self) -> None:
        """End all work."""
        tasks = [work.task for work in self._works.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, work: Work[T], task: asyncio.Future[T]) -> None:
        if work.abandoned is not None:
            work.abandoned.cancel()
            work.abandoned = None
        if task.cancelled() or task.exception() is not None:  # the next try of the same request may succeed
            self._drop(work)
        else:
            work.ends_at = self._clock() + SECONDS
            work.size = self._size_of(task.result())
            self._forget()

    def _forget(self) -> None:
        now, count, size = self._clock(), len(self._works), sum(work.size for work in self._works.values())
        for work in [work for work in self._works.values() if work.task.done() and not work.waiting]:
            if work.ends_at <= now or count > KEPT or size > KEPT_BYTES:
                self._drop(work)
                count, size = count - 1, size - work.size
