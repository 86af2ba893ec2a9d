"""`tpo export`: training data from a run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tpo.cli.console import note, reporting
from tpo.cli.flags import chosen, takes
from tpo.options import ExportOptions

if TYPE_CHECKING:
    from tpo.runs.export import Export
    from tpo.runs.status import RunStatus


@reporting
@takes(ExportOptions)
def export(
    directory: Annotated[Path, typer.Argument(help="The directory of a run.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option(help="A file; Parquet if it ends in .parquet [default: JSON Lines to stdout].")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No notes on stderr.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    **flags: Any,
) -> None:
    """Turn the answers of a run into training data, in the formats that TRL's trainers read.

    Of an unfinished run, the finished queries are exported.
    """
    from tpo.runs.export import Export, write_file, write_stream
    from tpo.runs.history import histories
    from tpo.runs.status import run_status

    options = chosen(ExportOptions, flags)
    made, found = Export(options), run_status(directory)
    rows = made.of(histories(directory))
    if out is None:
        write_stream(rows, sys.stdout.buffer)
    else:
        write_file(rows, out, options, directory)
    if not quiet:
        _note(made, found)


def _note(made: Export, found: RunStatus) -> None:
    note(f"{made.rows} rows from {made.used} of {made.seen} queries")
    for reason, count in made.left_out.most_common():
        note(f"left out: {count} {reason}")
    if found.state in ("running", "unfinished"):
        left = f"{found.summary.left} of {found.summary.total} queries are" if found.counted else "some queries may be"
        note(f"the run is {found.state}: {left} left")
