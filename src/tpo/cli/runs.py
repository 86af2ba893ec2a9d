"""`tpo runs`: a list of runs with the state of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tpo.cli.console import note, print_json, reporting, stdout

if TYPE_CHECKING:
    from rich.table import Table

    from tpo.runs.status import RunStatus


@reporting
def runs(
    directories: Annotated[
        list[Path] | None,
        typer.Argument(help="Folders to search, one level deep [default: the current folder].", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list, an object a run.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """List the runs in directories: data, method, models, reward and state of each."""
    from tpo.runs.status import outline

    where = directories or [Path()]
    found = sorted(_all(where), key=lambda one: one.identity.began)
    if as_json:
        print_json([outline(one) for one in found])
    elif found:
        stdout().print(_table(found))
    else:
        note(f"there is no run in {', '.join(map(str, where))} or one level below")


def _all(directories: Iterable[Path]) -> Iterator[RunStatus]:
    from tpo.errors import TPOError
    from tpo.runs.status import run_directories, run_status

    for path in run_directories(directories):
        try:
            yield run_status(path)
        except TPOError as error:  # one damaged run does not hide the others
            note(str(error))


def _table(found: Iterable[RunStatus]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from tpo.runs.status import outline

    table = Table(box=box.SIMPLE, show_edge=False)
    for heading in ("directory, data", "method", "policy, reward", "done", "reward", "state, begun"):
        table.add_column(heading, justify="right" if heading == "done" else "left", overflow="fold")
    for row in map(outline, found):
        total = "?" if row["total"] is None else row["total"]
        failed = [f"{row['failed']} failed"] if row["failed"] else []
        rewards = [row["first_reward"], row["answer_reward"]]
        cells = [
            [row["directory"], row["data"]],
            [row["method"], f"{row['width']}×{row['depth']}"],
            [row["policy"], row["reward"] or "none"],
            [f"{row['done']}/{total}", *failed],
            [] if None in rewards else [f"{rewards[0]:.3f} → {rewards[1]:.3f}"],
            [row["state"], row["began"][:16].replace("T", " ")],
        ]
        table.add_row(*(Text("\n".join(map(str, cell))) for cell in cells))
    return table
