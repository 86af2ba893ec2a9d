"""The state of a search: the one picture that a journal's records are folded into.

A live search applies each record as it is written, resume and replay apply those that are there, and the result is read
off the same state.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import msgspec

from tpo.candidate import Candidate
from tpo.engine.records import (
    JUDGE,
    Called,
    Ended,
    Judged,
    Paused,
    Plan,
    Prompted,
    Rated,
    Record,
    Replied,
    Resumed,
    Sampled,
    Scored,
    Started,
)
from tpo.methods.pool import Pool

# The finish reasons of answers that the end of a run cut off.
CUT_SHORT = ("budget", "deadline", "interrupt")

# Turn and action; turn, action and index.
ActionPlace: TypeAlias = tuple[int, int]
AnswerPlace: TypeAlias = tuple[int, int, int]


class SearchState:
    """The state of one search.

    Args:
        records: a journal's records, possibly none.

    Attributes:
        plan: what is being run; None before the first record.
        prompted: the actions that began, by place.
        replied: the replies to the method's questions, by place.
        rated: the scores of texts that are no answers, by place.
        paused: the turns after which the search waited for the run's decision.
        judged: the held-out judge's scores; None where there is no judge, or before the end.
        calls: every call, in the order in which they ended.
        ended: how the search ended; None while it goes on, or where the process was killed.
        tokens: prompt and completion tokens spent, without those of a held-out judge, which no budget counts.
        seconds: how long the search has taken.
    """

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self.plan: Plan | None = None
        self.prompted: dict[ActionPlace, Prompted] = {}
        self.replied: dict[ActionPlace, Replied] = {}
        self.rated: dict[AnswerPlace, Rated] = {}
        self.paused: set[int] = set()
        self.judged: Judged | None = None
        self.calls: list[Called] = []
        self.ended: Ended | None = None
        self.tokens = 0
        self.seconds = 0.0
        # The last records of each place, failures included: a resumed run draws again what had failed.
        self._answers: dict[AnswerPlace, tuple[Sampled, Scored | None]] = {}
        # The last that were no failures.
        self._sampled: dict[AnswerPlace, Sampled] = {}
        self._scored: dict[AnswerPlace, Scored] = {}
        # The last score of each turn: a reward that compares answers scores old ones again with every turn.
        self._scores: dict[AnswerPlace, dict[int, Scored]] = {}
        self._turn = 0
        for record in records:
            self.apply(record)

    def apply(self, record: Record) -> None:
        """Apply a record."""
        match record:
            case Started():
                self.plan = record.plan
            case Prompted():
                self.prompted[record.turn, record.action] = record
                self._turn = max(self._turn, record.turn)
            case Called():
                self.calls.append(record)
                self.tokens += record.usage.total if record.role != JUDGE else 0
                self.seconds = max(self.seconds, record.began + record.seconds)
            case Sampled() | Scored():
                self._apply_answer((record.turn, record.action, record.index), record)
            case Replied():
                self.replied[record.turn, record.action] = record
            case Rated():
                self.rated[record.turn, record.action, record.index] = record
                self._turn = max(self._turn, record.turn)
            case Paused():
                self.paused.add(record.turn)
                self._turn = max(self._turn, record.turn + 1)
            case Judged():
                self.judged = record
            case Resumed():
                self.seconds = max(self.seconds, record.seconds)
                self.ended = None
            case Ended():
                self.seconds = max(self.seconds, record.seconds)
                self.ended = record

    def _apply_answer(self, place: AnswerPlace, record: Sampled | Scored) -> None:
        if isinstance(record, Sampled):
            self._answers[place] = (record, None)
            self._scores[place] = {}
            if record.error is None:
                self._sampled[place] = record
                self._scored.pop(place, None)  # it was of an answer that was cut off, and is drawn again
            return
        if place in self._answers:
            self._answers[place] = (self._answers[place][0], record)
            self._scores[place][self._turn] = record
        if record.error is None:
            self._scored[place] = record

    @property
    def finished(self) -> bool:
        """Whether the search went to its own end, so that nothing is left to do."""
        return self.ended is not None and self.ended.stop not in (*CUT_SHORT, "error")

    @property
    def answers(self) -> list[tuple[Sampled, Scored | None]]:
        """Every answer with its score, by place."""
        return [self._answers[place] for place in sorted(self._answers)]

    @property
    def candidates(self) -> list[Candidate]:
        """Every answer as a candidate, by place."""
        return [candidate_of(*answer) for answer in self.answers]

    def candidates_at(self, turn: int) -> dict[str, Candidate]:
        """The candidates when a turn was over, by id: without those of later turns, and with the rewards of that time.

        They are what the method was sent, so that a search which is continued goes on as it did before.
        """
        found = {}
        for place in sorted(place for place in self._answers if place[0] <= turn):
            sampled, scores = self._answers[place][0], self._scores[place]
            last = max((one for one in scores if one <= turn), default=None)
            found[sampled.id] = candidate_of(sampled, None if last is None else scores[last])
        return found

    @property
    def scored(self) -> list[tuple[Sampled, Scored]]:
        """Answers that have a score, without those that failed."""
        return [(self._sampled[place], scored) for place, scored in self._scored.items() if place in self._sampled]

    @property
    def unscored(self) -> list[Sampled]:
        """Answers that landed without having a score yet."""
        return [sampled for place, sampled in self._sampled.items() if place not in self._scored]

    @property
    def best(self) -> Candidate | None:
        """The best answer that was scored, or recorded by a method that needs no score; None before there is one."""
        pool = Pool()
        pool.add(candidate_of(sampled, scored) for sampled, scored in self.answers if scored is not None)
        return pool.chosen if pool.candidates else None

    def answer(self, place: AnswerPlace) -> tuple[Sampled, Scored | None] | None:
        """The answer at a place and its score; None for what has not landed, or failed and may be tried again.

        In a turn after which the search went on nothing is tried again: what came later was built on what failed.
        """
        if place[0] < self._turn:
            return self._answers.get(place)
        sampled = self._sampled.get(place)
        # What was cut off by a budget or a deadline is no whole answer: a run that continues draws it again.
        if sampled is None or sampled.finish_reason in CUT_SHORT:
            return None
        return sampled, self._scored.get(place)


def candidate_of(sampled: Sampled, scored: Scored | None) -> Candidate:
    """Combine an answer and its score."""
    candidate = Candidate(
        id=sampled.id,
        step=sampled.step,
        text=sampled.text,
        finish_reason=sampled.finish_reason,
        tokens=sampled.tokens,
        error=sampled.error,
        message=sampled.message,
        logprobs=sampled.logprobs,
        leaked=sampled.leaked,
        arm=sampled.arm,
    )
    if scored is None:
        return candidate
    return msgspec.structs.replace(
        candidate,
        reward=scored.reward,
        parts=scored.parts,
        feedback=scored.feedback,
        error=scored.error,
        missing=scored.missing,
    )
