"""Batches: which conversations go through the model together, and the thread in which they do."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from tpo.messages import Conversation
from tpo.rewards.protocol import Score

# A row joins a batch while at most this share of it is padding, which is computed for nothing; batches this small
# cost a model about as much as its start, whatever is in them.
_PADDING = 0.1
_SMALL = 256


def batches(lengths: Sequence[int], max_batch: int, max_tokens: int) -> Iterator[list[int]]:
    """Group sequences of similar length, the longest first, so that what does not fit fails at once.

    Args:
        lengths: tokens of each sequence.
        max_batch: most sequences in a group.
        max_tokens: most tokens in a group, padding included; a longer sequence is a group of its own.

    Yields:
        Positions in `lengths`; each position comes once.
    """
    batch: list[int] = []
    real = 0
    for position in sorted(range(len(lengths)), key=lambda position: -lengths[position]):
        if batch:
            total = (len(batch) + 1) * lengths[batch[0]]
            wasteful = total > _SMALL and real + lengths[position] < (1 - _PADDING) * total
            if len(batch) == max_batch or total > max_tokens or wasteful:
                yield batch
                batch, real = [], 0
        batch.append(position)
        real += lengths[position]
    if batch:
        yield batch


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
        taken = [(one, future) for one, future in waiting if future.set_running_or_notify_cancel()]
        if not taken:
            return
        try:
            for position, score in self._work([one for one, _ in taken]):
                taken[position][1].set_result(score)
        except BaseException as error:
            for _, future in taken:
                if not future.done():
                    future.set_exception(error)
