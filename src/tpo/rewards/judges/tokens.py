"""The tokens of a judge's reply, each with the likeliest tokens at its place."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple


class Token(NamedTuple):
    """One token of a reply.

    Attributes:
        text: what it adds to the reply.
        top: the likeliest tokens at its place, itself among them, each with its probability.
    """

    text: str
    top: list[tuple[str, float]]


def tokens_of(logprobs: Mapping[str, Any] | None) -> list[Token]:
    """The tokens of a reply.

    Args:
        logprobs: those of a `tpo.models.protocol.Choice`, which have been checked; None for none.
    """
    return [_token(entry) for entry in (logprobs or {}).get("content") or ()]


def _token(entry: Mapping[str, Any]) -> Token:
    top = [(likely["token"], _probability(likely["logprob"])) for likely in entry["top_logprobs"]]
    if all(text != entry["token"] for text, _ in top):
        top.append((entry["token"], _probability(entry["logprob"])))
    return Token(entry["token"], top)


def _probability(logprob: float) -> float:
    return math.exp(min(logprob, 0.0))
