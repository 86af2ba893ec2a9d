"""Scores that outlive the process, in a SQLite file."""

from __future__ import annotations

import asyncio
import logging
import math
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from tpo.errors import RewardError
from tpo.rewards.protocol import Score

_LOG = logging.getLogger(__name__)
_TABLE = "CREATE TABLE IF NOT EXISTS scores (key BLOB PRIMARY KEY, score BLOB NOT NULL) WITHOUT ROWID"


class ScoreFile:
    """A file of scores by `key_of`; several processes may share it.

    A score is trusted for as long as the reward's name stays the same. A server that serves another model under an old
    name keeps its name: use another file then.

    Args:
        path: the file; made if it is not there.

    Raises:
        RewardError: the file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Used by one worker thread at a time, but not always by the same.
            self._file = sqlite3.connect(path, timeout=30, check_same_thread=False, isolation_level=None)
            self._file.execute("PRAGMA journal_mode=WAL")
            self._file.execute("PRAGMA synchronous=NORMAL")
            self._file.execute(_TABLE)
        except (OSError, sqlite3.Error) as error:
            raise RewardError(f"The score cache {path} cannot be used: {error}.") from error
        self._turn = asyncio.Lock()
        self._writable = True

    async def read(self, keys: Sequence[bytes]) -> dict[bytes, Score]:
        """The scores that the file has, by their keys.

        Raises:
            RewardError: it cannot be read.
        """
        async with self._turn:
            return await asyncio.to_thread(self._read, keys)

    async def write(self, scores: Mapping[bytes, Score]) -> None:
        """Add scores. One that is no finite number may be a passing failure, and is left out.

        A file that cannot be written is no reason to lose a score that was paid for: a warning says so, once, and
        nothing is added from then on, since each try may wait long for a lock.
        """
        rows = [(key, msgspec.json.encode(score)) for key, score in scores.items() if math.isfinite(score.value)]
        async with self._turn:
            if self._writable:
                await asyncio.to_thread(self._write, rows)

    async def aclose(self) -> None:
        """Close the file."""
        async with self._turn:
            self._file.close()

    def _read(self, keys: Sequence[bytes]) -> dict[bytes, Score]:
        found = {}
        try:
            for key in keys:
                row = self._file.execute("SELECT score FROM scores WHERE key = ?", (key,)).fetchone()
                if row is not None:
                    found[key] = msgspec.json.decode(row[0], type=Score)
        except (sqlite3.Error, msgspec.DecodeError) as error:
            raise RewardError(
                f"The score cache {self._path} cannot be read: {error}. Delete it to begin anew."
            ) from error
        return found

    def _write(self, rows: Sequence[tuple[bytes, bytes]]) -> None:
        try:
            with self._file:  # rolls back what failed: left open, it would lock the file for other processes
                self._file.execute("BEGIN IMMEDIATE")
                self._file.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?)", rows)
        except sqlite3.Error as error:
            self._writable = False
            _LOG.warning("The score cache %s cannot be written: %s. New scores are not kept in it.", self._path, error)
