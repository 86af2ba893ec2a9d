"""Which of a benchmark's columns an experiment compares by: it calls no judge, so none that needs one."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from tpo.errors import InputError
from tpo.evals.benchmarks.protocol import Benchmark, Column, Graders, Response, Row
from tpo.experiments.outcomes import QueryOutcome


async def columns_of(benchmark: Benchmark, rows: Sequence[Row]) -> list[Column]:
    """A benchmark's columns, the one that an experiment compares by first: the first that needs no judge.

    Raises:
        InputError: all of them need one.
    """
    found: set[str] = set()
    for row in rows:
        found |= (await benchmark.grade(row, Response("Yes.", 0.0), Graders())).values.keys()
        if benchmark.columns[0].name in found:
            break
    return _main_first(benchmark, found)


def columns_in(benchmark: Benchmark, outcomes: Iterable[QueryOutcome]) -> list[Column]:
    """The same, for outcomes that were graded before.

    Raises:
        InputError: they have no grade by a column of the benchmark.
    """
    return _main_first(benchmark, {name for one in outcomes for name in one.values})


def _main_first(benchmark: Benchmark, found: Collection[str]) -> list[Column]:
    main = next((column for column in benchmark.columns if column.main and column.name in found), None)
    if main is None:
        raise InputError(
            f"The benchmark {benchmark.name} is graded by a judge, which an experiment does not call: use `tpo eval "
            f"{benchmark.name}`, or give the queries as data without a benchmark, to compare rewards."
        )
    return [main, *(column for column in benchmark.columns if column is not main)]
