"""The coordinator of a run on a cluster: which worker has which query, which records are written, what is in flight."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from tpo.engine.journal import Journal
from tpo.engine.records import Called, Record, Resumed, Started
from tpo.runs.answers import Answer
from tpo.runs.progress import RunProgress
from tpo.runs.ray.wire import Begin, CoordinatorReply, Post, decode_message, encode
from tpo.runs.runner import Journals
from tpo.scheduling.limiter import Limiter
from tpo.scheduling.pace import FixedPace
from tpo.session.backends import Note

# A worker without a message for so long loses its share of the servers.
SILENCE = 10.0


class Coordinator:
    """Writes the records and answers of workers.

    Args:
        journal: where records go.
        on_answer: called once with each answer, after all its records are durable.
        progress: counts what happens.
        on_note: called with each sentence that a user should read.
        limiters: set to what all workers together have in flight, for the live view.

    Attributes:
        left: keys of the queries that have no answer yet.
        past: what earlier processes did for these; emptied.
        stopping: workers have to stop.
    """

    def __init__(
        self,
        journal: Journals,
        on_answer: Callable[[Answer], None],
        progress: RunProgress,
        on_note: Note,
        limiters: Sequence[Limiter],
    ) -> None:
        self._journal = journal
        self._on_answer = on_answer
        self._progress = progress
        self._note = on_note
        self._limiters = limiters
        self.left: set[str] = set()
        self.past: dict[str, list[Record]] = {}
        self.stopping = False
        self._journals: dict[str, Journal] = {}
        self._owners: dict[str, str] = {}
        self._begun: set[str] = set()
        self._posts: dict[str, int] = {}
        self._seen: dict[str, float] = {}
        self._loads: dict[str, list[tuple[int, int]]] = {}

    async def take(self, messages: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        """Handle messages of workers.

        Args:
            messages: messages, each with the ticket of its reply.

        Returns:
            the replies, when everything is durable.

        Raises:
            TPOError: a worker reports that the run cannot continue, or the disk is full.
        """
        replies: list[tuple[int, bytes]] = []
        answers: list[Answer] = []
        for ticket, data in messages:
            message = decode_message(data)
            self._seen[message.worker] = time.monotonic()
            if isinstance(message, Begin):
                past = {key: self._begin(key, id, message.worker) for key, id in message.queries if key in self.left}
                replies.append((ticket, self._reply(message.worker, past)))
            else:
                kept = self._post(message)
                answers += message.answers if kept else []
                replies.append((ticket, self._reply(message.worker, dismissed=not kept)))
        await self._journal.commit()
        for answer in answers:
            self._end(answer)
        self._show()
        return replies

    def _begin(self, key: str, id: str, worker: str) -> list[Record]:
        """A worker begins a query, which another worker may have begun before it died.

        Returns:
            its records so far.
        """
        self._owners[key] = worker
        self._begun.discard(key)
        if key not in self._journals:
            self._journals[key] = self._journal.of(key, id, self.past.pop(key, []))
        return self._journals[key].records

    def _post(self, post: Post) -> bool:
        """Handle a worker's report.

        Returns:
            whether the worker still owns its queries.
        """
        if post.number <= self._posts.get(post.worker, 0):
            return True  # it arrived before, and only the reply was lost
        self._posts[post.worker] = post.number
        mine = [key for key, _ in post.records] + [answer.key for answer in post.answers]
        if any(key in self.left and self._owners.get(key) != post.worker for key in mine):
            self._loads.pop(post.worker, None)
            return False
        for key, record in post.records:
            self._journals[key].append(record)
            if isinstance(record, Called):
                self._progress.take(record)
            elif isinstance(record, Started | Resumed):
                self._begun.add(key)
        for line in post.notes:
            self._progress.trouble(line, self._note)
        if post.failure is not None:
            raise post.failure.error()
        self._loads[post.worker] = post.load
        return True

    def _end(self, answer: Answer) -> None:
        if answer.key not in self.left:
            return
        self.left.discard(answer.key)
        self._owners.pop(answer.key, None)
        self._journals.pop(answer.key, None)
        self._begun.discard(answer.key)
        self._on_answer(answer)
        self._progress.answered(answer)

    def _reply(self, worker: str, past: dict[str, list[Record]] | None = None, *, dismissed: bool = False) -> bytes:
        alive = sorted(self._alive())
        place = (alive.index(worker), len(alive))
        return encode(CoordinatorReply(past or {}, place, self.stopping, dismissed))

    def _alive(self) -> list[str]:
        since = time.monotonic() - SILENCE
        return [worker for worker, seen in self._seen.items() if seen >= since]

    def _show(self) -> None:
        """Show in the fleets here what the workers have in flight."""
        self._progress.open = len(self._begun)
        loads = [self._loads[worker] for worker in self._alive() if worker in self._loads]
        for number, limiter in enumerate(self._limiters):
            here = [load[number] for load in loads if number < len(load)]
            limiter.live = sum(live for live, _ in here)
            limiter.pace = FixedPace(max(1, sum(limit for _, limit in here)))
