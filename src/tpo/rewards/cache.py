"""Scores that outlive the process: a SQLite file keyed by the reward's name and the conversation."""

from __future__ import annotations

import asyncio
import hashlib
import math
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import msgspec

from tpo.errors import RewardError
from tpo.messages import Conversation
from tpo.rewards.asking import ask, close, connect
from tpo.rewards.protocol import Reward, Score

_TABLE = "CREATE TABLE IF NOT EXISTS scores (key BLOB PRIMARY KEY, score BLOB NOT NULL) WITHOUT ROWID"


class Cached:
    """A reward that is asked once for each conversation, in this run and in later ones.

    A score is trusted for as long as the reward's name stays the same. A server that serves another model under an old
    name keeps its name: use another file then.

    Args:
        reward: what scores.
        path: the file; made if it is not there. Several processes may share it.

    Raises:
        RewardError: the file cannot be used.
    """

    def __init__(self, reward: Reward, path: Path) -> None:
        self.reward = reward
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

    @property
    def name(self) -> str:
        """The reward's own: a cache changes no score."""
        return self.reward.name

    async def score(self, conversations: Sequence[Conversation]) -> list[Score]:
        """Score conversations; those that were scored before cost nothing."""
        keys = [self._key(conversation) for conversation in conversations]
        async with self._turn:
            found: dict[bytes, Score] = dict(await asyncio.to_thread(self._read, keys))
        missing = {key: c for key, c in zip(keys, conversations, strict=True) if key not in found}
        if missing:
            new = dict(zip(missing, await ask(self.reward, list(missing.values())), strict=True))
            found.update(new)
            async with self._turn:
                await asyncio.to_thread(self._write, new)
        return [found[key] for key in keys]

    @property
    def inside(self) -> list[Reward]:
        """What it is made of."""
        return [self.reward]

    async def connect(self) -> None:
        """Have what is inside find out what serves it."""
        await connect(self.reward)

    async def aclose(self) -> None:
        """Close the file, and let go of what is inside."""
        self._file.close()
        await close(self.reward)

    def _key(self, conversation: Conversation) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\0" + msgspec.json.encode(conversation)).digest()

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

    def _write(self, scores: dict[bytes, Score]) -> None:
        # A score that is no number may be a passing failure, and is asked for again.
        rows = [(key, msgspec.json.encode(s)) for key, s in scores.items() if math.isfinite(s.value)]
        try:
            self._file.execute("BEGIN IMMEDIATE")
            self._file.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?)", rows)
            self._file.execute("COMMIT")
        except sqlite3.Error as error:
            raise RewardError(f"The score cache {self._path} cannot be written: {error}.") from error
