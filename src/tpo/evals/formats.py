"""A table in Markdown, CSV, LaTeX and HTML."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Callable
from pathlib import Path

from tpo.evals.evaluation import Evaluation
from tpo.evals.table import Table, table_of
from tpo.runs.directory import replace
from tpo.stats import Estimate

_LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "×": r"$\times$",
}
_STYLE = (
    "body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:80rem;padding:0 1rem;color-scheme:light dark}"
    "table{border-collapse:collapse;margin:1rem 0}caption{text-align:left;font-weight:600;padding:.3rem 0}"
    "th,td{padding:.3rem .7rem;text-align:right;border-bottom:1px solid #8884}th:first-child{text-align:left}"
    "div{overflow-x:auto}"
)


def markdown(table: Table) -> str:
    """As Markdown, with pipes."""
    lines = [f"### {_piped(table.title)}"]
    for part in table.parts:
        rule = ["---", *["---:"] * (len(part.headings) - 1)]
        rows = [part.headings, rule, *part.rows]
        lines += ["", f"**{part.caption}**", "", *(f"| {' | '.join(map(_piped, row))} |" for row in rows)]
    lines += ["", *(f"({number}) {_piped(text)}." for number, text in enumerate(table.footnotes, 1))]
    return "\n\n".join(["\n".join(lines).rstrip(), *table.remarks]) + "\n"


def latex(table: Table) -> str:
    """As LaTeX: tabulars for the package booktabs."""
    lines = [f"% {line}" for line in (table.title, *table.remarks)]
    for part in table.parts:
        rows = [r" & ".join(map(_tex, row)) + r" \\" for row in part.rows]
        lines += [
            rf"\begin{{tabular}}{{l{'r' * (len(part.headings) - 1)}}}",
            rf"\multicolumn{{{len(part.headings)}}}{{l}}{{{_tex(part.caption)}}} \\",
            r"\toprule",
            " & ".join(map(_tex, part.headings)) + r" \\",
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    lines += [rf"\par ({number}) {_tex(text)}." for number, text in enumerate(table.footnotes, 1)]
    return "\n".join(lines).rstrip() + "\n"


def web(table: Table) -> str:
    """As a page that stands alone; whatever names and footnotes hold is shown as text."""
    parts = []
    for part in table.parts:
        head = "".join(f'<th scope="col">{html.escape(text)}</th>' for text in part.headings)
        rows = "".join(
            f'<tr><th scope="row">{html.escape(first)}</th>'
            + "".join(f"<td>{html.escape(text)}</td>" for text in rest)
            + "</tr>"
            for first, *rest in part.rows
        )
        parts.append(
            f"<div><table><caption>{html.escape(part.caption)}</caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{rows}</tbody></table></div>"
        )
    notes = "".join(f"<p>({number}) {html.escape(text)}.</p>" for number, text in enumerate(table.footnotes, 1))
    remarks = "".join(f"<p>{html.escape(text)}</p>" for text in table.remarks)
    title = html.escape(table.title)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"</head><body><h1>{title}</h1>{''.join(parts)}{notes}{remarks}</body></html>\n"
    )


CSV_FIELDS = (
    *("benchmark", "column", "unit", "method", "width", "depth", "answered", "failed", "value", "low", "high"),
    *("difference", "difference_low", "difference_high", "missing", "unread"),
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
                        *(*_three(cell.against_plain.get(name)), cell.missing.get(name), cell.unread.get(name, 0)),
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


def _piped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _tex(text: str) -> str:
    return re.sub(r"[&%$#_{}\\~^–×]", lambda found: _LATEX[found[0]], text)
