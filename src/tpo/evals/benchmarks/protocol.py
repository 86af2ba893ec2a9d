"""What a benchmark is: queries, a grade for each response, and numbers for all of them.

    rows = benchmark.rows(source, limit=100, seed=0)          # the queries
    grade = await benchmark.grade(row, response, graders)     # one response
    summary = benchmark.summary(rows, grades)                 # estimates, and a value for each query

A grade is made of one response alone, so that it can be written down, cached, and given by an Inspect scorer.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

from tpo.messages import Conversation
from tpo.stats import Estimate, mean_of, share_of

if TYPE_CHECKING:
    from tpo.evals.data import Source

NO_JUDGE = "needs a judge: --judge URL"
NO_HELD_OUT = "needs a reward that nothing is steered by: --held-out REWARD"
NO_REWARD = "needs a reward that scores one answer at a time: --reward"


class Column(msgspec.Struct, frozen=True):
    """A number that a benchmark gives.

    Attributes:
        name: within the benchmark, such as "win_rate".
        title: as a table's heading, such as "AlpacaEval 2 WR".
        unit: "%", or what else the number is measured in.
        about: what it is, in a sentence.
        main: whether it stands in the table as the paper has it; others are details.
        higher_is_better: the direction.
    """

    name: str
    title: str
    unit: str
    about: str
    main: bool = True
    higher_is_better: bool = True

    @property
    def scale(self) -> float:
        """What a query's value is multiplied with: shares are shown in percent."""
        return 100.0 if self.unit == "%" else 1.0


class Row(msgspec.Struct, frozen=True):
    """A query of a benchmark.

    Attributes:
        id: unique in the benchmark.
        messages: the query.
        metadata: what grading needs beside the response: a reference, a label.
    """

    id: str
    messages: Conversation
    metadata: dict[str, Any] = {}


class Response(NamedTuple):
    """What a method answered.

    Attributes:
        text: the answer.
        reward: by the reward that steered; None where nothing did.
    """

    text: str
    reward: float | None = None


class Grade(msgspec.Struct, frozen=True):
    """The grade of one response.

    Attributes:
        values: a number for each column: shares from 0 to 1 where the column's unit is percent.
        missing: for each column without a number, why.
        details: what was found, for people: verdicts, the final answer, a judge's words.
    """

    values: dict[str, float] = {}
    missing: dict[str, str] = {}
    details: dict[str, Any] = {}


class Summary(msgspec.Struct, frozen=True):
    """The numbers of a run.

    Attributes:
        estimates: by column.
        values: by column, a value for each query that has one; paired comparisons are made of them.
        missing: for each column without an estimate, why.
        unread: by column, how many queries have no value though others have.
        weights: by column, how much each query counts in the estimate; columns that are plain means have none.
    """

    estimates: dict[str, Estimate]
    values: dict[str, dict[str, float]]
    missing: dict[str, str]
    unread: dict[str, int]
    weights: dict[str, dict[str, float]] = {}


class JudgeModel(Protocol):
    """Answers questions about responses; see `tpo.evals.judging`."""

    async def ask(self, messages: Conversation, max_tokens: int, *, logprobs: bool = False) -> Any:
        """One reply: `text` and `tokens`."""
        ...


class AnswerScorer(Protocol):
    """Scores responses; see `tpo.evals.scoring`."""

    async def score(self, messages: Conversation, text: str) -> float | None:
        """The reward of a response; None where it gets no finite one."""
        ...


class Graders(NamedTuple):
    """The judge and the rewards that a grade may use.

    Attributes:
        judge: a language model; None where none was given.
        held_out: a reward that nothing is steered by.
        reward: the reward that steers; it scores what was answered without it.
    """

    judge: JudgeModel | None = None
    held_out: AnswerScorer | None = None
    reward: AnswerScorer | None = None


class Benchmark(ABC):
    """A benchmark; each has a file of its own, and overrides what it does in another way.

    Attributes:
        name: as users write it.
        columns: the numbers that it gives.
    """

    name: str
    columns: tuple[Column, ...]

    @abstractmethod
    def rows(self, source: Source, limit: int | None = None, seed: int = 0) -> list[Row]:
        """The queries.

        Args:
            source: where the published data is.
            limit: how many of them; all unless given. A larger selection with the same seed holds the smaller one.
            seed: of the selection.

        Raises:
            InputError: the data is not there, or in another format; the message names where to get it.
        """

    def next_rows(self, rows: Sequence[Row], responses: Mapping[str, Response]) -> list[Row]:
        """The queries that follow these answers: the second turns of a conversation. Most benchmarks have none."""
        return []

    @abstractmethod
    async def grade(self, row: Row, response: Response, graders: Graders) -> Grade:
        """Grade one response.

        Raises:
            TPOError: a judge or a reward fails. Grades that were paid for are kept for the next call.
        """

    def summary(self, rows: Sequence[Row], grades: Mapping[str, Grade]) -> Summary:
        """The numbers: a mean over queries for each column.

        Args:
            rows: the queries.
            grades: by query; those that were not answered are left out.
        """
        return averaged(self.columns, rows, grades)


def averaged(columns: Sequence[Column], rows: Sequence[Row], grades: Mapping[str, Grade]) -> Summary:
    """The mean of each column over the queries that have a value there."""
    graded = [(row.id, grades[row.id]) for row in rows if row.id in grades]
    estimates: dict[str, Estimate] = {}
    values: dict[str, dict[str, float]] = {}
    missing: dict[str, str] = {}
    unread: dict[str, int] = {}
    for column in columns:
        found = {id: grade.values[column.name] for id, grade in graded if column.name in grade.values}
        if found:
            values[column.name] = found
            numbers = list(found.values())
            estimates[column.name] = share_of(numbers, 100) if column.unit == "%" else mean_of(numbers, column.scale)
            # A query without a reason is one that the column is not about: an unsafe prompt, for example.
            unread[column.name] = sum(column.name in grade.missing for _, grade in graded)
        else:
            missing[column.name] = next(
                (grade.missing[column.name] for _, grade in graded if column.name in grade.missing),
                "no query that this is about was answered",
            )
    return Summary(estimates, values, missing, {name: count for name, count in unread.items() if count})
