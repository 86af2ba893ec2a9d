"""What became of each query in each cell, without texts: read from runs, or from a file that an experiment wrote."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path

import msgspec

from tpo.candidate import Rank, rank
from tpo.engine.records import Prompted
from tpo.engine.result import Result
from tpo.errors import InputError
from tpo.evals.benchmarks.protocol import Benchmark, Graders, Response, Row
from tpo.evals.scoring import Scoring
from tpo.experiments.definition import ExperimentCell
from tpo.experiments.interruptions import written_again
from tpo.experiments.queries import digest_of
from tpo.experiments.rounds import origins
from tpo.methods.lifts import PLAIN_PROMPT
from tpo.runs.answers import read_answers
from tpo.runs.directory import RunDirectory
from tpo.runs.history import QueryHistory, histories

# Roles whose tokens a method spends.
USERS = ("policy", "critic", "editor")


class CandidateOutcome(msgspec.Struct, frozen=True, array_like=True):
    """A candidate without its text.

    Attributes:
        step: 0 for the first samples, then one more for each wave.
        reward: by the reward that steers; None where it has none.
        tokens: completion tokens.
        characters: of its text.
        value: its grade in the main column; None without a benchmark.
        judge: by the held-out judge; None without one.
        leaked: it repeats words of our prompts, and ranks below all others with a reward; False in files of earlier
            versions, which do not know it.
        prompt: the name of the prompt that it was drawn with; empty in files of earlier versions.
        round: how many changes of prompt came before; None in files of earlier versions.
    """

    step: int
    reward: float | None
    tokens: int
    characters: int
    value: float | None = None
    judge: float | None = None
    leaked: bool = False
    prompt: str = ""
    round: int | None = None

    @property
    def later(self) -> bool:
        """Whether it answers more than the query alone, such as advice; by its step where the prompt is not known."""
        return self.prompt != PLAIN_PROMPT if self.prompt else self.step > 0

    @property
    def rank(self) -> Rank:
        """What candidates are ordered by: the best has the largest."""
        return rank(self.reward, leaked=self.leaked)


class QueryOutcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """One query in one cell.

    Attributes:
        model: the model's label.
        method: the method's label.
        seed: of the run.
        query: a hash of the query.
        reward: of the answer; None where nothing was scored.
        values: the answer's grades by column of the benchmark.
        completion: completion tokens of policy, critic and editor, without what an interruption made them write again.
        prompt: prompt tokens of the same.
        calls: requests to the same.
        stages: how often the method had to wait for what it had sent for.
        seconds: from the first call to the end, under the load that there was.
        characters: of the answer.
        stop: why the search ended.
        candidates: all candidates, in their order; the first is the first sample.
        leaked: the answer repeats words of our prompts.
        chosen: the place of the answer among the candidates; None in files of earlier versions.
    """

    model: str
    method: str
    seed: int
    query: str
    reward: float | None
    values: dict[str, float]
    completion: int
    prompt: int
    calls: int
    stages: int
    seconds: float
    characters: int
    stop: str
    candidates: list[CandidateOutcome]
    leaked: bool = False
    chosen: int | None = None

    @property
    def cell(self) -> ExperimentCell:
        """The cell that it belongs to."""
        return ExperimentCell(self.model, self.method, self.seed)

    @property
    def first(self) -> CandidateOutcome:
        """The first sample: the policy without alignment."""
        return self.candidates[0]

    @property
    def rounds(self) -> list[list[CandidateOutcome]]:
        """The candidates by changes of prompt; files of earlier versions know no more than the waves."""
        grouped = groupby(self.candidates, lambda one: one.step if one.round is None else one.round)
        return [list(some) for _, some in grouped]

    @property
    def judge(self) -> float | None:
        """The held-out judge's score of the answer; None without one."""
        if self.chosen is not None:
            return self.candidates[self.chosen].judge
        # An earlier version wrote this. Its answers with the same reward and length are most often the same text.
        answer = (self.reward, self.characters)
        return next((one.judge for one in self.candidates if (one.reward, one.characters) == answer), None)


class RunOutcomes(msgspec.Struct, frozen=True):
    """The outcomes of a run.

    Attributes:
        outcomes: those of queries that have an answer.
        finished: no query is left.
    """

    outcomes: list[QueryOutcome]
    finished: bool


async def outcomes_of(
    path: Path,
    cell: ExperimentCell,
    rows: Mapping[str, Row],
    benchmark: Benchmark | None,
    main: str,
    judge: Scoring | None = None,
) -> RunOutcomes:
    """Read a run, and grade its answers.

    Args:
        path: its directory.
        cell: the cell that it is a run of.
        rows: the experiment's queries, by the hash of their messages; the run's other queries are left out.
        benchmark: grades the answers and all candidates; None where the reward is all there is.
        main: the name of its column that candidates are compared by.
        judge: scores all candidates.

    Raises:
        InputError: this is no run.
        JournalError: its journal is damaged.
    """
    found = []
    for history in histories(path):
        row = rows.get(digest_of(history.plan.query)) if history.plan is not None else None
        if row is not None and history.result is not None and history.error is None and history.result.candidates:
            found.append(await _outcome(history, history.result, cell, row, benchmark, main, judge))
    answered = {answer.key for answer in read_answers(RunDirectory(path).answers)}
    return RunOutcomes(found, len(answered) >= _total(path))


async def _outcome(
    history: QueryHistory,
    result: Result,
    cell: ExperimentCell,
    row: Row,
    benchmark: Benchmark | None,
    main: str,
    judge: Scoring | None,
) -> QueryOutcome:
    used = [result.usage[role] for role in USERS if role in result.usage]
    drawn_with = origins(history.records, result.width)
    values: dict[str, float] = {}
    if benchmark is not None:
        values = (await benchmark.grade(row, Response(result.answer, result.reward), Graders())).values
    seen = []
    for one in result.candidates:
        graded: Mapping[str, float] = {}
        if benchmark is not None:
            graded = (await benchmark.grade(row, Response(one.text, one.reward), Graders())).values
        score = await judge.score(row.messages, one.text) if judge is not None and one.text else None
        numbers = (one.step, one.reward, one.tokens, len(one.text), graded.get(main), score)
        seen.append(CandidateOutcome(*numbers, one.leaked is not None, *drawn_with[one.id]))
    again = written_again(history.records, USERS)
    chosen = next(place for place, one in enumerate(result.candidates) if one.id == result.chosen)
    return QueryOutcome(
        model=cell.model,
        method=cell.method,
        seed=cell.seed,
        query=digest_of(row.messages),
        reward=result.reward,
        values=dict(values),
        completion=sum(one.completion_tokens for one in used) - again.completion,
        prompt=sum(one.prompt_tokens for one in used) - again.prompt,
        calls=sum(one.calls for one in used),
        stages=len({record.turn for record in history.records if isinstance(record, Prompted)}),
        seconds=result.seconds,
        characters=len(result.answer),
        stop=result.stop,
        candidates=seen,
        leaked=seen[chosen].leaked,
        chosen=chosen,
    )


def write_outcomes(outcomes: Iterable[QueryOutcome], path: Path) -> None:
    """Write outcomes as JSON Lines, in a fixed order."""
    from tpo.runs.directory import replace

    ordered = sorted(outcomes, key=lambda one: (one.model, one.method, one.seed, one.query))
    replace(path, b"".join(msgspec.json.encode(one) + b"\n" for one in ordered))


def read_outcomes(path: Path) -> list[QueryOutcome]:
    """Read what `write_outcomes` wrote.

    Raises:
        InputError: the file cannot be read; the message names the line.
    """
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise InputError(f"The outcomes {path} cannot be read: {error.strerror}.") from error
    found = []
    for number, line in enumerate(lines, 1):
        try:
            found.append(msgspec.json.decode(line, type=QueryOutcome))
        except msgspec.DecodeError as error:
            raise InputError(f"{path}, line {number}, is not an outcome of an experiment: {error}.") from error
    return found


def _total(path: Path) -> int:
    """How many queries a run has; without its summary it is taken to be unfinished."""

    class Total(msgspec.Struct):
        total: int

    try:
        return msgspec.json.decode(RunDirectory(path).summary.read_bytes(), type=Total).total
    except (OSError, msgspec.DecodeError):
        return 2**62
