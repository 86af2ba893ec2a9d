"""When a call is tried again, and after how long."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    wait_random_exponential,
)

from tpo.errors import ModelUnavailable

T = TypeVar("T")

TRIES = 6
# A server that asks for more patience than this is as good as down; the run says so instead of seeming to hang.
LONGEST_WAIT = 120.0

_backoff = wait_random_exponential(multiplier=0.5, max=20)
# The limiter holds calls back while a server refuses all of them, so a refused call is soon back in its queue.
_overloaded_backoff = wait_random_exponential(multiplier=0.25, max=2)


def retrying(
    on_retry: Callable[[ModelUnavailable, float], None], tries: int = TRIES, patience: float = 0.0
) -> AsyncRetrying:
    """Attempts that repeat only what a later try can mend.

    Args:
        on_retry: called with each failed attempt and the seconds until the next.
        tries: attempts in all.
        patience: seconds for which an endpoint that is down or overloaded is tried, however many attempts that takes.

    Returns:
        tenacity's iterator of attempts; the last failure is raised as it is.
    """

    def before_sleep(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, ModelUnavailable):
            on_retry(error, state.upcoming_sleep)

    return AsyncRetrying(
        retry=retry_if_exception_type(ModelUnavailable),
        stop=_Enough(tries, patience),
        wait=_wait,
        before_sleep=before_sleep,
        reraise=True,
    )


async def patiently(
    attempt: Callable[[], Coroutine[Any, Any, T]],
    on_retry: Callable[[ModelUnavailable, float], None],
    tries: int = TRIES,
    patience: float = 0.0,
) -> T:
    """What the first attempt that does not fail returns; the arguments are those of `retrying`.

    The first one is made without the machinery for the others, which nearly all calls never need.
    """
    failures: list[ModelUnavailable] = []
    try:
        result = await attempt()
    except ModelUnavailable as error:
        failures.append(error)
    else:
        return result
    async for again in retrying(on_retry, tries, patience):
        with again:
            if failures:
                raise failures.pop()
            result = await attempt()
    return result


class _Enough:
    def __init__(self, tries: int, patience: float) -> None:
        self._tries = tries
        self._patience = patience
        self._own_failures = 0
        self._first_failure: float | None = None

    def __call__(self, state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        now = time.monotonic()
        self._first_failure = self._first_failure or now
        waited = now - self._first_failure
        if self._patience and isinstance(error, ModelUnavailable) and (error.down or error.overloaded):
            return waited + (error.retry_after or 0.0) > self._patience
        self._own_failures += 1
        return self._own_failures >= self._tries or (_retry_after(state) or 0.0) > LONGEST_WAIT


def _retry_after(state: RetryCallState) -> float | None:
    error = state.outcome.exception() if state.outcome else None
    return error.retry_after if isinstance(error, ModelUnavailable) else None


def _wait(state: RetryCallState) -> float:
    # 0, or a date that is past, names no time: a try at once would only use up the tries.
    if retry_after := _retry_after(state):
        return retry_after
    error = state.outcome.exception() if state.outcome else None
    overloaded = isinstance(error, ModelUnavailable) and error.overloaded
    return _overloaded_backoff(state) if overloaded else _backoff(state)
