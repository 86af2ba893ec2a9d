"""`tpo view`: runs and traces in a browser, and a playground."""

from __future__ import annotations

import asyncio
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tpo.cli.console import note, noting, reporting, stderr
from tpo.cli.flags import chosen, search_options, takes
from tpo.models.panel import arms_of
from tpo.options import SearchOptions, ViewOptions, check
from tpo.options.groups import OUTPUT

if TYPE_CHECKING:
    from tpo.session.spec import Options
    from tpo.view.sources import Sources

# Questions that are answered at once, and those that may wait.
PLAYING, WAITING = 4, 16
# Seconds that a question may still take when the page is ended.
GRACE = 0.5


@reporting
@takes(ViewOptions, SearchOptions)
def view(
    context: typer.Context,
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Runs, traces, and folders of them; the current folder unless given."),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing but errors.", rich_help_panel=OUTPUT)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.", rich_help_panel=OUTPUT)] = False,
    **flags: Any,
) -> None:
    """Show runs and traces in a browser, compare runs query by query, and try questions live.

    The playground has the flags of `tpo align` for models and reward, and connects to the models at the first question.
    The page needs no network. Only this machine can open it, unless --host names another address. Ctrl-C ends it.
    """
    from tpo.view.sources import Sources

    viewing = chosen(ViewOptions, flags)
    check(viewing)
    sources = Sources(paths or [Path()])
    options = search_options(context, flags, noting(quiet=True)) if viewing.play else None
    asyncio.run(_serve(sources, options, viewing, quiet=quiet))


async def _serve(sources: Sources, options: Options | None, viewing: ViewOptions, *, quiet: bool) -> None:
    from tpo.server.admission import Admission
    from tpo.server.lifecycle import is_local, serve
    from tpo.server.page import page
    from tpo.server.registry import SearchRegistry
    from tpo.server.service import Service, Setup
    from tpo.view.app import create_app
    from tpo.view.guard import LOOPBACK

    host = viewing.host

    def started(url: str) -> None:
        if not quiet:
            stderr.print(f"tpo: the page is at [bold]{url}/[/bold]")
            if not is_local(host):
                note(f"anyone who can reach {host} can read everything and use the playground")
        if viewing.browse:
            webbrowser.open(f"{url}/")

    hosts = LOOPBACK if is_local(host) else None
    service = Service(Setup(options=options or {}))
    if options is None:
        app = create_app(sources, hosts=hosts)
    else:
        policy = options["policy"]
        policies = ", ".join(f"{name}={where}" for name, where in (arms_of(policy) or {}).items()) or policy
        steering = options.get("prefer") or options["reward"]
        about = f"{policies}, steered by {getattr(steering, 'name', steering)}"
        app = page(
            SearchRegistry(service, Admission(PLAYING, WAITING)), sources, answers=about, live=False, hosts=hosts
        )
    await serve(app, service, host, viewing.port, grace=GRACE, on_start=started, connect=False)
