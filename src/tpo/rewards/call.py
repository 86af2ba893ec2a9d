"""One call of a reward: retried while its server is down, its result checked, its failures as a `RewardError`.

The tokens that it uses are counted for the caller. Most rewards use none. A judge does, and its calls may be made by
tasks of their own: the account travels with the context, so that nothing in between has to pass it on. A batch that
serves several queries is on the account of the query that began it.
"""

from __future__ import annotations

import asyncio
import math
import reprlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar

from tpo.errors import RewardError, RewardUnavailable
from tpo.messages import Conversation
from tpo.models.protocol import Usage
from tpo.rewards.protocol import Reward, Score

# Between two attempts at a reward that is down; its client has made several of its own by then.
RETRY_SECONDS = 5.0


async def score(
    reward: Reward,
    conversations: Sequence[Conversation],
    *,
    patience: float = 0.0,
    clock: Callable[[], float] = time.monotonic,
    attempt: Callable[[bool], AbstractContextManager[object]] = lambda retry: nullcontext(),
) -> list[Score]:
    """Score conversations.

    Args:
        reward: what scores.
        conversations: what to score.
        patience: seconds for which a reward that cannot be reached is called again.
        clock: the time in seconds.
        attempt: a context around each attempt, called with whether it is a retry.

    Returns:
        a score for each, in the same order; its value is NaN where the reward gives none.

    Raises:
        RewardError: the reward failed, or returned anything but one number, `Score` or None for each conversation.
    """
    failed_at: float | None = None
    while True:
        try:
            with attempt(failed_at is not None):
                return await _attempt(reward, conversations)
        except RewardUnavailable as error:
            failed_at = clock() if failed_at is None else failed_at
            if clock() - failed_at >= patience:
                raise
            await asyncio.sleep(min(error.retry_after or RETRY_SECONDS, patience))


async def _attempt(reward: Reward, conversations: Sequence[Conversation]) -> list[Score]:
    try:
        scores: object = await reward.score(conversations)
    except RewardError:
        raise
    except Exception as error:
        raise RewardError(f"The reward {reward.name} raised {type(error).__name__}: {error}.") from error
    count = len(conversations)
    if not isinstance(scores, list | tuple) or len(scores) != count:
        what = f"{shown(scores)} for {count} conversation{'' if count == 1 else 's'}"
        raise RewardError(f"The reward {reward.name} returned {what}: a list of as many numbers is expected.")
    return [_as_score(one, reward.name) for one in scores]


def _as_score(value: object, name: str) -> Score:
    if isinstance(value, Score):
        return value
    if value is None:
        return ABSTAINED
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RewardError(f"The reward {name} returned {shown(value)}: a number, a tpo.Score or None is expected.")
    return Score(as_float(value))


# What None instead of a score means: this answer has none, and the search continues.
ABSTAINED = Score(math.nan, feedback="the reward abstained")


def as_float(value: float) -> float:
    """A number as a float; an integer beyond all floats as infinity, which is no score."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def shown(thing: object) -> str:
    """Any object for a message, in 80 characters at most."""
    return f"{reprlib.repr(thing):.80}"  # the plain repr of an integer of 5,000 digits raises


async def connect(reward: object) -> None:
    """Let a reward find out what serves it, if it is served: its name is final only after that."""
    await _optional(reward, "connect")


async def close(reward: object) -> None:
    """Release what a reward opened (connections, threads, files), if it opened anything."""
    await _optional(reward, "aclose")


async def _optional(reward: object, method: str) -> None:
    found = getattr(reward, method, None)
    if found is not None:
        await found()


_account: ContextVar[Usage | None] = ContextVar("tpo_reward_usage", default=None)


@contextmanager
def accounted() -> Iterator[Usage]:
    """Collect the tokens that are used inside."""
    usage = Usage()
    before = _account.set(usage)
    try:
        yield usage
    finally:
        _account.reset(before)


def spend(prompt_tokens: int, cached_tokens: int, completion_tokens: int) -> None:
    """Add tokens to the account of the caller, if there is one."""
    usage = _account.get()
    if usage is not None:
        usage.prompt_tokens += prompt_tokens
        usage.cached_tokens += cached_tokens
        usage.completion_tokens += completion_tokens
