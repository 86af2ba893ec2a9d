"""The progress of a run below the cell of a notebook."""

from __future__ import annotations

import asyncio

from tpo.models.fleet import Fleet
from tpo.notebook import BEAT, Line
from tpo.prompts import Role
from tpo.runs.dataset import Watcher
from tpo.runs.progress import RunProgress
from tpo.runs.runner import Runner
from tpo.session.backends import Note


class NotebookWatcher(Watcher):
    """Shows one line with the queries answered, the speed, the mean rewards and the time left.

    Args:
        on_note: called with each sentence that a user should read.
    """

    def __init__(self, on_note: Note) -> None:
        super().__init__(on_note)
        self._following: asyncio.Task[None] | None = None

    def began(self, runner: Runner, fleets: dict[Role, Fleet], progress: RunProgress) -> None:
        """See `Watcher.began`."""
        self._following = asyncio.ensure_future(_follow(progress))

    async def close(self) -> None:
        """Show the last figures, and no more."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)


async def _follow(progress: RunProgress) -> None:
    line = Line(progress_text(progress))
    try:
        while True:
            await asyncio.sleep(BEAT)
            line.change(lambda: progress_text(progress))
    finally:
        line.change(lambda: progress_text(progress), last=True)


def progress_text(progress: RunProgress) -> str:
    """The progress of a run in one line."""
    parts = [f"tpo: {progress.done} of {progress.total} queries answered"]
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    if progress.tokens_per_second:
        parts.append(f"{progress.tokens_per_second:.0f} tokens/s")
    if progress.rewards is not None:
        first, reward = progress.rewards
        parts.append(f"mean reward {first:.3f} → {reward:.3f}")
    if progress.left is not None and progress.done < progress.total:
        parts.append(f"about {progress.left:.0f} s left")
    return ", ".join(parts)
