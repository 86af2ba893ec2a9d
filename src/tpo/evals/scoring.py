"""Rewards that measure: each response scored once, in shared batches, and kept for the next time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tpo.errors import InputError
from tpo.messages import Conversation, answered
from tpo.rewards.batching import Batched
from tpo.rewards.protocol import Reward, is_relative
from tpo.rewards.resolve import opened
from tpo.rewards.score_file import ScoreFile

if TYPE_CHECKING:
    from tpo.config import NamedReward


class Scoring:
    """Scores responses.

    Args:
        reward: what scores.
        cache: the file in which scores are kept.
    """

    def __init__(self, reward: Reward, cache: Path) -> None:
        self._file = ScoreFile(cache)
        self._reward = Batched(reward, file=self._file)

    @property
    def name(self) -> str:
        """The reward's name."""
        return self._reward.name

    async def aclose(self) -> None:
        """Close the file; the reward stays open."""
        await self._file.aclose()

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


async def open_held_out(
    spec: Any, cache: Path, stack: AsyncExitStack, *, named: Mapping[str, NamedReward] | None = None
) -> Scoring | None:
    """Open a reward that steers nothing.

    Args:
        spec: the reward, as `tpo.rewards.resolve.opened` takes it.
        cache: the file in which scores are kept.
        stack: closes what was opened.
        named: rewards that a configuration file names.

    Raises:
        InputError: it only ranks answers against each other, so that its numbers cannot be averaged over queries.
        RewardError: it cannot be loaded or reached.
    """
    reward = await opened(spec, stack, named=named)
    if reward is None:
        return None
    if is_relative(reward):
        raise InputError(
            f"The held-out reward {reward.name} only ranks the answers to one query against each other: give one that "
            f"scores an answer by itself."
        )
    scoring = Scoring(reward, cache)
    stack.push_async_callback(scoring.aclose)
    return scoring
