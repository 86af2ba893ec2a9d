"""`run_spec`: a dataset in, a directory of answers out."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tpo.engine.log import Log
from tpo.engine.records import Record
from tpo.errors import InputError
from tpo.models.fleet import Fleet
from tpo.options import RunOptions, check
from tpo.prompts import Role
from tpo.representations import frame, heading
from tpo.rewards.protocol import Reward, maximum_of
from tpo.runs.answers import encoded, keep_only, read_answers, sort_by_row
from tpo.runs.directory import RunDirectory, replace, unlocated
from tpo.runs.earlier import EarlierQueries
from tpo.runs.history import histories
from tpo.runs.parquet import write_parquet
from tpo.runs.progress import RunProgress
from tpo.runs.reading import open_data
from tpo.runs.recipe import BACKENDS, endpoints_of, named_backends, recipe_of, recipe_without_backends
from tpo.runs.rows import BadRow, QueryRow
from tpo.runs.runner import Runner, keys_of
from tpo.runs.store import RunJournal, cut_torn_end, read_lines
from tpo.runs.summary import RunSummary, parse_prices, summarize
from tpo.runs.total_budget import TotalBudget
from tpo.scheduling.limiter import Limiter
from tpo.session.backends import Note, note_lost_seeds
from tpo.session.effort import note_other_size
from tpo.session.session import Session
from tpo.session.spec import Options, Spec
from tpo.telemetry.provider import configured

if TYPE_CHECKING:
    from tpo.runs.ray import Cluster

SHOWN_BAD_ROWS = 5


class DatasetOptions(Options, total=False):
    """The keyword arguments of `tpo.run_dataset`: those of a search and of `RunOptions`."""

    total_budget_tokens: int | None
    column: str | None
    split: str | None
    skip_bad_rows: bool
    concurrency: int | None
    patience: float
    fresh: bool
    retry_failed: bool
    input_order: bool
    parquet: bool
    prices: Sequence[str]


class Watcher:
    """Receives the progress of a run; the command line shows it, and can interrupt the run.

    Args:
        on_note: called with each sentence that a user should read.
    """

    def __init__(self, on_note: Note = lambda line: None) -> None:
        self.note = on_note

    def began(self, runner: Runner, fleets: dict[Role, Fleet], progress: RunProgress) -> None:
        """The first query is about to begin."""


class Report(msgspec.Struct, frozen=True):
    """How a run ended.

    Attributes:
        directory: its directory.
        summary: its results.
        stopped: it was interrupted.
        idle: there was nothing left to do.
    """

    directory: Path
    summary: RunSummary
    stopped: bool = False
    idle: bool = False

    def __repr__(self) -> str:
        return f"Report({str(self.directory)!r}, {self.summary!r}{', stopped' if self.stopped else ''})"

    def _repr_html_(self) -> str:
        """The report in a notebook: where the run is, and its summary."""
        state = "stopped" if self.stopped else "finished" if not self.summary.left else "unfinished"
        return frame(heading(str(self.directory), [state]), self.summary._repr_html_())


async def run_spec(
    data: str,
    out: Path,
    spec: Spec,
    options: RunOptions,
    watcher: Watcher,
    cluster: Cluster | None = None,
    limiters: dict[str, Limiter] | None = None,
) -> Report:
    """Align every query of a dataset, or continue a run; see `tpo.run_dataset`.

    With a cluster the spec is the cluster's own (`Cluster.spec`). Runs that are given the same limiters share what
    their servers take.
    """
    check(options)  # before anything is written
    directory = RunDirectory(out)
    with directory.locked():
        return await _Run(directory, data, spec, options, watcher, cluster, limiters).run()


class _Survey(msgspec.Struct):
    """What is in the data."""

    total: int = 0
    bad: int = 0
    first_bad: list[BadRow] = []


class _Run:
    def __init__(
        self,
        directory: RunDirectory,
        data: str,
        spec: Spec,
        options: RunOptions,
        watcher: Watcher,
        cluster: Cluster | None = None,
        limiters: dict[str, Limiter] | None = None,
    ) -> None:
        self._directory = directory
        self._cluster = cluster
        self._limiters = limiters
        self._fresh = options.fresh
        if self._fresh and data == "-":  # else what was piped in before would have to be piped in again
            directory.put_aside()
            self._fresh = False
        self._source = open_data(data, column=options.column, split=options.split, spool=directory.stdin)
        self._spec = spec
        self._options = options
        self._prices = parse_prices(options.prices)
        self._watcher = watcher

    async def run(self) -> Report:
        self._check_budget()
        survey = await asyncio.to_thread(self._survey)
        progress = RunProgress(survey.total)
        backends = named_backends(self._spec)
        if self._fresh:
            self._directory.put_aside()
        before = self._directory.identity()
        done: set[str] = set()
        if before is not None:
            known = recipe_without_backends(self._spec) | self._budget()
            decided = {name: value for name, value in before.recipe.items() if name not in BACKENDS}
            self._directory.expect(decided, known)
            done = await asyncio.to_thread(self._done, keys_of(before.recipe), progress)
            if len(done) == survey.total and before.named == backends:
                return self._report(survey, idle=True)  # no server is needed to see that
        async with AsyncExitStack() as stack:
            team = None
            if self._cluster is not None:
                joined = self._cluster.joined(self._options.concurrency, self._options.patience, self._watcher.note)
                team = await stack.enter_async_context(joined)
            spec = self._spec if team is None else await team.with_reward(self._spec)
            telemetry = configured(os.environ)
            if telemetry is not None:
                stack.push_async_callback(asyncio.to_thread, telemetry.close)
            session = Session(
                spec,
                concurrency=self._options.concurrency,
                patience=self._options.patience,
                limiters=self._limiters,
                on_note=self._watcher.note,
                telemetry=telemetry,
            )
            stack.push_async_callback(session.aclose)
            reward = await session.reward() if spec.method.needs_reward else None
            judge = await session.judge()
            fleets = await session.models()
            recipe = unlocated(recipe_of(self._spec, fleets, reward, judge) | self._budget())
            self._directory.claim(self._source.name, backends, recipe, endpoints_of(fleets))
            if before is not None:
                recipe = before.recipe  # the keys in its files were made from this
            if len(done) == survey.total:
                return self._report(survey, idle=True)
            self._report(survey)  # so that `tpo show` knows the number of queries
            note_other_size(self._spec.size, fleets["policy"], self._watcher.note)
            if self._spec.settings.seed is not None:
                note_lost_seeds(fleets, self._watcher.note)
            shared = self._shared(survey, reward)
            # With a shared budget, what a query got depends on all others: those that are done count as well.
            past = self._past(done if shared is None else set()) if before is not None else {}
            earlier = EarlierQueries(maximum_of(reward))
            if done and spec.method.learns(spec.method_settings) and shared is None and team is None:
                await asyncio.to_thread(self._learn, earlier, done)
            journal = RunJournal(self._directory.journal)
            stack.callback(journal.close)
            answers = Log(self._directory.answers, "file")
            stack.callback(answers.close)
            make: Callable[..., Any] = partial(Runner, shared=shared, earlier=earlier) if team is None else team.runner
            note = self._watcher.note
            runner = make(
                session, recipe, fleets, reward, journal, lambda a: answers.append(encoded(a)), progress, note
            )
            self._watcher.began(runner, fleets, progress)
            with self._directory.timed():
                await runner.run(self._source.rows(), done, past)
            if shared is not None and not runner.stopped:
                self._watcher.note(shared.report)
        return self._report(survey, stopped=runner.stopped)

    def _budget(self) -> dict[str, int]:
        """The part of the recipe that the budget of all queries is."""
        tokens = self._options.total_budget_tokens
        return {} if tokens is None else {"total_budget_tokens": tokens}

    def _shared(self, survey: _Survey, reward: Reward | None) -> TotalBudget | None:
        tokens = self._options.total_budget_tokens
        return None if tokens is None else TotalBudget(tokens, survey.total, maximum_of(reward))

    def _check_budget(self) -> None:
        if self._options.total_budget_tokens is None:
            return
        if self._cluster is not None:
            raise InputError("--total-budget-tokens is for runs on one machine: leave out --ray, or the budget.")
        if self._spec.budget.seconds is not None:
            raise InputError(
                "--total-budget-tokens and --budget-seconds exclude each other: with one budget for all queries each "
                "search waits for the others."
            )
        if not self._spec.method.needs_reward:
            raise InputError(
                f"The method {self._spec.method.name} has no reward, by which --total-budget-tokens finds out where "
                f"more answers are worth most: choose another method, or leave the budget out."
            )

    def _survey(self) -> _Survey:
        """Read all rows once, so that a bad one in the middle is found before anything is paid for."""
        survey = _Survey()
        for row in self._source.rows():
            if isinstance(row, BadRow):
                survey.bad += 1
                if survey.bad <= SHOWN_BAD_ROWS:
                    survey.first_bad.append(row)
            else:
                survey.total += 1
        if survey.bad:
            shown = "\n".join(f"  {row.where}: {row.reason}" for row in survey.first_bad)
            more = f"\n  and {survey.bad - SHOWN_BAD_ROWS} more" if survey.bad > SHOWN_BAD_ROWS else ""
            rows = "1 row is" if survey.bad == 1 else f"{survey.bad} rows are"
            found = f"{rows} no query:\n{shown}{more}"
            if not self._options.skip_bad_rows:
                raise InputError(f"{found}\nCorrect {self._source.name}, or skip these rows with --on-bad-row skip.")
            self._watcher.note(f"{found}\nThe run skips them.")
        if not survey.total:
            raise InputError(f"{self._source.name} holds no query.")
        return survey

    def _done(self, key_of: Callable[[QueryRow], str], progress: RunProgress) -> set[str]:
        """The keys of the queries that have their answers."""
        keys = {key_of(row) for row in self._source.rows() if isinstance(row, QueryRow)}
        path = self._directory.answers
        cut_torn_end(path)
        done: set[str] = set()
        lines = 0
        gone: list[str] = []
        for answer in read_answers(path):
            lines += 1
            if answer.key not in keys:
                gone.append(answer.id)
            elif answer.key not in done and not (answer.error is not None and self._options.retry_failed):
                done.add(answer.key)
                progress.answered(answer, before=True)
        if gone:
            ids = ", ".join(gone[:SHOWN_BAD_ROWS]) + (" …" if len(gone) > SHOWN_BAD_ROWS else "")
            raise InputError(
                f"{self._directory.path} holds answers to {len(gone)} queries that are not in "
                f"{self._source.name}: {ids}. Use the data that the run began with, name another --out, or start again "
                f"with --fresh."
            )
        if lines > len(done):
            keep_only(path, done)
        return done

    def _past(self, done: set[str]) -> dict[str, list[Record]]:
        """The journal's records of queries that are not done."""
        torn = cut_torn_end(self._directory.journal)
        if torn:
            self._watcher.note(f"The last line of {self._directory.journal} was torn ({torn} bytes) and is cut off.")
        past: dict[str, list[Record]] = {}
        for line in read_lines(self._directory.journal, lambda key: key not in done):
            past.setdefault(line.key, []).append(line.record)
        return past

    def _learn(self, earlier: EarlierQueries, done: set[str]) -> None:
        """Add the queries that are done, in whatever order they ended."""
        for history in histories(self._directory.path):
            if history.key in done:
                earlier.add(history.records)

    def _report(self, survey: _Survey, *, stopped: bool = False, idle: bool = False) -> Report:
        directory = self._directory
        summary = summarize(
            read_answers(directory.answers), survey.total, survey.bad, directory.seconds(), self._prices
        )
        if not summary.left:
            if self._options.input_order:
                sort_by_row(directory.answers)
            if self._options.parquet:
                write_parquet(directory.answers)
        replace(directory.summary, msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n")
        return Report(directory.path, summary, stopped, idle)
