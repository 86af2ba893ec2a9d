"""What a run has spent, and when it has to end early: a budget, a deadline, or an interrupt."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, Literal, TypeAlias, TypeVar

import msgspec

from tpo.errors import InputError
from tpo.models.protocol import Usage

EarlyStop: TypeAlias = Literal["budget", "deadline", "interrupt"]
T = TypeVar("T")


class Budget(msgspec.Struct, frozen=True):
    """What a run may cost.

    Attributes:
        tokens: prompt and completion tokens of all roles together.
        seconds: wall-clock time.

    Raises:
        InputError: a budget is not above zero.
    """

    tokens: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("tokens", self.tokens), ("seconds", self.seconds)):
            if value is not None and not value > 0:
                raise InputError(f"The budget of {name} is {value}; it must be above zero.")


class Stopped(Exception):
    """Raised inside the driver where the run ends early."""


class Stopper:
    """Ends a run from outside or from within; the first reason counts, but a spent budget can still be interrupted."""

    def __init__(self) -> None:
        self.reason: EarlyStop | None = None
        # Timeouts without a time: what runs in one can be cancelled from outside.
        self._scopes: dict[asyncio.Timeout, asyncio.AbstractEventLoop] = {}

    def stop(self, reason: EarlyStop) -> None:
        """End the run with the best answer so far; safe in any thread and in signal handlers."""
        if self.reason is None or (self.reason == "budget" and reason != "budget"):
            self.reason = reason
            for scope, loop in list(self._scopes.items()):
                loop.call_soon_threadsafe(self._cancel, scope)

    def _cancel(self, scope: asyncio.Timeout) -> None:
        if scope in self._scopes:
            scope.reschedule(0.0)

    async def guard(self, work: Callable[[], Coroutine[Any, Any, T]], despite: EarlyStop | None = None) -> T:
        """Run something until it is done or the run is stopped.

        Args:
            work: called to begin; not at all where the run is stopped already.
            despite: a reason to stop that does not count here.

        Raises:
            Stopped: the run is to end; the work was cancelled.
        """
        scope = asyncio.timeout(None)
        try:
            async with scope:
                self._scopes[scope] = asyncio.get_running_loop()
                if self.reason not in (None, despite):
                    raise Stopped
                return await work()
        except TimeoutError:
            if scope.expired():
                raise Stopped from None
            raise
        finally:
            self._scopes.pop(scope, None)


class Ledger:
    """What a run has spent, the calls in flight included.

    Args:
        on_spend: called whenever something was spent.
    """

    def __init__(self, on_spend: Callable[[], None] = lambda: None) -> None:
        self.on_spend = on_spend
        self._open: list[Usage] = []
        self._closed = 0

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens so far."""
        return self._closed + sum(usage.total for usage in self._open)

    def open(self) -> Usage:
        """Begin a call."""
        usage = Usage()
        self._open.append(usage)
        return usage

    def close(self, usage: Usage) -> None:
        """End a call; what it spent stays counted."""
        # By identity: two calls that happen to have spent the same are still two.
        self._open = [other for other in self._open if other is not usage]
        self.add(usage.total)

    def add(self, tokens: int) -> None:
        """Count tokens that were spent in an earlier process."""
        self._closed += tokens
        self.on_spend()


class Clock:
    """Seconds since the run began; a resumed run continues from where it was, whatever the wall clock did."""

    def __init__(self, offset: float = 0.0) -> None:
        self._start = time.monotonic() - offset

    def skip(self, seconds: float) -> None:
        """Leave some seconds out."""
        self._start += seconds

    def __call__(self) -> float:
        """Seconds so far."""
        return time.monotonic() - self._start
