"""How a run stands, for whoever looks at its directory."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout

from tpo.errors import InputError
from tpo.runs.answers import read_answers
from tpo.runs.directory import LOCK, Identity, RunDirectory
from tpo.runs.stories import open_run
from tpo.runs.summary import Count, Summary, summary_of


class State(StrEnum):
    """How a run stands."""

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    UNFINISHED = "unfinished"


class Standing(msgspec.Struct, frozen=True):
    """A run, as it is now.

    Attributes:
        directory: where it is.
        identity: what it is.
        summary: what it has come to.
        counted: whether the number of its queries is known: it is written down when a process of the run ends. Where
            it is not, `summary` has as many queries as are over.
        state: running: a process is at work in it; finished; failed: nothing is left to do, but some queries failed;
            unfinished: the same command goes on.
    """

    directory: Path
    identity: Identity
    summary: Summary
    counted: bool
    state: State


def counted(directory: RunDirectory) -> Count:
    """Count the answers of a run, which reads all of them.

    Raises:
        JournalError: they are damaged.
    """
    count = Count()
    for answer in read_answers(directory.answers):
        count.take(answer)
    return count


def standing(path: Path, count: Callable[[RunDirectory], Count] = counted) -> Standing:
    """See how a run stands.

    Args:
        path: the run's directory.
        count: counts its answers, where no current summary is written down; whoever keeps count need not read them.

    Raises:
        InputError: this is no run.
        JournalError: its answers are damaged.
    """
    directory = open_run(path)
    identity = directory.identity()
    if identity is None:
        raise InputError(f"{path} is no directory of a run any more.")
    running = at_work(path)  # before the answers are counted: a run that ends meanwhile is only told as running
    summary, known = _summary(directory, count)
    if running:
        state = State.RUNNING
    elif summary.left or not known:
        state = State.UNFINISHED
    else:
        state = State.FAILED if summary.failed else State.FINISHED
    return Standing(path, identity, summary, known, state)


def _summary(directory: RunDirectory, count: Callable[[RunDirectory], Count]) -> tuple[Summary, bool]:
    """What a run has come to, and whether all its queries are counted."""
    written, current = _written(directory)
    if written is not None and current:
        return written, True
    bad_rows = written.bad_rows if written is not None else 0
    summary = summary_of(count(directory), 0, bad_rows, directory.seconds())
    over = summary.done + summary.failed
    total = max(written.total, over) if written is not None else over
    return msgspec.structs.replace(summary, total=total, left=total - over), written is not None


def _written(directory: RunDirectory) -> tuple[Summary | None, bool]:
    """The summary that was written down, and whether no answer came later."""
    try:
        written = msgspec.json.decode(directory.summary.read_bytes(), type=Summary)
        at = directory.summary.stat().st_mtime_ns
    except (OSError, msgspec.DecodeError):
        return None, False
    try:
        return written, directory.answers.stat().st_mtime_ns <= at
    except OSError:  # no answers at all
        return written, not written.done + written.failed


def at_work(path: Path) -> bool:
    """Whether a process is at work in a directory; whoever wants to begin is not disturbed by the question."""
    lock = path / LOCK
    try:
        if sys.platform == "win32":
            with FileLock(lock, timeout=0):
                return False
        import fcntl

        file = os.open(lock, os.O_RDONLY)  # a shared lock needs no permission to write
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(file)
    except Timeout:
        return True
    except OSError:  # no lock was ever taken here, or the file system has none
        return False
    return False
