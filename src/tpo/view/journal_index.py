"""Where in a run's journal the lines of each query are.

The lines of queries that were open at the same time are interleaved, so that those of one lie within a stretch: first
and last place are enough to read them without the rest of the file.
"""

from __future__ import annotations

import threading
from array import array
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np

from tpo.decoding import prepared
from tpo.errors import JournalError
from tpo.messages import Conversation, question
from tpo.runs.store import KEY
from tpo.view.columns import Integers
from tpo.view.search import SearchTexts


class _QueryPlan(msgspec.Struct):
    query: Conversation


class _QueryRecord(msgspec.Struct):
    plan: _QueryPlan


class _FirstLine(msgspec.Struct):
    """The first line of a query: only its messages are read."""

    record: _QueryRecord


class JournalIndex:
    """The stretches of a journal, read at the first use, and on from there when it has grown.

    Args:
        journal: the file.
    """

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._reading = threading.Lock()
        self._decoder = msgspec.json.Decoder(prepared(_FirstLine))
        self._forget(0)

    def _forget(self, inode: int) -> None:
        self._inode = inode
        self._size = 0
        self._number: dict[bytes, int] = {}
        self._first = array("q")
        self._last = array("q")
        self._hash = array("q")
        self._questions = SearchTexts()

    def of(self, key: str) -> tuple[int, int]:
        """The place of a query's first line, and the end of its last one, in bytes; equal where it has none.

        Raises:
            JournalError: the journal cannot be read.
        """
        number = self._numbers().get(key.encode("utf-8", "replace"))
        return (0, 0) if number is None else (self._first[number], self._last[number])

    def questions(self, keys: list[str]) -> list[str | None]:
        """The question of each of these queries, which is its last user message; None for one that the journal lacks.

        Raises:
            JournalError: the journal cannot be read.
        """
        numbers = self._numbers()
        try:
            with self._journal.open("rb") as file:
                return [self._question(file, numbers.get(key.encode("utf-8", "replace"))) for key in keys]
        except FileNotFoundError:
            return [None] * len(keys)
        except OSError as error:
            raise JournalError(f"The journal {self._journal} cannot be read: {error.strerror}.") from error

    def search(self, text: str) -> Integers:
        """The hashes of the keys of the queries that have a text in their question, whatever its case.

        Raises:
            InputError: the questions have no room in a temporary file.
            JournalError: the journal cannot be read.
        """
        self._numbers()
        with self._reading:
            return np.array(self._hash, dtype=np.int64)[np.array(self._questions.find(text), dtype=np.int64)]

    def _question(self, file: BinaryIO, number: int | None) -> str | None:
        if number is None:
            return None
        file.seek(self._first[number])
        return self._decoded(file.readline())

    def _decoded(self, line: bytes) -> str | None:
        try:
            return question(self._decoder.decode(line).record.plan.query)
        except (msgspec.DecodeError, UnicodeDecodeError, KeyError):
            return None

    def _numbers(self) -> dict[bytes, int]:
        with self._reading:
            try:
                self._read_on()
            except FileNotFoundError:
                self._forget(0)
            except OSError as error:
                raise JournalError(f"The journal {self._journal} cannot be read: {error.strerror}.") from error
            return self._number

    def _read_on(self) -> None:
        stat = self._journal.stat()
        if stat.st_ino != self._inode or stat.st_size < self._size:
            self._forget(stat.st_ino)
        if stat.st_size == self._size:
            return
        number, first, last = self._number, self._first, self._last
        with self._journal.open("rb") as file:
            at = file.seek(self._size)
            for line in file:
                if not line.endswith(b"\n"):
                    break  # it is being written
                key = line[KEY]
                known = number.get(key)
                if known is None:
                    known = number[key] = len(first)
                    first.append(at)
                    last.append(at)
                    self._hash.append(hash(key.decode("utf-8", "replace")))
                    self._questions.add(self._decoded(line) or "")
                at += len(line)
                last[known] = at
        self._size = at
