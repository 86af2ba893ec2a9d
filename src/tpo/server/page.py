"""The page with a service behind it: live requests, runs and traces, and a playground on its models."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Collection

from starlette.applications import Starlette
from starlette.requests import Request

from tpo.engine.events import Listener
from tpo.engine.result import Result
from tpo.errors import TPOError
from tpo.server.asgi import request_info
from tpo.server.errors import ApiError, BadRequest
from tpo.server.protocols.chat import chat_request
from tpo.server.registry import SearchRegistry
from tpo.view.app import create_app
from tpo.view.play import Play, PlayOptions
from tpo.view.sources import Sources


def page(
    registry: SearchRegistry,
    sources: Sources,
    *,
    answers: str,
    live: bool,
    hosts: Collection[str] | None = None,
) -> Starlette:
    """Make the page.

    Args:
        registry: runs the playground's searches, which wait like those of any client; its service connects to its
            models at the first one.
        sources: runs and traces to show.
        answers: who answers and what steers, for people.
        live: show what the service is answering.
        hosts: names under which the page is served; None leaves the check to the app around it.
    """
    service = registry.service

    async def align(request: Request, options: PlayOptions, listen: Listener) -> Result:
        await service.open_once()
        try:
            service.expect_ready()
            model, preset = service.models.first
            info = request_info(request.scope)
            info.model, info.kind = model, "aligned"
            # In a thread: a pattern among the rules may take a while to compile.
            search_options = await asyncio.to_thread(service.options, chat_request(options.chat_request(model)), preset)
            found = await registry.search(search_options, model, secrets.token_hex(8), info, listen)
        except (ApiError, BadRequest) as error:  # errors of the protocols, which the page does not know
            raise TPOError(str(error)) from error
        return found.result

    serving, spec = service.setup.serving, service.spec
    play = Play(
        align,
        answers,
        spec.method.name,
        spec.width,
        spec.depth,
        most_width=serving.max_width,
        most_depth=serving.max_depth,
    )
    return create_app(sources, play, registry.live if live else None, hosts=hosts)
