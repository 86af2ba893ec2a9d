"""The journal: an append-only list of records, in memory and, on request, in a JSON Lines file.

A record is handed to the operating system before the result that it holds is used, so a killed process loses
nothing that was paid for. Each line is written by one call; a line that was torn by a crash can only be the last
one, and is cut off, and told, when the file is opened again.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import IO

import msgspec

from tpo.engine.records import Record, Started
from tpo.errors import JournalError

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)


class Journal:
    """What happened so far.

    Args:
        path: the file to append to; None keeps the records in memory only.
        records: what the file already holds.

    Raises:
        JournalError: the file cannot be opened for writing.
    """

    def __init__(self, path: Path | None = None, records: list[Record] | None = None) -> None:
        self.path = path
        self.records: list[Record] = list(records or [])
        self._file: IO[bytes] | None = None
        if path is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._file = path.open("ab" if records else "wb", buffering=0)
            except OSError as error:
                raise JournalError(f"The trace {path} cannot be written: {error.strerror}.") from error

    def append(self, record: Record) -> None:
        """Add a record; it is on file when this returns.

        Raises:
            JournalError: the disk is full, or writing fails otherwise.
        """
        if self._file is not None:
            line = _encoder.encode(record) + b"\n"
            try:
                written = self._file.write(line)
                while written < len(line):  # a nearly full disk takes part of a line
                    written += self._file.write(line[written:])
            except OSError as error:
                raise JournalError(
                    f"The trace {self.path} cannot be written: {error.strerror}. What it holds is kept: free some "
                    f"space and run the same command again to go on from there."
                ) from error
        self.records.append(record)

    def close(self) -> None:
        """Make what was written durable and close the file."""
        if self._file is not None:
            with suppress(OSError):  # a pipe or a device has nothing to sync
                os.fsync(self._file.fileno())
            self._file.close()
            self._file = None


def read_journal(path: Path) -> tuple[list[Record], str | None]:
    """Read a trace.

    Args:
        path: the file.

    Returns:
        its records, and a sentence about a torn last line if there was one.

    Raises:
        JournalError: the file is missing or is no trace; the message names the line.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise JournalError(f"The trace {path} cannot be read: {error.strerror}.") from error
    *lines, rest = data.split(b"\n")
    records: list[Record] = []
    for number, line in enumerate(lines, 1):
        try:
            records.append(_decoder.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise JournalError(f"{path}, line {number}: this is no record of a trace ({error}).") from error
    if not records or not isinstance(records[0], Started):
        raise JournalError(f"{path} is no trace: it does not begin with a started run.")
    torn = f"The last line of {path} was torn ({len(rest)} bytes) and is left out." if rest else None
    return records, torn


def mend(path: Path) -> None:
    """Cut off a torn last line, so that appending starts on a new one."""
    with path.open("r+b") as file:
        data = file.read()
        file.truncate(data.rfind(b"\n") + 1)
