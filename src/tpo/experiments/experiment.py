"""`run_experiment`: run what is left of an experiment, and report what there is.

Runs that exist already are adopted where they are what the experiment would run.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import msgspec

from tpo.errors import InputError
from tpo.evals.benchmarks.protocol import Benchmark, Row
from tpo.evals.figures.data import run_paths
from tpo.evals.scoring import Scoring, open_held_out
from tpo.experiments.columns import columns_in, columns_of
from tpo.experiments.definition import OUTCOMES, Experiment, ExperimentCell, filled
from tpo.experiments.outcomes import QueryOutcome, RunOutcomes, outcomes_of, read_outcomes
from tpo.experiments.queries import all_rows, benchmark_of, chosen_rows, digest_of, write_rows
from tpo.experiments.report import ReportFiles, write_report
from tpo.experiments.running import QUERIES, REFERENCES, CellRunner, CellStatus, ExperimentWatcher
from tpo.rewards.resolve import NONE
from tpo.runs.directory import Identity, RunDirectory, differences
from tpo.runs.recipe import BACKENDS, recipe_without_backends

SCORES = "judge-scores.jsonl"
# With these weights 1 means no more than that an answer has all that others have.
RELATIVE = "weights=variance"
# Rewards whose largest value is 1, and that value: it means that an answer keeps all of its task, rubric or rules.
BOUNDED, LARGEST = ("verifier:", "prefer:", "require@"), 1.0


class ExperimentReport(msgspec.Struct, frozen=True):
    """How an experiment ended.

    Attributes:
        cells: how far each cell is.
        files: the report; None where no cell is finished.
        stopped: the user interrupted it.
    """

    cells: list[CellStatus]
    files: ReportFiles | None
    stopped: bool = False

    @property
    def failed(self) -> int:
        """Queries that ended with an error, over all cells."""
        return sum(cell.failed for cell in self.cells)


async def run_experiment(
    experiment: Experiment,
    out: Path,
    watcher: ExperimentWatcher | None = None,
    *,
    runs: bool = True,
    retry_failed: bool = False,
) -> ExperimentReport:
    """Run every cell that is not finished, one after another, and write the report of all that are.

    The same call again continues where the last one stopped, however it ended.

    Args:
        experiment: what to run, as `read_experiment` gives it.
        out: its directory: queries.jsonl, references.jsonl, runs/MODEL/METHOD-sSEED, and the report.
        watcher: follows the progress.
        runs: run cells; without it only what is there is reported.
        retry_failed: try queries again that ended with an error.

    Raises:
        InputError: what was given cannot be used, or the directory holds another experiment.
        TPOError: a cell cannot go on; what was paid for is kept.
    """
    watcher = watcher or ExperimentWatcher()
    benchmark = benchmark_of(experiment)
    rows: list[Row] = []
    if not experiment.reports_only:
        everything = all_rows(experiment, benchmark)
        rows = chosen_rows(everything, experiment.queries)
        write_rows(everything, out / REFERENCES)
        write_rows(rows, out / QUERIES)
    columns = [] if benchmark is None or experiment.reports_only else await columns_of(benchmark, rows)
    by_digest = {digest_of(row.messages): row for row in rows}
    if len(by_digest) < len(rows):
        raise InputError(f"{experiment.path}: {len(rows) - len(by_digest)} of the queries stand in the data twice.")
    async with AsyncExitStack() as stack:
        judge = None
        if experiment.judge is not None and not experiment.reports_only:
            held_out = filled(experiment.judge, (out / REFERENCES).resolve())
            judge = await open_held_out(held_out, out / SCORES, stack)
        main = columns[0].name if columns else ""
        adopting = _Adopting(experiment, out, by_digest, benchmark, main, judge)
        await adopting.read(watcher)
        if experiment.methods or adopting.labels:
            experiment.check_labels({*experiment.methods, *adopting.labels})
        runner = CellRunner(experiment, out, rows, adopting.ids, watcher, retry_failed=retry_failed)
        complete = await runner.run() if runs else True
        status = runner.status()
        for one in status:
            # Of a run in progress there are only the queries that ended soon.
            if one.left <= 0 and RunDirectory(path := runner.path(one.cell)).identity() is not None:
                adopting.take((await outcomes_of(path, one.cell, by_digest, benchmark, main, judge)).outcomes)
    outcomes = adopting.outcomes
    left_out = [f"{one.cell}{', but for what is adopted' if one.adopted else ''}" for one in status if one.left > 0]
    facts = [*adopting.facts(), *_facts(experiment, rows, outcomes, sorted(left_out))]
    maximum = _maximum(experiment, out, adopting.runs)
    if benchmark is not None and experiment.reports_only and outcomes:
        columns = columns_in(benchmark, outcomes)
    files = write_report(experiment, out, outcomes, columns, maximum, facts) if outcomes else None
    return ExperimentReport(status, files, not complete)


class _Adopting:
    """Reads what an experiment adopts.

    Attributes:
        outcomes: of adopted runs and files, and what else was taken in.
        runs: the adopted runs.
        ids: the ids of queries that adopted runs have answered, by cell.
        unfinished: cells with an adopted run that is in progress.
    """

    def __init__(
        self,
        experiment: Experiment,
        out: Path,
        rows: Mapping[str, Row],
        benchmark: Benchmark | None,
        main: str,
        judge: Scoring | None,
    ) -> None:
        self._experiment, self._out, self._rows = experiment, out, rows
        self._grading = benchmark, main, judge
        self.outcomes: list[QueryOutcome] = []
        self.runs: list[AdoptedRun] = []
        self.ids: dict[ExperimentCell, set[str]] = {}
        self.unfinished: list[str] = []
        self._differing: list[str] = []

    async def read(self, watcher: ExperimentWatcher) -> None:
        """Read all of it; a run in progress counts when it is finished, since quick queries end first."""
        for path in outcome_files(self._experiment):
            every = self._experiment.reports_only
            self.take([one for one in read_outcomes(path) if every or one.query in self._rows])
        for run in adopted_runs(self._experiment):
            found: RunOutcomes = await outcomes_of(run.path, run.cell, self._rows, *self._grading)
            if not found.outcomes and found.finished:
                continue  # it answered other queries
            self.runs.append(run)
            if not found.finished:
                self.unfinished.append(str(run.path))
                continue
            self.take(found.outcomes)
            differs = mismatch(run, self._experiment, (self._out / REFERENCES).resolve())
            if differs is not None:
                self._differing.append(differs)
                watcher.note(differs)

    def take(self, outcomes: Sequence[QueryOutcome]) -> None:
        """Take in outcomes, but for queries of a cell that are there already."""
        for one in outcomes:
            known = self.ids.setdefault(one.cell, set())
            id = self._rows[one.query].id if one.query in self._rows else one.query
            if id not in known:
                known.add(id)
                self.outcomes.append(one)

    @property
    def labels(self) -> set[str]:
        """The methods of what is adopted, unfinished runs too."""
        return {one.method for one in self.outcomes} | {run.cell.method for run in self.runs}

    def facts(self) -> list[str]:
        """What the report says of adopted runs."""
        facts = []
        if self.unfinished:
            facts.append(f"Left out, because they are not finished: {len(self.unfinished)} adopted runs.")
        return facts + [f"{differs}." for differs in self._differing]


def _maximum(experiment: Experiment, out: Path, adopted: Sequence[AdoptedRun]) -> float | None:
    """The largest reward that there is, where all runs were steered by verifiers, a checklist, or rules alone."""
    if experiment.maximum is not None:
        return experiment.maximum
    specs = [experiment.spec(cell, out / REFERENCES) for cell in experiment.cells()]
    steering = [(str(one.reward), list(one.require)) for one in specs]
    steering += [(str(run.identity.recipe.get("reward")), []) for run in adopted]
    return LARGEST if steering and all(_is_bounded(reward, rules) for reward, rules in steering) else None


def _is_bounded(reward: str, rules: Sequence[str]) -> bool:
    """Whether 1 is the largest reward there is; rules beside another reward make a number of the two."""
    if reward == NONE:
        return bool(rules)
    return not rules and reward.startswith(BOUNDED) and RELATIVE not in reward


def _facts(
    experiment: Experiment, rows: Sequence[Row], outcomes: Sequence[QueryOutcome], left_out: Sequence[str]
) -> list[str]:
    """Where, when and how the report was made."""
    queries = experiment.queries
    name = queries.benchmark or Path(str(queries.data)).name
    part = f"{len(rows) or len({one.query for one in outcomes})} queries of {name}"
    if queries.split != "all":
        part += (
            f", split {queries.split} by SHA-256 of {queries.salt!r} and the id ({queries.held_out} held out), from "
            f"query {queries.start} on"
        )
    facts = [f"Queries: {part}.", *experiment.notes]
    if left_out:
        facts.append(f"Not finished, and left out: {'; '.join(left_out)}.")
    commit = _commit()
    facts.append(
        f"Reported by tpo {version('tpo')}{f', commit {commit}' if commit else ''}, on {datetime.now(UTC):%Y-%m-%d}, "
        f"{platform.machine()} with {os.cpu_count()} processors: tpo experiment {experiment.path.name}."
    )
    return facts


def _commit() -> str | None:
    """The commit of tpo's source, where it runs from a checkout."""
    command = ["git", "rev-parse", "--show-prefix", "--short", "HEAD"]
    try:
        found = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    prefix, _, commit = found.stdout.decode("utf-8", "replace").partition("\n")
    # Installed into a folder of another project, the commit would be that project's.
    return commit.strip() or None if found.returncode == 0 and prefix == "src/tpo/experiments/" else None


_FIELD = re.compile(r"\{(\w+)\}")
# The fields that say which cell a run belongs to; any other stands for anything.
FIELDS = ("model", "method", "seed")


class AdoptedRun(NamedTuple):
    """A run that exists already.

    Attributes:
        path: its directory.
        cell: the cell that it belongs to.
        identity: what it is.
    """

    path: Path
    cell: ExperimentCell
    identity: Identity


def adopted_runs(experiment: Experiment) -> Iterator[AdoptedRun]:
    """Find the runs that an experiment adopts.

    A place such as `runs/{model}/{slice}/{method}-s{seed}` says where model, method and seed stand in a folder's name;
    another field stands for anything. What the name does not hold is taken from the run itself.

    Raises:
        InputError: a place holds no run.
    """
    for place in experiment.adopt:
        if place.endswith(OUTCOMES):
            continue
        pattern = _pattern(experiment.folder / place)
        base = Path(str(experiment.folder / place).partition("{")[0])
        base = base if base.is_dir() else base.parent
        found = 0
        for path in run_paths(base) if base.is_dir() else ():
            match = pattern.fullmatch(str(path))
            identity = RunDirectory(path).identity() if match is not None else None
            if match is not None and identity is not None:
                found += 1
                yield AdoptedRun(path, _cell(match.groupdict(), identity, path), identity)
        if not found:
            raise InputError(f"{experiment.path} adopts {place}, and no run is there: {base} was searched.")


def outcome_files(experiment: Experiment) -> list[Path]:
    """The files of outcomes that an experiment adopts."""
    return [experiment.folder / place for place in experiment.adopt if place.endswith(OUTCOMES)]


def mismatch(run: AdoptedRun, experiment: Experiment, references: Path) -> str | None:
    """How an adopted run differs from what the experiment would run in its place; None where it does not."""
    if run.cell.model not in experiment.models or run.cell.method not in experiment.methods:
        return None
    wanted = recipe_without_backends(experiment.spec(run.cell, references))
    before = {name: value for name, value in run.identity.recipe.items() if name not in BACKENDS}
    found = differences(before, wanted)
    return f"{run.path} is adopted for {run.cell}, though {'; '.join(found)}" if found else None


def _pattern(place: Path) -> re.Pattern[str]:
    parts, last, named = [], 0, set()
    text = str(place)
    for field in _FIELD.finditer(text):
        name = field[1]
        if name in named:
            raise InputError(f"{text} has {{{name}}} twice: a run to adopt has one place for it.")
        if name in FIELDS:
            named.add(name)
        kind = r"\d+" if name == "seed" else "[^/]+"
        parts += [re.escape(text[last : field.start()]), f"(?P<{name}>{kind})" if name in FIELDS else kind]
        last = field.end()
    return re.compile("".join([*parts, re.escape(text[last:])]))


def _cell(fields: dict[str, str], identity: Identity, path: Path) -> ExperimentCell:
    recipe = identity.recipe
    seed = fields.get("seed", msgspec.convert(recipe.get("settings") or {}, dict).get("seed"))
    return ExperimentCell(
        fields.get("model", str((recipe.get("models") or {}).get("policy", "policy"))),
        fields.get("method", path.name),
        int(seed or 0),
    )
