"""Writes exported rows: JSON Lines to a file or a stream, or a Parquet file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec

from tpo.errors import InputError
from tpo.options import ExportFormat, ExportOptions
from tpo.runs.directory import ANSWERS, CLOCK, IDENTITY, JOURNAL, LOCK, STDIN, SUMMARY
from tpo.runs.parquet import ROWS, require_parquet

PARQUET = ".parquet"
_OWN = (IDENTITY, JOURNAL, ANSWERS, SUMMARY, LOCK, CLOCK, STDIN, "answers.parquet")


def write_stream(rows: Iterable[dict[str, Any]], stream: IO[bytes]) -> None:
    """Write rows as JSON, one a line.

    Raises:
        BrokenPipeError: the reader left.
        InputError: standard output cannot be written.
    """
    for row in rows:
        with _explained():
            stream.write(msgspec.json.encode(row) + b"\n")
    with _explained():
        stream.flush()


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise InputError(f"Standard output cannot be written: {error.strerror or error}.") from error


def write_file(rows: Iterator[dict[str, Any]], path: Path, options: ExportOptions, run: Path) -> None:
    """Write rows to a file, which is there only when it is whole.

    Args:
        rows: the rows.
        path: the file; Parquet if it ends in .parquet, else JSON Lines.
        options: what is exported, for the columns.
        run: the run's directory, whose own files are never written over.

    Raises:
        InputError: the file cannot be written, or is the run's own, or pyarrow is not installed.
    """
    if path.name in _OWN and path.parent.resolve() == run.resolve():
        raise InputError(f"{path} is a file of the run itself: name another --out.")
    beside = path.with_name(f"{path.name}.new")
    try:
        if path.is_dir():
            raise InputError(f"{path} is a directory: name a file.")
        if path.suffix.lower() == PARQUET:
            _write_parquet(rows, beside, options)
        else:
            with beside.open("wb") as file:
                for row in rows:
                    file.write(msgspec.json.encode(row) + b"\n")
        beside.replace(path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def _write_parquet(rows: Iterator[dict[str, Any]], path: Path, options: ExportOptions) -> None:
    pyarrow = require_parquet()
    message = pyarrow.struct([("role", pyarrow.string()), ("content", pyarrow.string())])
    kinds = {
        "text": pyarrow.string(),
        "number": pyarrow.float64(),
        "truth": pyarrow.bool_(),
        "messages": pyarrow.list_(message),
    }
    schema = pyarrow.schema([(column.name, kinds[column.kind]) for column in columns(options)])
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        while part := list(islice(rows, ROWS)):
            writer.write_batch(pyarrow.RecordBatch.from_pylist(part, schema=schema))


class ExportColumn(NamedTuple):
    """A column of a table."""

    name: str
    kind: str


def columns(options: ExportOptions) -> list[ExportColumn]:
    """The columns of the rows, and what each holds: text, messages, number or truth."""
    content = "text" if options.plain else "messages"
    rest = {
        ExportFormat.DPO: [
            ("chosen", content),
            ("rejected", content),
            ("score_chosen", "number"),
            ("score_rejected", "number"),
        ],
        ExportFormat.SFT: [("completion", content), ("score", "number")],
        ExportFormat.KTO: [("completion", content), ("label", "truth"), ("score", "number")],
    }[options.format]
    return [ExportColumn("id", "text"), ExportColumn("prompt", content), *(ExportColumn(*column) for column in rest)]
