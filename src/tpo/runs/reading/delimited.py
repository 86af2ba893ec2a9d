"""Tables of text: CSV and TSV."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tpo.errors import InputError
from tpo.runs.reading.opening import opened
from tpo.runs.reading.records import Flaw, Record, listed

# The csv module stops at 131,072 characters a field unless told otherwise; a long document is longer.
_LONGEST_FIELD = 1 << 28


class Delimited:
    """A file of delimited text whose first line names the columns.

    Args:
        path: the file.
        name: what users know it by.
        delimiter: what stands between fields; without it a comma, or the semicolon that spreadsheets
            write where the comma is the decimal sign.
    """

    def __init__(self, path: Path, name: str, delimiter: str | None = None) -> None:
        self.name = name
        self._path = path
        self._label = Path(name).name
        self._delimiter = delimiter

    def columns(self) -> list[str]:
        with self._reader() as reader:
            return self._header(reader)

    def records(self, wanted: Collection[str]) -> Iterator[Record | Flaw]:
        with self._reader() as reader:
            header = self._header(reader)
            while True:
                start = reader.line_num + 1
                where = f"{self._label}, line {start}"
                try:
                    fields = next(reader, None)
                except csv.Error as error:
                    if reader.line_num > start:  # a stray quote has swallowed lines, which may be any number of rows
                        raise InputError(
                            f"{where}: a quote is opened that is not closed, or not before the comma or the end of "
                            f"a line, so the rows up to line {reader.line_num} cannot be told apart: mend it."
                        ) from error
                    yield Flaw(where, f"The fields cannot be told apart ({error}): write a quote inside one as two.")
                    continue
                if fields is None:
                    return
                if fields:
                    yield self._record(where, header, fields)

    def _record(self, where: str, header: list[str], fields: list[str]) -> Record | Flaw:
        if len(fields) != len(header):
            return Flaw(
                where,
                f"The row has {len(fields)} fields where the header has {len(header)}: put a text that holds "
                "a delimiter or a line break in quotes.",
            )
        return Record(where, dict(zip(header, fields, strict=True)))

    @contextmanager
    def _reader(self) -> Iterator[Any]:
        csv.field_size_limit(_LONGEST_FIELD)
        delimiter = self._delimiter or self._found()
        with opened(self._path) as file:
            # A byte that is no UTF-8 becomes a lone surrogate, and only the row that holds it is bad.
            text = io.TextIOWrapper(file, "utf-8", errors="surrogateescape", newline="")
            yield csv.reader(text, delimiter=delimiter, strict=True)

    def _found(self) -> str:
        with opened(self._path) as file:
            first = file.readline()
        return ";" if b";" in first and b"," not in first else ","

    def _header(self, reader: Iterator[list[str]]) -> list[str]:
        try:
            header = next((fields for fields in reader if any(map(str.strip, fields))), [])
        except csv.Error as error:
            raise InputError(f"The first line of {self.name} names no columns: {error}.") from error
        names = [name.strip() for name in header]
        twice = [name for name, count in Counter(names).items() if name and count > 1]
        if twice:
            raise InputError(f"{self.name} has more than one column called {listed(twice)}: rename one.")
        return names
