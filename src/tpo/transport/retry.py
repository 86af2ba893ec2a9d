"""When a call is tried again, and after how long."""

from __future__ import annotations

from collections.abc import Callable

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    wait_random_exponential,
)

from tpo.errors import ModelUnavailable

TRIES = 6
# A server that asks for more patience than this is as good as down; the run says so instead of seeming to hang.
LONGEST_WAIT = 120.0

_backoff = wait_random_exponential(multiplier=0.5, max=20)


def retrying(on_retry: Callable[[ModelUnavailable, float], None], tries: int = TRIES) -> AsyncRetrying:
    """Attempts that repeat only what a later try can mend.

    Args:
        on_retry: told of each failed attempt and the seconds until the next.
        tries: attempts in all.

    Returns:
        tenacity's iterator of attempts; the last failure is raised as it is.
    """

    def before_sleep(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, ModelUnavailable):
            on_retry(error, state.upcoming_sleep)

    return AsyncRetrying(
        retry=retry_if_exception_type(ModelUnavailable),
        stop=_enough(tries),
        wait=_wait,
        before_sleep=before_sleep,
        reraise=True,
    )


def _asked(state: RetryCallState) -> float | None:
    error = state.outcome.exception() if state.outcome else None
    return error.retry_after if isinstance(error, ModelUnavailable) else None


def _wait(state: RetryCallState) -> float:
    asked = _asked(state)
    return asked if asked is not None else _backoff(state)


def _enough(tries: int) -> Callable[[RetryCallState], bool]:
    return lambda state: state.attempt_number >= tries or (_asked(state) or 0.0) > LONGEST_WAIT
