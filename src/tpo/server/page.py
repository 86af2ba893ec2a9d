"""The page with a service behind it: what is being answered, runs and traces, and a playground on its models."""

from __future__ import annotations

import secrets
from collections.abc import Collection

from starlette.applications import Starlette
from starlette.requests import Request

from tpo.engine.events import Event, Listener
from tpo.engine.result import Result
from tpo.server.admission import Admission
from tpo.server.asgi import about
from tpo.server.asked import asked_for
from tpo.server.chat import Watch, unwatched
from tpo.server.service import Service
from tpo.server.wire.chat import chat_request
from tpo.view import Play, PlayOptions, Sources, create_app


def page(
    service: Service,
    aligned: Admission,
    sources: Sources,
    *,
    answers: str,
    live: bool,
    hosts: Collection[str] | None = None,
    watch: Watch = unwatched,
) -> Starlette:
    """Make the page.

    Args:
        service: who answers the playground's questions; connected to its models at the first one, if it is not yet.
        aligned: where they wait, like everybody else's.
        sources: runs and traces to show.
        answers: who answers and what steers, for people.
        live: show what the service is answering.
        hosts: names under which the page is served; None leaves that to whoever mounts it.
        watch: who else listens to what is answered.
    """

    async def align(request: Request, options: PlayOptions, listen: Listener) -> Result:
        await service.open_once()
        service.expect_ready()
        model = service.models.names[0]
        search = {"method": options.method, "width": options.width, "depth": options.depth}
        body = {"model": model, "messages": [{"role": "user", "content": options.question}], "tpo": search}
        asked = asked_for(chat_request(body), body, None, service.setup.options, service.setup.bounds)
        known = about(request.scope)
        known.model, known.kind = model, "aligned"
        async with aligned.admitted():
            with watch(known, asked) as heard:

                def hear(event: Event) -> None:
                    heard(event)
                    listen(event)

                answered = await service.answer(asked, model, secrets.token_hex(8), 0.0, hear, known.spend)
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
