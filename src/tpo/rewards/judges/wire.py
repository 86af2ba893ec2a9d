"""The parts of a chat completion that a judge's reply is read from (OpenAI's protocol, not streamed)."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import msgspec


class Token(NamedTuple):
    """One token of a reply.

    Attributes:
        text: what it adds to the reply.
        top: the likeliest tokens at its place, itself among them, each with its probability.
    """

    text: str
    top: list[tuple[str, float]]


class Message(msgspec.Struct):
    """The reply's text; None where everything went into reasoning that is reported apart."""

    content: str | None = None


class Choice(msgspec.Struct):
    """One reply. Its log-probabilities are read leniently, for a reply can be read without them."""

    message: Message
    logprobs: Any = None
    finish_reason: str | None = None


class Spent(msgspec.Struct):
    """Tokens of the call."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Completion(msgspec.Struct):
    """A reply as a whole; some proxies report an error with status 200."""

    choices: list[Choice] | None = None
    usage: Spent | None = None
    error: Any = None


class _Likely(msgspec.Struct):
    token: str
    logprob: float


class _Sampled(msgspec.Struct):
    token: str
    logprob: float
    top_logprobs: list[_Likely] | None = None


class _Logprobs(msgspec.Struct):
    content: list[_Sampled] | None = None


def tokens_of(logprobs: Any) -> list[Token]:
    """The tokens of a reply from its `logprobs`; none where they are absent or of another shape."""
    try:
        sampled = msgspec.convert(logprobs, _Logprobs | None)
    except msgspec.ValidationError:
        return []
    return [_token(entry) for entry in (sampled.content if sampled else None) or []]


def _token(entry: _Sampled) -> Token:
    top = [(likely.token, _probability(likely.logprob)) for likely in entry.top_logprobs or []]
    if all(text != entry.token for text, _ in top):
        top.append((entry.token, _probability(entry.logprob)))
    return Token(entry.token, top)


def _probability(logprob: float) -> float:
    return math.exp(min(logprob, 0.0))
