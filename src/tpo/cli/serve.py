"""`tpo serve`: alignment behind the endpoint that every client already speaks."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from tpo.cli.console import noting, reporting
from tpo.cli.options import LIMITS, METHOD, OUTPUT, search_options, takes_search_flags
from tpo.config import Config

ADDRESS, ACCESS, LOAD, LOGS = "Address", "Who may ask", "Load", "Logs and records"


class LogFormat(StrEnum):
    """How log lines look."""

    TEXT = "text"
    JSON = "json"


@reporting
@takes_search_flags
def serve(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="The address to listen at.", rich_help_panel=ADDRESS)] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes any.", rich_help_panel=ADDRESS)] = 8000,
    keys: Annotated[
        Path | None, typer.Option(help="A file of keys, which `tpo key` makes.", rich_help_panel=ACCESS)
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="A name under which a server without keys may be asked for.", rich_help_panel=ACCESS),
    ] = None,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(help="A web page that may ask from a browser, as https://HOST.", rich_help_panel=ACCESS),
    ] = None,
    max_width: Annotated[int, typer.Option(help="The largest N for a request.", rich_help_panel=LIMITS)] = 32,
    max_depth: Annotated[int, typer.Option(help="The largest D for a request.", rich_help_panel=LIMITS)] = 8,
    max_answer: Annotated[
        int | None, typer.Option(help="The most tokens per answer for a request.", rich_help_panel=LIMITS)
    ] = None,
    max_message: Annotated[
        int, typer.Option(help="The most characters of one message.", rich_help_panel=LIMITS)
    ] = 1_000_000,
    deadline: Annotated[
        float, typer.Option(help="Seconds after which a request gets the best so far.", rich_help_panel=LIMITS)
    ] = 300.0,
    preset: Annotated[
        list[str] | None,
        typer.Option(help="A preset to list (repeatable); any other is served too.", rich_help_panel=METHOD),
    ] = None,
    requests: Annotated[int, typer.Option(help="Aligned requests worked on at once.", rich_help_panel=LOAD)] = 128,
    passed: Annotated[int, typer.Option(help="Requests passed through at once.", rich_help_panel=LOAD)] = 1024,
    queue: Annotated[
        int, typer.Option(help="Requests that may wait; more are answered 429.", rich_help_panel=LOAD)
    ] = 512,
    concurrency: Annotated[
        int | None,
        typer.Option(help="Sequences in flight at each model's server; found out unless given.", rich_help_panel=LOAD),
    ] = None,
    patience: Annotated[
        float, typer.Option(help="Seconds for which a server that is down is tried again.", rich_help_panel=LOAD)
    ] = 0.0,
    grace: Annotated[
        float, typer.Option(help="Seconds in which requests may finish at the end.", rich_help_panel=LOAD)
    ] = 20.0,
    log: Annotated[LogFormat, typer.Option(help="How log lines look.", rich_help_panel=LOGS)] = LogFormat.TEXT,
    log_contents: Annotated[
        bool, typer.Option("--log-contents", help="Log what is asked and answered.", rich_help_panel=LOGS)
    ] = False,
    record: Annotated[
        Path | None, typer.Option(help="Keep the trace of each aligned request in this folder.", rich_help_panel=LOGS)
    ] = None,
    record_days: Annotated[float, typer.Option(help="Days for which traces are kept.", rich_help_panel=LOGS)] = 30.0,
    ui: Annotated[bool, typer.Option("--ui/--no-ui", help="Show the page at /ui.", rich_help_panel=LOGS)] = True,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No notes on stderr but the log.", rich_help_panel=OUTPUT)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.", rich_help_panel=OUTPUT)] = False,
    **flags: Any,
) -> None:
    """Serve aligned answers in OpenAI's protocols (chat completions, responses, completions).

    Models are served under their own names, passed through, and with presets behind a colon, aligned: MODEL:tpo,
    MODEL:best-of-5. The key for clients is TPO_SERVE_KEY, or several are in --keys; the keys for the models' servers
    are those of `tpo align`. Ctrl-C ends it when what is under way has been answered; a second one ends it at once.
    """
    from tpo.server.app import AppOptions
    from tpo.server.asked import Bounds
    from tpo.server.keys import VARIABLE, Keys
    from tpo.server.logs import configure
    from tpo.server.models import LISTED
    from tpo.server.running import check_address
    from tpo.server.service import Setup

    configure(log.value, contents=log_contents)
    say = _saying(log, quiet)
    configured: Config = context.obj
    single = os.environ.get(VARIABLE) or None
    known = Keys(keys, single) if keys is not None or single is not None else None
    check_address(host, known is not None)
    setup = Setup(
        options=search_options(flags, configured, say),
        bounds=Bounds(max_width, max_depth, max_answer, deadline, max_message),
        presets=preset or LISTED,
        concurrency=concurrency,
        patience=patience,
    )
    options = AppOptions(
        keys=known,
        hosts=allow_host or (),
        origins=allow_origin or (),
        concurrency=requests,
        queue=queue,
        passed=passed,
    )
    # What is loaded by now stays, and what requests make is gone soon: looking through all of it often would make
    # requests wait, dozens of milliseconds each time.
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    asyncio.run(_serve(setup, options, host, port, grace, record, record_days, ui, say))


async def _serve(
    setup: Any,
    options: Any,
    host: str,
    port: int,
    grace: float,
    record: Path | None,
    days: float,
    ui: bool,
    say: Callable[[str], None],
) -> None:
    from tpo.server.assembly import assembled
    from tpo.server.running import serve as run

    def started(url: str) -> None:
        say(f"serving at {url}/v1" + (f", the page at {url}/ui/" if ui else ""))
        if options.keys is None:
            say("anybody on this machine can ask; TPO_SERVE_KEY or --keys asks for a key")

    app, service = assembled(setup, options, record=record, days=days, ui=ui)
    await run(app, service, host, port, grace=grace, on_start=started)


def _saying(form: LogFormat, quiet: bool) -> Callable[[str], None]:
    """How people, or those who read the log, are told that it goes."""
    if form is LogFormat.JSON and not quiet:  # whoever reads that expects nothing else
        return logging.getLogger("tpo.server").info
    return noting(quiet=quiet)
