"""The journal: an append-only list of records, in memory and, on request, in a JSON Lines file.

A record is handed to the operating system before anything else happens, so that a killed process loses nothing that was
paid for; and before a result is sent into the method it is on the disk (`tpo.engine.log`), so that the same holds for a
machine that loses its power. Every line has a checksum (`tpo.engine.lines`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from tpo.engine.lines import LineReader, LineWriter
from tpo.engine.log import Log
from tpo.engine.records import Record, Started
from tpo.errors import JournalError


class Sink(Protocol):
    """Where a journal's records are kept."""

    def append(self, record: Record) -> None:
        """Keep a record; a killed process does not lose it when this has returned."""
        ...

    async def commit(self) -> None:
        """Wait until all records so far are on the disk."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class TraceFile:
    """A file that holds the journal of one query, a record a line; locked against other processes.

    Raises:
        JournalError: the file cannot be opened for writing.
        InputError: another process, or another query, writes to it.
    """

    def __init__(self, path: Path) -> None:
        self._log = Log(path, "trace", exclusive=True)
        self._writer = LineWriter[Record](Record)

    def append(self, record: Record) -> None:
        """See `Sink`."""
        self._log.append(self._writer.line(record))

    def cut(self, size: int) -> None:
        """Keep only so many bytes of what is there."""
        self._log.cut(size)

    async def commit(self) -> None:
        """See `Sink`."""
        await self._log.commit()

    def close(self) -> None:
        """See `Sink`."""
        self._log.close()


class Journal:
    """What happened so far.

    Args:
        sink: where the records are kept besides in memory.
        records: what it already holds.
    """

    def __init__(self, sink: Sink | None = None, records: list[Record] | None = None) -> None:
        self.records: list[Record] = list(records or [])
        self._sink = sink

    def append(self, record: Record) -> None:
        """Add a record; a killed process does not lose it when this has returned.

        Raises:
            JournalError: the disk is full, or writing fails otherwise.
            ModelError: the record holds something that could not be read again.
        """
        if self._sink is not None:
            self._sink.append(record)
        self.records.append(record)

    async def commit(self) -> None:
        """Wait until all records so far are on the disk.

        Raises:
            JournalError: the disk does not take them.
        """
        if self._sink is not None:
            await self._sink.commit()

    def close(self) -> None:
        """Make what was written durable and close the file."""
        if self._sink is not None:
            self._sink.close()
            self._sink = None


def read_journal(path: Path) -> tuple[list[Record], str | None]:
    """Read a trace.

    Args:
        path: the file.

    Returns:
        its records, and a sentence about a torn last line if there was one.

    Raises:
        JournalError: the file is missing, damaged or no trace; the message names the line.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise JournalError(f"The trace {path} cannot be read: {error.strerror}.") from error
    *lines, rest = data.split(b"\n")
    reader = LineReader[Record](Record, "record of a trace")
    records: list[Record] = []
    for number, line in enumerate(lines, 1):

        def where(number: int = number) -> str:
            return f"{path}, line {number}"

        reader.check(line, where)
        records.append(reader.read(line, where))
    if not records or not isinstance(records[0], Started):
        raise JournalError(f"{path} is not a trace: it does not begin with a started run.")
    torn = f"The last line of {path} was torn ({len(rest)} bytes) and is left out." if rest else None
    return records, torn
