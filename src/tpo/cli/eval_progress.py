"""How far an evaluation is: all its runs in one line, now and then."""

from __future__ import annotations

import asyncio
from typing import Self

from rich.console import Console

from tpo.cli.console import note
from tpo.cli.progress import RunWatcher, duration, print_lines
from tpo.evals.evaluate import EvaluationWatcher
from tpo.runs.dataset import Watcher


class EvalProgress(EvaluationWatcher):
    """Prints how far all runs are together.

    Args:
        console: where to.
        quiet: print nothing.
    """

    def __init__(self, console: Console, quiet: bool) -> None:
        self._console = console
        self._quiet = quiet
        self._runs: list[RunWatcher] = []
        self._printing: asyncio.Task[None] | None = None
        self._noted: set[str] = set()

    def __enter__(self) -> Self:
        if not self._quiet:
            self._printing = asyncio.ensure_future(print_lines(self._console, self.line))
        return self

    def __exit__(self, *_: object) -> None:
        if self._printing is not None:
            self._printing.cancel()

    def note(self, line: str) -> None:
        """Print each note once, however many runs have it."""
        if not self._quiet and line not in self._noted:
            self._noted.add(line)
            note(line)

    def of(self, task: str, method: str) -> Watcher:
        """See `EvaluationWatcher`."""
        run = RunWatcher(self.note)
        self._runs.append(run)
        return run

    def line(self) -> str:
        """How far it is."""
        runs = [run.progress for run in self._runs if run.progress is not None]
        if not runs:
            return "starting"
        done, total = sum(run.done for run in runs), sum(run.total for run in runs)
        if done == total:
            return f"{total} queries answered, grading"
        tokens, seconds = sum(run.tokens for run in runs), max(run.seconds for run in runs)
        failed = sum(run.failed for run in runs)
        parts = [f"{done}/{total} queries", f"{sum(run.open for run in runs)} open", f"{tokens} tokens"]
        parts += [f"{tokens / max(seconds, 1e-9):.0f} tokens/s", duration(seconds)]
        return ", ".join(parts + ([f"{failed} failed"] if failed else []))
