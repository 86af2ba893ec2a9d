"""A worker: a process somewhere in the cluster that aligns the queries it is given.

It opens its own connections, and is otherwise what a run is without Ray: one `Runner`, with all its queries in one
event loop. Ray Data hands it several small blocks at a time, so that nothing waits for the slowest query of a block.
"""

from __future__ import annotations

import asyncio
import platform
import queue
from collections.abc import Iterator
from typing import Any

import msgspec
import pyarrow as pa

from tpo.engine.records import Record
from tpo.errors import InputError, ModelUnavailable, RewardUnavailable
from tpo.rewards.resolve import ResolvedReward
from tpo.runs.answers import Answer
from tpo.runs.directory import differences, unlocated
from tpo.runs.progress import RunProgress
from tpo.runs.ray.job_spec import settled, spec_of
from tpo.runs.ray.record_sender import RecordSender, SentJournals
from tpo.runs.ray.rewards import RemoteReward
from tpo.runs.ray.shared_limits import SharedLimits, limiters_of
from tpo.runs.ray.wire import CoordinatorReply, failure_of
from tpo.runs.recipe import recipe_of
from tpo.runs.rows import BadRow, QueryRow
from tpo.runs.runner import Runner
from tpo.session.session import Session
from tpo.session.spec import Spec

COLUMN = "row"
# Seconds between two attempts to open a connection to a server that is not there yet.
RETRY_SECONDS = 5.0
_decode = msgspec.json.Decoder(QueryRow).decode


class AlignWorker:
    """What Ray Data calls with blocks of queries, several at once, all in one event loop.

    Args:
        broker: the run's `Broker`.
    """

    def __init__(self, broker: Any) -> None:
        self._broker = broker
        self._opening: asyncio.Future[_Bench] | None = None

    async def __call__(self, block: pa.Table) -> pa.Table:
        """Align the queries of a block; when this returns, their answers are durable."""
        if self._opening is None:
            self._opening = asyncio.ensure_future(_Bench.opened(self._broker))
        bench = await asyncio.shield(self._opening)
        rows = [_decode(row) for row in block.column(COLUMN).to_pylist()]
        await bench.align(rows)
        return pa.table({"id": [row.id for row in rows]})


class _Bench:
    """The run as it goes on in this process."""

    def __init__(self, broker: Any) -> None:
        self._limits: SharedLimits | None = None
        self._sender = RecordSender(broker.call.remote, self._load, self._replied)
        self._past: dict[str, list[Record]] = {}
        self._open: dict[str, asyncio.Future[None]] = {}
        self._feed = Feed()
        self._ended = asyncio.Event()
        self._runner: Runner | None = None
        self._running: asyncio.Future[None] | None = None

    @classmethod
    async def opened(cls, broker: Any) -> _Bench:
        """Connect to everything; errors are sent to the coordinator."""
        bench = cls(broker)
        try:
            await bench._begin(broker)
        except Exception as error:
            bench._fail(error)
        return bench

    async def align(self, rows: list[QueryRow]) -> None:
        """Align queries, and wait until their answers are durable, or until the run is over."""
        if self._runner is None or self._ended.is_set():
            await self._sender.commit()
            return
        keyed = {self._runner.key_of(row): row for row in rows}
        new = {key: row for key, row in keyed.items() if key not in self._open}
        for key in new:
            self._open[key] = asyncio.get_running_loop().create_future()
        waits = [self._open[key] for key in keyed]
        known = await self._sender.begin([(key, row.id) for key, row in new.items()]) if new else {}
        for key, row in new.items():
            if key in known:
                self._past[key] = known[key]
                self._feed.put(row)
            else:
                self._over(key)  # another worker has done it
        ended = asyncio.ensure_future(self._ended.wait())
        done = asyncio.gather(*waits)
        waiting: set[asyncio.Future[Any]] = {done, ended}
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for one in waiting:
            one.cancel()
        await self._sender.commit()

    async def _begin(self, broker: Any) -> None:
        made, recipe, actors, known = await broker.plan.remote()
        settled(made)
        self._limits = limits = SharedLimits(made.concurrency)
        await self._sender.begin([])  # to learn how many workers there are
        spec = _with_actors(spec_of(made), actors, known)
        # The session is closed by the end of the process.
        session = Session(spec, patience=made.patience, pace=limits.of, on_note=self._sender.note)
        await _patiently(session.open, made.patience)
        models = await session.models()
        reward = await session.reward() if spec.method.needs_reward else None
        limits.limiters = limiters_of(models)
        changes = differences(recipe, unlocated(recipe_of(spec, models, reward, await session.judge())))
        if changes:
            raise InputError(f"this node's configuration differs from that of the run: {'; '.join(changes)}")
        journals, progress = SentJournals(self._sender), RunProgress(0)
        self._runner = Runner(session, recipe, models, reward, journals, self._finished, progress, self._sender.note)
        self._running = asyncio.ensure_future(self._run(self._runner))

    async def _run(self, runner: Runner) -> None:
        try:
            await runner.run(self._feed, set(), self._past)
        except Exception as error:
            self._fail(error)
        self._feed.close()
        self._ended.set()

    def _finished(self, answer: Answer) -> None:
        self._sender.answer(answer)
        self._over(answer.key)

    def _over(self, key: str) -> None:
        future = self._open.pop(key, None)
        if future is not None and not future.done():
            future.set_result(None)

    def _fail(self, error: Exception) -> None:
        self._sender.fail(failure_of(error, f"on {platform.node()}"))
        self._ended.set()

    def _replied(self, reply: CoordinatorReply) -> None:
        if self._limits is not None:
            self._limits.place = reply.place
        if reply.stop:
            if self._runner is not None:
                self._runner.stop()
            else:
                self._ended.set()

    def _load(self) -> list[tuple[int, int]]:
        limiters = self._limits.limiters if self._limits is not None else []
        return [(limiter.live, limiter.pace.limit) for limiter in limiters]


class Feed:
    """Rows for a `Runner`, which come little by little.

    A runner takes so many at a time (`itertools.islice`), until there are none. Each time, this waits for the first and
    ends after the last that is there; it ends for good when it was closed.
    """

    def __init__(self) -> None:
        self._rows: queue.SimpleQueue[QueryRow | None] = queue.SimpleQueue()
        self._gave = False

    def put(self, row: QueryRow) -> None:
        """Add a row."""
        self._rows.put(row)

    def close(self) -> None:
        """No more rows come."""
        self._rows.put(None)

    def __iter__(self) -> Iterator[QueryRow | BadRow]:
        self._gave = False
        return self

    def __next__(self) -> QueryRow:
        if self._gave and self._rows.empty():
            raise StopIteration
        row = self._rows.get()
        if row is None:
            self._rows.put(None)
            raise StopIteration
        self._gave = True
        return row


def _with_actors(spec: Spec, actors: list[Any], known: tuple[str, bool, float | None] | None) -> Spec:
    # That the reward works was checked where the run was started.
    spec = msgspec.structs.replace(spec, check=False)
    if known is None:
        return spec
    return msgspec.structs.replace(spec, reward=ResolvedReward(RemoteReward(*known, actors), ()))


async def _patiently(work: Any, patience: float) -> Any:
    """Open something, and try again while a server is down."""
    loop = asyncio.get_running_loop()
    until = loop.time() + patience
    while True:
        try:
            return await work()
        except (ModelUnavailable, RewardUnavailable):
            if loop.time() >= until:
                raise
            await asyncio.sleep(RETRY_SECONDS)
