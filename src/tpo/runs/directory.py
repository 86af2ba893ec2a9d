"""The directory of a run: its files, its lock, and what must not change between one process and the next."""

from __future__ import annotations

import asyncio
import math
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from filelock import FileLock, Timeout

from tpo.errors import InputError, JournalError

IDENTITY = "run.json"
JOURNAL = "journal.jsonl"
ANSWERS = "answers.jsonl"
SUMMARY = "summary.json"
LOCK = "lock"
CLOCK = "seconds"
HEARTBEAT = 5.0
STDIN = "stdin.data"
_HOST = re.compile(r"(https?://)(?:[^/\s,;@]*@)?[^/\s,;?]*")


class Identity(msgspec.Struct, frozen=True):
    """The identity of a run.

    Attributes:
        data: the data's name.
        named: the models and the reward as the user named them.
        recipe: everything that decides the results, but for the queries: method, sampling, prompts, models, reward.
        endpoints: where each role is served; moving a server changes no result.
        version: tpo's version when it began.
        began: wall-clock time, ISO 8601; for people only.
    """

    data: str
    named: dict[str, Any] = msgspec.field(name="asked")
    recipe: dict[str, Any]
    endpoints: dict[str, list[str]]
    version: str
    began: str


class RunDirectory:
    """Where a run keeps its files.

    Args:
        path: the directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal = path / JOURNAL
        self.answers = path / ANSWERS
        self.summary = path / SUMMARY
        self.stdin = path / STDIN
        self._identity = path / IDENTITY
        self._clock = path / CLOCK

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the directory if it is not there, and keep other processes out; a killed one leaves no lock behind.

        Raises:
            InputError: another process is at work in it, or it cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            (self.path / LOCK).touch()  # filelock would wait for ever for a permission that it does not have
            lock = FileLock(self.path / LOCK, timeout=0)
            lock.acquire()
        except Timeout:
            raise InputError(
                f"Another process is at work in {self.path}: wait for it, or name another --out."
            ) from None
        except OSError as error:
            raise InputError(f"{self.path} cannot be written: {error.strerror}. Name another --out.") from error
        try:
            yield
        finally:
            lock.release()

    def seconds(self) -> float:
        """Wall-clock seconds of all processes that were at work here, true to a few seconds for those that were
        killed."""
        try:
            seconds = float(self._clock.read_text())
        except (OSError, ValueError):
            return 0.0
        return seconds if math.isfinite(seconds) and seconds > 0 else 0.0

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count the seconds of what is done inside; they are written down now and then, for a process that is killed.

        Must be entered in a running event loop.
        """
        before, began = self.seconds(), time.monotonic()

        def write() -> None:
            with suppress(JournalError):  # a full disk is reported where something is lost
                replace(self._clock, f"{before + time.monotonic() - began:.3f}\n".encode())

        async def beat() -> None:
            while True:
                await asyncio.sleep(HEARTBEAT)
                write()

        beating = asyncio.ensure_future(beat())
        try:
            yield
        finally:
            beating.cancel()
            write()

    def identity(self) -> Identity | None:
        """The identity of the run in it; None where there is none.

        Raises:
            InputError: run.json cannot be read.
        """
        if not self._identity.exists():
            if self.journal.exists() and self.journal.stat().st_size:
                raise InputError(f"{self.path} holds a journal and no {IDENTITY}: name another --out, or use --fresh.")
            return None
        try:
            return msgspec.json.decode(self._identity.read_bytes(), type=Identity)
        except (OSError, msgspec.DecodeError) as error:
            raise InputError(f"{self._identity} cannot be read: {error}. Use --fresh to start again.") from error

    def claim(self, data: str, named: dict[str, Any], recipe: dict[str, Any], endpoints: dict[str, list[str]]) -> bool:
        """Write down what this run is, or compare it with what an earlier start wrote.

        Args:
            data: the data's name.
            named: the models and the reward as the user named them.
            recipe: everything that decides the results.
            endpoints: where each role is served.

        Returns:
            whether there is something to continue.

        Raises:
            InputError: the directory holds another run; the message has the differences.
        """
        before = self.identity()
        if before is not None:
            self.expect(before.recipe, recipe)
            return True
        began = datetime.now(UTC).isoformat(timespec="seconds")
        written = Identity(data, named, recipe, endpoints, version("tpo"), began)
        replace(self._identity, msgspec.json.format(msgspec.json.encode(written), indent=2) + b"\n")
        return False

    def expect(self, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        """Compare what was run here with what is to be run.

        Raises:
            InputError: they differ; the message has the differences.
        """
        changes = differences(before, now)
        if changes:
            raise InputError(
                f"{self.path} holds a run with another configuration: {'; '.join(changes)}. Use the settings "
                f"that it began with, name another --out, or start again with --fresh."
            )

    def put_aside(self) -> None:
        """Make room for another run: the files of the present one are moved into a directory of their own."""
        table = self.answers.with_suffix(".parquet")
        kept = [self._identity, self.journal, self.answers, table, self.summary, self._clock, self.stdin]
        if not any(path.exists() for path in kept):
            return
        number = 1
        while (aside := self.path / f"before-{number}").exists():
            number += 1
        aside.mkdir()
        for path in kept:
            if path.exists():
                shutil.move(path, aside / path.name)


def unlocated(value: Any) -> Any:
    """The same without the hosts in URLs: a server that moves gives the same results."""
    if isinstance(value, str):
        return _HOST.sub(r"\1", value)
    if isinstance(value, Mapping):
        return {key: unlocated(inner) for key, inner in value.items()}
    return value


def differences(before: Mapping[str, Any], now: Mapping[str, Any], within: str = "") -> list[str]:
    """What has changed, a phrase for each: "width was 5 and is 8".

    A setting that the version which wrote `before` did not have counts as unchanged while it is not set.
    """
    found = []
    for key in [*before, *(key for key in now if key not in before)]:
        old, new = before.get(key), now.get(key)
        if key not in before and not new:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += differences(old, new, f"{within}{key}.")
        elif old != new:
            found.append(f"{within}{key} was {_shown(old)} and is {_shown(new)}")
    return found


def replace(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old or the new, and never a part.

    Raises:
        JournalError: it cannot be written.
    """
    beside = path.with_name(f"{path.name}.new")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    except OSError as error:
        raise JournalError(f"{path} cannot be written: {error.strerror}.") from error


def _shown(value: Any) -> str:
    return "not set" if value is None else f"{value!r}" if isinstance(value, str) else str(value)
