"""Files of text, compressed with gzip or not: plain prompts, CSV and TSV."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from tpo.errors import InputError
from tpo.runs.reading.records import DataRecord, Flaw, listed

_GZIP = b"\x1f\x8b"


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of a file after its byte order mark; gzip is recognised by its first bytes and unpacked.

    Raises:
        InputError: the file is UTF-16.
    """
    with path.open("rb") as raw:
        # BufferedReader.peek may return fewer bytes than requested, but some before the end.
        file = cast("IO[bytes]", gzip.GzipFile(fileobj=raw)) if raw.peek(2).startswith(_GZIP) else raw
        with file:
            start = file.read(3)
            if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                raise InputError(f"{path} is UTF-16: save it as UTF-8.")
            file.seek(3 if start == codecs.BOM_UTF8 else 0)
            yield file


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a file that are not blank, without their ends, each with its number from 1."""
    with opened(path) as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, line.rstrip(b"\r\n")


def start(path: Path) -> bytes:
    """The first of what is in a file after any white space."""
    with opened(path) as file:
        return file.read(1 << 16).lstrip()


def text(line: bytes) -> str:
    """A line as text.

    Raises:
        InputError: it is not UTF-8.
    """
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"The line is not UTF-8 (byte {error.start} of it): save the file as UTF-8.") from error


COLUMN = "prompt"


class PlainText:
    """A file of prompts; blank lines are passed over."""

    def __init__(self, path: Path, name: str) -> None:
        self.name = name
        self._path = path
        self._label = Path(name).name

    def columns(self) -> list[str]:
        return [COLUMN]

    def records(self, wanted: Collection[str]) -> Iterator[DataRecord | Flaw]:
        for number, line in lines(self._path):
            where = f"{self._label}, line {number}"
            try:
                yield DataRecord(where, {COLUMN: text(line)})
            except InputError as error:
                yield Flaw(where, str(error))


# By default the csv module stops at 131,072 characters a field; a long document is longer.
_LONGEST_FIELD = 1 << 28


class Delimited:
    """A file of delimited text whose first line names the columns.

    Args:
        path: the file.
        name: its name for messages.
        delimiter: what separates fields; by default a comma, or the semicolon that spreadsheets write where the comma
            is the decimal sign.
    """

    def __init__(self, path: Path, name: str, delimiter: str | None = None) -> None:
        self.name = name
        self._path = path
        self._label = Path(name).name
        self._delimiter = delimiter

    def columns(self) -> list[str]:
        with self._reader() as reader:
            return self._header(reader)

    def records(self, wanted: Collection[str]) -> Iterator[DataRecord | Flaw]:
        with self._reader() as reader:
            header = self._header(reader)
            while True:
                start = reader.line_num + 1
                where = f"{self._label}, line {start}"
                try:
                    fields = next(reader, None)
                except csv.Error as error:
                    if reader.line_num > start:  # a stray quote swallowed lines, which may be any number of rows
                        raise InputError(
                            f"{where}: a quote is opened that is not closed, or not before the comma or the end of "
                            f"a line, so the rows up to line {reader.line_num} cannot be separated: correct it."
                        ) from error
                    yield Flaw(where, f"The fields cannot be separated ({error}): write a quote inside one as two.")
                    continue
                if fields is None:
                    return
                if fields:
                    yield self._record(where, header, fields)

    def _record(self, where: str, header: list[str], fields: list[str]) -> DataRecord | Flaw:
        if len(fields) != len(header):
            return Flaw(
                where,
                f"The row has {len(fields)} fields where the header has {len(header)}: put a text that holds "
                "a delimiter or a line break in quotes.",
            )
        return DataRecord(where, dict(zip(header, fields, strict=True)))

    @contextmanager
    def _reader(self) -> Iterator[Any]:
        csv.field_size_limit(_LONGEST_FIELD)
        delimiter = self._delimiter or self._detected()
        with opened(self._path) as file:
            # A byte that is no UTF-8 becomes a lone surrogate, and only the row that holds it is bad.
            text = io.TextIOWrapper(file, "utf-8", errors="surrogateescape", newline="")
            yield csv.reader(text, delimiter=delimiter, strict=True)

    def _detected(self) -> str:
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
