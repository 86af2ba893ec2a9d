"""Aligns every query of a dataset, keeps the servers full and loses nothing.

Each open query has a task, and there is no barrier anywhere, unless all queries share one budget. The sequences in
flight at the servers are bounded; a new query begins when a server has room and no open query waits for it.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any, Protocol

import msgspec

from tpo.engine.driver import Permission
from tpo.engine.events import Event, Retrying
from tpo.engine.journal import Journal
from tpo.engine.limits import Budget
from tpo.engine.records import Record
from tpo.errors import JournalError, ModelUnavailable, RewardUnavailable, TPOError
from tpo.http.failures import KeyRefused
from tpo.models.fleet import Fleet
from tpo.prompts import Role
from tpo.rewards.protocol import Reward, maximum_of
from tpo.runs.answers import Answer, answer_of
from tpo.runs.earlier import EarlierQueries
from tpo.runs.progress import RunProgress
from tpo.runs.rows import BadRow, QueryRow
from tpo.runs.total_budget import QueryAccount, TotalBudget, accounts_of, tokens_of
from tpo.session.backends import Note
from tpo.session.session import Session
from tpo.session.spec import plan_of

# Rows are read in another thread, so many at a time, since a dataset's library may block.
READ_AHEAD = 64
# So many queries that are answered 403 one after another, with none answered in between, may each be at fault.
REFUSALS = 3


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
        progress: counts events and answers.
        on_note: called with each sentence that a user should read.
        shared: the budget of all queries together; None for none.
        earlier: the queries that were over before this process; None for none.
    """

    def __init__(
        self,
        session: Session,
        recipe: dict[str, Any],
        models: dict[Role, Fleet],
        reward: Reward | None,
        journal: Journals,
        on_answer: Callable[[Answer], None],
        progress: RunProgress,
        on_note: Note,
        shared: TotalBudget | None = None,
        earlier: EarlierQueries | None = None,
    ) -> None:
        self._session = session
        self._models = models
        self._names = {role: fleet.name for role, fleet in models.items()}
        self._reward = reward
        self._journal = journal
        self._on_answer = on_answer
        self._progress = progress
        self._note = on_note
        self._shared = shared
        # With a budget for all queries, each has begun before another is over.
        learns = session.spec.method.learns(session.spec.method_settings) and shared is None
        self._earlier = (earlier or EarlierQueries(maximum_of(reward))) if learns else None
        # A budget has to see tokens while they come; nothing else reads them then.
        self._stream = session.spec.budget != Budget()
        self.key_of = keys_of(recipe)
        self._open: set[asyncio.Task[None]] = set()
        # Open queries that wait for all others, and what happens when one more does, or is over.
        self._paused = 0
        self._moved = asyncio.Event()
        self._fatal: BaseException | None = None
        self._refusals = 0
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """Interrupt the run: calls in flight are cancelled, what is done is kept."""
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

    async def _admit_all(
        self, rows: Iterator[QueryRow | BadRow], done: set[str], past: dict[str, list[Record]]
    ) -> None:
        policy = self._models["policy"]
        async for row in _ahead(rows):
            if isinstance(row, BadRow):
                continue
            key = self.key_of(row)
            if key in done:
                if self._shared is not None:
                    self._begin(self._follow(self._shared, row, past.pop(key, [])))
                continue
            await self._room(policy)
            if self._fatal is not None:
                return
            seated: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            task = self._begin(self._one(row, key, past.pop(key, []), seated))
            # Until its first call is queued, what it needs does not count as in flight.
            await asyncio.wait({task, seated}, return_when=asyncio.FIRST_COMPLETED)
        while self._open and self._fatal is None:
            await asyncio.wait(self._open, return_when=asyncio.FIRST_COMPLETED)

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._open.add(task)
        task.add_done_callback(self._left)
        return task

    async def _room(self, policy: Fleet) -> None:
        """Wait until a server has room, and fewer queries are open than sequences fit: else another part is slow."""
        while self._fatal is None:
            await policy.room()
            self._moved.clear()
            if len(self._open) - self._paused < policy.limit:
                return
            await self._moved.wait()

    def _left(self, task: asyncio.Task[None]) -> None:
        self._open.discard(task)
        self._moved.set()
        if not task.cancelled() and task.exception() is not None and self._fatal is None:
            self._fatal = task.exception()
            self._stopped.set()

    async def _one(self, row: QueryRow, key: str, past: list[Record], seated: asyncio.Future[None]) -> None:
        journal = self._journal.of(key, row.id, past)
        self._progress.opened()
        try:
            answer = await self._answer(row, key, journal, seated)
        finally:
            self._progress.closed()
        await self._journal.commit()
        self._on_answer(answer)
        self._progress.answered(answer)
        if self._earlier is not None:
            self._earlier.add(journal.records)
        if self._shared is not None:
            self._shared.over(row.number, tokens_of(journal.records))

    async def _follow(self, shared: TotalBudget, row: QueryRow, past: list[Record]) -> None:
        """Take a query that has its answer through the rounds again: what the others get depends on it."""
        for account in accounts_of(past).values():
            if not await self._pause(shared, row, account):
                break
        shared.over(row.number, tokens_of(past))

    def _permission(self, row: QueryRow, seated: asyncio.Future[None]) -> Permission | None:
        if (shared := self._shared) is None:
            return None

        async def may_go_on(turn: int, records: Sequence[Record]) -> bool:
            _finish(seated)  # where a run is continued, the first wave needs no call
            return await self._pause(shared, row, accounts_of(records)[turn])

        return may_go_on

    async def _pause(self, shared: TotalBudget, row: QueryRow, account: QueryAccount) -> bool:
        self._paused += 1
        self._moved.set()
        try:
            return await shared.may_go_on(row.number, account)
        finally:
            self._paused -= 1

    async def _answer(self, row: QueryRow, key: str, journal: Journal, seated: asyncio.Future[None]) -> Answer:
        spec = self._session.spec
        judge = await self._session.judge()
        try:
            result = await self._session.search(
                plan_of(spec, row.messages, self._names, self._reward, judge),
                spec,
                self._models,
                self._reward,
                journal,
                on_event=self._listen,
                on_call=partial(_finish, seated),
                stream=self._stream,
                judge=judge,
                may_go_on=self._permission(row, seated),
                lifts=self._earlier.lifts if self._earlier is not None else None,
            )
        except JournalError:
            raise
        except TPOError as error:
            if self._ends_the_run(error):
                raise
            return answer_of(row, key, error.partial, str(error))
        except Exception as error:  # one bad query, or one bug, does not end the run
            return answer_of(row, key, None, f"{type(error).__name__}: {error}")
        self._refusals = 0
        return answer_of(row, key, result)

    def _ends_the_run(self, error: TPOError) -> bool:
        """Whether every other query would fail in the same way: a server is down, or a key is accepted no more."""
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, RewardUnavailable) or (isinstance(cause, ModelUnavailable) and cause.down):
                return True
            if isinstance(cause, KeyRefused):
                self._refusals += 1
                return cause.status == 401 or self._refusals > REFUSALS
            cause = cause.__cause__
        return False

    def _listen(self, event: Event) -> None:
        self._progress.take(event)
        if isinstance(event, Retrying):
            self._progress.trouble(f"{event.role}: {event.error}", self._note)


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def keys_of(recipe: dict[str, Any]) -> Callable[[QueryRow], str]:
    """A query's key in the journal: a hash of its id and of everything that decides its result."""
    beginning = hashlib.blake2b(msgspec.json.encode(recipe, order="deterministic"), digest_size=8)

    def key_of(row: QueryRow) -> str:
        digest = beginning.copy()
        digest.update(msgspec.json.encode((row.id, row.messages), order="deterministic"))
        return digest.hexdigest()

    return key_of


async def _ahead(rows: Iterator[QueryRow | BadRow]) -> AsyncIterator[QueryRow | BadRow]:
    while batch := await asyncio.to_thread(lambda: list(islice(rows, READ_AHEAD))):
        for row in batch:
            yield row
