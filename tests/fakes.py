"""Fake backends: models that answer from a script, fail, delay and lie, and rewards to go with them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from tpo.errors import ModelError
from tpo.messages import Conversation, text_of
from tpo.models.profiles import GENERIC, Profile
from tpo.models.protocol import Choice, Receiver, Request
from tpo.rewards.protocol import Score


class FakeModel:
    """Answers with what a function of the request and the choice's number says.

    Args:
        answer: text, or an error to raise instead of the whole call.
        profile: how the model claims to behave.
        most: most choices that it returns for one request, whatever `n` says.
        name: its name.
    """

    def __init__(
        self,
        answer: Callable[[Request, int], str | ModelError],
        profile: Profile = GENERIC,
        most: int = 1_000,
        name: str = "fake",
    ) -> None:
        self.answer = answer
        self.profile = profile
        self.name = name
        self.most = most
        self.requests: list[Request] = []
        self.live = 0
        self.most_live = 0
        self.closed = False

    async def generate(self, request: Request, receiver: Receiver) -> None:
        self.requests.append(request)
        self.live += 1
        self.most_live = max(self.live, self.most_live)
        try:
            await asyncio.sleep(0)
            for index in range(min(request.n, self.most)):
                text = self.answer(request, index)
                if isinstance(text, ModelError):
                    raise text
                for word in text.split(" "):
                    receiver.usage.completion_tokens += 1
                    receiver.on_text(index, word)
                    await asyncio.sleep(0)
                receiver.usage.prompt_tokens = 10
                receiver.on_choice(Choice(index, text, tokens=len(text.split(" "))))
        finally:
            self.live -= 1

    async def aclose(self) -> None:
        self.closed = True


def said(request: Request) -> str:
    """The last message of a request."""
    return text_of(request.messages[-1])


def numbered(word: str = "answer") -> Callable[[Request, int], str]:
    """Answers that are all different: `answer 1`, `answer 2`, …"""
    count = 0

    def answer(request: Request, index: int) -> str:
        nonlocal count
        count += 1
        return f"{word} {count}"

    return answer


class FakeReward:
    """Scores an answer by a function of its text.

    Args:
        value: the score, or an error to raise.
        name: its name.
    """

    def __init__(self, value: Callable[[str], float | Score | Exception], name: str = "fake-reward") -> None:
        self.value = value
        self.name = name
        self.scored: list[str] = []

    async def score(self, conversations: Sequence[Conversation]) -> list[Score | float]:
        scores: list[Score | float] = []
        for conversation in conversations:
            text = text_of(conversation[-1])
            self.scored.append(text)
            value = self.value(text)
            if isinstance(value, Exception):
                raise value
            scores.append(value)
        return scores
