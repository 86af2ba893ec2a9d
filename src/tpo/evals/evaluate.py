"""Runs methods on benchmarks and grades the answers; `tpo.evals.evaluation` describes the directory that this writes.

Every method on every benchmark is an ordinary dataset run in a directory of its own. All run at the same time and share
the servers' capacity. Runs go on where they stopped, judgements and scores are kept, so the same call after a crash
pays for nothing twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from tpo.errors import InputError
from tpo.evals.benchmarks import Benchmark, Graders, Response, Row, find_benchmark
from tpo.evals.benchmarks.pairs import AGAINST, OPPONENT
from tpo.evals.benchmarks.rewarded import Rewarded
from tpo.evals.costs import MeanCost, cost_of, parameters_of, training_of
from tpo.evals.data import Source
from tpo.evals.evaluation import (
    EVALUATION,
    GRADED,
    JUDGEMENTS,
    PLAIN,
    ROWS,
    SCORES,
    SECOND_TURNS,
    Evaluation,
    EvaluationCell,
    Graded,
    GradedQuery,
    JudgeInfo,
    MethodInfo,
    TaskInfo,
    differences,
    responses_in,
    write_json,
)
from tpo.evals.judging import Judging, open_judge
from tpo.evals.scoring import Scoring, open_held_out
from tpo.methods import resolve_method
from tpo.methods.definition import named_settings
from tpo.methods.presets import Preset, parse_preset
from tpo.options import RunOptions
from tpo.rewards.protocol import Reward, is_relative
from tpo.rewards.resolve import ResolvedReward
from tpo.runs.dataset import Report, Watcher, run_spec
from tpo.runs.directory import RunDirectory, replace
from tpo.scheduling.concurrency import together
from tpo.scheduling.limiter import Limiter
from tpo.session.backends import open_reward
from tpo.session.spec import Options, Spec, no_reward, specified


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be evaluated.

    Attributes:
        tasks: benchmarks.
        methods: methods, with their dials where these are not the usual ones ("tpo-d5-n20", "best-of-30").
        out: the directory.
        data: where the benchmarks' data is, as `Source` takes it.
        limit: most queries of a benchmark; None for all.
        subset_seed: of their selection.
        judge: a judge, as `open_judge` takes it.
        judge_model: the judge's model there.
        judge_max_tokens: most tokens of its reply, where the benchmarks would allow for more.
        held_out: a reward that only measures, as for `tpo.align`: a name, which is opened and closed here, or a reward.
        against: a method whose answers stand for the published baseline's.
        parameters: parameter counts by role, where the models' names do not have them.
    """

    tasks: list[str]
    methods: list[str]
    out: Path
    data: list[str] = []
    limit: int | None = None
    subset_seed: int = 0
    judge: str | None = None
    judge_model: str | None = None
    judge_max_tokens: int | None = None
    held_out: Any = None
    against: str | None = None
    parameters: dict[str, float] = {}


class EvaluationWatcher:
    """Follows the progress of an evaluation; this one ignores it."""

    def note(self, line: str) -> None:
        """Called with a sentence that the user should read."""

    def of(self, task: str, method: str) -> Watcher:
        """The watcher of the run of one method on one benchmark."""
        return Watcher(self.note)


async def evaluate(
    wanted: Wanted, options: Options, running: RunOptions | None = None, watcher: EvaluationWatcher | None = None
) -> Evaluation:
    """Run methods on benchmarks, and grade the answers; the same call continues where the last one stopped.

    Args:
        wanted: what is to be evaluated.
        options: policy, reward, sampling and usual dials, as `tpo.align` takes them; the method is not looked at.
        running: how the runs are made.
        watcher: follows the progress.

    Returns:
        The evaluation, which is also in OUT/eval.json. Cancelling breaks it off; what was done is kept.

    Raises:
        InputError: what was given cannot be used, or the directory holds another evaluation.
        TPOError: a model, reward or judge cannot be reached; what was paid for is kept.
    """
    async with AsyncExitStack() as stack:
        return await _Evaluating(wanted, options, running or RunOptions(), watcher or EvaluationWatcher(), stack).run()


class _Evaluating:
    def __init__(
        self, wanted: Wanted, options: Options, running: RunOptions, watcher: EvaluationWatcher, stack: AsyncExitStack
    ) -> None:
        self._wanted = wanted
        self._options = options
        self._running = running
        self._watcher = watcher
        self._stack = stack
        self._limiters: dict[str, Limiter] = {}
        source = Source(wanted.data)
        self._benchmarks = [find_benchmark(name, source) for name in _once(wanted.tasks, "benchmark")]
        _once([benchmark.name for benchmark in self._benchmarks], "benchmark")
        self._presets = [parse_preset(text) for text in _once(wanted.methods, "method")]
        if wanted.against is not None and wanted.against not in wanted.methods:
            raise InputError(f"--against {wanted.against} is none of the methods: {', '.join(wanted.methods)}.")
        self._specs = {preset.label: self._spec(preset) for preset in self._presets}
        if strangers := [name for name in source.names() if name not in {b.name for b in self._benchmarks}]:
            raise InputError(f"--data {strangers[0]}=… is given, but {strangers[0]} is none of the benchmarks to run.")
        self._rows = {b.name: b.rows(source, wanted.limit, wanted.subset_seed) for b in self._benchmarks}
        self._reward: Reward | None = None
        self._judge: Judging | None = None
        self._graders = Graders()

    def _spec(self, preset: Preset) -> Spec:
        dials = {"width": preset.width, "depth": preset.depth}
        own: dict[str, Any] = {name: value for name, value in dials.items() if value is not None}
        settings = named_settings(self._options.get("settings") or {})
        takers = {one.method: resolve_method(one.method).settings for one in self._presets}
        if all(any(name.replace("-", "_") in taken for taken in takers.values()) for name in settings):
            # Each method gets those settings that it has.
            taken = takers[preset.method]
            own["settings"] = {name: value for name, value in settings.items() if name.replace("-", "_") in taken}
        spec = specified({**self._options, "method": preset.method, **own})  # type: ignore[typeddict-item]
        return msgspec.structs.replace(spec, check=False)  # the one reward of all is checked once

    async def run(self) -> Evaluation:
        for name, rows in self._rows.items():
            self._write_rows(self._wanted.out / name, rows)
        await self._open()
        finished = await together([self._task(benchmark) for benchmark in self._benchmarks])
        evaluation = self._evaluation([cell for cells in finished for cell in cells])
        write_json(self._wanted.out / EVALUATION, evaluation)
        return evaluation

    async def _open(self) -> None:
        """Open what all runs and all grading share."""
        wanted, scores = self._wanted, self._wanted.out / SCORES
        steering = any(spec.method.needs_reward for spec in self._specs.values())
        if steering or any(isinstance(benchmark, Rewarded) for benchmark in self._benchmarks):
            spec = next(iter(self._specs.values()))
            checked = msgspec.structs.replace(spec, check=self._options.get("check", True))
            self._reward = await open_reward(checked, self._stack)
            if self._reward is None and steering:
                raise no_reward(next(one.method for one in self._specs.values() if one.method.needs_reward))
        scorer = None
        if self._reward is not None and not is_relative(self._reward):
            scorer = Scoring(self._reward, scores)
            self._stack.push_async_callback(scorer.aclose)
        held_out = None
        if wanted.held_out is not None:
            held_out = await open_held_out(wanted.held_out, scores, self._stack, named=self._options.get("rewards"))
        if wanted.judge is not None:
            path = wanted.out / JUDGEMENTS
            note, most = self._watcher.note, wanted.judge_max_tokens
            self._judge = await open_judge(wanted.judge, wanted.judge_model, path, self._stack, note, most)
        self._graders = Graders(self._judge, held_out, scorer)

    async def _task(self, benchmark: Benchmark) -> list[EvaluationCell]:
        """All methods on one benchmark."""
        rows = self._rows[benchmark.name]
        runs = await together([self._answer(benchmark, preset.label, rows) for preset in self._presets])
        folders = [self._wanted.out / benchmark.name / preset.label for preset in self._presets]
        rows_by_folder = {folder.name: [*rows, *_second_turns(benchmark, folder, rows)] for folder in folders}
        given = {folder.name: responses_in(folder) | responses_in(folder / SECOND_TURNS) for folder in folders}
        baseline = given.get(self._wanted.against or "")
        graded = await together(
            [
                self._grade(benchmark, label, self._held_against(label, rows_by_folder[label], baseline), given[label])
                for label in given
            ]
        )
        plain = next((one for one in graded if one.method == PLAIN), None)
        reports = dict(zip(given, runs, strict=True))
        return [self._cell(benchmark, one, plain, reports[one.method]) for one in graded]

    async def _answer(self, benchmark: Benchmark, label: str, rows: Sequence[Row]) -> list[Report]:
        """The runs of one method on one benchmark."""
        folder = self._wanted.out / benchmark.name / label
        reports = [await self._run(folder.parent / ROWS, folder, benchmark.name, label)]
        second = _second_turns(benchmark, folder, rows)
        if second:
            self._write_rows(folder / SECOND_TURNS, second)
            place = folder / SECOND_TURNS
            reports.append(await self._run(place / ROWS, place, benchmark.name, label))
        return reports

    async def _run(self, rows: Path, folder: Path, task: str, label: str) -> Report:
        reward = None if self._reward is None else ResolvedReward(self._reward, ())
        spec = msgspec.structs.replace(self._specs[label], reward=reward)
        watcher = self._watcher.of(task, label)
        return await run_spec(str(rows), folder, spec, self._running, watcher, limiters=self._limiters)

    def _held_against(self, label: str, rows: list[Row], baseline: Mapping[str, Response] | None) -> list[Row]:
        """The rows; with `--against`, that method's answers replace the published ones."""
        if baseline is None:
            return rows
        changed = []
        for row in rows:
            about = {name: value for name, value in row.metadata.items() if name != OPPONENT}
            if row.id in baseline and label != self._wanted.against:
                about[OPPONENT] = baseline[row.id].text
            changed.append(msgspec.structs.replace(row, metadata=about | {AGAINST: self._wanted.against}))
        return changed

    async def _grade(
        self, benchmark: Benchmark, label: str, rows: Sequence[Row], responses: Mapping[str, Response]
    ) -> Graded:
        gradable = [row for row in rows if row.id in responses]
        grades = await together([benchmark.grade(row, responses[row.id], self._graders) for row in gradable])
        by_id = {row.id: grade for row, grade in zip(gradable, grades, strict=True)}
        found = benchmark.summary(rows, by_id)
        held_out = self._graders.held_out
        graded = Graded(
            task=benchmark.name,
            method=label,
            judge=self._judge.name if self._judge is not None else None,
            held_out=held_out.name if isinstance(held_out, Scoring) else None,
            numbers=found.estimates,
            values=found.values,
            missing=found.missing,
            unread=found.unread,
            queries=[GradedQuery(id, grade) for id, grade in by_id.items()],
            weights=found.weights,
        )
        write_json(self._wanted.out / benchmark.name / label / GRADED, graded)
        return graded

    def _cell(
        self, benchmark: Benchmark, graded: Graded, plain: Graded | None, reports: Sequence[Report]
    ) -> EvaluationCell:
        columns = {column.name: column for column in benchmark.columns}
        compared = plain is not None and graded.method != PLAIN
        gaps, p_values = differences(columns, graded, plain) if compared and plain else ({}, {})
        return EvaluationCell(
            task=benchmark.name,
            method=graded.method,
            answered=sum(report.summary.done for report in reports),
            failed=sum(report.summary.failed for report in reports),
            numbers=graded.numbers,
            against_plain=gaps,
            missing=graded.missing,
            unread=graded.unread,
            cost=self._cost(reports, graded.method, len(self._rows[benchmark.name])),
            seconds=sum(report.summary.seconds for report in reports),
            p_values=p_values,
        )

    def _cost(self, reports: Sequence[Report], label: str, queries: int) -> MeanCost | None:
        seconds = sum(report.summary.query_seconds for report in reports)
        return cost_of([report.summary.usage for report in reports], seconds, queries, self._parameters(label))

    def _parameters(self, label: str) -> dict[str, float]:
        identity = RunDirectory(self._wanted.out / self._benchmarks[0].name / label).identity()
        models = identity.recipe["models"] if identity is not None else {}
        return parameters_of(self._wanted.parameters, models)

    def _evaluation(self, cells: list[EvaluationCell]) -> Evaluation:
        wanted, judge = self._wanted, self._judge
        costs = {
            preset.label: _overall([c.cost for c in cells if c.method == preset.label]) for preset in self._presets
        }
        known = {label: cost for label, cost in costs.items() if cost is not None}
        first = RunDirectory(wanted.out / self._benchmarks[0].name / self._presets[0].label).identity()
        held_out = self._graders.held_out
        return Evaluation(
            version=version("tpo"),
            policy=str(first.recipe["models"]["policy"]) if first is not None else "",
            reward=self._reward.name if self._reward is not None else None,
            held_out=held_out.name if isinstance(held_out, Scoring) else None,
            judge=JudgeInfo(judge.name, judge.used, judge.usage.prompt_tokens, judge.usage.completion_tokens)
            if judge is not None
            else None,
            limit=wanted.limit,
            subset_seed=wanted.subset_seed,
            against=wanted.against,
            tasks=[TaskInfo(b.name, len(self._rows[b.name]), list(b.columns)) for b in self._benchmarks],
            methods=[
                MethodInfo(label, spec.method.name, spec.width, spec.depth) for label, spec in self._specs.items()
            ],
            cells=cells,
            costs=known,
            training=training_of(self._parameters(self._presets[0].label), known),
        )

    def _write_rows(self, folder: Path, rows: Sequence[Row]) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{folder} cannot be written: {error.strerror}. Name another --out.") from error
        replace(folder / ROWS, b"".join(msgspec.json.encode(row) + b"\n" for row in rows))


def _second_turns(benchmark: Benchmark, folder: Path, rows: Sequence[Row]) -> list[Row]:
    return benchmark.next_rows(rows, responses_in(folder))


def _overall(costs: Sequence[MeanCost | None]) -> MeanCost | None:
    """The average over several benchmarks, each query counting the same."""
    known = [cost for cost in costs if cost is not None]
    queries = sum(cost.queries for cost in known)
    if not queries:
        return None

    def mean(values: Sequence[float]) -> float:
        return sum(value * cost.queries for value, cost in zip(values, known, strict=True)) / queries

    flops = [cost.flops for cost in known if cost.flops is not None]
    return MeanCost(
        queries,
        mean([cost.calls for cost in known]),
        mean([cost.prompt_tokens for cost in known]),
        mean([cost.completion_tokens for cost in known]),
        mean([cost.seconds for cost in known]),
        mean(flops) if len(flops) == len(known) else None,
        sorted({role for cost in known for role in cost.unknown}),
    )


def _once(names: Sequence[str], what: str) -> list[str]:
    if not names:
        raise InputError(f"There is no {what} to evaluate: name at least one.")
    if twice := [name for number, name in enumerate(names) if name in names[:number]]:
        raise InputError(f"The {what} {twice[0]} is named twice.")
    return list(names)
