"""What a reward is: conversations in, scores out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import msgspec

from tpo.messages import Conversation


class Score(msgspec.Struct, frozen=True):
    """How good one answer is.

    Attributes:
        value: the reward; higher is better. Comparable only within one query and one reward. NaN means no score.
        parts: what the value is made of, by name (empty when it is one number).
        feedback: the reward's remarks in words; the textual loss uses them when there are any.
        missing: the requirements that the answer fails, one by one: the words by the name of the part.
    """

    value: float
    parts: dict[str, float] = {}
    feedback: str | None = None
    missing: dict[str, str] = {}


@runtime_checkable
class Reward(Protocol):
    """Scores finished conversations, whose last message is the assistant's answer.

    A reward may have more than this protocol requires:

    - `relative: bool`, False where it is missing: whether the scores of one call compare its conversations with each
      other (a tournament, or a sum whose terms are normalised over the pool). Such a reward is called after each step
      with all different answers to one query, and the new scores replace the old ones.
    - `maximum: float | None`: the largest score that there is, where it is known; None, or missing, where it is not. A
      method stops at an answer that has it.
    - `async connect()`: finds out what serves the reward. Its name is final after that.
    - `async aclose()`: releases what the reward itself opened (connections, threads, files). A reward that is made of
      others leaves those to their owner.
    - `inside`: the rewards that it is made of.
    """

    @property
    def name(self) -> str:
        """What identifies this reward in a journal: two rewards that score differently differ in name."""
        ...

    async def score(self, conversations: Sequence[Conversation]) -> Sequence[Score | float]:
        """Score each conversation; the result has one entry for each, in the same order."""
        ...


def is_relative(reward: object) -> bool:
    """Whether a reward scores the answers of one call against each other."""
    return bool(getattr(reward, "relative", False))


def maximum_of(reward: object) -> float | None:
    """The largest score that a reward gives; None where that is not known."""
    maximum = getattr(reward, "maximum", None)
    # A user's object may have a method, or a property in another sense, of that name.
    if isinstance(maximum, bool) or not isinstance(maximum, int | float) or not math.isfinite(maximum):
        return None
    return float(maximum)
