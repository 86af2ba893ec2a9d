"""Requests that are sent again with the same `Idempotency-Key`: they join the work under way, or get its result.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Coroutine
from typing import Generic, TypeVar

from tpo.server.errors import ApiError

T = TypeVar("T")

HEADER = b"idempotency-key"
# Characters of a key.
LONGEST = 255
# Results that are kept, and for how many seconds.
KEPT = 256
SECONDS = 600.0
# Seconds for which work goes on although no client waits for it: one whose connection broke may come back.
LINGER = 60.0


class Work(Generic[T]):
    """Work for all requests with one key.

    Attributes:
        task: the work.
        waiting: requests that wait for it now.
    """

    def __init__(self, task: asyncio.Future[T], fingerprint: bytes) -> None:
        self.task = task
        self.waiting = 0
        self.fingerprint = fingerprint
        self.ends_at = float("inf")
        self.abandoned: asyncio.TimerHandle | None = None


class Idempotency(Generic[T]):
    """Shares work between requests with the same key.

    Args:
        linger: seconds for which work goes on although no client waits for it.
        clock: seconds, on any clock.
    """

    def __init__(self, linger: float = LINGER, clock: Callable[[], float] = time.monotonic) -> None:
        self._linger = linger
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
            work = self._works[place] = Work(asyncio.ensure_future(begin()), fingerprint)
            work.task.add_done_callback(lambda task: self._done(place, task))
        work.waiting += 1
        if work.abandoned is not None:
            work.abandoned.cancel()
            work.abandoned = None
        return work, begun

    def leave(self, work: Work[T]) -> None:
        """A request no longer waits for the work."""
        work.waiting -= 1
        if work.waiting == 0 and not work.task.done():
            work.abandoned = asyncio.get_running_loop().call_later(self._linger, work.task.cancel)

    async def aclose(self) -> None:
        """End all work."""
        tasks = [work.task for work in self._works.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, place: tuple[str | None, str, str], task: asyncio.Future[T]) -> None:
        work = self._works[place]
        if task.cancelled() or task.exception() is not None:  # the next try of the same request may succeed
            del self._works[place]
        else:
            work.ends_at = self._clock() + SECONDS

    def _forget(self) -> None:
        now = self._clock()
        ended = [place for place, work in self._works.items() if work.task.done() and not work.waiting]
        old = [place for place in ended if self._works[place].ends_at <= now]
        for place in {*old, *ended[: max(len(self._works) - KEPT, 0)]}:
            del self._works[place]
