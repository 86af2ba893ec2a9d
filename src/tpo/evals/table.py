"""The table of an evaluation: methods as rows, benchmarks as columns as in the paper, and what they cost beside it.

What is shown is the same in all formats (`tpo.evals.formats`): headings, texts and footnotes, made here once.
"""

from __future__ import annotations

from typing import NamedTuple

from tpo.evals.benchmarks.protocol import Column
from tpo.evals.costs import PETA, TRAINING_LENGTH, TRAINING_SAMPLES, MeanCost
from tpo.evals.evaluation import PLAIN, Cell, Evaluation
from tpo.stats import Estimate, fixed

DASH = "–"


class Part(NamedTuple):
    """A table with a caption; the first column names the method."""

    caption: str
    headings: list[str]
    rows: list[list[str]]


class Table(NamedTuple):
    """Everything that is shown.

    Attributes:
        title: a line above it.
        parts: the results, and the differences from the plain policy where these can be computed.
        footnotes: what the numbers in brackets behind cells mean.
        remarks: what holds for all of it.
    """

    title: str
    parts: list[Part]
    footnotes: list[str]
    remarks: list[str]


class _Notes:
    """Footnotes, each text once."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def mark(self, text: str) -> str:
        if text not in self.texts:
            self.texts.append(text)
        return f"({self.texts.index(text) + 1})"


def table_of(evaluation: Evaluation, *, details: bool = False) -> Table:
    """Lay an evaluation out.

    Args:
        evaluation: what was found.
        details: show all numbers of each benchmark, and not only those of the paper's table.
    """
    notes = _Notes()
    shown = [(task, column) for task in evaluation.tasks for column in task.columns if details or column.main]
    labels = [method.label for method in evaluation.methods]
    rows = []
    for label in labels:
        cells = [_text(evaluation.cell(task.name, label), column, notes) for task, column in shown]
        rows.append([_method(evaluation, label), *cells, *_cost_texts(evaluation.costs.get(label), notes)])
    headings = ["method", *(_heading(evaluation, column) for _, column in shown), *COST_HEADINGS]
    parts = [Part("Results, with 95 % intervals, and what a query costs", headings, rows)]
    others = [label for label in labels if label != PLAIN]
    if PLAIN in labels and others:
        gaps = [
            [label, *(_gap(evaluation.cell(task.name, label), column) for task, column in shown)] for label in others
        ]
        caption = f"Difference from {PLAIN} (the plain policy), paired by query, with 95 % intervals"
        parts.append(Part(caption, ["method", *(_heading(evaluation, column) for _, column in shown)], gaps))
    return Table(_title(evaluation), parts, notes.texts, _remarks(evaluation))


COST_HEADINGS = ("calls/query", "tokens/query", "seconds/query", "PFLOPs/query")


def shown_number(number: Estimate, column: Column, *, signed: bool = False) -> str:
    """A number with its interval, in as many digits as its unit deserves.

    Args:
        number: the number.
        column: whose it is.
        signed: write a plus before what is above zero.
    """
    digits = {"%": 1, "characters": 0, "1-10": 2}.get(column.unit, 3)
    value, low, high = (
        None if part is None else fixed(part, digits) for part in (number.value, number.low, number.high)
    )
    if signed:
        value, low, high = (part if part is None or float(part) <= 0 else f"+{part}" for part in (value, low, high))
    return f"{value} [{low}, {high}]" if low is not None else f"{value}"


def _heading(evaluation: Evaluation, column: Column) -> str:
    return f"{column.title} ({column.unit})" if column.unit != "%" else column.title


def _method(evaluation: Evaluation, label: str) -> str:
    method = next(method for method in evaluation.methods if method.label == label)
    dials = {"tpo": f"D{method.depth}-N{method.width}", "revision": f"D{method.depth}-N{method.width}"}
    shown = dials.get(method.method, f"N{method.width}" if method.method == "best-of-n" else "")
    return f"{label} {shown}".strip() if label == method.method else label


def _text(cell: Cell, column: Column, notes: _Notes) -> str:
    number = cell.numbers.get(column.name)
    if number is None:
        why = cell.missing.get(column.name, "was not measured")
        return f"{DASH} {notes.mark(f'{column.title} {why}')}"
    text = shown_number(number, column)
    left_out = cell.unread.get(column.name, 0)
    if left_out:
        what = f"{column.title}, {cell.method}: {left_out} of {cell.answered} responses could not be graded; left out"
        text += f" {notes.mark(what)}"
    if cell.failed:
        what = f"{cell.task}, {cell.method}: {cell.failed} of {cell.answered + cell.failed} queries failed; left out"
        text += f" {notes.mark(what)}"
    if number.low is None:
        text += f" {notes.mark('one query has no interval')}"
    return text


def _gap(cell: Cell, column: Column) -> str:
    number = cell.against_plain.get(column.name)
    return DASH if number is None else shown_number(number, column, signed=True)


def _cost_texts(cost: MeanCost | None, notes: _Notes) -> list[str]:
    if cost is None:
        return [DASH] * len(COST_HEADINGS)
    flops = f"{cost.flops / PETA:.3g}" if cost.flops is not None else None
    if flops is None:
        roles = " and ".join(f"--parameters {role}=COUNT" for role in cost.unknown)
        flops = f"{DASH} {notes.mark(f'FLOPs need the number of parameters: {roles}')}"
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
