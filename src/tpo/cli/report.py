"""`tpo report`: tables, figures and a page from runs."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from tpo.cli.console import note, print_answer, print_json, reporting


class ReportFormat(Enum):
    """In which format a table is printed."""

    MARKDOWN = "markdown"
    CSV = "csv"
    LATEX = "latex"


@reporting
def report(
    run: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN…",
            help="Directories of runs, folders of runs, or directories of evaluations.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="The folder for the report [default: RUN/report, or ./report for several].",
            metavar="FOLDER",
            show_default=False,
        ),
    ] = None,
    format: Annotated[
        ReportFormat | None,
        typer.Option(help="Print the table in this format instead of the page's path.", show_default=False),
    ] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE=COUNT",
            help="Parameters of a model (repeatable), such as policy=70B, if its name has no size.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was written as one JSON object.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No notes on stderr.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Compare runs: a table of methods with intervals and paired differences, and the paper's figures.

    Writes one HTML page that needs no other file, tables as Markdown, CSV and LaTeX, and figures as PDF, PNG, SVG and
    CSV. It only reads the runs, so you can use it while they work. Figures need Matplotlib:
    pip install 'tpo[plots]'.
    """
    from tpo.evals.costs import parse_parameters
    from tpo.evals.figures.report import LATEX, MARKDOWN, MEANS, make_report

    place = out or (run[0] if len(run) == 1 else Path()) / "report"
    made = make_report(run, place, parse_parameters(parameters or ()))
    if not quiet:
        for section in made.sections:
            for missing in section.missing:
                note(f"{section.group.title}: {missing.title} is not drawn; it needs {missing.needs}")
        if not made.drawn:
            note("no figures: they need Matplotlib, pip install 'tpo[plots]'")
    if as_json:
        figures, tables = ([str(path) for path in paths] for paths in (made.figures, made.tables))
        print_json({"page": str(made.page), "figures": figures, "tables": tables})
    elif format is not None:
        file = {ReportFormat.MARKDOWN: MARKDOWN, ReportFormat.CSV: MEANS, ReportFormat.LATEX: LATEX}[format]
        print_answer((place / file).read_text(encoding="utf-8"))
    else:
        print_answer(str(made.page))
