"""Rewards that measure: each response scored once, in shared batches, and kept for the next time."""

from __future__ import annotations

import math
from contextlib import AsyncExitStack
from pathlib import Path

from tpo.errors import InputError
from tpo.messages import Conversation, answered
from tpo.rewards.call import connect
from tpo.rewards.batching import shared
from tpo.rewards.cache import Cached
from tpo.rewards.protocol import Reward
from tpo.rewards.resolve import AnyReward


class Scoring:
    """Scores responses.

    Args:
        reward: what scores.
        cache: the file in which scores are kept.
    """

    def __init__(self, reward: Reward, cache: Path) -> None:
        self._reward = shared(Cached(reward, cache))

    @property
    def name(self) -> str:
        """The reward's name."""
        return self._reward.name

    async def aclose(self) -> None:
        """Close the file, and let go of what the reward holds."""
        await self._reward.aclose()

    async def score(self, messages: Conversation, text: str) -> float | None:
        """The reward of a response; None where it gets no finite one.

        Args:
            messages: the query.
            text: the response.

        Raises:
            RewardError: the reward is broken or cannot be reached.
        """
        (score,) = await self._reward.score([answered(messages, text)])
        return score.value if math.isfinite(score.value) else None


async def open_held_out(reward: AnyReward | None, cache: Path, stack: AsyncExitStack) -> Scoring | None:
    """Connect to a reward that nothing is steered by.

    Args:
        reward: the reward, as it was resolved.
        cache: the file in which scores are kept.
        stack: closes what was opened.

    Raises:
        InputError: it only ranks answers against each other, so that its numbers cannot be averaged over queries.
        RewardError: it cannot be loaded or reached.
    """
    if reward is None:
        return None
    if not isinstance(reward, Reward):
        raise InputError(
            f"The held-out reward {reward.name} only ranks the answers to one query against each other: give one that "
            f"scores an answer by itself."
        )
    await connect(reward)
    scoring = Scoring(reward, cache)
    stack.push_async_callback(scoring.aclose)
    return scoring
