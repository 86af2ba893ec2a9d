"""The endpoints for one query: its story, and the same as a file to send to a colleague."""

from __future__ import annotations

import re
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tpo.view.answering import said, text
from tpo.view.export import exported
from tpo.view.runs import run_of
from tpo.view.sources import Sources
from tpo.view.telling import story_data, trace_data

# What a browser may be told as the name of a file, whatever the id holds.
_ODD = re.compile(r"[^A-Za-z0-9._-]+")


def story_routes() -> list[Route]:
    """Their addresses."""
    return [Route("/api/story", _story), Route("/api/export", _export)]


def _story(request: Request) -> Response:
    return said(_told(request))


def _export(request: Request) -> Response:
    told = _told(request)
    name = _ODD.sub("-", str(told["name"])).strip("-.")[:80] or "story"
    headers = {"Content-Disposition": f'attachment; filename="{name}.html"', "Cache-Control": "no-store"}
    return Response(exported(told), headers=headers, media_type="text/html")


def _told(request: Request) -> dict[str, Any]:
    if "trace" in request.query_params:
        sources: Sources = request.app.state.sources
        name = text(request, "trace")
        return trace_data(name, sources.trace(name))
    return story_data(run_of(request).story(text(request, "id")))
