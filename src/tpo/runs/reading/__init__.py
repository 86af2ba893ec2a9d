"""Reading datasets of queries, in any format: a row at a time, from the start as often as needed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from tpo.runs.reading.data import Data
from tpo.runs.reading.formats import table_of
from tpo.runs.rows import BadRow, QueryRow

__all__ = ["QuerySource", "open_data"]


class QuerySource(Protocol):
    """Data with a query in each row.

    Attributes:
        name: its name for messages.
    """

    name: str

    def rows(self) -> Iterator[QueryRow | BadRow]:
        """All rows from the start, read lazily, the same each time.

        Raises:
            InputError: the data cannot be read any further.
        """
        ...


def open_data(
    spec: str, *, column: str | None = None, split: str | None = None, spool: Path | None = None
) -> QuerySource:
    """Open data by its name.

    Args:
        spec: a file, a folder, `-` for standard input, or a dataset of the Hub: `org/name` or `org/name:config`.
        column: the column that holds the query; by default one of the usual names.
        split: the split of a dataset that has several.
        spool: the file in which standard input is kept.

    Raises:
        InputError: there is no such data, it cannot be read, or it holds no queries.
    """
    return Data(table_of(spec, split, spool), column)
