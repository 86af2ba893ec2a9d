"""The page with a service behind it: what is being answered, runs and traces, and a playground on its models."""

from __future__ import annotations

import secrets
from collections.abc import Collection

from starlette.applications import Starlette
from starlette.requests import Request

from tpo.engine.events import Listener
from tpo.engine.result import Result
from tpo.server.asgi import about
from tpo.server.searches import Searches
from tpo.server.wire.chat import chat_request
from tpo.view import Play, PlayOptions, Sources, create_app


def page(
    searches: Searches,
    sources: Sources,
    *,
    answers: str,
    live: bool,
    hosts: Collection[str] | None = None,
) -> Starlette:
    """Make the page.

    Args:
        searches: answers the playground's questions, which wait like everybody else's; its service is connected to its
            models at the first one, if it is not yet.
        sources: runs and traces to show.
        answers: who answers and what steers, for people.
        live: show what the service is answering.
        hosts: names under which the page is served; None leaves that to whoever mounts it.
    """
    service = searches.service

    async def align(request: Request, options: PlayOptions, listen: Listener) -> Result:
        await service.open_once()
        service.expect_ready()
        model = service.models.names[0]
        body = options.chat_request(model)
        asked = service.asked(chat_request(body), body, None)
        known = about(request.scope)
        known.model, known.kind = model, "aligned"
        answered = await searches.answer(asked, model, secrets.token_hex(8), known, listen)
        return answered.result

    bounds, spec = service.setup.bounds, service.spec
    play = Play(
        align,
        answers,
        spec.method.name,
        spec.width,
        spec.depth,
        most_width=bounds.width,
        most_depth=bounds.depth,
    )
    return create_app(sources, play, service.live if live else None, hosts=hosts)
