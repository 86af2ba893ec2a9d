"""`tpo export`: training data from a run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tpo.cli.console import note, reporting
from tpo.runs.export_options import ExportOptions, Format, Pairs

if TYPE_CHECKING:
    from tpo.runs.export import Export
    from tpo.runs.status import RunStatus

CHOICE = "Which answers"


@reporting
def export(
    directory: Annotated[Path, typer.Argument(help="The directory of a run.", show_default=False)],
    format: Annotated[
        Format,
        typer.Option(
            help="Pairs (dpo), the best answers (sft), or answers labelled desirable or not (kto).", show_default=False
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="A file; Parquet if it ends in .parquet [default: JSON Lines to stdout].")
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Texts instead of chat messages.")] = False,
    pairs: Annotated[
        Pairs,
        typer.Option(
            help="Reject the worst answer of a query, or each that is worse than the best.", rich_help_panel=CHOICE
        ),
    ] = Pairs.BEST_WORST,
    min_gap: Annotated[
        float, typer.Option(help="Least difference of the rewards of a pair.", rich_help_panel=CHOICE)
    ] = 0.0,
    max_pairs: Annotated[
        int | None,
        typer.Option(help="Most pairs of a query with best-each, the worst first.", rich_help_panel=CHOICE),
    ] = None,
    min_reward: Annotated[
        float | None, typer.Option(help="Least reward of a best answer.", rich_help_panel=CHOICE)
    ] = None,
    improved_only: Annotated[
        bool,
        typer.Option(
            "--improved-only", help="Only best answers that beat the query's first sample.", rich_help_panel=CHOICE
        ),
    ] = False,
    keep_cut: Annotated[
        bool,
        typer.Option("--keep-cut", help="Let answers that were cut off be the best as well.", rich_help_panel=CHOICE),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No notes on stderr.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Turn the answers of a run into training data, in the formats that TRL's trainers read.

    An unfinished run gives what is there.
    """
    from tpo.runs.export import Export
    from tpo.runs.export_files import write_file, write_stream
    from tpo.runs.history import histories
    from tpo.runs.status import run_status

    options = ExportOptions(
        format=format,
        plain=plain,
        pairs=pairs,
        min_gap=min_gap,
        max_pairs=max_pairs,
        min_reward=min_reward,
        improved_only=improved_only,
        keep_cut=keep_cut,
    )
    made, found = Export(options), run_status(directory)
    rows = made.of(histories(directory))
    if out is None:
        write_stream(rows, sys.stdout.buffer)
    else:
        write_file(rows, out, options, directory)
    if not quiet:
        _tell(made, found)


def _tell(made: Export, found: RunStatus) -> None:
    note(f"{made.rows} rows from {made.used} of {made.seen} queries")
    for reason, count in made.left_out.most_common():
        note(f"left out: {count} {reason}")
    if found.state in ("running", "unfinished"):
        left = f"{found.summary.left} of {found.summary.total} queries are" if found.counted else "some queries may be"
        note(f"the run is {found.state}: {left} left")
