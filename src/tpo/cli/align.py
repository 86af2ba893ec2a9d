"""`tpo align`: answer one query, aligned."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tpo.cli.console import INTERRUPTED, noting, print_answer, print_json, reporting, stderr
from tpo.cli.flags import search_options, takes
from tpo.cli.interrupts import interruptible
from tpo.cli.query import read_query
from tpo.options import SearchOptions
from tpo.options.groups import OUTPUT, QUERY

if TYPE_CHECKING:
    from tpo.engine.events import Event
    from tpo.engine.result import Result


@reporting
@takes(SearchOptions)
def align(
    context: typer.Context,
    prompt: Annotated[str | None, typer.Argument(help="The question; - reads it from standard input.")] = None,
    file: Annotated[Path | None, typer.Option(help="A file that holds the question.", rich_help_panel=QUERY)] = None,
    messages: Annotated[
        Path | None, typer.Option(help="A JSON file with chat messages.", rich_help_panel=QUERY)
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the whole result as one JSON object.", rich_help_panel=OUTPUT)
    ] = False,
    trace: Annotated[
        Path | None,
        typer.Option(
            help="Write everything that happens to this JSON Lines file; continues where a broken-off run stopped.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress and no notes on stderr.", rich_help_panel=OUTPUT)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.", rich_help_panel=OUTPUT)] = False,
    **flags: Any,
) -> None:
    """Answer a question, aligned with a reward: sample, score, criticise, rewrite, and keep the best.

    The answer alone goes to stdout. Keys for servers come from TPO_API_KEY, or TPO_POLICY_API_KEY, TPO_CRITIC_API_KEY
    and TPO_EDITOR_API_KEY.
    """
    query = read_query(prompt, file, messages)
    options: dict[str, Any] = {**search_options(context, flags, noting(quiet=quiet)), "trace": trace}
    result = asyncio.run(_run(query, options, quiet))
    if as_json:
        print_json(result.to_dict())
    else:
        print_answer(result.answer)
    if result.stop == "interrupt":
        raise typer.Exit(INTERRUPTED)


async def _run(query: str | list[dict[str, Any]], options: dict[str, Any], quiet: bool) -> Result:
    from tpo import api
    from tpo.cli.live import view_of
    from tpo.engine.limits import Stopper

    stopper = Stopper()
    begun = False

    def stop() -> bool:
        stopper.stop("interrupt")
        return begun

    with interruptible(stop), view_of(stderr, quiet) as view:

        def on_event(event: Event) -> None:
            nonlocal begun
            begun = True
            view.listen(event)

        return await api.align(query, **options, stopper=stopper, on_event=on_event, on_note=view.note)
