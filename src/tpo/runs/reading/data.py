"""From the records of a format to the rows of a run."""

from __future__ import annotations

from collections.abc import Iterator

from tpo.errors import InputError
from tpo.messages import QUERY_COLUMNS
from tpo.runs.reading.ids import ID_COLUMNS, Ids
from tpo.runs.reading.query import SYSTEM, canonical, query_of
from tpo.runs.reading.records import Flaw, Record, Table, guarded, listed, readable
from tpo.runs.rows import BadRow, Row


class Data:
    """The queries in some data.

    Args:
        table: the data.
        column: the column that holds the query; without it the usual names are looked for.

    Raises:
        InputError: the data cannot be read, has no rows, or has no column with queries.
    """

    def __init__(self, table: Table, column: str | None) -> None:
        self.name = table.name
        self._table = table
        self._column = column
        self._check()

    def rows(self) -> Iterator[Row | BadRow]:
        """All rows from the start, the same each time.

        Raises:
            InputError: the data cannot be read any further.
        """
        ids = Ids()
        for number, record in enumerate(self._records()):
            yield self._row(number, record, ids)

    def _records(self) -> Iterator[Record | Flaw]:
        queries = QUERY_COLUMNS if self._column is None else (self._column,)
        return guarded(self.name, self._table.records({*queries, *ID_COLUMNS, SYSTEM}))

    def _row(self, number: int, record: Record | Flaw, ids: Ids) -> Row | BadRow:
        if isinstance(record, Flaw):
            return BadRow(number, record.where, record.reason)
        try:
            messages = query_of(record.fields, self._column)
            content = canonical(messages)
            return Row(number, record.where, ids.given(record.fields) or ids.made(content), messages)
        except InputError as error:
            return BadRow(number, record.where, str(error))

    def _check(self) -> None:
        with readable(self.name):
            columns = self._table.columns()
        # Without columns no row near the start can be read: each says why when its turn comes.
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
