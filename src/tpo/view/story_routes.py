"""The endpoints for one query: its story, and the same as a file to send to a colleague."""

from __future__ import annotations

import re
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tpo.view.endpoint import NotFound, json_response, text, whole
from tpo.view.export import exported
from tpo.view.run_routes import run_of
from tpo.view.sources import Sources
from tpo.view.story import story_json, trace_json

# Characters that the suggested name of a file does without, whatever the id holds.
_ODD = re.compile(r"[^A-Za-z0-9._-]+")


def story_routes() -> list[Route]:
    """Their addresses."""
    return [Route("/api/story", _story), Route("/api/export", _export)]


def _story(request: Request) -> Response:
    return json_response(_requested_story(request))


def _export(request: Request) -> Response:
    story = _requested_story(request)
    name = _ODD.sub("-", str(story["name"])).strip("-.")[:80] or "story"
    headers = {"Content-Disposition": f'attachment; filename="{name}.html"', "Cache-Control": "no-store"}
    return Response(exported(story), headers=headers, media_type="text/html")


def _requested_story(request: Request) -> dict[str, Any]:
    if "trace" in request.query_params:
        sources: Sources = request.app.state.sources
        name = text(request, "trace")
        return trace_json(name, sources.trace(name))
    index = run_of(request)
    if "row" in request.query_params:
        row = whole(request, "row", 0, 0, 10**12)
        id = index.id_of_row(row)
        if id is None:
            raise NotFound(f"There is no query in row {row} here (yet).")
    else:
        id = text(request, "id")
    return story_json(index.story(id))
