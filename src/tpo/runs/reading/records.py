"""What every format yields: records by column, before anyone asks what the query in them is."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

from tpo.errors import InputError


class Record(NamedTuple):
    """The columns of one row, and where the row stands."""

    where: str
    fields: Mapping[str, Any]


class Flaw(NamedTuple):
    """A row that the format itself cannot read, and why."""

    where: str
    reason: str


class Table(Protocol):
    """Data in one format.

    Attributes:
        name: what users know it by.
    """

    name: str

    def columns(self) -> list[str]:
        """The columns that there are; empty where no row that can be read tells."""
        ...

    def records(self, wanted: Collection[str]) -> Iterator[Record | Flaw]:
        """All rows from the start; columns that are not wanted may be left out."""
        ...


def listed(names: Collection[str]) -> str:
    """Names for a message: a few of them, each cut short, since a file without a header has texts for names."""
    shown = [repr(name if len(name) <= 40 else f"{name[:40]}…") for name in list(names)[:12]]
    return ", ".join(shown) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


@contextmanager
def readable(name: str) -> Iterator[None]:
    """A block that reads some data.

    Raises:
        InputError: the data cannot be read, or ends too early.
    """
    try:
        yield
    except (EOFError, zlib.error) as error:
        raise InputError(f"{name} is damaged or cut off ({error}): copy or download it again.") from error
    except OSError as error:
        raise InputError(f"{name} cannot be read: {error.strerror or error}.") from error


def guarded(name: str, records: Iterator[Record | Flaw]) -> Iterator[Record | Flaw]:
    """The records; what goes wrong in reading them, and in nothing else, is told as one line.

    Raises:
        InputError: the data cannot be read, or ends too early.
    """
    while True:
        with readable(name):
            record = next(records, None)
        if record is None:
            return
        yield record
