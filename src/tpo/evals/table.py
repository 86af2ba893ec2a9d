"""The table of an evaluation: methods as rows, benchmarks as columns as in the paper, and what they cost beside it.

What is shown is the same in Markdown, LaTeX and HTML (`tpo.tables`): headings, texts and footnotes, made here once. CSV
has every number.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

from tpo.evals.benchmarks.protocol import Column
from tpo.evals.costs import PETA, TRAINING_LENGTH, TRAINING_SAMPLES, MeanCost
from tpo.evals.evaluation import PLAIN, Evaluation, EvaluationCell, TaskInfo
from tpo.runs.directory import replace
from tpo.stats import Estimate
from tpo.tables import (
    DASH,
    MARK,
    Footnotes,
    Part,
    Table,
    broken,
    latex,
    markdown,
    shown,
    significant,
    web,
    without_empty_columns,
)

COSTS = ("calls/query", "tokens/query", "seconds/query", "PFLOPs/query")
_Columns = Sequence[tuple[TaskInfo, Column]]


def table_of(evaluation: Evaluation, *, details: bool = False) -> Table:
    """Lay an evaluation out.

    Args:
        evaluation: what was found.
        details: show all numbers of each benchmark, and not only those of the paper's table.
    """
    notes = Footnotes()
    wanted = [(task, column) for task in evaluation.tasks for column in task.columns if details or column.main]
    labels = [method.label for method in evaluation.methods]
    measured = [(t, c) for t, c in wanted if any(c.name in evaluation.cell(t.name, label).numbers for label in labels)]
    rows = [
        [
            _method(evaluation, label),
            *(_text(evaluation.cell(task.name, label), task, column, notes) for task, column in measured),
            *_cost_texts(evaluation.costs.get(label)),
        ]
        for label in labels
    ]
    headings = ["method", *(_heading(column) for _, column in measured), *COSTS]
    results = Part("Results, with 95 % intervals, and what a query costs", headings, rows)
    costs = sum(any(row[place] != DASH for row in rows) for place in range(len(measured) + 1, len(headings)))
    groups = [(task.name, sum(one is task for one, _ in measured)) for task in evaluation.tasks]
    parts = broken(without_empty_columns(results), [*groups, ("costs", costs)])
    remarks = _remarks(evaluation) + _not_measured(evaluation, [pair for pair in wanted if pair not in measured])
    others = [label for label in labels if label != PLAIN]
    if PLAIN in labels and others and measured:
        gaps, compared = _gaps(evaluation, others, measured)
        parts += broken(gaps, groups)
        if compared:
            remarks.insert(0, _about_marks(compared))
    return Table(_title(evaluation), parts, notes.texts, remarks)


def _gaps(evaluation: Evaluation, others: Sequence[str], measured: _Columns) -> tuple[Part, int]:
    """The differences from the plain policy, and how many of them were tested."""
    cells = [(evaluation.cell(task.name, label), column) for label in others for task, column in measured]
    p_values = [cell.p_values.get(column.name) for cell, column in cells]
    texts = iter(
        _gap(cell, column) + (MARK if marked else "")
        for (cell, column), marked in zip(cells, significant(p_values), strict=True)
    )
    rows = [[label, *(next(texts) for _ in measured)] for label in others]
    caption = f"Difference from {PLAIN} (the plain policy), paired by query, with 95 % intervals"
    headings = ["method", *(_heading(column) for _, column in measured)]
    return Part(caption, headings, rows), sum(p is not None for p in p_values)


def _about_marks(compared: int) -> str:
    over = f", corrected by Holm for {compared} comparisons" if compared > 1 else ""
    return f"A star marks p < 0.05{over}: McNemar's exact test where a query counts 0 or 1, else random sign flips."


def _digits(column: Column) -> int:
    return {"%": 1, "characters": 0, "1-10": 2}.get(column.unit, 3)


def _heading(column: Column) -> str:
    return f"{column.title} ({column.unit})" if column.unit != "%" else column.title


def _method(evaluation: Evaluation, label: str) -> str:
    method = next(method for method in evaluation.methods if method.label == label)
    dials = {"tpo": f"D{method.depth}-N{method.width}", "revision": f"D{method.depth}-N{method.width}"}
    shown = dials.get(method.method, f"N{method.width}" if method.method == "best-of-n" else "")
    return f"{label} {shown}".strip() if label == method.method else label


def _text(cell: EvaluationCell, task: TaskInfo, column: Column, notes: Footnotes) -> str:
    number = cell.numbers.get(column.name)
    if number is None:
        return f"{DASH} {notes.mark(f'{column.title} {_missing(cell, column)}')}"
    text = shown(number, _digits(column))
    left_out = cell.unread.get(column.name, 0)
    if left_out:
        of = f"{column.title}, {cell.method}: {left_out} of {cell.answered}"
        text += f" {notes.mark('responses that could not be graded are left out', of)}"
    if cell.failed:
        of = f"{task.name}, {cell.method}: {cell.failed} of {cell.answered + cell.failed} queries failed"
        text += f" {notes.mark('queries that failed are left out', of)}"
    if number.low is None:
        text += f" {notes.mark('one query has no interval')}"
    return text


def _missing(cell: EvaluationCell, column: Column) -> str:
    return cell.missing.get(column.name, "was not measured")


def _not_measured(evaluation: Evaluation, columns: _Columns) -> list[str]:
    """The columns that no method has a number in, with the reasons; each reason once."""
    why: dict[str, list[str]] = {}
    for task, column in columns:
        reasons = [_missing(evaluation.cell(task.name, method.label), column) for method in evaluation.methods]
        titles = why.setdefault(reasons[0], [])
        if column.title not in titles:
            titles.append(column.title)
    remarks = [f"Not shown: {', '.join(titles)} {reason}." for reason, titles in why.items()]
    unknown = sorted({role for cost in evaluation.costs.values() for role in cost.unknown})
    if unknown:
        roles = " and ".join(f"--parameters {role}=COUNT" for role in unknown)
        remarks.append(f"FLOPs need the number of parameters: {roles}.")
    return remarks


def _gap(cell: EvaluationCell, column: Column) -> str:
    number: Estimate | None = cell.against_plain.get(column.name)
    return DASH if number is None else shown(number, _digits(column), signed=True)


def _cost_texts(cost: MeanCost | None) -> list[str]:
    if cost is None:
        return [DASH] * len(COSTS)
    flops = f"{cost.flops / PETA:.3g}" if cost.flops is not None else DASH
    return [f"{cost.calls:.1f}", f"{cost.tokens:.0f}", f"{cost.seconds:.1f}", flops]


def _title(evaluation: Evaluation) -> str:
    reward = f", steered by {evaluation.reward}" if evaluation.reward else ""
    return f"{evaluation.policy}{reward}"


def _remarks(evaluation: Evaluation) -> list[str]:
    counts = ", ".join(f"{task.name} {task.queries}" for task in evaluation.tasks)
    drawn = (
        f" (at most {evaluation.limit} of each, drawn with seed {evaluation.subset_seed})" if evaluation.limit else ""
    )
    remarks = [f"Queries: {counts}{drawn}."]
    if evaluation.judge is not None:
        judge = evaluation.judge
        tokens = judge.prompt_tokens + judge.completion_tokens
        remarks.append(f"Judge: {judge.model}, {judge.questions} questions, {tokens} tokens, not in the costs above.")
    if evaluation.held_out is not None:
        remarks.append(f"Held-out reward: {evaluation.held_out}.")
    if evaluation.against is not None:
        remarks.append(f"Win rates are against the answers of {evaluation.against}, not the published baseline's.")
    if PLAIN not in [method.label for method in evaluation.methods]:
        remarks.append(f"Nothing is compared with the plain policy: add --method {PLAIN}.")
    remarks.append(
        "Seconds are those of a query among others that ran at the same time. FLOPs are 2 for each parameter and token "
        "of all roles; attention is not counted."
    )
    training = evaluation.training
    if training is not None:
        even = ", ".join(f"{label} {count:,.0f}" for label, count in training.queries.items() if label != PLAIN)
        even = f"; as much as so many queries: {even}" if even else ""
        remarks.append(
            f"Training instead: DPO on {TRAINING_SAMPLES:,} samples of {TRAINING_LENGTH:,} tokens, as in the paper, "
            f"takes {training.flops / PETA:,.4g} PFLOPs for {training.parameters / 1e9:g} billion "
            f"parameters{even}."
        )
    return remarks


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
