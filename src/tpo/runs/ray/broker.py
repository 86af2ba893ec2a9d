"""The broker: an actor that spreads a run's queries with Ray Data, and passes messages between workers and coordinator.

It runs on the cluster's head node, without which there is no cluster. It has no state that must survive: workers'
messages wait here until the process with the run's directory fetches them.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pyarrow as pa
import ray
import ray.data

from tpo.runs.ray.job_spec import JobSpec
from tpo.runs.ray.rewards import RewardActor
from tpo.runs.ray.wire import Failure, failure_of
from tpo.runs.ray.worker import COLUMN, AlignWorker

# A worker waits for servers nearly all the time, and when a node dies the other nodes need room for its worker.
CPUS = 0.1
# Blocks that a worker has at a time; how many of their queries are open is decided by the servers' limits.
BLOCKS = 32
MOST_ROWS = 16


class Broker:
    """Made into an actor by `tpo.runs.ray.joining`.

    Args:
        made: what workers and reward actors need.
        rewards: how many actors hold the reward; None for one for each GPU of the cluster.
    """

    def __init__(self, made: JobSpec, rewards: int | None) -> None:
        self._made = made
        self._rewards = rewards
        self._actors: list[Any] = []
        self._recipe: dict[str, Any] = {}
        self._tickets = itertools.count()
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._inbox: list[tuple[int, bytes]] = []
        self._arrived = asyncio.Event()
        self._rows: list[bytes] = []
        self._ended = threading.Event()
        self._handle = ray.get_runtime_context().current_actor

    async def open_reward(self) -> tuple[str, bool, float | None] | Failure:
        """Start the actors that hold the reward.

        Returns:
            the reward's name, whether it is relative, and its maximum.
        """
        gpus = int((await asyncio.to_thread(ray.cluster_resources)).get("GPU", 0))
        count = self._rewards or (max(gpus, 1) if "hf" in self._made.kinds else 1)
        if 0 < gpus < count:
            return Failure("InputError", f"The cluster has {gpus} GPUs, too few for {count} actors that hold a reward.")
        place = {"num_gpus": 1} if gpus else {"num_cpus": CPUS}
        actor = ray.remote(max_restarts=-1, max_task_retries=-1, max_concurrency=1000, **place)(RewardActor)
        self._actors = [actor.options(scheduling_strategy="SPREAD").remote(self._made) for _ in range(count)]
        opened = await asyncio.gather(*[one.opened.remote() for one in self._actors])
        for one in opened:
            if isinstance(one, Failure):
                return one
        for one in opened[1:]:
            if one != opened[0]:
                return Failure("RewardError", f"The reward is not the same on all nodes: {opened[0][0]} and {one[0]}.")
        return opened[0]  # type: ignore[no-any-return]

    async def plan(self) -> tuple[JobSpec, dict[str, Any], list[Any], tuple[str, bool, float | None] | None]:
        """What a worker needs: job spec, recipe, the reward's actors, and what `open_reward` returned."""
        known = await self._actors[0].opened.remote() if self._actors else None
        return self._made, self._recipe, self._actors, known

    async def call(self, message: bytes) -> bytes:
        """Pass a worker's message on, and return the reply."""
        ticket = next(self._tickets)
        future = self._waiting[ticket] = asyncio.get_running_loop().create_future()
        self._inbox.append((ticket, message))
        self._arrived.set()
        reply: bytes = await future
        return reply

    async def exchange(self, replies: Sequence[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        """Deliver replies, and return the workers' next messages."""
        for ticket, reply in replies:
            future = self._waiting.pop(ticket, None)
            if future is not None and not future.done():
                future.set_result(reply)
        while not self._inbox:
            self._arrived.clear()
            await self._arrived.wait()
        taken, self._inbox = self._inbox, []
        return taken

    async def add(self, rows: Sequence[bytes]) -> None:
        """Add queries to spread."""
        self._rows.extend(rows)

    async def nodes(self) -> int:
        """How many nodes can do work."""
        alive = await asyncio.to_thread(ray.nodes)
        return sum(node["Alive"] and node["Resources"].get("CPU", 0) > 0 for node in alive)

    async def spread(self, recipe: dict[str, Any], workers: int) -> Failure | None:
        """Align all queries that were added.

        Args:
            recipe: what decides the results.
            workers: how many workers.

        Returns:
            why that failed, if it did; the failure of a query, or of a worker that still runs, comes as a message.
        """
        self._recipe = recipe
        try:
            await asyncio.to_thread(self._spread, workers)
        except Exception as error:
            return None if self._ended.is_set() else failure_of(error, "Ray Data gave up")
        return None

    async def end(self) -> None:
        """Accept no more queries."""
        self._ended.set()

    def _spread(self, workers: int) -> None:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        size = rows_in_block(len(self._rows), workers)
        rows, self._rows = self._rows, []
        blocks = [ray.put(pa.table({COLUMN: rows[at : at + size]})) for at in range(0, len(rows), size)]
        del rows
        # Blocks are stored on this node, and its own worker would get more than its share of them.
        each = min(BLOCKS, -(-len(blocks) // workers))
        pool = ray.data.ActorPoolStrategy(
            size=workers, max_concurrent_calls_per_actor=BLOCKS, max_tasks_in_flight_per_actor=each
        )
        aligned = ray.data.from_arrow_refs(blocks).map_batches(
            AlignWorker,
            fn_constructor_args=(self._handle,),
            batch_size=None,
            batch_format="pyarrow",
            zero_copy_batch=True,
            compute=pool,
            num_cpus=CPUS,
            scheduling_strategy="SPREAD",
            max_restarts=-1,
            max_task_retries=-1,
        )
        with suppress(StopIteration):
            done = iter(aligned.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0))
            while not self._ended.is_set():
                next(done)


def rows_in_block(rows: int, workers: int) -> int:
    """Queries in a block: few, for balance, but not one by one where there are very many."""
    return max(1, min(MOST_ROWS, rows // (4 * workers * BLOCKS)))
