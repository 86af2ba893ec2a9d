"""Asking a reward of either kind, checking that what it returns are scores, connecting and letting go."""

from __future__ import annotations

from collections.abc import Sequence

from tpo.errors import RewardError
from tpo.messages import Conversation
from tpo.rewards.protocol import PoolReward, Reward, Score, ranks


async def ask(reward: Reward | PoolReward, conversations: Sequence[Conversation]) -> list[Score]:
    """Score conversations, one by one or against each other, as the reward does it.

    Returns:
        a score for each, in the same order; its value may be NaN.

    Raises:
        RewardError: the reward failed, or returned anything but one number or `Score` for each conversation.
    """
    scores: object = await (reward.rank(conversations) if ranks(reward) else reward.score(conversations))  # type: ignore[union-attr]
    count = len(conversations)
    if not isinstance(scores, list | tuple) or len(scores) != count:
        what = f"{scores!r:.80} for {count} conversation{'' if count == 1 else 's'}"
        raise RewardError(f"The reward {reward.name} returned {what}: a list of as many numbers is expected.")
    return [_as_score(score, reward.name) for score in scores]


def _as_score(score: object, name: str) -> Score:
    if isinstance(score, Score):
        return score
    if isinstance(score, bool) or not isinstance(score, int | float):
        raise RewardError(f"The reward {name} returned {score!r:.80}: a number or a tpo.Score is expected.")
    return Score(float(score))


async def connect(reward: object) -> None:
    """Have a reward find out what serves it, if it is served: its name is final only then."""
    await _forward(reward, "connect")


async def close(reward: object) -> None:
    """Let go of what a reward holds (connections, files), if it holds anything."""
    await _forward(reward, "aclose")


async def _forward(reward: object, method: str) -> None:
    found = getattr(reward, method, None)
    if found is not None:
        await found()
