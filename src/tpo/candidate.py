"""A candidate: one answer to a query, with its reward."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, TypeAlias

import msgspec

# What answers are ordered by: the better has the larger.
Rank: TypeAlias = tuple[bool, bool, float]


class Candidate(msgspec.Struct, frozen=True):
    """One answer with its reward.

    Attributes:
        id: unique within the query, `STEP.NUMBER`.
        step: 0 for the first samples, then one more for each update.
        text: the answer alone, without reasoning or the tags that a prompt requires; the tools that it calls come last
            (`tpo.messages.shown_calls`).
        reward: higher is better; None when it was not scored or the score was no finite number.
        parts: what the reward is made of, by name.
        feedback: what the reward found, in words.
        finish_reason: as the server reported it: "stop", "length", …; "error" when the call failed.
        tokens: completion tokens that this answer took, reasoning included.
        error: why the candidate has no reward, if it should have one.
        message: the assistant's message where it is more than text: its tool calls, its refusal.
        logprobs: as the server sent them, where they were requested.
        leaked: words of our prompt that the answer repeats; such a candidate ranks below all others with a reward.
        arm: the arm of a panel that wrote it; None where the policy is one model.
        missing: the requirements that it fails, one by one: the words by the name of the part; empty where the reward
            names none.
    """

    id: str
    step: int
    text: str
    reward: float | None = None
    parts: dict[str, float] = {}
    feedback: str | None = None
    finish_reason: str = "stop"
    tokens: int = 0
    error: str | None = None
    message: dict[str, Any] | None = None
    logprobs: dict[str, Any] | None = None
    leaked: str | None = None
    arm: str | None = None
    missing: dict[str, str] = {}

    @property
    def rank(self) -> Rank:
        """What candidates are ordered by: the better has the larger."""
        return rank(self.reward, leaked=self.leaked is not None)


class WithRank(Protocol):
    """Anything that stands for an answer with its reward."""

    @property
    def reward(self) -> float | None:
        """The reward; None without one."""

    @property
    def rank(self) -> Rank:
        """What it is ordered by."""


def rank(reward: float | None, *, leaked: bool) -> Rank:
    """What an answer is ordered by: the better has the larger.

    Args:
        reward: its reward; None without one.
        leaked: it repeats words of our prompts, and comes after all others with a reward, whatever its own is.
    """
    return reward is not None, not leaked, reward or 0.0


def best_reward(answers: Iterable[WithRank]) -> float | None:
    """The reward of the answer that a search with these would return; None where none has a reward."""
    best = max(answers, key=lambda one: one.rank, default=None)
    return best.reward if best is not None else None
