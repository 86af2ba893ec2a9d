"""Tables of results as Markdown, CSV, LaTeX and HTML; `tpo eval`, `tpo report` and `tpo experiment` write theirs here.

A table holds text that is ready to be shown, so that all formats agree to the last digit.
"""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tpo.stats import Estimate, fixed, holm

DASH = "–"
MARK = "*"
LEVEL = 0.05
WIDEST = 120  # characters of a row, beyond which a part is broken
_LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "×": r"$\times$",
    "−": "$-$",
}
# The first column stays where it is while a wide table is scrolled.
STYLE = (
    "table{border-collapse:collapse;margin:1rem 0;font-size:.9rem}"
    "caption{text-align:left;font-weight:600;padding:.3rem 0}"
    "th,td{padding:.3rem .7rem;text-align:right;border-bottom:1px solid #8884;white-space:nowrap}"
    "thead th{vertical-align:bottom;white-space:normal}"
    "th:first-child{text-align:left;position:sticky;left:0;background:Canvas}"
    ".wide{overflow-x:auto}"
)
_PAGE = (
    ":root{color-scheme:light dark}body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:80rem;"
    "padding:0 1rem}"
)


class Part(NamedTuple):
    """Rows under one caption; the first column names the method."""

    caption: str
    headings: list[str]
    rows: list[list[str]]


class Table(NamedTuple):
    """Everything that is shown.

    Attributes:
        title: a line above it.
        parts: the rows, part by part.
        footnotes: the text behind each number in brackets.
        remarks: what holds for all of it.
    """

    title: str
    parts: list[Part]
    footnotes: list[str]
    remarks: list[str]

    def _repr_html_(self) -> str:
        """The table in a notebook."""
        return f"<p><strong>{html.escape(self.title)}</strong></p>{fragment(self)}"

    def _repr_markdown_(self) -> str:
        """The table where HTML is not shown."""
        return markdown(self)


class Footnotes:
    """The footnotes of a table; one text is one footnote, however many cells it concerns."""

    def __init__(self) -> None:
        self._subjects: dict[str, list[str]] = {}

    def mark(self, text: str, subject: str = "") -> str:
        """The number of a footnote in brackets.

        Args:
            text: the footnote, without a full stop.
            subject: what this cell adds to it, such as "IFEval, tpo: 2 of 100".
        """
        subjects = self._subjects.setdefault(text, [])
        if subject and subject not in subjects:
            subjects.append(subject)
        return f"({list(self._subjects).index(text) + 1})"

    @property
    def texts(self) -> list[str]:
        """The footnotes in the order of their numbers."""
        return [f"{text}: {'; '.join(some)}" if some else text for text, some in self._subjects.items()]


def shown(number: Estimate, digits: int, *, signed: bool = False) -> str:
    """A number with its interval where it has one; zero has no sign.

    Args:
        number: the number.
        digits: decimals.
        signed: write a plus before what is above zero, as in differences.
    """
    parts = [None if part is None else fixed(part, digits) for part in (number.value, number.low, number.high)]
    value, low, high = (f"+{part}" if signed and part is not None and float(part) > 0 else part for part in parts)
    return f"{value} [{low}, {high}]" if low is not None else f"{value}"


def digits_for(numbers: Sequence[float]) -> int:
    """How many decimals a column of such numbers deserves, where its unit does not decide it."""
    largest = max((abs(number) for number in numbers), default=0.0)
    return 3 if largest < 10 else 2 if largest < 100 else 1 if largest < 1_000 else 0


def significant(p_values: Sequence[float | None]) -> list[bool]:
    """Which differences are significant at 5 % after Holm's correction over all of them; None is not compared."""
    known = [p for p in p_values if p is not None]
    corrected = iter(holm(known))
    return [p is not None and next(corrected) < LEVEL for p in p_values]


def without_empty_columns(part: Part) -> Part:
    """The part without columns that hold nothing but dashes; the first column stays."""
    kept = [
        place
        for place in range(len(part.headings))
        if place == 0 or any(row[place] not in ("", DASH) for row in part.rows)
    ]
    return Part(part.caption, [part.headings[n] for n in kept], [[row[n] for n in kept] for row in part.rows])


def broken(part: Part, groups: Sequence[tuple[str, int]], widest: int = WIDEST) -> list[Part]:
    """Break a wide part into several, each with the method's column.

    Args:
        part: the part.
        groups: the columns after the first that stay together, such as those of a benchmark: name and count.
        widest: characters of a row.

    Returns:
        parts with the names of their groups in the caption; the part itself where it is narrow enough.
    """
    widths = [max(map(len, column)) + 3 for column in zip(part.headings, *part.rows, strict=True)]
    if sum(widths) <= widest or len(groups) < 2:
        return [part]
    pieces: list[tuple[list[str], list[int]]] = []
    start = 1
    for name, count in groups:
        places = list(range(start, start + count))
        start += count
        if pieces and widths[0] + sum(widths[n] for n in [*pieces[-1][1], *places]) <= widest:
            pieces[-1][0].append(name)
            pieces[-1][1].extend(places)
        elif count:
            pieces.append(([name], places))
    return [
        Part(
            f"{part.caption}: {', '.join(names)}",
            [part.headings[n] for n in (0, *places)],
            [[row[n] for n in (0, *places)] for row in part.rows],
        )
        for names, places in pieces
    ]


def markdown(table: Table) -> str:
    """As Markdown, with pipes."""
    lines = [f"### {_piped(table.title)}"]
    for part in table.parts:
        rule = ["---", *["---:"] * (len(part.headings) - 1)]
        rows = [part.headings, rule, *part.rows]
        lines += ["", f"**{_piped(part.caption)}**", "", *(f"| {' | '.join(map(_piped, row))} |" for row in rows)]
    notes = [f"({number}) {_piped(text)}." for number, text in enumerate(table.footnotes, 1)]
    return "\n\n".join(["\n".join(lines), *notes, *table.remarks]) + "\n"


def latex(table: Table) -> str:
    """As LaTeX: tabulars for the package booktabs."""
    lines = [f"% {line}" for text in (table.title, *table.remarks) for line in text.splitlines()]
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


def comma_separated(part: Part) -> str:
    """One part as CSV, with its headings as the first line."""
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([part.headings, *part.rows])
    return file.getvalue()


def records_csv(records: Sequence[Mapping[str, Any]]) -> str:
    """Records as CSV for programs: a column for each key, empty where a record does not have it."""
    file = io.StringIO()
    fields = list(dict.fromkeys(key for record in records for key in record))
    writer = csv.DictWriter(file, fields, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return file.getvalue()


def fragment(table: Table) -> str:
    """As HTML elements for a page that holds `STYLE`; whatever names and footnotes hold is shown as text."""
    parts = []
    for part in table.parts:
        caption = html.escape(part.caption)
        head = "".join(f'<th scope="col">{html.escape(text)}</th>' for text in part.headings)
        rows = "".join(
            f'<tr><th scope="row">{html.escape(first)}</th>'
            + "".join(f"<td>{html.escape(text)}</td>" for text in rest)
            + "</tr>"
            for first, *rest in part.rows
        )
        parts.append(
            f'<div class="wide" role="region" aria-label="{caption}" tabindex="0"><table><caption>{caption}</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        )
    notes = "".join(f"<p>({number}) {html.escape(text)}.</p>" for number, text in enumerate(table.footnotes, 1))
    return "".join(parts) + notes + "".join(f"<p>{html.escape(text)}</p>" for text in table.remarks)


def web(table: Table) -> str:
    """As a page that stands alone."""
    title = html.escape(table.title)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>'
        f"<style>{_PAGE}{STYLE}</style></head><body><main><h1>{title}</h1>{fragment(table)}</main></body></html>\n"
    )


def _piped(text: str) -> str:
    """Text for a cell; what would begin an HTML element does not."""
    return re.sub(r"<(?=[A-Za-z/!?])", r"\\<", text.replace("|", "\\|").replace("\n", " "))


def _tex(text: str) -> str:
    return re.sub(r"[&%$#_{}\\~^–×−]", lambda found: _LATEX[found[0]], text)
