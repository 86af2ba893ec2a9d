"""The queries of an experiment: read from a benchmark or a file, split by hash, written down for the runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tpo.errors import InputError
from tpo.evals.benchmarks.known import find_benchmark
from tpo.evals.benchmarks.protocol import Benchmark, Row
from tpo.evals.data import Source
from tpo.experiments.definition import Experiment, Queries, rank_of
from tpo.messages import QUERY_COLUMNS, Conversation
from tpo.runs.directory import replace
from tpo.runs.reading.data import SYSTEM, Data
from tpo.runs.reading.formats import table_of
from tpo.runs.reading.records import Flaw, guarded
from tpo.runs.rows import BadRow


def benchmark_of(experiment: Experiment) -> Benchmark | None:
    """The benchmark that grades the answers; None for data with a reward alone.

    Raises:
        InputError: there is no such benchmark.
    """
    name = experiment.queries.benchmark
    return None if name is None else find_benchmark(name, _source(experiment))


def all_rows(experiment: Experiment, benchmark: Benchmark | None) -> list[Row]:
    """All queries that there are, before any split.

    Raises:
        InputError: the data is not there, or cannot be used.
    """
    if benchmark is not None:
        return benchmark.rows(_source(experiment))
    assert experiment.data is not None
    table, column = table_of(experiment.data, None, None), experiment.queries.column
    records = guarded(table.name, table.records(set(table.columns())))
    rows = []
    for row, record in zip(Data(table, column).rows(), records, strict=True):
        if isinstance(row, BadRow):
            raise InputError(f"{row.where} holds no query: {row.reason}")
        rows.append(Row(row.id, row.messages, {} if isinstance(record, Flaw) else _beside_query(record.fields, column)))
    return rows


def _beside_query(fields: Mapping[str, Any], column: str | None) -> dict[str, Any]:
    """The other columns of a row, which a verifier may compare answers with."""
    query = column or next((name for name in QUERY_COLUMNS if name in fields), None)
    return {name: value for name, value in fields.items() if name not in (query, SYSTEM) and _is_json(value)}


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)  # msgspec would write a picture's bytes as text
        msgspec.json.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return False
    return True


def chosen_rows(rows: Sequence[Row], queries: Queries) -> list[Row]:
    """The queries of the experiment.

    Raises:
        InputError: the split or the part of it is empty.
    """
    if queries.split != "all":
        ranked = sorted(rows, key=lambda row: rank_of(queries.salt, row.id))
        rows = ranked[: queries.held_out] if queries.split == "held-out" else ranked[queries.held_out :]
    end = None if queries.limit is None else queries.start + queries.limit
    part = list(rows[queries.start : end])
    if not part:
        raise InputError(f"The part {queries.split} from query {queries.start} on holds none of {len(rows)} queries.")
    return part


def write_rows(rows: Sequence[Row], path: Path) -> None:
    """Write queries as JSON Lines, each with what its grade needs, so that a reward can read that too.

    Raises:
        InputError: the folder cannot be written, or the file holds queries that are not among these.
    """
    lines = [msgspec.json.encode({**row.metadata, "id": row.id, "messages": row.messages}) + b"\n" for row in rows]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        before = set(path.read_bytes().splitlines(keepends=True)) if path.exists() else set()
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}. Name another --out.") from error
    if before - set(lines):
        raise InputError(
            f"{path.parent} holds an experiment with other queries: name another --out, or give [queries] as it was "
            f"(a larger limit may follow a smaller one)."
        )
    replace(path, b"".join(lines))


def digest_of(messages: Conversation) -> str:
    """A hash of a query, by which runs over different files are paired."""
    return hashlib.blake2b(msgspec.json.encode(messages, order="sorted"), digest_size=8).hexdigest()


def _source(experiment: Experiment) -> Source:
    return Source([] if experiment.data is None else [experiment.data])
