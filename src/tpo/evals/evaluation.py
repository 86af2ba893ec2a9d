"""What an evaluation is when it is over, and the directory that it leaves.

    OUT/eval.json                    `Evaluation`: everything that the table shows, and what it was made with
    OUT/table.md, .csv, .tex, .html  the table
    OUT/judgements.jsonl             the judge's replies, each question once (`tpo.evals.judging.Judgement`)
    OUT/scores.sqlite                rewards of responses (`tpo.rewards.score_file`)
    OUT/TASK/rows.jsonl              the queries: id, messages, metadata; data for `tpo run` too
    OUT/TASK/METHOD/                 an ordinary run directory (`tpo.runs`): journal, answers, summary
    OUT/TASK/METHOD/graded.json      `Graded`: the grade of each response, and the numbers
    OUT/mt_bench/METHOD/turn-2/      the same for second turns: rows.jsonl and a run directory

METHOD is a method as it was named on the command line, such as "tpo-d5-n20".
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from tpo.errors import InputError
from tpo.evals.benchmarks.protocol import Column, Grade, Response
from tpo.evals.costs import MeanCost, Training
from tpo.runs.answers import read_answers
from tpo.runs.directory import ANSWERS, replace
from tpo.stats import Estimate, difference_of, paired_p, weighted_difference_of, weighted_p

EVALUATION = "eval.json"
GRADED = "graded.json"
ROWS = "rows.jsonl"
JUDGEMENTS = "judgements.jsonl"
SCORES = "scores.sqlite"
SECOND_TURNS = "turn-2"
# The method that others are compared with: the policy as it is.
PLAIN = "sample"


class MethodInfo(msgspec.Struct, frozen=True):
    """A method of an evaluation.

    Attributes:
        label: as it was named; also its folder.
        method: the method's name.
        width: N.
        depth: D.
    """

    label: str
    method: str
    width: int
    depth: int


class TaskInfo(msgspec.Struct, frozen=True):
    """A benchmark of an evaluation.

    Attributes:
        name: its name; also its folder.
        queries: how many it has here.
        columns: the numbers that it gives.
        notes: what a reader of the numbers must know.
    """

    name: str
    queries: int
    columns: list[Column]
    notes: list[str] = []


class EvaluationCell(msgspec.Struct, frozen=True):
    """One method on one benchmark.

    Attributes:
        task: the benchmark.
        method: the method's label.
        answered: queries with an answer.
        failed: queries without one.
        numbers: by column.
        against_plain: the difference from the plain policy by column, paired by query; positive is higher.
        missing: for each column without a number, why.
        unread: by column, how many answered queries have no value though others have.
        cost: what a query cost.
        seconds: wall-clock time of the runs.
        p_values: of the differences in `against_plain`, by column, not yet corrected for how many there are.
    """

    task: str
    method: str
    answered: int
    failed: int
    numbers: dict[str, Estimate]
    against_plain: dict[str, Estimate]
    missing: dict[str, str]
    unread: dict[str, int]
    cost: MeanCost | None
    seconds: float
    p_values: dict[str, float] = {}


class JudgeInfo(msgspec.Struct, frozen=True):
    """The judge of an evaluation: its model, how many questions it got, and what they cost."""

    model: str
    questions: int = msgspec.field(name="asked")
    prompt_tokens: int
    completion_tokens: int


class Evaluation(msgspec.Struct, frozen=True):
    """Everything that the table shows.

    Attributes:
        version: tpo's version.
        policy: the policy's model.
        reward: the reward that steered; None where none was needed.
        held_out: the reward that only measured.
        judge: the judge.
        limit: most queries of a benchmark; None for all.
        subset_seed: of their selection.
        against: the method whose answers stand for the published baseline's.
        tasks: the benchmarks.
        methods: the methods.
        cells: one for each benchmark and method.
        costs: what a query cost, by method, over all benchmarks.
        training: what training would cost instead; None where the policy's size is not known.
    """

    version: str
    policy: str
    reward: str | None
    held_out: str | None
    judge: JudgeInfo | None
    limit: int | None
    subset_seed: int
    against: str | None
    tasks: list[TaskInfo]
    methods: list[MethodInfo]
    cells: list[EvaluationCell]
    costs: dict[str, MeanCost]
    training: Training | None

    def __repr__(self) -> str:
        methods, tasks = (", ".join(names) for names in ([m.label for m in self.methods], [t.name for t in self.tasks]))
        return f"Evaluation({methods} on {tasks}; tpo.evals.table.table_of shows it)"

    def cell(self, task: str, method: str) -> EvaluationCell:
        """One method on one benchmark."""
        return next(cell for cell in self.cells if (cell.task, cell.method) == (task, method))


class GradedQuery(msgspec.Struct, frozen=True):
    """What became of one response."""

    id: str
    grade: Grade


class Graded(msgspec.Struct, frozen=True):
    """What became of the responses of one method to one benchmark.

    Attributes:
        task: the benchmark.
        method: the method's label.
        judge: the judge's model.
        held_out: the reward that only measured.
        numbers: by column.
        values: by column, a value for each query: what paired comparisons are made of.
        missing: for each column without a number, why.
        unread: by column, how many answered queries have no value though others have.
        queries: each response's grade.
        weights: by column, how much each query counts in the number; columns that are plain means have none.
    """

    task: str
    method: str
    judge: str | None
    held_out: str | None
    numbers: dict[str, Estimate]
    values: dict[str, dict[str, float]]
    missing: dict[str, str]
    unread: dict[str, int]
    queries: list[GradedQuery]
    weights: dict[str, dict[str, float]] = {}


def differences(
    columns: Mapping[str, Column], graded: Graded, plain: Graded
) -> tuple[dict[str, Estimate], dict[str, float]]:
    """How far a method is above the plain policy, and how likely that is by chance.

    The queries are paired: what makes one hard for both does not blur the difference. Where queries differ in how much
    they count in the numbers, they do so in the difference.

    Args:
        columns: by name.
        graded: the method's responses.
        plain: the plain policy's.

    Returns:
        Differences and p-values, by column.
    """
    gaps, p_values = {}, {}
    for name, column in columns.items():
        shared = sorted(graded.values.get(name, {}).keys() & plain.values.get(name, {}).keys())
        if not shared:
            continue
        ours, theirs = ([side.values[name][id] for id in shared] for side in (graded, plain))
        count, other = ([side.weights.get(name, {}).get(id, 1.0) for id in shared] for side in (graded, plain))
        if len({*count, *other}) > 1:
            gaps[name] = weighted_difference_of(ours, theirs, count, other, column.scale)
            p_values[name] = weighted_p(ours, theirs, count, other)
        else:
            gaps[name] = difference_of(ours, theirs, column.scale)
            p_values[name] = paired_p(ours, theirs)
    return gaps, p_values


def responses_in(run: Path) -> dict[str, Response]:
    """The answers of a run, by the ids of the queries; failed ones are left out."""
    return {
        one.id: Response(one.answer, one.reward)
        for one in read_answers(run / ANSWERS)
        if one.answer is not None and one.error is None
    }


def write_json(path: Path, value: msgspec.Struct) -> None:
    """Write a struct so that a reader sees the old or the new."""
    replace(path, msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n")


def read_evaluation(out: Path) -> Evaluation:
    """The evaluation in a directory.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    path = out / EVALUATION
    try:
        return msgspec.json.decode(path.read_bytes(), type=Evaluation)
    except FileNotFoundError:
        raise InputError(f"{out} holds no finished evaluation: it has no {EVALUATION}. Run `tpo eval` again.") from None
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}.") from error


def read_graded(out: Path, task: str, method: str) -> Graded:
    """What became of the responses of one method to one benchmark.

    Raises:
        InputError: that was not graded.
    """
    path = out / task / method / GRADED
    try:
        return msgspec.json.decode(path.read_bytes(), type=Graded)
    except (OSError, msgspec.DecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}.") from error
