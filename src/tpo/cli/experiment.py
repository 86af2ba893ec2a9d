"""`tpo experiment`: methods, models and seeds on the same queries, and a report."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

import typer

from tpo.cli.console import INTERRUPTED, PARTLY_FAILED, note, print_answer, print_json, reporting, stderr
from tpo.cli.interrupts import interruptible
from tpo.cli.progress import RunWatcher, print_lines
from tpo.errors import InputError
from tpo.experiments.running import ExperimentWatcher

if TYPE_CHECKING:
    from rich.console import Console

    from tpo.experiments.definition import Experiment, ExperimentCell
    from tpo.experiments.experiment import ExperimentReport
    from tpo.runs.dataset import Watcher


@reporting
def experiment(
    file: Annotated[Path, typer.Argument(help="The experiment, a TOML file (docs/experiments.md).")],
    out: Annotated[Path, typer.Option(help="The directory of the experiment.", metavar="FOLDER")],
    report_only: Annotated[
        bool, typer.Option("--report-only", help="Run nothing; report the cells that are finished.")
    ] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try the failed queries again.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as one JSON object.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes on stderr.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Run methods × models × seeds on the same queries, one cell after another, and compare them.

    Each cell is a run below OUT/runs, so the same command continues where the last one stopped and pays for nothing
    twice. OUT/REPORT.md has the tables and figures, OUT/outcomes.jsonl what they are made of. The exit code is 0 if all
    queries were answered, 3 if some failed, 2 if it could not continue, 130 if it was interrupted.
    """
    from tpo.experiments.definition import read_experiment

    if report_only and retry_failed:
        raise InputError("--report-only runs nothing, and --retry-failed runs failed queries: leave one out.")
    report = asyncio.run(_run(read_experiment(file), out, not report_only, retry_failed, quiet))
    files = report.files
    if not quiet:
        if report.stopped:
            left = sum(cell.left for cell in report.cells)
            note(f"interrupted: {left} answers are left; the same command continues.")
        if files is not None and not files.drawn:
            note("no figures: they need Matplotlib, pip install 'tpo[plots]'")
    if as_json:
        cells = [
            {
                "model": one.cell.model,
                "method": one.cell.method,
                "seed": one.cell.seed,
                "total": one.total,
                "done": one.done,
                "failed": one.failed,
                "left": one.left,
            }
            for one in report.cells
        ]
        means, differences = (files.means, files.differences) if files is not None else ([], [])
        page = None if files is None else str(files.report)
        print_json({"cells": cells, "report": page, "means": means, "differences": differences})
    elif files is not None:
        print_answer(files.text)
    if report.stopped:
        raise typer.Exit(INTERRUPTED)
    if report.failed:
        raise typer.Exit(PARTLY_FAILED)


async def _run(experiment: Experiment, out: Path, runs: bool, retry_failed: bool, quiet: bool) -> ExperimentReport:
    from tpo.experiments.experiment import run_experiment

    progress = ExperimentProgress(stderr, quiet)
    with interruptible(progress.stop), progress:
        return await run_experiment(experiment, out, progress, runs=runs, retry_failed=retry_failed)


class ExperimentProgress(ExperimentWatcher):
    """A plain line for each cell that begins, and one now and then while it runs.

    Args:
        console: where the lines go.
        quiet: print nothing.
    """

    def __init__(self, console: Console, quiet: bool) -> None:
        self._console, self._quiet = console, quiet
        self._run: RunWatcher | None = None
        self._label = ""
        self._printing: asyncio.Task[None] | None = None
        self._noted: set[str] = set()
        self._stopped = False

    def __enter__(self) -> Self:
        if not self._quiet:
            self._printing = asyncio.ensure_future(print_lines(self._console, self._line))
        return self

    def __exit__(self, *_: object) -> None:
        if self._printing is not None:
            self._printing.cancel()

    def stop(self) -> bool:
        """Interrupt the cell that runs; false where none does."""
        if self._run is None or self._run.runner is None:
            return False
        self._stopped = True
        self._run.runner.stop()
        return True

    def note(self, line: str) -> None:
        """Print each note once, however many cells have it."""
        if not self._quiet and line not in self._noted:
            self._noted.add(line)
            note(line)

    def cell(self, cell: ExperimentCell, number: int, of: int) -> Watcher:
        """See `ExperimentWatcher`."""
        self._label = f"cell {number}/{of} ({cell})"
        if not self._quiet:
            note(f"{self._label} begins")
        self._run = RunWatcher(self.note)
        return self._run

    @property
    def stopped(self) -> bool:
        """See `ExperimentWatcher`."""
        return self._stopped

    def _line(self) -> str:
        return "reading queries and finished runs" if self._run is None else f"{self._label}: {self._run.line()}"
