"""Judges and rewards that answer from a function, and count."""

from __future__ import annotations

from collections.abc import Callable

from tpo.messages import Conversation, text_of
from tpo.rewards.judges.judge import JudgeReply
from tpo.rewards.judges.tokens import Token


class FakeJudge:
    """Says what a function makes of the question's text.

    Args:
        say: the reply.
        sure: how likely the judge's A is beside its B; None for a judge that gives no probabilities.
    """

    def __init__(self, say: Callable[[str], str], sure: Callable[[str], float] | None = None) -> None:
        self.say = say
        self.sure = sure
        self.asked: list[str] = []

    async def ask(self, messages: Conversation, max_tokens: int, *, logprobs: bool = False) -> JudgeReply:
        text = "\n".join(map(text_of, messages))
        self.asked.append(text)
        said = self.say(text)
        if self.sure is None:
            return JudgeReply(said)
        a = self.sure(text)
        return JudgeReply(said, [Token(said, [("A", a), ("B", 1.0 - a)])])


class FakeScorer:
    """Scores a response by its length."""

    async def score(self, messages: Conversation, text: str) -> float | None:
        return float(len(text)) if text else None
