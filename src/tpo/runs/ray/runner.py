"""The part of a run on a cluster that stays where the run's directory is.

It spreads the queries and receives all results: workers' records go into the one journal, and a worker uses a result
only after the reply that its record is durable; answers go into the one file. So whichever process dies, the directory
is the same as without a cluster, and it is enough to continue the run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any

import msgspec

from tpo.engine.records import Record
from tpo.errors import TPOError
from tpo.models.fleet import Fleet
from tpo.prompts import Role
from tpo.rewards.protocol import Reward
from tpo.runs.answers import Answer
from tpo.runs.progress import RunProgress
from tpo.runs.ray.coordinator import Coordinator
from tpo.runs.ray.shared_limits import limiters_of
from tpo.runs.ray.wire import Failure
from tpo.runs.rows import BadRow, QueryRow
from tpo.runs.runner import Journals, keys_of
from tpo.session.backends import Note
from tpo.session.session import Session

# Rows that are sent to the cluster at a time.
SENT = 1000
# Seconds for workers to stop when the run is interrupted.
GRACE = 15.0


class RayRunner:
    """Aligns the queries that are left to do, on a cluster; without a cluster, `tpo.runs.runner.Runner` does it.

    Args:
        broker: the run's `Broker`.
        workers: how many workers; None for one on each node.
        concurrency: sequences in flight at each server, all workers together.
        session: as for `Runner`, like all that follow.
        recipe: everything else that decides the results, for the queries' keys.
        fleets: the model of each role; they make no calls here, but show what the workers have in flight.
        reward: what scores the answers; it makes no calls here.
        journal: where everything is written down.
        on_answer: takes each answer, when all that it stands on is durable.
        progress: counts what happens.
        on_note: called with each sentence that a user should read.
    """

    def __init__(
        self,
        broker: Any,
        workers: int | None,
        concurrency: int | None,
        session: Session,
        recipe: dict[str, Any],
        fleets: Mapping[Role, Fleet],
        reward: Reward | None,
        journal: Journals,
        on_answer: Callable[[Answer], None],
        progress: RunProgress,
        on_note: Note,
    ) -> None:
        self._broker = broker
        self._wanted = workers
        self._concurrency = concurrency
        self._width = session.spec.width
        self._recipe = recipe
        self._journal = journal
        self._coordinator = Coordinator(journal, on_answer, progress, on_note, limiters_of(fleets))
        self.key_of = keys_of(recipe)
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """Interrupt the run: calls in flight are cancelled, what is done is kept."""
        self._coordinator.stopping = True
        self._stopped.set()

    @property
    def stopped(self) -> bool:
        """Whether the run was interrupted."""
        return self._stopped.is_set()

    async def run(self, rows: Iterator[QueryRow | BadRow], done: set[str], past: dict[str, list[Record]]) -> None:
        """Align every row that is not done.

        Args:
            rows: the data, from the start.
            done: keys of the queries that have their answers.
            past: what earlier processes did for others, by key; emptied.

        Raises:
            TPOError: the run cannot continue: the disk is full, a server was down for too long, the cluster is lost.
        """
        self._coordinator.past = past
        serving = asyncio.ensure_future(self._serve())
        spreading = asyncio.ensure_future(self._spread(rows, done))
        alarm = asyncio.ensure_future(self._stopped.wait())
        tasks: set[asyncio.Future[Any]] = {serving, spreading, alarm}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if self.stopped:
                await self._reached(self._broker.end.remote())
                await asyncio.wait({serving, spreading}, timeout=GRACE, return_when=asyncio.FIRST_COMPLETED)
            for work in (serving, spreading):
                if work.done():
                    work.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            with suppress(TPOError):
                await self._journal.commit()

    async def _spread(self, rows: Iterator[QueryRow | BadRow], done: set[str]) -> None:
        while batch := await asyncio.to_thread(lambda: list(islice(rows, SENT))):
            sent = []
            for row in batch:
                if isinstance(row, QueryRow) and (key := self.key_of(row)) not in done:
                    self._coordinator.left.add(key)
                    sent.append(msgspec.json.encode(row))
            await self._reached(self._broker.add.remote(sent))
        workers = self._wanted or max(1, await self._reached(self._broker.nodes.remote()))
        if self._concurrency is not None:  # every worker's part must be enough for one query's answers
            workers = max(1, min(workers, self._concurrency // self._width))
        failure: Failure | None = await self._reached(self._broker.spread.remote(self._recipe, workers))
        if failure is not None:
            raise failure.error() if failure.kind else TPOError(failure.text)

    async def _serve(self) -> None:
        replies: list[tuple[int, bytes]] = []
        while True:
            messages = await self._reached(self._broker.exchange.remote(replies))
            replies = await self._coordinator.take(messages)

    async def _reached(self, reference: Awaitable[Any]) -> Any:
        from ray.exceptions import RayError

        waiting = asyncio.ensure_future(reference)
        waiting.add_done_callback(_retrieve)
        try:
            # Shielded: Ray's client fails on a future that was cancelled.
            return await asyncio.shield(waiting)
        except RayError as error:
            raise TPOError(
                f"The Ray cluster was lost ({type(error).__name__}). What was done is kept: the same command continues."
            ) from error


def _retrieve(future: asyncio.Future[Any]) -> None:
    """Retrieve the exception of a future that may have no waiter left, so that asyncio does not log it."""
    if not future.cancelled():
        future.exception()
