"""What a reward is: conversations in, scores out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeGuard, runtime_checkable

import msgspec

from tpo.messages import Conversation


class Score(msgspec.Struct, frozen=True):
    """How good one answer is.

    Attributes:
        value: the reward; higher is better. Comparable only within one query and one reward.
        parts: what the value is made of, by name (empty when it is one number).
        feedback: what the reward found, in words; the textual loss uses it when there is any.
    """

    value: float
    parts: dict[str, float] = {}
    feedback: str | None = None


@runtime_checkable
class Reward(Protocol):
    """Scores finished conversations, whose last message is the assistant's answer."""

    @property
    def name(self) -> str:
        """What identifies this reward in a journal: two rewards that score differently differ in name."""
        ...

    async def score(self, conversations: Sequence[Conversation]) -> Sequence[Score | float]:
        """Score each conversation; the result has one entry for each, in the same order."""
        ...


@runtime_checkable
class PoolReward(Protocol):
    """Scores all answers to one query together: a tournament, or a sum whose terms are normalised over the pool.

    Such a reward is asked after each step, about every different answer that there is by then, and what it says
    replaces what it said before.
    """

    @property
    def name(self) -> str:
        """What identifies this reward in a journal."""
        ...

    async def rank(self, conversations: Sequence[Conversation]) -> Sequence[Score]:
        """Score the conversations, which differ only in their last message, against each other."""
        ...


def ranks(reward: object) -> TypeGuard[PoolReward]:
    """Whether a reward scores pools. (Asking a protocol itself takes 50 microseconds, for each answer.)"""
    return hasattr(reward, "rank")
