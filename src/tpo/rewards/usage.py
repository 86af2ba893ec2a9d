"""The tokens that a reward uses, counted for the caller of the score.

Most rewards use none. A judge does, and its calls may be made by tasks of their own: the account travels with the
context, so that nothing in between has to pass it on. A batch that serves several queries is on the account of the
query that began it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from tpo.models.protocol import Usage

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
