"""`tpo serve`: alignment behind OpenAI's protocols."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tpo.cli.console import noting, reporting
from tpo.cli.flags import chosen, search_options, takes
from tpo.options import LogFormat, SearchOptions, ServeOptions, check
from tpo.options.groups import OUTPUT

if TYPE_CHECKING:
    from tpo.server.app import AppOptions
    from tpo.server.service import Setup


@reporting
@takes(SearchOptions, ServeOptions)
def serve(
    context: typer.Context,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Only the log on stderr, no notes.", rich_help_panel=OUTPUT)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.", rich_help_panel=OUTPUT)] = False,
    **flags: Any,
) -> None:
    """Serve aligned answers over OpenAI's APIs (chat completions, responses, completions) and Anthropic's messages.

    A model's own name passes requests through unchanged; a preset after a colon aligns them: MODEL:tpo,
    MODEL:best-of-5. Clients need the key in TPO_SERVE_KEY, or one of those in --keys; the keys for the models' servers
    are those of `tpo align`. Ctrl-C ends the server after the open requests; a second one gives them
    their best answers so far at once, and a third ends the process.
    """
    from tpo.server.app import AppOptions
    from tpo.server.keys import VARIABLE, Keys
    from tpo.server.lifecycle import check_address
    from tpo.server.logs import configure
    from tpo.server.service import Setup

    serving = chosen(ServeOptions, flags)
    check(serving)
    configure(serving.log.value, contents=serving.log_contents)
    on_note = _notes(serving.log, quiet)
    single = os.environ.get(VARIABLE) or None
    keys = Path(serving.keys) if serving.keys is not None else None
    known = Keys(keys, single) if keys is not None or single is not None else None
    check_address(serving.host, known is not None)
    setup = Setup(options=search_options(context, flags, on_note), serving=serving)
    asyncio.run(_serve(setup, AppOptions(keys=known), on_note))


async def _serve(setup: Setup, options: AppOptions, on_note: Callable[[str], None]) -> None:
    from tpo.server.assembly import assembled
    from tpo.server.lifecycle import serve as run

    serving = setup.serving

    def started(url: str) -> None:
        # What is loaded by now stays, and objects of requests are freed soon: a full collection would make requests
        # wait for dozens of milliseconds.
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        on_note(f"serving at {url}/v1" + (f", the page at {url}/ui/" if serving.ui else ""))
        if options.keys is None:
            on_note("anyone on this machine can send requests; set TPO_SERVE_KEY or --keys to require a key")

    app, service = assembled(setup, options)
    await run(app, service, serving.host, serving.port, grace=serving.grace, on_start=started)


def _notes(form: LogFormat, quiet: bool) -> Callable[[str], None]:
    """Where notes go: into the log where it is JSON, to stderr otherwise."""
    if form is LogFormat.JSON and not quiet:
        return logging.getLogger("tpo.server").info
    return noting(quiet=quiet)
