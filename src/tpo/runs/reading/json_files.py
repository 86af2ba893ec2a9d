"""JSON: an object a line, or one list of objects."""

from __future__ import annotations

import io
import json
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from tpo.errors import InputError
from tpo.runs.reading.records import DataRecord, DataTable, Flaw, kind
from tpo.runs.reading.text import lines, opened, start, text

# So many rows are searched for column names: rows of JSON may differ, and the first ones may be broken.
_LOOKED_AT = 20


class JsonLines:
    """A file of JSON lines; blank lines are passed over."""

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        self._path = path
        self._label = Path(name).name

    def columns(self) -> list[str]:
        return columns_of(self.records(()))

    def records(self, wanted: Collection[str]) -> Iterator[DataRecord | Flaw]:
        for number, line in lines(self._path):
            where = f"{self._label}, line {number}"
            try:
                yield DataRecord(where, parsed(text(line)))
            except InputError as error:
                yield Flaw(where, str(error))


def parsed(line: str) -> dict[str, Any]:
    """The object that a line holds.

    Raises:
        InputError: it holds none.
    """
    # The standard parser, since Python's own writer leaves NaN in columns that nobody needs.
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(
            f"The line is no JSON ({error.msg}, character {error.pos + 1}): an object is expected."
        ) from error
    except RecursionError as error:
        raise InputError("The JSON is nested too deeply to be read.") from error
    except ValueError as error:  # a number with thousands of digits
        raise InputError(f"The JSON cannot be read: {error}.") from error
    return as_object(value)


def as_object(value: Any) -> dict[str, Any]:
    """A JSON value that must be an object.

    Raises:
        InputError: it is none.
    """
    if not isinstance(value, dict):
        raise InputError(f'The JSON is {kind(value)}, not an object such as {{"prompt": "…"}}.')
    return value


def columns_of(records: Iterator[DataRecord | Flaw]) -> list[str]:
    """The columns that the first rows have, in the order in which they come up."""
    rows = (record for record in islice(records, _LOOKED_AT) if isinstance(record, DataRecord))
    return list(dict.fromkeys(name for row in rows for name in row.fields))


_CHUNK = 1 << 16
_LONGEST = 1 << 26
_BLANK = " \t\r\n"
_DECODER = json.JSONDecoder()


def json_file(path: Path, name: str) -> DataTable:
    """A `.json` file: a list, or lines, which often carry that name too.

    Raises:
        InputError: it holds one object that is spread over lines, so no rows.
    """
    first = start(path)
    if first.startswith(b"["):
        return JsonList(path, name)
    if first.startswith(b"{"):
        try:
            parsed(text(next(line for _, line in lines(path))))
        except InputError as error:
            raise InputError(
                f"{name} holds no list of rows: a JSON list of objects, or an object a line, is expected."
            ) from error
    return JsonLines(path, name)


class JsonList:
    """A file with one JSON list of objects."""

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        self._path = path
        self._label = Path(name).name

    def columns(self) -> list[str]:
        return columns_of(self.records(()))

    def records(self, wanted: Collection[str]) -> Iterator[DataRecord | Flaw]:
        with opened(self._path) as file:
            # A byte that is no UTF-8 becomes a lone surrogate, and only the entry that holds it is bad.
            entries = _Entries(io.TextIOWrapper(file, "utf-8", errors="surrogateescape"), self.name)
            for number, value in enumerate(entries, start=1):
                where = f"{self._label}, entry {number}"
                try:
                    yield DataRecord(where, as_object(value))
                except InputError as error:
                    yield Flaw(where, str(error))


class _Entries:
    """The entries of a JSON list, decoded one at a time from a buffer that is filled as needed."""

    def __init__(self, file: io.TextIOWrapper, name: str) -> None:
        self._file = file
        self._name = name
        self._held = ""
        self._at = 0
        self._number = 0

    def __iter__(self) -> Iterator[Any]:
        self._take("[")
        if self._next() == "]":
            self._at += 1
        else:
            yield self._entry()
            while self._take(",]") == ",":
                yield self._entry()
        if self._next():
            raise InputError(f"{self._name} goes on after the end of its list: one JSON list is expected.")

    def _more(self) -> bool:
        # As much again as is held: an entry of any size is then decoded a handful of times, not once a chunk.
        rest = self._held[self._at :]
        new = self._file.read(max(_CHUNK, len(rest)))
        self._held, self._at = rest + new, 0
        return bool(new)

    def _next(self) -> str:
        """The next character that is no white space; empty at the end."""
        while True:
            while self._at < len(self._held):
                if (character := self._held[self._at]) not in _BLANK:
                    return character
                self._at += 1
            if not self._more():
                return ""

    def _take(self, expected: str) -> str:
        found = self._next()
        if not found or found not in expected:
            raise self._broken(f"{' or '.join(map(repr, expected))} is expected there")
        self._at += 1
        return found

    def _entry(self) -> Any:
        self._number += 1
        self._next()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._held, self._at)
            except RecursionError as error:
                raise self._broken("it is nested too deeply") from error
            except ValueError as error:  # broken, or not all there yet
                why = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
                if len(self._held) - self._at > _LONGEST or not self._more():
                    raise self._broken(why) from error
                continue
            if end == len(self._held) and self._more():  # a number may go on
                continue
            self._at = end
            return value

    def _broken(self, why: str) -> InputError:
        return InputError(
            f"{self._name} cannot be read at or after entry {max(self._number, 1)}: {why}. "
            "Correct it, or convert it to JSON Lines, where a bad row does not affect others."
        )
