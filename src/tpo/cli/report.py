"""`tpo report`: figures and a page from runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tpo.cli.console import note, print_answer, print_json, reporting


@reporting
def report(
    directory: Annotated[
        Path,
        typer.Argument(
            help="A run's directory, a folder of runs, or the directory of an evaluation.", show_default=False
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="Where to [default: DIRECTORY/report].", show_default=False)] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE=COUNT",
            help="Parameters of a model (repeatable), such as policy=70B, where its name does not hold them.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was written as one JSON object.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No notes on stderr.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Draw the paper's figures from runs: PDF, PNG and SVG files, and one HTML page that needs no other file.

    It only reads the runs, so it may be used while they are at work. Needs Matplotlib: pip install 'tpo[plots]'.
    """
    from tpo.evals.costs import parse_parameters
    from tpo.evals.figures.report import make_report

    made = make_report(directory, out or directory / "report", parse_parameters(parameters or ()))
    if not quiet:
        for section in made.sections:
            for missing in section.missing:
                note(f"{section.group.title}: {missing.title} is not drawn; it needs {missing.needs}")
    if as_json:
        print_json({"page": str(made.page), "figures": [str(path) for path in made.figures]})
    else:
        print_answer(str(made.page))
