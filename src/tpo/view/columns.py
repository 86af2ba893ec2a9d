"""The answers of a run as columns of numbers: what is sorted, filtered and drawn, some bytes a query."""

from __future__ import annotations

import math
from array import array
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tpo.runs.answers import Answer

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]


class Columns(NamedTuple):
    """A snapshot; all columns but the last have an entry for each line of answers.jsonl, in its order.

    Attributes:
        at: where the line begins, in bytes.
        row: the row's position in the data.
        name: a hash of the row's id.
        key: a hash of the query's key in the journal.
        reward: the answer's reward; NaN where there is none.
        first: the reward of the first sample.
        best_first: the best reward of step 0, which is what Best-of-N comes to.
        length: characters of the answer.
        first_length: characters of the first sample.
        tokens: completion tokens of the answer.
        spent: prompt and completion tokens of all roles.
        seconds: from the query's first call to its end.
        failed: 1 where there was an error.
        judged_first: the held-out judge's score of the first sample; NaN where there is none.
        judged: its score of the answer; likewise.
        found: the first step at which the best reward was reached; -1 where there are no rewards.
        begin: where the query's best rewards begin in `bests`.
        steps: how many of them there are.
        bests: the best reward after each step, query after query (an array of its own length).
    """

    at: Integers
    row: Integers
    name: Integers
    key: Integers
    reward: Floats
    first: Floats
    best_first: Floats
    length: Integers
    first_length: Integers
    tokens: Integers
    spent: Integers
    seconds: Floats
    failed: Integers
    judged_first: Floats
    judged: Floats
    found: Integers
    begin: Integers
    steps: Integers
    bests: Floats

    def best_at(self, step: int) -> Floats:
        """The best reward of each query after a step; NaN where it has none."""
        there = self.steps > step
        best = np.full(len(self.at), np.nan)
        best[there] = self.bests[self.begin[there] + step]
        return best

    def gain(self, over: str) -> Floats:
        """The gain in reward; NaN where a reward is missing.

        Args:
            over: `first`: over the first sample; `best`: over the best of the first samples.
        """
        gain: Floats = self.reward - (self.first if over == "first" else self.best_first)
        return np.where(self.failed == 1, np.nan, gain)

    def judged_gain(self) -> Floats:
        """The gain over the first sample by the held-out judge; NaN where a score is missing."""
        return np.where(self.failed == 1, np.nan, self.judged - self.judged_first)


FLOATS = frozenset({"reward", "first", "best_first", "seconds", "judged_first", "judged", "bests"})


class ColumnBuilder:
    """Columns that grow."""

    def __init__(self) -> None:
        self._arrays: dict[str, array[Any]] = {name: array("d" if name in FLOATS else "q") for name in Columns._fields}

    def add(self, at: int, answer: Answer) -> None:
        """Add an answer.

        Args:
            at: where its line begins.
            answer: the answer.
        """
        first, held_out = answer.first, answer.held_out
        bests = [_number(step.best) for step in answer.steps]
        values = (
            at,
            answer.row,
            hash(answer.id),
            hash(answer.key),
            _number(answer.reward),
            _number(first.reward if first is not None else None),
            _number(answer.steps[0].best if answer.steps else None),
            len(answer.answer or ""),
            len(first.answer) if first is not None else 0,
            answer.tokens,
            sum(used.prompt_tokens + used.completion_tokens for used in answer.usage.values()),
            answer.seconds,
            answer.error is not None,
            _number(held_out.first if held_out is not None else None),
            _number(held_out.answer if held_out is not None else None),
            bests.index(max(bests)) if bests and not any(map(math.isnan, bests)) else -1,
            len(self._arrays["bests"]),
            len(bests),
        )
        self._arrays["bests"].extend(bests)
        for column, value in zip(self._arrays.values(), values, strict=False):  # all but `bests`, which is the last
            column.append(value)

    def snapshot(self) -> Columns:
        """The columns as they are now."""
        return Columns(*(np.array(column) for column in self._arrays.values()))


def _number(value: float | None) -> float:
    return math.nan if value is None else value
