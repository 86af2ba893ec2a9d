"""Our benchmarks as Inspect tasks: the same queries and the same grades, behind Inspect's names.

    inspect eval tpo/math500 -T data=benchmarks/ --model tpo/embedded
    inspect eval tpo/xstest -T data=benchmarks/ --model openai/gpt-5 --model-role grader=openai/gpt-5

Benchmarks that need a judge ask the model in the role `grader`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, stdev
from typing import Any

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import (
    ChatMessage,
    ChatMessageAssistant,
    ChatMessageSystem,
    ChatMessageUser,
    GenerateConfig,
    Model,
    get_model,
)
from inspect_ai.scorer import Metric, SampleScore, Score, Scorer, Target, metric, scorer
from inspect_ai.solver import Generate, Solver, TaskState, solver

from tpo.evals.benchmarks import Benchmark, Graders, Response, Row, find_benchmark
from tpo.evals.data import Source
from tpo.messages import Conversation, text_of
from tpo.rewards.judges.judge import JudgeReply
from tpo.rewards.judges.tokens import Token

ROLE = "grader"
_TURNS = "tpo_turns"


def benchmark_task(name: str, data: str | None, limit: int | None, seed: int) -> Task:
    """A benchmark as a task.

    Args:
        name: the benchmark's name.
        data: where its data is, as `tpo eval --data` takes it: a folder, a file, or `hub:`.
        limit: how many queries; all unless given.
        seed: of the selection.

    Raises:
        InputError: the data is not there; the message names where to get it.
    """
    benchmark = find_benchmark(name)
    rows = benchmark.rows(Source([data] if data else []), limit, seed)
    samples = [Sample(id=row.id, input=_messages(row.messages), metadata={"row": row.id}) for row in rows]
    known = {row.id: row for row in rows}
    return Task(
        MemoryDataset(samples, name=name),
        solver=turns(benchmark, known),
        scorer=graded(benchmark, known),
        name=name,
        version=1,
    )


@solver
def turns(benchmark: Benchmark, rows: dict[str, Row]) -> Solver:
    """Answer the query, and the queries that follow it."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        row: Row | None = rows[state.metadata["row"]]
        answered: list[tuple[Row, str]] = []
        while row is not None:
            state.messages = _messages(row.messages)
            state = await generate(state)
            answered.append((row, state.output.completion))
            more = benchmark.next_rows([row], {row.id: Response(state.output.completion)})
            row = more[0] if more else None
        state.store.set(_TURNS, [[one.id, one.messages, one.metadata, text] for one, text in answered])
        return state

    return solve


@metric(name="mean")
def known_mean() -> Metric:
    """The mean over the queries that a number is about; Inspect's own takes the others as 0."""

    def value(scores: list[SampleScore]) -> float:
        known = _known(scores)
        return fmean(known) if known else math.nan

    return value


@metric(name="stderr")
def known_stderr() -> Metric:
    """The standard error of that mean."""

    def value(scores: list[SampleScore]) -> float:
        known = _known(scores)
        return stdev(known) / math.sqrt(len(known)) if len(known) > 1 else math.nan

    return value


def _known(scores: list[SampleScore]) -> list[float]:
    values = [score.score.as_float() for score in scores]
    return [value for value in values if not math.isnan(value)]


@scorer(metrics={"*": [known_mean(), known_stderr()]})
def graded(benchmark: Benchmark, rows: dict[str, Row]) -> Scorer:
    """The benchmark's own grade; a number over several turns is their mean."""

    async def score(state: TaskState, target: Target) -> Score:
        judge = _Judge(get_model(role=ROLE)) if _has_grader() else None
        values: dict[str, list[float]] = {}
        details: dict[str, Any] = {}
        missing: dict[str, str] = {}
        for id, messages, metadata, text in state.store.get(_TURNS):
            grade = await benchmark.grade(Row(id, messages, metadata), Response(text), Graders(judge=judge))
            for name, value in grade.values.items():
                values.setdefault(name, []).append(value)
            details |= grade.details
            missing |= grade.missing
        # Inspect wants the same numbers of each sample, and takes None as 0: what a query has none of is not a number.
        columns = [column.name for column in benchmark.columns]
        found = {name: fmean(values[name]) if name in values else math.nan for name in columns}
        why = "; ".join(f"{name}: {reason}" for name, reason in missing.items())
        return Score(value=found, answer=state.output.completion, explanation=why or None, metadata=details)

    return score


def _has_grader() -> bool:
    try:
        get_model(role=ROLE, required=True)
    except Exception:  # Inspect says it with a plain error of its own
        return False
    return True


class _Judge:
    """A model of Inspect's as the judge of our benchmarks.

    Args:
        model: the model.
    """

    def __init__(self, model: Model) -> None:
        self._model = model

    async def ask(self, messages: Conversation, max_tokens: int, *, logprobs: bool = False) -> JudgeReply:
        """One reply."""
        config = GenerateConfig(max_tokens=max_tokens, temperature=0.0)
        if logprobs:
            config = config.merge(GenerateConfig(logprobs=True, top_logprobs=5))
        output = await self._model.generate(_messages(messages), config=config)
        if not output.choices:
            return JudgeReply("", problem=output.error or "there is no reply")
        return JudgeReply(output.completion, _tokens(output.choices[0].logprobs))


def _tokens(logprobs: Any) -> list[Token]:
    if logprobs is None:
        return []
    return [
        Token(one.token, [(top.token, math.exp(top.logprob)) for top in one.top_logprobs or [one]])
        for one in logprobs.content
    ]


_KINDS: dict[str, type[ChatMessageSystem | ChatMessageUser | ChatMessageAssistant]] = {
    "system": ChatMessageSystem,
    "user": ChatMessageUser,
    "assistant": ChatMessageAssistant,
}


def _messages(messages: Sequence[dict[str, Any]]) -> list[ChatMessage]:
    return [_KINDS[message["role"]](content=text_of(message)) for message in messages]


@task
def alpaca_eval(data: str | None = None, limit: int | None = None, seed: int = 0) -> Task:
    """AlpacaEval 2 against the published reference outputs."""
    return benchmark_task("alpaca_eval", data, limit, seed)


@task
def arena_hard(data: str | None = None, limit: int | None = None, seed: int = 0) -> Task:
    """Arena-Hard against the published baseline, judged in both orders."""
    return benchmark_task("arena_hard", data, limit, seed)


@task
def hh_rlhf(data: str | None = None, limit: int | None = None, seed: int = 0) -> Task:
    """HH-RLHF's prompts."""
    return benchmark_task("hh_rlhf", data, limit, seed)


@task
def beavertails(data: str | None = None, limit: int | None = None, seed: int = 0) -> Task:
    """BeaverTails-Evaluation."""
    return benchmark_task("beavertails", data, limit, seed)


@task
def xstest(data: str | None = None, limit: int | None = None, seed: int = 0) -> Task:
    """XSTest, by rules and by a judge."""
    return benchmark_task("xstest", data, limit, seed)


@task
def math500(data: str | None = None, limit: int | None = None, seed: int = 0) -> Task:
    """MATH-500, zero-shot."""
    return benchmark_task("math500", data, limit, seed)


@task
def ifeval(data: str | None = None, limit: int | None = None, seed: int = 0) -> Task:
    """IFEval's checkable instructions."""
    return benchmark_task("ifeval", data, limit, seed)


@task
def mt_bench(data: str | None = None, limit: int | None = None, seed: int = 0) -> Task:
    """MT-Bench, two turns, graded by a judge."""
    return benchmark_task("mt_bench", data, limit, seed)


@task
def gsm8k(data: str | None = None, limit: int | None = None, seed: int = 0) -> Task:
    """GSM8K, zero-shot."""
    return benchmark_task("gsm8k", data, limit, seed)
