"""`tpo show`: what a run has come to, or all that happened to one of its queries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tpo.cli.console import print_json, reporting, stdout

if TYPE_CHECKING:
    from tpo.runs.history import QueryHistory
    from tpo.runs.status import RunStatus


@reporting
def show(
    directory: Annotated[Path, typer.Argument(help="The directory of a run.", show_default=False)],
    id: Annotated[str | None, typer.Argument(help="The id of a query.", show_default=False)] = None,
    prompts: Annotated[bool, typer.Option("--prompts", help="Show the prompts as they were sent.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Show what a run has come to, or with an ID all that happened to that query.

    It only reads, so it may be used while the run is at work.
    """
    from tpo.errors import InputError
    from tpo.runs.history import query_history
    from tpo.runs.status import run_status

    if id is not None:
        _show_story(query_history(directory, id), prompts=prompts, as_json=as_json)
    elif prompts:
        raise InputError("--prompts shows the prompts of one query: give its id.")
    else:
        _show_run(run_status(directory), as_json=as_json)


def _show_run(found: RunStatus, *, as_json: bool) -> None:
    import msgspec
    from rich.text import Text

    from tpo.cli.summary import summary_table

    if as_json:
        counts = {} if found.counted else {"total": None, "left": None}
        head = {"directory": str(found.directory), "state": str(found.state)}
        print_json(head | msgspec.to_builtins(found.summary) | counts)
    else:
        console = stdout()
        console.print(summary_table(found.summary, found.directory))
        console.print(Text(_stands(found)))


def _stands(found: RunStatus) -> str:
    summary = found.summary
    over = f"{summary.left} of {summary.total} queries are left" if found.counted else "some queries may be left"
    return {
        "running": "running: a process is at work in it",
        "finished": "finished: all queries have their answers",
        "failed": f"finished, but {summary.failed} of {summary.total} queries failed; --retry-failed tries them again",
        "unfinished": f"unfinished: {over}; the command that began it goes on",
    }[found.state]


def _show_story(told: QueryHistory, *, prompts: bool, as_json: bool) -> None:
    if as_json:
        print_json(_plain(told, prompts=prompts))
        return

    from tpo.cli.story import story_parts

    console = stdout(soft_wrap=True)
    for part in story_parts(told, prompts=prompts):
        console.print(part)


def _plain(told: QueryHistory, *, prompts: bool) -> dict[str, Any]:
    import msgspec

    from tpo.engine.records import Prompted

    value: dict[str, Any] = {"id": told.id, "key": told.key, "error": told.error}
    if told.result is not None:
        value |= told.result.to_dict()
    else:
        ended = told.ended or told.answer
        value |= {"answer": None, "reward": None, "stop": ended.stop if ended else "interrupt", "steps": []}
    if prompts:
        value["prompts"] = [msgspec.to_builtins(r) for r in told.records if isinstance(r, Prompted)]
    return value
