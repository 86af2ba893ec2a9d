"""Runs the cells of an experiment, one after another, each as a run in a directory of its own.

A cell is what `tpo run` would make: its journal pays for nothing twice, whatever ended the process. One cell runs at a
time, so that two engines never share a machine, and a local model is opened once for all cells in a row that use it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import NoneType
from typing import Any, NamedTuple

import msgspec

from tpo.errors import TPOError
from tpo.evals.benchmarks.protocol import Row
from tpo.experiments.definition import Experiment, ExperimentCell
from tpo.experiments.queries import write_rows
from tpo.models.resolve import is_local, open_model
from tpo.options import RunOptions
from tpo.prompts import Role
from tpo.rewards.resolve import resolve
from tpo.runs.answers import read_answers
from tpo.runs.dataset import Report, Watcher, run_spec
from tpo.runs.directory import RunDirectory
from tpo.runs.recipe import BACKENDS, recipe_without_backends
from tpo.scheduling.limiter import Limiter
from tpo.session.spec import RoleSpec, Spec

QUERIES = "queries.jsonl"
# All queries of the data, which a reward reads its references from: the same file whatever the limit is.
REFERENCES = "references.jsonl"


# What a file can hold; an object comes from Python.
_WRITTEN = (str, bool, int, float, list, dict, NoneType)


class CellStatus(NamedTuple):
    """How far a cell is.

    Attributes:
        cell: the cell.
        total: its queries.
        done: those with an answer, of adopted runs too.
        failed: those that ended with an error.
        adopted: those of adopted runs.
    """

    cell: ExperimentCell
    total: int
    done: int
    failed: int
    adopted: int = 0

    @property
    def left(self) -> int:
        """Queries that are not over."""
        return self.total - self.done - self.failed


class ExperimentWatcher:
    """Follows an experiment; this one ignores it."""

    def note(self, line: str) -> None:
        """Called with a sentence that the user should read."""

    def cell(self, cell: ExperimentCell, number: int, of: int) -> Watcher:
        """The watcher of a cell's run, which is about to begin."""
        return Watcher(self.note)

    @property
    def stopped(self) -> bool:
        """Whether the user interrupted the experiment."""
        return False


class CellRunner:
    """Runs cells.

    Args:
        experiment: what is run.
        out: the experiment's directory.
        rows: its queries.
        adopted: the ids of queries that adopted runs have answered, by cell.
        watcher: follows the progress.
        retry_failed: try queries again that ended with an error.
    """

    def __init__(
        self,
        experiment: Experiment,
        out: Path,
        rows: Sequence[Row],
        adopted: Mapping[ExperimentCell, set[str]],
        watcher: ExperimentWatcher,
        *,
        retry_failed: bool = False,
    ) -> None:
        self._experiment = experiment
        self._out = out
        self._queries = (out / QUERIES).resolve()
        self._references = (out / REFERENCES).resolve()
        self._rows = rows
        self._adopted = adopted
        self._watcher = watcher
        self._options = RunOptions(retry_failed=retry_failed)
        self._models = _OpenModels()
        self._limiters: dict[str, Limiter] = {}

    async def run(self) -> bool:
        """Run every cell that is not finished.

        Returns:
            Whether all of them were run; not where the user interrupted.

        Raises:
            InputError: a directory holds another run.
            TPOError: a cell cannot go on.
        """
        cells = self._experiment.cells()
        await self._check_rewards([cell for cell in cells if not self._is_finished(cell)])
        async with self._models:
            for number, cell in enumerate(cells, 1):
                if not self._is_finished(cell):
                    report = await self._run(cell, self._watcher.cell(cell, number, len(cells)))
                    if report.stopped or self._watcher.stopped:
                        return False
        return True

    async def _check_rewards(self, cells: Sequence[ExperimentCell]) -> None:
        """See that the rewards and judges that are named can be made, before the first cell is paid for.

        Not those that load a model: that takes memory, and a while.
        """
        seen: set[str] = set()
        for cell in cells:
            spec = self._experiment.spec(cell, self._references)
            for reward, require in ((spec.reward, spec.require), (spec.judge, ())):
                key = f"{reward!r} {require}"
                loads = isinstance(reward, str) and reward.startswith("hf:")
                if key in seen or loads or type(reward) not in _WRITTEN:
                    continue
                seen.add(key)
                try:
                    found = resolve(reward, require)
                except TPOError as error:
                    error.args = (f"{self._experiment.where(cell)}: {error}",)
                    raise
                await found.aclose()

    def status(self) -> list[CellStatus]:
        """How far each cell is."""
        return [self._status(cell) for cell in self._experiment.cells()]

    def path(self, cell: ExperimentCell) -> Path:
        """The directory of a cell's run."""
        return self._out / cell.folder

    def _status(self, cell: ExperimentCell) -> CellStatus:
        adopted = self._adopted.get(cell, set())
        answers = list(read_answers(RunDirectory(self.path(cell)).answers))
        own = {answer.id for answer in answers if answer.error is None}
        failed = {answer.id for answer in answers} - own - adopted
        return CellStatus(cell, len(self._rows), len(own | adopted), len(failed), len(adopted - own))

    def _is_finished(self, cell: ExperimentCell) -> bool:
        """Whether nothing is left to do, which needs no model to see; the run that is there must be this one."""
        directory = RunDirectory(self.path(cell))
        identity = directory.identity()
        if identity is not None:
            wanted = recipe_without_backends(self._experiment.spec(cell, self._references))
            before = {name: value for name, value in identity.recipe.items() if name not in BACKENDS}
            directory.expect(before, wanted)
        status = self._status(cell)
        return status.left <= 0 and not (self._options.retry_failed and status.failed)

    async def _run(self, cell: ExperimentCell, watcher: Watcher) -> Report:
        spec = self._experiment.spec(cell, self._references)
        spec = await self._models.opened(spec, self._watcher.note)
        return await run_spec(
            str(self._data(cell)), self.path(cell), spec, self._options, watcher, limiters=self._limiters
        )

    def _data(self, cell: ExperimentCell) -> Path:
        """The file of a cell's queries: all of them, but for those that adopted runs have answered."""
        adopted = self._adopted.get(cell)
        if not adopted:
            return self._queries
        own = {answer.id for answer in read_answers(RunDirectory(self.path(cell)).answers)}
        path = self.path(cell) / QUERIES
        path.unlink(missing_ok=True)  # it shrinks and grows with the adopted runs
        write_rows([row for row in self._rows if row.id in own or row.id not in adopted], path)
        return path


class _OpenModels:
    """The local models that are open, which the next cell uses again where they are the same."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._open: dict[tuple[str, str | None], Any] = {}

    async def __aenter__(self) -> _OpenModels:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def _close(self) -> None:
        self._open.clear()
        stack, self._stack = self._stack, AsyncExitStack()
        await stack.aclose()

    async def opened(self, spec: Spec, note: Any) -> Spec:
        """The spec with its local models opened; those that it does not use are closed first, to free their memory."""
        wanted = {
            role: (one.where, one.model)
            for role, one in spec.roles.items()
            if isinstance(one.where, str) and is_local(one.where)
        }
        if self._open.keys() - set(wanted.values()):
            await self._close()
        roles: dict[Role, RoleSpec] = dict(spec.roles)
        for role, key in wanted.items():
            if key not in self._open:
                model = await open_model(key[0], role, key[1], note, omit=roles[role].omit)
                self._stack.push_async_callback(model.aclose)
                self._open[key] = model
            roles[role] = msgspec.structs.replace(roles[role], where=self._open[key], model=None)
        return msgspec.structs.replace(spec, roles=roles)
