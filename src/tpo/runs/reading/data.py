"""From the records of a format to the rows of a run, each with its own id."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any
from unicodedata import category

from tpo.errors import InputError
from tpo.messages import QUERY_COLUMNS
from tpo.runs.reading.query import SYSTEM, canonical, query_of
from tpo.runs.reading.records import DataRecord, DataTable, Flaw, guarded, listed, readable
from tpo.runs.rows import BadRow, QueryRow


class Data:
    """The queries in some data.

    Args:
        table: the data.
        column: the column that holds the query; without it the usual names are looked for.

    Raises:
        InputError: the data cannot be read, has no rows, or has no column with queries.
    """

    def __init__(self, table: DataTable, column: str | None) -> None:
        self.name = table.name
        self._table = table
        self._column = column
        self._check()

    def rows(self) -> Iterator[QueryRow | BadRow]:
        """All rows from the start, the same each time.

        Raises:
            InputError: the data cannot be read any further.
        """
        ids = Ids()
        for number, record in enumerate(self._records()):
            yield self._row(number, record, ids)

    def _records(self) -> Iterator[DataRecord | Flaw]:
        queries = QUERY_COLUMNS if self._column is None else (self._column,)
        return guarded(self.name, self._table.records({*queries, *ID_COLUMNS, SYSTEM}))

    def _row(self, number: int, record: DataRecord | Flaw, ids: Ids) -> QueryRow | BadRow:
        if isinstance(record, Flaw):
            return BadRow(number, record.where, record.reason)
        try:
            messages = query_of(record.fields, self._column)
            content = canonical(messages)
            return QueryRow(number, record.where, ids.given(record.fields) or ids.made(content), messages)
        except InputError as error:
            return BadRow(number, record.where, str(error))

    def _check(self) -> None:
        with readable(self.name):
            columns = self._table.columns()
        # Without columns no row near the start is readable: each of them becomes a BadRow with its reason.
        if columns:
            self._check_columns(columns)
        if next(self._records(), None) is None:
            raise InputError(f"{self.name} has no rows: at least one query is needed.")

    def _check_columns(self, columns: list[str]) -> None:
        if self._column is not None and self._column not in columns:
            raise InputError(f"{self.name} has no column {self._column!r}; it has {listed(columns)}.")
        if self._column is None and not set(QUERY_COLUMNS) & set(columns):
            raise InputError(
                f"{self.name} has no column known to hold a query ({', '.join(QUERY_COLUMNS)}); it has "
                f"{listed(columns)}. Name the one that does with --column."
            )


# The first of these that a row has holds its id.
ID_COLUMNS = ("id", "uid", "prompt_id", "question_id", "idx")

_LONGEST = 200
# Control characters and line breaks, which spoil a log, and halves of characters, which cannot be written at all.
_UNFIT = ("Cc", "Cs", "Zl", "Zp")


class Ids:
    """Names the rows of one pass over the data, each differently."""

    def __init__(self) -> None:
        # Hashes of 60 bits, not the ids: a million rows then cost what their ids alone would.
        self._taken: set[int] = set()
        self._repeats: dict[str, int] = {}

    def given(self, fields: Mapping[str, Any]) -> str | None:
        """Take the row's own id; None where it has none.

        Raises:
            InputError: it cannot be used, or another row has it.
        """
        for column in ID_COLUMNS:
            if (name := _id_text(column, fields.get(column))) is not None:
                if not self._take(name):
                    raise InputError(
                        f"The id {name!r} belongs to another row as well: give each row its own, or rename the "
                        f"column {column!r}."
                    )
                return name
        return None

    def made(self, canonical: bytes) -> str:
        """An id made from a query; the same query again gets -2, -3, …"""
        base = blake2b(canonical, digest_size=8).hexdigest()
        name = base
        while not self._take(name):
            count = self._repeats.get(base, 1) + 1
            self._repeats[base] = count
            name = f"{base}-{count}"
        return name

    def _take(self, name: str) -> bool:
        key = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big") >> 4
        if key in self._taken:
            return False
        self._taken.add(key)
        return True


def _id_text(column: str, value: Any) -> str | None:
    if isinstance(value, float):
        if math.isnan(value):  # what pandas writes for a missing value
            return None
        if value.is_integer():  # a column of whole numbers with gaps, as pandas keeps it
            value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise InputError(f"The id in the column {column!r} is a {type(value).__name__}: text or a whole number is due.")
    if len(value) > _LONGEST:
        raise InputError(f"The id in the column {column!r} has {len(value)} characters: {_LONGEST} at most are due.")
    if not value.strip() or any(category(character) in _UNFIT for character in value):
        raise InputError(f"The id in the column {column!r} is {value!r}: a line of readable text is due.")
    return value
