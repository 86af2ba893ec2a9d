"""How far a run is: a line that changes in place, or a plain line now and then where stderr is no terminal."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tpo.cli.console import note
from tpo.prompts import Role
from tpo.runs.dataset import Watcher
from tpo.runs.progress import RunProgress
from tpo.runs.runner import Runner
from tpo.scheduling.fleet import Fleet
from tpo.session.backends import Note

# Seconds between two lines of a log: often at first, for whoever looks whether it works at all.
FIRST_LINES = (1.0, 5.0, 15.0)
EVERY = 30.0
BAR = 24


class Progress(Watcher):
    """Shows nothing, and keeps what a signal needs to break the run off."""

    def __init__(self, on_note: Note = lambda line: None) -> None:
        super().__init__(on_note)
        self.runner: Runner | None = None
        self._fleets: dict[Role, Fleet] = {}
        self._tally: RunProgress | None = None
        # Tokens and seconds a while ago, for the speed of now.
        self._before: tuple[int, float] = (0, time.monotonic())
        self._speed = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to take down."""

    def began(self, runner: Runner, fleets: dict[Role, Fleet], tally: RunProgress) -> None:
        """See `Watcher`."""
        self.runner, self._fleets, self._tally = runner, fleets, tally

    def line(self) -> str:
        """How far it is, in one line."""
        tally = self._tally
        if tally is None:
            return "starting"
        fleets = {id(fleet): fleet for fleet in self._fleets.values()}.values()
        live, limit = sum(fleet.live for fleet in fleets), sum(fleet.limit for fleet in fleets)
        parts = [f"{tally.done}/{tally.total} queries", f"{tally.open} open", f"{live}/{limit} live"]
        parts.append(f"{self._tokens_per_second(tally):.0f} tokens/s")
        if tally.rewards is not None:
            parts.append("reward {:.3f} -> {:.3f}".format(*tally.rewards))
        if tally.failed:
            parts.append(f"{tally.failed} failed")
        if tally.retries:
            parts.append(f"{tally.retries} retries")
        if tally.left is not None and tally.done < tally.total:
            parts.append(f"{duration(tally.left)} left")
        return ", ".join(parts)

    def _tokens_per_second(self, tally: RunProgress) -> float:
        tokens, at = self._before
        now = time.monotonic()
        if now - at >= 1.0:
            self._speed = (tally.tokens - tokens) / (now - at)
            self._before = (tally.tokens, now)
        return self._speed


class LogProgress(Progress):
    """A plain line now and then."""

    def __init__(self, console: Console) -> None:
        super().__init__(note)
        self._console = console
        self._telling: asyncio.Task[None] | None = None

    def __exit__(self, *_: object) -> None:
        if self._telling is not None:
            self._telling.cancel()
            self._console.print(self.line(), markup=False)

    def began(self, runner: Runner, fleets: dict[Role, Fleet], tally: RunProgress) -> None:
        """See `Watcher`."""
        super().began(runner, fleets, tally)
        self._telling = asyncio.ensure_future(self._tell())

    async def _tell(self) -> None:
        before = 0.0
        for at in FIRST_LINES:
            await asyncio.sleep(at - before)
            before = at
            self._console.print(self.line(), markup=False)
        while True:
            await asyncio.sleep(EVERY)
            self._console.print(self.line(), markup=False)


class LiveProgress(Progress):
    """A bar and a line that change in place."""

    def __init__(self, console: Console) -> None:
        super().__init__(note)
        self._live = Live(console=console, refresh_per_second=4, get_renderable=self._render, transient=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def _render(self) -> Table:
        row = Table.grid(padding=(0, 1))
        tally = self._tally
        total, done = (tally.total, tally.done) if tally is not None else (None, 0)
        row.add_row(ProgressBar(total=total, completed=done, width=BAR, pulse=tally is None), Text(self.line()))
        return row


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def progress_of(console: Console, quiet: bool) -> Progress:
    """The view that fits where stderr goes."""
    if quiet:
        return Progress()
    with suppress(AttributeError):
        if console.is_terminal:
            return LiveProgress(console)
    return LogProgress(console)
