"""How far an evaluation is: all its runs in one line, now and then."""

from __future__ import annotations

import asyncio
from typing import Self

from rich.console import Console

from tpo.cli.console import note
from tpo.cli.progress import EVERY, FIRST_LINES, Progress, duration
from tpo.evals.evaluate import Onlooker
from tpo.prompts import Role
from tpo.runs.dataset import Watcher
from tpo.runs.progress import RunProgress
from tpo.runs.runner import Runner
from tpo.scheduling.fleet import Fleet


class EvalProgress(Onlooker):
    """Tells how far all runs are together.

    Args:
        console: where to.
        quiet: tell nothing.
    """

    def __init__(self, console: Console, quiet: bool) -> None:
        self._console = console
        self._quiet = quiet
        self._runs: list[_Run] = []
        self._telling: asyncio.Task[None] | None = None
        self._told: set[str] = set()

    def __enter__(self) -> Self:
        if not self._quiet:
            self._telling = asyncio.ensure_future(self._tell())
        return self

    def __exit__(self, *_: object) -> None:
        if self._telling is not None:
            self._telling.cancel()

    def note(self, line: str) -> None:
        """Each note once, however many runs have it to tell."""
        if not self._quiet and line not in self._told:
            self._told.add(line)
            note(line)

    def of(self, task: str, method: str) -> Watcher:
        """See `Onlooker`."""
        run = _Run(self)
        self._runs.append(run)
        return run

    def line(self) -> str:
        """How far it is."""
        tallies = [run.tally for run in self._runs if run.tally is not None]
        if not tallies:
            return "starting"
        done, total = sum(tally.done for tally in tallies), sum(tally.total for tally in tallies)
        if done == total:
            return f"{total} queries answered, grading"
        tokens, seconds = sum(tally.tokens for tally in tallies), max(tally.seconds for tally in tallies)
        failed = sum(tally.failed for tally in tallies)
        parts = [f"{done}/{total} queries", f"{sum(tally.open for tally in tallies)} open"]
        parts += [f"{tokens / max(seconds, 1e-9):.0f} tokens/s", duration(seconds)]
        return ", ".join(parts + ([f"{failed} failed"] if failed else []))

    async def _tell(self) -> None:
        before = 0.0
        for at in FIRST_LINES:
            await asyncio.sleep(at - before)
            before = at
            self._console.print(self.line(), markup=False)
        while True:
            await asyncio.sleep(EVERY)
            self._console.print(self.line(), markup=False)


class _Run(Progress):
    """One of the runs."""

    def __init__(self, whole: EvalProgress) -> None:
        super().__init__(whole.note)
        self.tally: RunProgress | None = None

    def began(self, runner: Runner, fleets: dict[Role, Fleet], tally: RunProgress) -> None:
        """See `Watcher`."""
        super().began(runner, fleets, tally)
        self.tally = tally
