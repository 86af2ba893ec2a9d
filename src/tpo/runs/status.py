"""The status of a run, read from its directory, and the runs in some directories."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec
from filelock import FileLock, Timeout

from tpo.errors import InputError
from tpo.runs.answers import read_answers
from tpo.runs.directory import IDENTITY, LOCK, Identity, RunDirectory
from tpo.runs.history import open_run
from tpo.runs.summary import Count, RunSummary, summary_of


class State(StrEnum):
    """The state of a run."""

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    UNFINISHED = "unfinished"


class RunStatus(msgspec.Struct, frozen=True):
    """A run as it is now.

    Attributes:
        directory: where it is.
        identity: what it is.
        summary: its results so far.
        counted: whether the number of its queries is known; it is written when a process of the run begins or ends.
            Where it is unknown, `summary` counts the queries that are over.
        state: running: a process writes to it; finished; failed: nothing is left to do, but some queries failed;
            unfinished: the same command continues.
    """

    directory: Path
    identity: Identity
    summary: RunSummary
    counted: bool
    state: State


def count_answers(directory: RunDirectory) -> Count:
    """Count the answers of a run, which reads all of them.

    Raises:
        JournalError: they are damaged.
    """
    count = Count()
    for answer in read_answers(directory.answers):
        count.take(answer)
    return count


def run_status(path: Path, count: Callable[[RunDirectory], Count] = count_answers) -> RunStatus:
    """Read the status of a run.

    Args:
        path: the run's directory.
        count: counts its answers, where no current summary is written; a caller that has counted them passes its count.

    Raises:
        InputError: this is no run.
        JournalError: its answers are damaged.
    """
    directory = open_run(path)
    identity = directory.identity()
    if identity is None:
        raise InputError(f"{path} is no directory of a run any more.")
    running = at_work(path)  # before the answers are counted: a run that ends meanwhile is shown as running
    summary, known = _summary(directory, count)
    if running:
        state = State.RUNNING
    elif summary.left or not known:
        state = State.UNFINISHED
    else:
        state = State.FAILED if summary.failed else State.FINISHED
    return RunStatus(path, identity, summary, known, state)


def _summary(directory: RunDirectory, count: Callable[[RunDirectory], Count]) -> tuple[RunSummary, bool]:
    """The summary of a run, and whether the number of its queries is known."""
    written, current = _written(directory)
    if written is not None and current:
        return written, True
    bad_rows = written.bad_rows if written is not None else 0
    summary = summary_of(count(directory), 0, bad_rows, directory.seconds())
    over = summary.done + summary.failed
    total = max(written.total, over) if written is not None else over
    return msgspec.structs.replace(summary, total=total, left=total - over), written is not None


def _written(directory: RunDirectory) -> tuple[RunSummary | None, bool]:
    """The summary in its file, and whether no answer came later."""
    try:
        written = msgspec.json.decode(directory.summary.read_bytes(), type=RunSummary)
        at = directory.summary.stat().st_mtime_ns
    except (OSError, msgspec.DecodeError):
        return None, False
    try:
        return written, directory.answers.stat().st_mtime_ns <= at
    except OSError:  # no answers at all
        return written, not written.done + written.failed


def at_work(path: Path) -> bool:
    """Whether a process writes to a run's directory; looking does not keep one from beginning."""
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


def run_directories(directories: Iterable[Path]) -> Iterator[Path]:
    """The directories of runs among these and one level below, each once.

    Raises:
        InputError: a directory cannot be read.
    """
    seen = set()
    for directory in directories:
        try:
            below = sorted(one for one in directory.iterdir() if one.is_dir())
        except OSError as error:
            raise InputError(f"{directory} cannot be read: {error.strerror}.") from error
        for path in (directory, *below):
            if path.resolve() not in seen and (path / IDENTITY).is_file():
                seen.add(path.resolve())
                yield path


def outline(one: RunStatus) -> dict[str, Any]:
    """A run in one flat object, for a list of them."""
    recipe, summary = one.identity.recipe, one.summary
    return {
        "directory": str(one.directory),
        "data": one.identity.data,
        "method": recipe.get("method"),
        "width": recipe.get("width"),
        "depth": recipe.get("depth"),
        "policy": (recipe.get("models") or {}).get("policy"),
        "reward": recipe.get("reward"),
        "done": summary.done + summary.failed,
        "total": summary.total if one.counted else None,
        "failed": summary.failed,
        "first_reward": summary.first.value if summary.first else None,
        "answer_reward": summary.reward.value if summary.reward else None,
        "began": one.identity.began,
        "state": str(one.state),
    }
