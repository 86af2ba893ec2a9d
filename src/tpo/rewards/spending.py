"""What a reward spends in tokens, told to whoever asked for the score.

Most rewards spend none. A judge does, and its calls may be made by tasks of their own: the account travels with the
context, so that nothing in between has to pass it on. A batch that serves several queries is on the account of the
query that began it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from tpo.models.protocol import Usage

_account: ContextVar[Usage | None] = ContextVar("tpo_reward_spending", default=None)


@contextmanager
def accounted() -> Iterator[Usage]:
    """Collect what is spent inside."""
    usage = Usage()
    before = _account.set(usage)
    try:
        yield usage
    finally:
        _account.reset(before)


def spend(prompt_tokens: int, cached_tokens: int, completion_tokens: int) -> None:
    """Put tokens on the account of whoever asked."""
    usage = _account.get()
    if usage is not None:
        usage.prompt_tokens += prompt_tokens
        usage.cached_tokens += cached_tokens
        usage.completion_tokens += completion_tokens
