"""When a run has to end early: a budget, a deadline, or an interrupt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Literal, TypeAlias, TypeVar

import msgspec

from tpo.errors import InputError

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
    """Ends a run from outside or from within; the first reason counts."""

    def __init__(self) -> None:
        self.reason: EarlyStop | None = None
        self._tripped = asyncio.Event()

    def stop(self, reason: EarlyStop) -> None:
        """End the run with the best answer so far; safe in a signal handler of the event loop."""
        if self.reason is None:
            self.reason = reason
            self._tripped.set()

    async def guard(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run something until it is done or the run is stopped.

        Args:
            work: called to begin; not at all where the run is stopped already.

        Raises:
            Stopped: the run is to end; the work was cancelled.
        """
        if self.reason is not None:
            raise Stopped
        task = asyncio.ensure_future(work())
        alarm = asyncio.ensure_future(self._tripped.wait())
        try:
            await asyncio.wait({task, alarm}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            raise Stopped
        finally:
            alarm.cancel()
            task.cancel()
            # Waiting lets the cancelled calls close their connections and write down what they cost.
            await asyncio.gather(task, alarm, return_exceptions=True)
