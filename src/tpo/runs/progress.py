"""Counts of a run in progress, for the live view and the log."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from tpo.engine.events import Event, TextGrew
from tpo.engine.records import Called, Prompted, Started
from tpo.runs.answers import Answer

# The same trouble is reported again after so many seconds.
_SILENCE = 30.0
_REMEMBERED = 100
# Seconds over which the speed of the moment is measured, and between two of its measurements.
_WINDOW = 10.0
_INTERVAL = 0.5


class RunProgress:
    """Counts events and answers.

    Args:
        total: queries in the data.
        clock: seconds, from any beginning.

    Attributes:
        total: queries in the data.
        done: queries that have their answers, those of earlier processes included.
        failed: how many of these failed.
        open: queries under way.
        tokens: completion tokens of this process, those of replies that are being streamed included.
        calls: calls of this process.
        retries: how many of these repeated a failed one.
    """

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.total = total
        self.done = self.failed = self.open = self.calls = self.retries = 0
        self._clock = clock
        self.began = clock()
        self._exact = self._streaming = 0
        self._measured = deque([(self.began, 0)])
        # Update steps of each query, and how many were begun in all.
        self._depth = self._steps = 0
        self._done_before = 0
        self._rewards = [0.0, 0.0]
        self._rewarded = 0
        self._reported: dict[str, float] = {}

    def take(self, event: Event) -> None:
        """Count an event."""
        match event:
            case TextGrew():
                self._streaming += 1
            case Called():
                self.calls += 1
                self.retries += event.retry
                self._exact += event.usage.completion_tokens
                self._streaming = max(0, self._streaming - event.usage.completion_tokens)
                self._measure()
            case Started():
                self._depth = event.plan.depth
            case Prompted() if event.width is not None and event.step:
                self._steps += 1

    def _measure(self) -> None:
        now = self._clock()
        if now - self._measured[-1][0] >= _INTERVAL:
            self._measured.append((now, self.tokens))
        while len(self._measured) > 1 and now - self._measured[1][0] >= _WINDOW:
            self._measured.popleft()

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
        now = self._clock()
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
        return self._clock() - self.began

    @property
    def tokens(self) -> int:
        """Completion tokens so far."""
        return self._exact + self._streaming

    @property
    def tokens_per_second(self) -> float | None:
        """The speed of the last seconds; None before there are tokens."""
        self._measure()
        at, tokens = self._measured[0]
        seconds = self._clock() - at
        return (self.tokens - tokens) / seconds if self.tokens and seconds else None

    @property
    def left(self) -> float | None:
        """Seconds until the end at the speed so far; None before a step is done. Steps of open queries count."""
        here = self.done - self._done_before
        # Of the steps that were begun, those of queries that are over count with their queries.
        begun = max(0, self._steps - here * self._depth) / (self._depth + 1)
        partly = min(float(self.open), begun)
        finished = here + partly
        return (self.total - self.done - partly) * self.seconds / finished if finished else None
