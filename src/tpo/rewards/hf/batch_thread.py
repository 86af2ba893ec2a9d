"""One thread for the model; what is asked for while it is busy goes through it together, next."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from tpo.messages import Conversation
from tpo.rewards.protocol import Score


class BatchThread:
    """Collects conversations from many calls, and gives each call its scores as soon as they are there.

    Args:
        work: scores conversations, and yields positions with scores in any order.
        thread: where `work` runs; rewards that share a model share its thread.

    An answer is scored the moment it lands, so conversations come one by one, and often while the model is busy.
    Nothing waits for company: an idle model starts at once, and a busy one finds all that has come meanwhile.
    """

    def __init__(
        self, work: Callable[[list[Conversation]], Iterable[tuple[int, Score]]], thread: ThreadPoolExecutor
    ) -> None:
        self._work = work
        self._thread = thread
        self._waiting: list[tuple[Conversation, Future[Score]]] = []
        self._lock = threading.Lock()

    async def __call__(self, conversations: Sequence[Conversation]) -> list[Score]:
        """The scores, in order; an error of `work` is raised in every call that waits for it."""
        futures: list[Future[Score]] = [Future() for _ in conversations]
        with self._lock:
            self._waiting += zip(conversations, futures, strict=True)
        self._thread.submit(self._take)
        return list(await asyncio.gather(*map(asyncio.wrap_future, futures)))

    def _take(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        # A call that was cancelled while it waited costs nothing.
        taken = [(asked, future) for asked, future in waiting if future.set_running_or_notify_cancel()]
        if not taken:
            return
        try:
            for position, score in self._work([asked for asked, _ in taken]):
                taken[position][1].set_result(score)
        except BaseException as error:
            for _, future in taken:
                if not future.done():
                    future.set_exception(error)
