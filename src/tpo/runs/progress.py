"""Counts of a run in progress, for the live view and the log."""

from __future__ import annotations

import time
from collections.abc import Callable

from tpo.engine.events import Event
from tpo.engine.records import Called
from tpo.runs.answers import Answer

# The same trouble is reported again after so many seconds.
_SILENCE = 30.0
_REMEMBERED = 100


class RunProgress:
    """Counts events and answers.

    Attributes:
        total: queries in the data.
        done: queries that have their answers, those of earlier processes included.
        failed: how many of these failed.
        open: queries under way.
        tokens: completion tokens of this process.
        calls: calls of this process.
        retries: how many of these repeated a failed one.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = self.failed = self.open = self.tokens = self.calls = self.retries = 0
        self.began = time.monotonic()
        self._done_before = 0
        self._rewards = [0.0, 0.0]
        self._rewarded = 0
        self._reported: dict[str, float] = {}

    def take(self, event: Event) -> None:
        """Count an event."""
        if isinstance(event, Called):
            self.calls += 1
            self.retries += event.retry
            self.tokens += event.usage.completion_tokens

    def opened(self) -> None:
        """A query began."""
        self.open += 1

    def closed(self) -> None:
        """A query is over."""
        self.open -= 1

    def answered(self, answer: Answer, *, before: bool = False) -> None:
        """A query has its answer.

        Args:
            answer: the answer.
            before: an earlier process found it.
        """
        self.done += 1
        self._done_before += before
        self.failed += answer.error is not None
        if answer.first is not None and answer.first.reward is not None and answer.reward is not None:
            self._rewarded += 1
            self._rewards[0] += answer.first.reward
            self._rewards[1] += answer.reward

    def trouble(self, line: str, report: Callable[[str], None]) -> None:
        """Report a trouble, the same one only now and then."""
        now = time.monotonic()
        if now - self._reported.get(line, -_SILENCE) >= _SILENCE:
            if len(self._reported) >= _REMEMBERED:
                self._reported.clear()
            self._reported[line] = now
            report(line)

    @property
    def rewards(self) -> tuple[float, float] | None:
        """Mean reward of the first samples and of the answers."""
        if not self._rewarded:
            return None
        return self._rewards[0] / self._rewarded, self._rewards[1] / self._rewarded

    @property
    def seconds(self) -> float:
        """Seconds since this process began."""
        return time.monotonic() - self.began

    @property
    def left(self) -> float | None:
        """Seconds until the end at the speed so far."""
        here = self.done - self._done_before
        return (self.total - self.done) * self.seconds / here if here else None
