"""Runs on a Ray cluster: the queries of a dataset spread over many machines; all files stay where the run was started.

Four kinds of processes take part. The one that was started (`RayRunner`) holds the run's directory. The `Broker`, an
actor on the cluster's head node, spreads the queries with Ray Data and passes messages on. Workers (`AlignWorker`, in
Ray Data's pool of actors) align them. `RewardActor`s hold an in-process reward, with a GPU where there is one.

Nothing here imports Ray before a cluster is joined.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from tpo.config import NamedReward
from tpo.errors import InputError
from tpo.rewards.resolve import ResolvedReward
from tpo.runs.ray.job_spec import JobSpec, job_spec, spec_of
from tpo.session.backends import Note
from tpo.session.spec import Spec

if TYPE_CHECKING:
    from tpo.runs.ray.runner import RayRunner

__all__ = ["Cluster", "Team"]

NEAR = ("localhost", "127.0.0.1", "::1")


class Cluster:
    """A Ray cluster and the job for it.

    Args:
        address: `auto`, `local`, `HOST:PORT` or `ray://HOST:PORT`.
        options: the options of `tpo.align` that decide a result; models and reward by their names.
        named: rewards that a configuration file names.
        workers: how many workers; None for one on each node that has a processor.
        rewards: how many actors hold an in-process reward; None for one on each GPU, or a single one.

    Attributes:
        spec: the search for each query.

    Raises:
        InputError: something is out of range, unknown, or cannot go to other machines.
        PromptError: a template is broken.
    """

    def __init__(
        self,
        address: str,
        options: Mapping[str, Any],
        named: Mapping[str, NamedReward] | None = None,
        workers: int | None = None,
        rewards: int | None = None,
    ) -> None:
        for name, number in (("ray-workers", workers), ("ray-rewards", rewards)):
            if number is not None and number < 1:
                raise InputError(f"{name} is {number}; it must be at least 1.")
        self._address = address
        self._made = job_spec(options, named or options.get("rewards") or {})
        self._workers = workers
        self._rewards = rewards
        self.spec: Spec = spec_of(self._made)

    @asynccontextmanager
    async def joined(self, concurrency: int | None, patience: float, on_note: Note) -> AsyncIterator[Team]:
        """Join the cluster, for as long as the context lasts.

        Args:
            concurrency: sequences in flight at each server, all workers together; None finds out what it takes.
            patience: seconds for which an endpoint that is down or overloaded is tried again.
            on_note: called with each sentence that a user should read.

        Raises:
            InputError: Ray is not installed, there is no cluster, or it lacks tpo.
        """
        from tpo.runs.ray.joining import joined, start_broker

        made = msgspec.structs.replace(self._made, concurrency=concurrency, patience=patience)
        async with joined(self._address):
            broker = await start_broker(made, self._rewards)
            team = Team(broker, made, self.spec, self._workers)
            try:
                await team.warn(on_note)
                yield team
            finally:
                with suppress(Exception):
                    await asyncio.to_thread(_kill, broker)


class Team:
    """The part of a run that happens on the cluster.

    Args:
        broker: the run's `Broker`.
        made: the job of its workers.
        spec: the search for each query.
        workers: how many workers.
    """

    def __init__(self, broker: Any, made: JobSpec, spec: Spec, workers: int | None) -> None:
        self._broker = broker
        self._made = made
        self._spec = spec
        self._workers = workers

    async def with_reward(self, spec: Spec) -> Spec:
        """The spec, its reward held by actors of the cluster where it is an in-process one.

        The actors open and check it.
        """
        if not spec.method.needs_reward or not self._made.shares_reward:
            return spec
        from tpo.runs.ray.rewards import RemoteReward
        from tpo.runs.ray.wire import Failure

        opened = await self._broker.open_reward.remote()
        if isinstance(opened, Failure):
            raise opened.error()
        name, relative, maximum = opened
        # Its name is all that is needed here.
        remote = ResolvedReward(RemoteReward(name, relative, maximum, ()), ())
        return msgspec.structs.replace(spec, reward=remote, check=False)

    def runner(self, *given: Any) -> RayRunner:
        """The runner of the queries; takes the arguments of `tpo.runs.runner.Runner`."""
        from tpo.runs.ray.runner import RayRunner

        return partial(RayRunner, self._broker, self._workers, self._made.concurrency)(*given)

    async def warn(self, on_note: Note) -> None:
        """Report addresses that mean another machine on each node."""
        if await self._broker.nodes.remote() < 2:
            return
        texts = [
            self._made.reward,
            *(str(self._made.options.get(role) or "") for role in ("policy", "critic", "editor")),
        ]
        near = sorted({part for text in texts for part in text.split(",") if _near(part)})
        if near:
            on_note(f"{', '.join(near)}: on each node of the cluster this is that node itself.")


def _near(text: str) -> bool:
    at = text.find("http")
    with suppress(ValueError):
        return at >= 0 and urlsplit(text[at:].strip()).hostname in NEAR
    return False


def _kill(broker: Any) -> None:
    import ray

    ray.kill(broker)
