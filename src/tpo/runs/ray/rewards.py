"""A reward held by actors, for the workers of the whole cluster."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import msgspec

from tpo.errors import RewardError, TPOError
from tpo.messages import Conversation
from tpo.models.protocol import Usage
from tpo.rewards.call import accounted, score, spend
from tpo.rewards.protocol import Reward, Score, is_relative, maximum_of
from tpo.runs.ray.job_spec import JobSpec, settled, spec_of, with_reward
from tpo.runs.ray.wire import Failure, failure_of
from tpo.session.backends import open_reward


class RewardActor:
    """Holds the reward, and scores what workers send: conversations of all of them share its batches.

    Args:
        made: how to open it.
    """

    def __init__(self, made: JobSpec) -> None:
        # Ray gives a process one thread for each processor that it requested, which is one here.
        if "OMP_NUM_THREADS" not in made.environment:
            os.environ.pop("OMP_NUM_THREADS", None)
        self._made = made
        self._opening: asyncio.Future[Reward | Failure] | None = None

    async def opened(self) -> tuple[str, bool, float | None] | Failure:
        """The reward's name, whether it is relative, and its maximum; or why it cannot be opened."""
        reward = await self._reward()
        if isinstance(reward, Failure):
            return reward
        return reward.name, is_relative(reward), maximum_of(reward)

    async def score(self, conversations: Sequence[Conversation]) -> tuple[list[Score] | Failure, Usage]:
        """Score conversations, relative to each other if the reward is relative.

        Returns:
            the scores, or why there are none, and the tokens that were used here, where the caller has no account.
        """
        reward = await self._reward()
        if isinstance(reward, Failure):
            return reward, Usage()
        with accounted() as usage:
            try:
                return await score(reward, conversations), usage
            except TPOError as error:
                return failure_of(error), usage

    async def _reward(self) -> Reward | Failure:
        if self._opening is None:
            self._opening = asyncio.ensure_future(self._open())
        return await asyncio.shield(self._opening)

    async def _open(self) -> Reward | Failure:
        try:
            settled(self._made)
            spec = spec_of(self._made)
            # In a thread: a large model takes minutes to load, and the actor has to answer Ray meanwhile.
            spec = await asyncio.to_thread(with_reward, self._made, spec)
            reward = await open_reward(spec, AsyncExitStack())
        except Exception as error:
            return failure_of(error)
        assert reward is not None  # a method that needs no reward starts no actor
        return reward


class RemoteReward:
    """A reward that actors hold, for a worker to use like any other.

    Args:
        name: the reward's name.
        relative: whether it scores the answers to one query against each other.
        maximum: the largest score that there is, where it is known.
        actors: the actors that hold it.
    """

    def __init__(self, name: str, relative: bool, maximum: float | None, actors: Sequence[Any]) -> None:
        self.name = name
        self.relative = relative
        self.maximum = maximum
        self._actors = list(actors)

    async def score(self, conversations: Sequence[Conversation]) -> list[Score]:
        """Score each conversation; the same one always goes to the same actor, which may have its score already. A
        relative reward gets all answers to one query in the same actor.

        Raises:
            RewardError: the reward failed.
        """
        places: dict[int, list[int]] = {}
        for position, conversation in enumerate(conversations):
            key = conversation[:-1] if self.relative else conversation
            places.setdefault(_share(key, len(self._actors)), []).append(position)
        answers = await asyncio.gather(
            *[
                _scored_by(self._actors[actor], [conversations[position] for position in positions], self.name)
                for actor, positions in places.items()
            ]
        )
        scores: dict[int, Score] = {}
        for positions, scored in zip(places.values(), answers, strict=True):
            scores.update(zip(positions, scored, strict=True))
        return [scores[position] for position in range(len(conversations))]


def _share(conversation: Conversation, count: int) -> int:
    digest = hashlib.blake2b(msgspec.json.encode(conversation), digest_size=4).digest()
    return int.from_bytes(digest, "big") % count


async def _scored_by(actor: Any, conversations: list[Conversation], name: str) -> list[Score]:
    from ray.exceptions import RayError

    try:
        scored, usage = await actor.score.remote(conversations)
    except RayError as error:
        raise RewardError(f"The actor that holds the reward {name} was lost ({type(error).__name__}).") from error
    spend(usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens)
    if isinstance(scored, Failure):
        raise scored.error()
    return scored  # type: ignore[no-any-return]
