"""How far a run is: a line that changes in place, or a plain line now and then where stderr is no terminal."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from tpo.cli.console import note
from tpo.cli.live import wrapped
from tpo.models.fleet import Fleet
from tpo.prompts import Role
from tpo.runs.dataset import Watcher
from tpo.runs.progress import RunProgress
from tpo.runs.runner import Runner
from tpo.session.backends import Note

# Seconds between two lines of a log: often at first, when a user wants to see whether it works at all.
FIRST_LINES = (1.0, 5.0, 15.0)
EVERY = 30.0
BAR = 24
# Narrower terminals have the bar above the line.
WIDE = 120


class RunWatcher(Watcher):
    """Shows nothing, and keeps what a signal needs to interrupt the run."""

    def __init__(self, on_note: Note = lambda line: None) -> None:
        super().__init__(on_note)
        self.runner: Runner | None = None
        self.progress: RunProgress | None = None
        self._fleets: dict[Role, Fleet] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to take down."""

    def began(self, runner: Runner, fleets: dict[Role, Fleet], progress: RunProgress) -> None:
        """See `Watcher`."""
        self.runner, self._fleets, self.progress = runner, fleets, progress

    def line(self) -> str:
        """How far it is, in one line."""
        if self.progress is None:
            return "starting"
        fleets = {id(fleet): fleet for fleet in self._fleets.values()}.values()
        return progress_line(self.progress, sum(fleet.live for fleet in fleets), sum(fleet.limit for fleet in fleets))


def progress_line(progress: RunProgress, live: int, limit: int) -> str:
    """How far a run is, in one line.

    Args:
        progress: its counts.
        live: sequences in flight.
        limit: most sequences in flight.
    """
    parts = [f"{progress.done}/{progress.total} queries", f"{progress.open} open", f"{live}/{limit} live"]
    parts.append(f"{progress.tokens} tokens")
    if progress.tokens_per_second is not None:
        parts.append(f"{progress.tokens_per_second:.0f} tokens/s")
    if progress.rewards is not None:
        parts.append("reward {:.3f} -> {:.3f}".format(*progress.rewards))
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    if progress.retries:
        parts.append(f"{progress.retries} retries")
    if progress.left is not None and progress.done < progress.total:
        parts.append(f"about {duration(progress.left)} left")
    return ", ".join(parts)


async def print_lines(console: Console, line: Callable[[], str]) -> None:
    """Print a line now and then, until cancelled.

    Args:
        console: where the lines go.
        line: makes the line of the moment.
    """
    before = 0.0
    for at in FIRST_LINES:
        await asyncio.sleep(at - before)
        before = at
        console.print(line(), markup=False)
    while True:
        await asyncio.sleep(EVERY)
        console.print(line(), markup=False)


class LineProgress(RunWatcher):
    """A plain line now and then."""

    def __init__(self, console: Console) -> None:
        super().__init__(note)
        self._console = console
        self._printing: asyncio.Task[None] | None = None

    def __exit__(self, *_: object) -> None:
        if self._printing is not None:
            self._printing.cancel()
            self._console.print(self.line(), markup=False)

    def began(self, runner: Runner, fleets: dict[Role, Fleet], progress: RunProgress) -> None:
        """See `Watcher`."""
        super().began(runner, fleets, progress)
        self._printing = asyncio.ensure_future(print_lines(self._console, self.line))


class BarProgress(RunWatcher):
    """A bar and a line that change in place."""

    def __init__(self, console: Console) -> None:
        super().__init__(note)
        self._console = console
        self._live = Live(console=console, refresh_per_second=4, get_renderable=self.picture, transient=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def picture(self) -> RenderableType:
        """The bar and the line as they are now."""
        line = self.line()
        return progress_picture(self.progress, line, self._console.width, time.monotonic())


def progress_picture(progress: RunProgress | None, line: str, width: int, now: float) -> RenderableType:
    """A bar with a line, side by side where the terminal is wide enough.

    Args:
        progress: the run's counts; None before it began.
        line: how far it is.
        width: columns of the terminal.
        now: seconds, for a bar that moves before anything is known.
    """
    total, done = (progress.total, progress.done) if progress is not None else (None, 0)
    bar = ProgressBar(total=total, completed=done, width=min(BAR, width), pulse=progress is None, animation_time=now)
    grid = Table.grid(padding=(0, 1))
    if width < WIDE:
        grid.add_row(bar)
        grid.add_row(wrapped(line))
    else:
        grid.add_row(bar, wrapped(line))
    return grid


def duration(seconds: float) -> str:
    """Seconds in words."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def progress_of(console: Console, quiet: bool) -> RunWatcher:
    """The view that fits where stderr goes."""
    if quiet:
        return RunWatcher()
    return BarProgress(console) if console.is_terminal else LineProgress(console)
