"""The files of an evaluation's table: Markdown, LaTeX, HTML (`tpo.tables`), and CSV with every number."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

from tpo.evals.evaluation import Evaluation
from tpo.evals.table import table_of
from tpo.runs.directory import replace
from tpo.stats import Estimate
from tpo.tables import Table, latex, markdown, web

CSV_FIELDS = (
    *("benchmark", "column", "unit", "method", "width", "depth", "answered", "failed", "value", "low", "high"),
    *("difference", "difference_low", "difference_high", "p", "missing", "unread"),
    *("calls_per_query", "prompt_tokens_per_query", "completion_tokens_per_query", "seconds_per_query"),
    "flops_per_query",
)


def comma_separated(evaluation: Evaluation) -> str:
    """As CSV for programs: a line for each number of each method, details included."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(CSV_FIELDS)
    for task in evaluation.tasks:
        for method in evaluation.methods:
            cell = evaluation.cell(task.name, method.label)
            cost = cell.cost
            spent = (
                (cost.calls, cost.prompt_tokens, cost.completion_tokens, cost.seconds, cost.flops)
                if cost is not None
                else (None,) * 5
            )
            for column in task.columns:
                name = column.name
                writer.writerow(
                    [
                        *(task.name, name, column.unit, method.label, method.width, method.depth),
                        *(cell.answered, cell.failed, *_three(cell.numbers.get(name))),
                        *(*_three(cell.against_plain.get(name)), cell.p_values.get(name)),
                        *(cell.missing.get(name), cell.unread.get(name, 0)),
                        *spent,
                    ]
                )
    return file.getvalue()


# What a user calls a format, and the file that it has in the directory.
FORMATS: dict[str, tuple[str, Callable[[Evaluation, Table], str]]] = {
    "markdown": ("table.md", lambda evaluation, table: markdown(table)),
    "csv": ("table.csv", lambda evaluation, table: comma_separated(evaluation)),
    "latex": ("table.tex", lambda evaluation, table: latex(table)),
    "html": ("table.html", lambda evaluation, table: web(table)),
}


def write_tables(evaluation: Evaluation, out: Path, *, details: bool = False) -> None:
    """Write the table in all formats.

    Args:
        evaluation: what was found.
        out: the evaluation's directory.
        details: as in `table_of`.

    Raises:
        JournalError: the disk does not take it.
    """
    table = table_of(evaluation, details=details)
    for file, render in FORMATS.values():
        replace(out / file, render(evaluation, table).encode())


def _three(number: Estimate | None) -> tuple[float | None, float | None, float | None]:
    return (None, None, None) if number is None else (number.value, number.low, number.high)
