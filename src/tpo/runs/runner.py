"""A run: every query of a dataset aligned, with the servers kept full and nothing lost.

There is a task for each query that is open, and no barrier anywhere. What is bounded is what is in flight at the
servers; a new query is let in the moment there is room that no open query wants.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice
from typing import Any, Protocol

import msgspec

from tpo.engine.events import Event, Retrying
from tpo.engine.journal import Journal
from tpo.engine.limits import Budget
from tpo.engine.records import Record
from tpo.errors import JournalError, ModelUnavailable, RewardUnavailable, TPOError
from tpo.prompts import Role
from tpo.rewards.protocol import Reward
from tpo.runs.answers import Answer, answer_of
from tpo.runs.rows import BadRow, Row
from tpo.runs.tally import Tally
from tpo.scheduling.fleet import Fleet
from tpo.session.backends import Note
from tpo.session.session import Session
from tpo.session.spec import plan_of

# Rows are read in another thread, so many at a time, since a dataset's library may block.
READ_AHEAD = 64


class Journals(Protocol):
    """Where the journals of all queries are kept."""

    def of(self, key: str, id: str, records: list[Record]) -> Journal:
        """The journal of one query, with what it holds already."""
        ...

    async def commit(self) -> None:
        """Wait until everything is durable."""
        ...


class Runner:
    """Aligns the queries that are left to do.

    Args:
        session: answers the queries.
        recipe: everything else that decides the results, for the queries' keys.
        models: the model of each role, as the session opened it.
        reward: what scores the answers; None where the method needs none.
        journal: where everything is written down.
        on_answer: called with each answer, once the records that it stands on are durable.
        tally: counts what happens.
        on_note: called with each sentence that a user should read.
    """

    def __init__(
        self,
        session: Session,
        recipe: dict[str, Any],
        models: dict[Role, Fleet],
        reward: Reward | None,
        journal: Journals,
        on_answer: Callable[[Answer], None],
        tally: Tally,
        on_note: Note,
    ) -> None:
        self._session = session
        self._models = models
        self._names = {role: fleet.name for role, fleet in models.items()}
        self._reward = reward
        self._journal = journal
        self._on_answer = on_answer
        self._tally = tally
        self._note = on_note
        # A budget has to see tokens while they come; nothing else reads them then.
        self._stream = session.spec.budget != Budget()
        self.key_of = keys_of(recipe)
        self._open: set[asyncio.Task[None]] = set()
        self._fatal: BaseException | None = None
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """Break off: what is in flight is cut short, what is done is kept."""
        self._stopped.set()

    @property
    def stopped(self) -> bool:
        """Whether it was broken off."""
        return self._stopped.is_set()

    async def run(self, rows: Iterator[Row | BadRow], done: set[str], past: dict[str, list[Record]]) -> None:
        """Align every row that is not done.

        Args:
            rows: the data, from the start.
            done: keys of the queries that have their answers.
            past: what an earlier process did for others, by key; emptied.

        Raises:
            TPOError: the run cannot go on: the disk is full, or a server has been down for too long.
        """
        admitting = asyncio.ensure_future(self._admit_all(rows, done, past))
        alarm = asyncio.ensure_future(self._stopped.wait())
        try:
            await asyncio.wait({admitting, alarm}, return_when=asyncio.FIRST_COMPLETED)
            if admitting.done():
                admitting.result()
        finally:
            alarm.cancel()
            for task in (admitting, *self._open):
                task.cancel()
            # Waiting lets the cancelled calls close their connections and write down what they cost.
            await asyncio.gather(admitting, alarm, *self._open, return_exceptions=True)
        if self._fatal is not None:
            raise self._fatal

    async def _admit_all(self, rows: Iterator[Row | BadRow], done: set[str], past: dict[str, list[Record]]) -> None:
        policy = self._models["policy"]
        async for row in _ahead(rows):
            if isinstance(row, BadRow):
                continue
            key = self.key_of(row)
            if key in done:
                continue
            await self._room(policy)
            if self._fatal is not None:
                return
            seated = asyncio.Event()
            task = asyncio.create_task(self._one(row, key, past.pop(key, []), seated))
            self._open.add(task)
            task.add_done_callback(self._left)
            # Until it has made its first call, what it needs does not show in what is in flight.
            first = asyncio.ensure_future(seated.wait())
            await asyncio.wait({task, first}, return_when=asyncio.FIRST_COMPLETED)
            first.cancel()
        while self._open and self._fatal is None:
            await asyncio.wait(self._open, return_when=asyncio.FIRST_COMPLETED)

    async def _room(self, policy: Fleet) -> None:
        """Wait until there is room at a server, and not so much open that another part must be what is slow."""
        while self._fatal is None:
            await policy.room()
            if len(self._open) < policy.limit:
                return
            await asyncio.wait(self._open, return_when=asyncio.FIRST_COMPLETED)

    def _left(self, task: asyncio.Task[None]) -> None:
        self._open.discard(task)
        if not task.cancelled() and task.exception() is not None and self._fatal is None:
            self._fatal = task.exception()
            self._stopped.set()

    async def _one(self, row: Row, key: str, past: list[Record], seated: asyncio.Event) -> None:
        self._tally.opened()
        try:
            answer = await self._answer(row, key, past, seated)
        finally:
            self._tally.closed()
        await self._journal.commit()
        self._on_answer(answer)
        self._tally.answered(answer)

    async def _answer(self, row: Row, key: str, past: list[Record], seated: asyncio.Event) -> Answer:
        spec = self._session.spec
        try:
            result = await self._session.search(
                plan_of(spec, row.messages, self._names, self._reward),
                spec,
                self._models,
                self._reward,
                self._journal.of(key, row.id, past),
                on_event=self._listen,
                on_call=seated.set,
                stream=self._stream,
            )
        except JournalError:
            raise
        except TPOError as error:
            if _ends_the_run(error):
                raise
            return answer_of(row, key, error.partial, str(error))
        except Exception as error:  # one bad query, or one bug, does not take the others along
            return answer_of(row, key, None, f"{type(error).__name__}: {error}")
        return answer_of(row, key, result)

    def _listen(self, event: Event) -> None:
        self._tally.take(event)
        if isinstance(event, Retrying):
            self._note_once(f"{event.role}: {event.error}")

    def _note_once(self, line: str) -> None:
        self._tally.trouble(line, self._note)


def _ends_the_run(error: TPOError) -> bool:
    # A server that is down for longer than the patience would only turn every query into an error.
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, RewardUnavailable) or (isinstance(cause, ModelUnavailable) and cause.down):
            return True
        cause = cause.__cause__
    return False


def keys_of(recipe: dict[str, Any]) -> Callable[[Row], str]:
    """What names a query in the journal: a hash of everything that decides its result, and its id."""
    beginning = hashlib.blake2b(msgspec.json.encode(recipe, order="deterministic"), digest_size=8)

    def key_of(row: Row) -> str:
        digest = beginning.copy()
        digest.update(msgspec.json.encode((row.id, row.messages), order="deterministic"))
        return digest.hexdigest()

    return key_of


async def _ahead(rows: Iterator[Row | BadRow]) -> AsyncIterator[Row | BadRow]:
    while batch := await asyncio.to_thread(lambda: list(islice(rows, READ_AHEAD))):
        for row in batch:
            yield row
