"""Judges and rewards that answer from a function, and count."""

from __future__ import annotations

from collections.abc import Callable

from tpo.messages import Conversation, text_of
from tpo.rewards.judges.judge import JudgeReply


class FakeJudge:
    """Says what a function makes of the question's text."""

    def __init__(self, say: Callable[[str], str]) -> None:
        self.say = say
        self.asked: list[str] = []

    async def ask(self, messages: Conversation, max_tokens: int, *, logprobs: bool = False) -> JudgeReply:
        text = "\n".join(map(text_of, messages))
        self.asked.append(text)
        return JudgeReply(self.say(text))


class FakeScorer:
    """Scores a response by its length."""

    async def score(self, messages: Conversation, text: str) -> float | None:
        return float(len(text)) if text else None
