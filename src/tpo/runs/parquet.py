"""`answers.parquet`: the answers as a table, for pandas, polars and the Hub."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from tpo.errors import InputError, JournalError
from tpo.runs.answers import Answer, read_answers

ROWS = 1024


def require_parquet() -> Any:
    """The library that writes Parquet.

    Raises:
        InputError: it is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise InputError("Parquet needs pyarrow: pip install 'tpo[datasets]'.") from error
    return pyarrow


def write_parquet(answers: Path) -> Path:
    """Write the answers of a run beside themselves as Parquet, a part at a time.

    Args:
        answers: a run's answers.jsonl.

    Returns:
        the file.

    Raises:
        InputError: pyarrow is not installed.
        JournalError: the file cannot be written.
    """
    pyarrow = require_parquet()
    schema = _schema(pyarrow)
    path = answers.with_suffix(".parquet")
    beside = path.with_name(f"{path.name}.new")
    try:
        with pyarrow.parquet.ParquetWriter(beside, schema) as writer:
            for rows in _parts(read_answers(answers)):
                writer.write_batch(pyarrow.RecordBatch.from_pylist(rows, schema=schema))
        beside.replace(path)
    except OSError as error:
        raise JournalError(f"{path} cannot be written: {error}.") from error
    return path


def _parts(answers: Iterator[Answer]) -> Iterator[list[dict[str, Any]]]:
    while part := list(islice(answers, ROWS)):
        rows = [msgspec.to_builtins(answer) for answer in part]
        for row in rows:
            # A map of roles, or of arms, has no columns of its own.
            row["usage"] = [{"role": role, **used} for role, used in row["usage"].items()]
            row["arms"] = [{"arm": arm, **used} for arm, used in row["arms"].items()]
        yield rows


def _schema(pyarrow: Any) -> Any:
    text, whole, number = pyarrow.string(), pyarrow.int64(), pyarrow.float64()
    used = {"calls": whole, "retries": whole, "prompt_tokens": whole, "cached_tokens": whole}
    used |= {"completion_tokens": whole, "seconds": number, "waited": number}
    return pyarrow.schema(
        [
            ("id", text),
            ("key", text),
            ("row", whole),
            ("answer", text),
            ("reward", number),
            ("tokens", whole),
            ("first", pyarrow.struct([("answer", text), ("reward", number), ("tokens", whole)])),
            ("steps", pyarrow.list_(pyarrow.struct([("step", whole), ("best", number), ("mean", number)]))),
            ("stop", text),
            ("usage", pyarrow.list_(pyarrow.struct([("role", text), *used.items()]))),
            ("seconds", number),
            ("error", text),
            (
                "held_out",
                pyarrow.struct([("judge", text), ("first", number), ("answer", number), ("error", text)]),
            ),
            (
                "arms",
                pyarrow.list_(pyarrow.struct([("arm", text), *used.items(), ("answers", whole), ("wins", whole)])),
            ),
        ]
    )
