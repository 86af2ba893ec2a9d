"""Records by column: what every format yields, before the query in them is looked for."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

from tpo.errors import InputError


class DataRecord(NamedTuple):
    """The columns of one row, and where the row stands."""

    where: str
    fields: Mapping[str, Any]


class Flaw(NamedTuple):
    """A row that the format itself cannot read, and why."""

    where: str
    reason: str


class DataTable(Protocol):
    """Data in one format.

    Attributes:
        name: its name for messages.
    """

    name: str

    def columns(self) -> list[str]:
        """The names of the columns; empty where no readable row shows them."""
        ...

    def records(self, wanted: Collection[str]) -> Iterator[DataRecord | Flaw]:
        """All rows from the start; columns that are not wanted may be left out."""
        ...


def listed(names: Collection[str]) -> str:
    """Names for a message: a few of them, each cut short (in a file without a header they are whole texts)."""
    shown = [repr(name if len(name) <= 40 else f"{name[:40]}…") for name in list(names)[:12]]
    return ", ".join(shown) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Run a block that reads some data.

    Raises:
        InputError: the data cannot be read, or ends too early.
    """
    try:
        yield
    except (EOFError, zlib.error) as error:
        raise InputError(f"{name} is damaged or cut off ({error}): copy or download it again.") from error
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror or error}.") from error


def guarded(name: str, records: Iterator[DataRecord | Flaw]) -> Iterator[DataRecord | Flaw]:
    """The records; an error in reading them, and no other, becomes one line.

    Raises:
        InputError: the data cannot be read, or ends too early.
    """
    while True:
        with readable(name):
            record = next(records, None)
        if record is None:
            return
        yield record


def chosen_split(name: str, splits: Collection[str], wanted: str | None) -> str:
    """The split to read: the wanted one, or else the only one.

    Args:
        name: the dataset's name for messages.
        splits: the splits of the dataset.
        wanted: the split that the user named.

    Raises:
        InputError: the dataset has no such split, or several while none was named.
    """
    if wanted is not None:
        if wanted not in splits:
            raise InputError(f"{name} has no split {wanted!r}; it has {listed(splits)}.")
        return wanted
    if len(splits) != 1:
        raise InputError(f"{name} has several splits: name one of {listed(splits)} with --split.")
    return next(iter(splits))


def kind(value: Any) -> str:
    """What a value is, for a message: in the words of JSON, else by its type in Python."""
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    names = {str: "text", list: "a list", dict: "an object", type(None): "null"}
    return names.get(type(value), f"of type {type(value).__name__}")
