"""What a journal says was done already, found by its place in the search."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tpo.engine.records import Called, Ended, Plan, Prompted, Rated, Record, Replied, Resumed, Sampled, Scored, Started
from tpo.methods.actions import FINISHES


class Past:
    """An index over records.

    Args:
        records: a journal's records, possibly none.

    Attributes:
        plan: what was being run; None for an empty journal.
        prompted: places (turn, action) of the actions that were begun.
        rated: the scores of texts that the method asked for, by place (turn, action, index).
        replied: the replies to the method's questions by place.
        tokens: prompt and completion tokens spent.
        seconds: how long the run had taken.
        finished: the search went to its own end, so that nothing is left to do.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        self.plan: Plan | None = None
        self.prompted: set[tuple[int, int]] = set()
        self.replied: dict[tuple[int, int], Replied] = {}
        self.rated: dict[tuple[int, int, int], Rated] = {}
        self.tokens = 0
        self.seconds = 0.0
        self.finished = False
        self._sampled: dict[tuple[int, int, int], Sampled] = {}
        self._scored: dict[tuple[int, int, int], Scored] = {}
        # The last word about each place, failures included.
        self._last: dict[tuple[int, int, int], tuple[Sampled, Scored | None]] = {}
        self._turn = 0
        for record in records:
            self._take(record)

    def _take(self, record: Record) -> None:
        match record:
            case Started():
                self.plan = record.plan
            case Prompted():
                self.prompted.add((record.turn, record.action))
                self._turn = max(self._turn, record.turn)
            case Called():
                self.tokens += record.usage.total
                self.seconds = max(self.seconds, record.began + record.seconds)
            case Sampled():
                self._take_answer((record.turn, record.action, record.index), record)
            case Scored():
                self._take_score((record.turn, record.action, record.index), record)
            case Replied():
                self.replied[record.turn, record.action] = record
            case Rated():
                self.rated[record.turn, record.action, record.index] = record
            case Resumed() | Ended():
                self.seconds = max(self.seconds, record.seconds)
                self.finished = isinstance(record, Ended) and record.stop in FINISHES

    def _take_answer(self, place: tuple[int, int, int], record: Sampled) -> None:
        self._last[place] = (record, None)
        if record.error is None:
            self._sampled[place] = record

    def _take_score(self, place: tuple[int, int, int], record: Scored) -> None:
        if place in self._last:
            self._last[place] = (self._last[place][0], record)
        if record.error is None:
            self._scored[place] = record

    def answer(self, turn: int, action: int, index: int) -> tuple[Sampled, Scored | None] | None:
        """The answer at a place and its score; None for what has not landed, or failed and is worth another try.

        In a turn after which the search went on nothing is tried again: what came later was built on what failed.
        """
        if turn < self._turn:
            return self._last.get((turn, action, index))
        sampled = self._sampled.get((turn, action, index))
        # What was cut off by a budget or a deadline is no whole answer: a run that goes on draws it again.
        if sampled is None or sampled.finish_reason in CUT_SHORT:
            return None
        return sampled, self._scored.get((turn, action, index))

    def unscored(self) -> list[Sampled]:
        """Answers that landed without having got a score."""
        return [sampled for place, sampled in self._sampled.items() if place not in self._scored]

    def scores(self) -> Iterator[tuple[Sampled, Scored]]:
        """Answers with their scores."""
        for place, scored in self._scored.items():
            if place in self._sampled:
                yield self._sampled[place], scored


# The finish reasons of answers that the end of a run cut off.
CUT_SHORT = ("budget", "deadline", "interrupt")
