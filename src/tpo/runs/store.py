"""The journal of a run: one append-only file for all queries, a record a line, each with its query's key.

    {"key":"5f0c…","record":{"record":"called",…},"crc":"5f0c11aa"}

The first record of a query also has its id, and every line its checksum (`tpo.engine.lines`). The keys stand at a fixed
place in the line, so that going on after a crash decodes only the lines of the queries that are not finished.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from tpo.engine.journal import Journal
from tpo.engine.lines import LineReader, LineWriter
from tpo.engine.log import Log, cut_torn_line
from tpo.engine.records import Record, Started
from tpo.errors import JournalError


class JournalLine(msgspec.Struct, frozen=True, omit_defaults=True):
    """A line of the file."""

    key: str
    record: Record
    id: str | None = None


_writer = LineWriter[JournalLine](JournalLine)
_BEGINNING = b'{"key":"'
KEY_LENGTH = 16
# Where in a line the key is.
KEY = slice(len(_BEGINNING), len(_BEGINNING) + KEY_LENGTH)


class RunJournal:
    """What a run writes its records to.

    Args:
        path: the file; it is gone on with where it ends.

    Raises:
        JournalError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._log = Log(path)

    def of(self, key: str, id: str, records: list[Record]) -> Journal:
        """The journal of one query, with what it holds already."""
        return Journal(_QueryLines(self._log, key, id), records)

    async def commit(self) -> None:
        """Wait until everything is on the disk."""
        await self._log.commit()

    def close(self) -> None:
        """Close the file."""
        self._log.close()


class _QueryLines:
    """The lines of one query."""

    def __init__(self, log: Log, key: str, id: str) -> None:
        self._log = log
        self._key = key
        self._id = id

    def append(self, record: Record) -> None:
        id = self._id if isinstance(record, Started) else None
        self._log.append(_writer.line(JournalLine(self._key, record, id)))

    async def commit(self) -> None:
        await self._log.commit()

    def close(self) -> None:
        """The file belongs to the run."""


def read_lines(
    path: Path, wanted: Callable[[str], bool], span: tuple[int, int | None] = (0, None)
) -> Iterator[JournalLine]:
    """The lines of the queries that are wanted, in their order; a torn last line is left out.

    Args:
        path: a run's journal; none at all where there is no such file.
        wanted: whether a key's lines are wanted.
        span: the place of the first line, and of the one after the last, in bytes; the whole file unless given.

    Raises:
        JournalError: the file cannot be read, or is no journal; the message names the line.
    """
    if not path.exists():
        return
    reader = LineReader[JournalLine](JournalLine, "record of a run")
    try:
        with path.open("rb") as file:
            at = file.seek(span[0])
            for number, ended in enumerate(file, 1):
                if not ended.endswith(b"\n") or (span[1] is not None and at >= span[1]):
                    return
                at += len(ended)
                line = ended[:-1]

                def where(number: int = number) -> str:
                    return f"{path}, line {number}" + (f" after byte {span[0]}" if span[0] else "")

                # A damaged key would only make the line look like one of another query.
                reader.check(line, where)
                if not line.startswith(_BEGINNING) or wanted(line[KEY].decode("ascii", "replace")):
                    yield reader.read(line, where)
    except OSError as error:
        raise JournalError(f"The journal {path} cannot be read: {error.strerror}.") from error


def cut_torn_end(path: Path) -> int:
    """Cut off a torn last line.

    Returns:
        the bytes that were cut off.

    Raises:
        JournalError: the file cannot be written.
    """
    if not path.exists():
        return 0
    try:
        return cut_torn_line(path)
    except OSError as error:
        raise JournalError(f"The journal {path} cannot be written: {error.strerror}.") from error
