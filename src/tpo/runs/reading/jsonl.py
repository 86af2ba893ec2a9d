"""JSON lines: an object a line."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from tpo.errors import InputError
from tpo.runs.reading.opening import lines, text
from tpo.runs.reading.records import Flaw, Record

# How many rows are asked for their columns: rows of JSON may differ, and the first ones may be broken.
_LOOKED_AT = 20


class JsonLines:
    """A file of JSON lines; blank lines are passed over."""

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        self._path = path
        self._label = Path(name).name

    def columns(self) -> list[str]:
        return columns_of(self.records(()))

    def records(self, wanted: Collection[str]) -> Iterator[Record | Flaw]:
        for number, line in lines(self._path):
            where = f"{self._label}, line {number}"
            try:
                yield Record(where, parsed(text(line)))
            except InputError as error:
                yield Flaw(where, str(error))


def parsed(line: str) -> dict[str, Any]:
    """The object that a line holds.

    Raises:
        InputError: it holds none.
    """
    # The standard parser, since Python's own writer leaves NaN in columns that nobody asks for.
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


def kind(value: Any) -> str:
    """What a value is, for a message: in the words of JSON, else by its type in Python."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    names = {str: "text", list: "a list", dict: "an object", type(None): "null"}
    return names.get(type(value), f"of type {type(value).__name__}")


def columns_of(records: Iterator[Record | Flaw]) -> list[str]:
    """The columns that the first rows have, in the order in which they come up."""
    rows = (record for record in islice(records, _LOOKED_AT) if isinstance(record, Record))
    return list(dict.fromkeys(name for row in rows for name in row.fields))
