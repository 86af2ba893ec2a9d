"""A candidate: one answer to a query, with its reward."""

from __future__ import annotations

from typing import Any

import msgspec


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
