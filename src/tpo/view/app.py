"""The page as a Starlette application, which stands alone or is mounted in another one."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from tpo.errors import TPOError
from tpo.view.compare_routes import comparison_routes
from tpo.view.endpoint import error_response, json_response
from tpo.view.guard import LOOPBACK, PageGuard
from tpo.view.live_routes import Live, live_routes
from tpo.view.play import Play, PlayResults, play_routes
from tpo.view.run_routes import run_routes
from tpo.view.sources import Sources

STATIC = Path(__file__).parent / "static"


def create_app(
    sources: Sources,
    play: Play | None = None,
    live: Live | None = None,
    *,
    hosts: Collection[str] | None = LOOPBACK,
) -> Starlette:
    """Make the page.

    All of its addresses are relative, so that it may be mounted anywhere (`Mount("/ui", create_app(…))`).

    Args:
        sources: the runs and traces that are shown.
        play: answers questions in the playground; without it there is none.
        live: returns the requests that are being answered; without it there is no list of them.
        hosts: names in the Host header that are served, which keeps a page from elsewhere out whose name was made to
            point here (DNS rebinding); None serves all, for an application that checks it itself.

    Returns:
        the application.
    """
    app_routes = [
        Route("/", _index),
        Route("/api/about", _about),
        *run_routes(),
        *comparison_routes(),
        *live_routes(),
        *play_routes(),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    app = Starlette(
        routes=app_routes,
        middleware=[Middleware(PageGuard, hosts=hosts)],
        exception_handlers={TPOError: error_response},
    )
    app.state.sources, app.state.play, app.state.live = sources, play, live
    app.state.results = PlayResults()
    return app


async def _index(request: Request) -> Response:
    return FileResponse(STATIC / "index.html")


async def _about(request: Request) -> Response:
    """What this page offers."""
    state = request.app.state
    play: Play | None = state.play
    return json_response({"play": play.form() if play is not None else None, "live": state.live is not None})
